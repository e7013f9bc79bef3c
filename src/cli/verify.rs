//! `mkimg verify`: whether a shared image is what it says, who vouches for it, and whether its recipe gives it again.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::shared::Reach;
use super::values;
use crate::arch::Arch;
use crate::session::{Judgement, VerifyOptions};

/// `mkimg verify`
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// What: a bundle, or REGISTRY/REPOSITORY with :TAG or @sha256:HEX
    #[arg(value_name = "REF|FILE")]
    what: String,
    /// Want the signature of a key in FILE, which is as OpenSSH's allowed_signers
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Want N different trusted keys to have said that they rebuilt the image and got the same; their signatures do not count
    #[arg(long, value_name = "N", requires = "trust", value_parser = clap::value_parser!(u32).range(1..))]
    need: Option<u32>,
    /// Make the image again from the recipe inside and its sources, and compare
    #[arg(long)]
    rebuild: bool,
    /// Only this architecture [default: all that there are]
    #[arg(long, value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    arch: Option<Arch>,
    /// How to reach the registry.
    #[command(flatten)]
    reach: Reach,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context<'_>, args: &Verify) -> Result<(), Failure> {
    let options = VerifyOptions {
        arch: args.arch,
        trust: args.trust.clone(),
        need: args.need,
        rebuild: args.rebuild,
        verbose: context.verbose,
        connection: args.reach.connection(),
    };
    let found = context.session.verify(&args.what, &options)?;
    let rows = &found.judgements;
    match args.json {
        true => output::print_json(&json!({
            "checks": rows.iter().filter(|row| row.asked).map(json).collect::<Vec<_>>(),
            "digest": found.digest,
            "holds": found.error.is_none(),
            "image": found.image,
            "signatures_judged": found.signatures_judged,
        }))?,
        false => output::print(&table(&found.image, rows))?,
    }
    found.error.map_or(Ok(()), |error| Err(error.into()))
}

fn json(row: &Judgement) -> Value {
    let mut value = json!({
        "arch": row.arch,
        "check": row.check,
        "holds": row.failed.is_none(),
        "text": row.text,
    });
    if row.check == "rebuild" {
        value["explanation"] = json!(row.explanation);
    }
    if let Some(vouched) = &row.vouched {
        let by = vouched.by.iter();
        let by = by.map(|by| json!({ "key": by.key.fingerprint(), "principals": by.principals }));
        let ignored = vouched.ignored.iter();
        let ignored = ignored.map(|one| json!({ "manifest": one.object, "why": one.why }));
        value["by"] = by.collect();
        value["ignored"] = ignored.collect();
    }
    value
}

pub(super) fn table(exact: &str, rows: &[Judgement]) -> String {
    let mut text = format!("{exact}\n");
    for row in rows {
        let holds = match row.failed {
            None if !row.asked => "-",
            None => "ok",
            Some(_) => "FAILED",
        };
        text.push_str(&format!(
            "{:<8} {:<11} {holds:<7} {}\n",
            row.arch, row.check, row.text
        ));
    }
    for row in rows {
        for line in &row.explanation {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
