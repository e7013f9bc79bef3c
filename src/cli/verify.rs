//! `mkimg verify` and `mkimg attest`: whether a shared image is what it says, who vouches for it, and whether its recipe gives it
//! again.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::args::Reach;
use super::context::Context;
use super::failure::Failure;
use super::output;
use super::values;
use crate::arch::Arch;
use crate::diff::{Side, compare};
use crate::fault::Outcome;
use crate::session::{self, Error, Key, Place, trusted};
use crate::share::oci::Manifest;
use crate::share::sign::{AllowedSigners, Claim, Vouched, vouched};
use crate::share::{Examined, Part, Rebuilt, ShareError, examine, rebuild};
use crate::store::Store;

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

/// `mkimg attest`
#[derive(Debug, Args)]
pub(super) struct Attest {
    /// What: a bundle, or REGISTRY/REPOSITORY with :TAG or @sha256:HEX
    #[arg(value_name = "REF|FILE")]
    what: String,
    /// The SSH key to sign with: a private key, or the public key of one that an agent has
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Only this architecture [default: all that there are]
    #[arg(long, value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    arch: Option<Arch>,
    /// How to reach the registry.
    #[command(flatten)]
    reach: Reach,
}

/// One line of the answer.
struct Row {
    arch: String,
    check: &'static str,
    /// Why it does not hold, with the exit code of that.
    failed: Option<Outcome>,
    text: String,
    /// Whether it was asked for: what was not says so to people, and is no check to a script.
    asked: bool,
    /// What differs, where the image came out otherwise.
    explanation: Vec<String>,
    /// Who said so, and what does not count.
    vouched: Option<Vouched>,
}

impl Row {
    fn new(arch: impl ToString, check: &'static str, failed: Option<Outcome>, text: String) -> Row {
        Row {
            arch: arch.to_string(),
            check,
            failed,
            text,
            asked: true,
            explanation: Vec::new(),
            vouched: None,
        }
    }

    /// Says that nobody was asked whom to trust: every byte may be what it says, and anybody's.
    fn not_judged(arch: Arch) -> Row {
        let text = "not judged: without `--trust FILE` it may be anybody's".to_owned();
        Row {
            asked: false,
            ..Row::new(arch, "signature", None, text)
        }
    }

    /// Says that the index lists images for architectures that a later mkimg may know. Who wants signatures has none of these.
    fn not_looked_at(count: usize, trusting: bool) -> Row {
        let text = format!(
            "{count} for an architecture that this mkimg does not know: not looked at (`--arch` names one)"
        );
        let failed = trusting.then_some(Outcome::Mismatch);
        Row {
            asked: trusting,
            ..Row::new("others", "bytes", failed, text)
        }
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "arch": self.arch,
            "check": self.check,
            "holds": self.failed.is_none(),
            "text": self.text,
        });
        if self.check == "rebuild" {
            value["explanation"] = json!(self.explanation);
        }
        if let Some(vouched) = &self.vouched {
            let by = vouched.by.iter();
            let by =
                by.map(|by| json!({ "key": by.key.fingerprint(), "principals": by.principals }));
            let ignored = vouched.ignored.iter();
            let ignored = ignored.map(|one| json!({ "manifest": one.object, "why": one.why }));
            value["by"] = by.collect();
            value["ignored"] = ignored.collect();
        }
        value
    }
}

pub(super) fn run(context: &Context<'_>, args: &Verify) -> Result<(), Failure> {
    let trust = args.trust.as_deref().map(trusted).transpose()?;
    let mut answer = Answer {
        image: args.what.clone(),
        digest: None,
        rows: Vec::new(),
    };
    let failure = match look(context, args, trust.as_ref(), &mut answer) {
        Ok(()) => verdict(&answer.image, &answer.rows),
        Err(error) if error.outcome() == Outcome::Mismatch => {
            let row = Row::new("all", "bytes", Some(error.outcome()), error.first_line());
            answer.rows.push(row);
            Some(error)
        }
        // What could not be looked at has no answer.
        Err(error) => return Err(error.into()),
    };
    match args.json {
        true => output::print_json(&json!({
            "checks": answer.rows.iter().filter(|row| row.asked).map(Row::json).collect::<Vec<_>>(),
            "digest": answer.digest,
            "holds": failure.is_none(),
            "image": answer.image,
            "signatures_judged": trust.is_some(),
        }))?,
        false => output::print(&table(&answer.image, &answer.rows))?,
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// What is found out, as far as it goes.
struct Answer {
    /// What was looked at, by its digest once that is known.
    image: String,
    digest: Option<String>,
    rows: Vec<Row>,
}

/// Looks at an image; an error is one of the place or of the bytes.
fn look(
    context: &Context<'_>,
    args: &Verify,
    trust: Option<&AllowedSigners>,
    answer: &mut Answer,
) -> Result<(), Error> {
    let place = Place::open(&context.session, &args.what, &args.reach.connection())?;
    let found = place.found()?;
    answer.image = place.exact(&found);
    answer.digest = Some(format!("sha256:{}", found.root.digest));
    let store = context.session.store(session::base())?;
    let selection = context.session.selection(args.arch);
    let examined = examine(place.origin(), &found, &selection, &store);
    context.terminal.clear();
    answer.rows = check(context, args, &place, &examined?, trust, &store)?;
    if args.arch.is_none() && found.others > 0 {
        answer
            .rows
            .push(Row::not_looked_at(found.others, trust.is_some()));
    }
    context.terminal.clear();
    Ok(())
}

/// Looks at all that was asked for, also where something before it does not hold.
fn check(
    context: &Context<'_>,
    args: &Verify,
    place: &Place<'_>,
    examined: &Examined,
    trust: Option<&AllowedSigners>,
    store: &Store,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for part in &examined.parts {
        let image = &part.shared.image;
        let arch = image.arch;
        every_blob(place, part, store)?;
        rows.push(Row::new(
            arch,
            "bytes",
            None,
            format!("`{}`, every byte is what its digest says", image.name),
        ));
        rows.push(match trust {
            Some(trust) => signatures(context, place, part, trust, store, Claim::Signature, 1)?,
            None => Row::not_judged(arch),
        });
        if let (Some(trust), Some(need)) = (trust, args.need) {
            let row = signatures(
                context,
                place,
                part,
                trust,
                store,
                Claim::Reproduction,
                need,
            )?;
            rows.push(row);
        }
        if args.rebuild {
            let rebuilt = again(context, place, part, examined, store)?;
            rows.push(compared(context, part, &rebuilt)?);
        }
    }
    Ok(rows)
}

/// Brings also those layers that this mkimg does not know, which only their digests can be held to.
fn every_blob(place: &Place<'_>, part: &Part, store: &Store) -> Result<(), Error> {
    let descriptor = &part.shared.descriptor;
    let object = format!("the manifest `sha256:{}`", descriptor.digest);
    let manifest = Manifest::parse(&place.origin().manifest(descriptor)?, &object)?;
    for layer in &manifest.layers {
        place.origin().blob(layer, store)?;
    }
    Ok(())
}

fn signatures(
    context: &Context<'_>,
    place: &Place<'_>,
    part: &Part,
    trust: &AllowedSigners,
    store: &Store,
    claim: Claim,
    need: u32,
) -> Result<Row, Error> {
    let shared = &part.shared;
    let vouched = vouched(
        place.origin(),
        &shared.descriptor,
        &shared.image,
        claim,
        trust,
        context.session.now(),
        store,
    )?;
    let (check, done, nobody) = match claim {
        Claim::Signature => ("signature", "signed by", "signed by no trusted key"),
        Claim::Reproduction => (
            "reproduced",
            "reproduced by",
            "reproduced by no trusted key",
        ),
    };
    let count = vouched.by.len();
    let who = names(&vouched);
    let (failed, text) = match count >= need as usize {
        true => (None, format!("{done} {who}")),
        false => {
            let object = format!(
                "the manifest `sha256:{}` of `{}`",
                shared.descriptor.digest, shared.image.name
            );
            let ignored = match (vouched.ignored.is_empty(), claim) {
                (false, _) => vouched.why_not(),
                (true, Claim::Signature) => "nobody has signed it".to_owned(),
                (true, Claim::Reproduction) if count == 0 => {
                    "nobody has said that they rebuilt it".to_owned()
                }
                (true, Claim::Reproduction) => "nobody else has".to_owned(),
            };
            let text = match count {
                0 => format!("{object} is {nobody}: {ignored}"),
                _ => format!(
                    "{object} is {done} {count} trusted key of {need} that were asked for ({who}): {ignored}"
                ),
            };
            (Some(Outcome::Mismatch), text)
        }
    };
    let mut row = Row::new(shared.image.arch, check, failed, text);
    row.vouched = Some(vouched);
    Ok(row)
}

/// Returns whose keys they are, each with its fingerprint.
fn names(vouched: &Vouched) -> String {
    let each = vouched.by.iter();
    let each: Vec<String> = each
        .map(|by| format!("{} ({})", by.principals, by.key.fingerprint()))
        .collect();
    each.join(", ")
}

/// Makes an image again.
fn again(
    context: &Context<'_>,
    place: &Place<'_>,
    part: &Part,
    examined: &Examined,
    store: &Store,
) -> Result<Rebuilt, Error> {
    let fetch = context.session.fetch_options()?;
    let workshop = context.session.workshop(store, &fetch);
    let rebuilt = rebuild(place.origin(), part, &examined.project, &workshop);
    context.terminal.clear();
    rebuilt.map_err(|error| match error {
        ShareError::Realize(error) => match examined.project.parsed() {
            Ok(parsed) => Error::realize(error, &parsed),
            Err(other) => other.into(),
        },
        error => error.into(),
    })
}

fn compared(context: &Context<'_>, part: &Part, rebuilt: &Rebuilt) -> Result<Row, Error> {
    let image = &part.shared.image;
    if rebuilt.is_same(part) {
        let text = "made again from the recipe inside and its sources: the same bytes".to_owned();
        return Ok(Row::new(image.arch, "rebuild", None, text));
    }
    let a = Side::open(&rebuilt.shared)?.named("the shared image");
    let b = Side::open(&rebuilt.made.path)?.named("the image made again");
    let difference = compare(&a, &b)?;
    let text = format!(
        "the initramfs `sha256:{}` of `{}`: its recipe and sources give another image",
        image.initramfs.digest, image.name
    );
    let mut row = Row::new(image.arch, "rebuild", Some(Outcome::Different), text);
    row.explanation = difference.lines(context.verbose);
    Ok(row)
}

/// Returns the failure that the answer is, if it is one: what does not match counts more than what differs.
fn verdict(exact: &str, rows: &[Row]) -> Option<Error> {
    let failed = |code: Outcome| rows.iter().find(|row| row.failed == Some(code));
    let worst = failed(Outcome::Mismatch).or_else(|| failed(Outcome::Different))?;
    let code = worst.failed?;
    let help = match (code, worst.check) {
        (Outcome::Different, _) => {
            "do not use it: somebody changed it by hand, or it was made by another mkimg; above is what differs"
        }
        (_, "reproduced") => {
            "rebuild it yourself with `--rebuild`, or let others say what they got with `mkimg attest`"
        }
        _ => {
            "do not use it, unless you know who made it: then add the key to the file of `--trust`"
        }
    };
    let message = format!("{exact}: {}: {}", worst.arch, worst.text);
    Some(Error::new(code, message, Some(help.to_owned())))
}

fn table(exact: &str, rows: &[Row]) -> String {
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

/// Makes an image again and, where it is the same, says so beside it.
pub(super) fn attest(context: &Context<'_>, args: &Attest) -> Result<(), Failure> {
    let key = Key::open(&args.key)?;
    let place = Place::open(&context.session, &args.what, &args.reach.connection())?;
    let found = place.found()?;
    let exact = place.exact(&found);
    let store = context.session.store(session::base())?;
    let examined = examine(
        place.origin(),
        &found,
        &context.session.selection(args.arch),
        &store,
    );
    context.terminal.clear();
    let examined = examined?;
    let mut rows = Vec::new();
    for part in &examined.parts {
        let rebuilt = again(context, &place, part, &examined, &store)?;
        rows.push(compared(context, part, &rebuilt)?);
    }
    if let Some(failure) = verdict(&exact, &rows) {
        output::print(&table(&exact, &rows))?;
        return Err(failure.into());
    }
    place.attach(&key, Claim::Reproduction, &found, &examined, &store)?;
    for part in &examined.parts {
        let image = &part.shared.image;
        context.terminal.line(&format!(
            "{} {}: rebuilt plan {} and got image {} (initramfs), as it is there; said so in {exact}",
            image.name,
            image.arch,
            image.plan.short(),
            image.initramfs.digest.short(),
        ));
    }
    output::print(&format!("{exact}\n"))
}
