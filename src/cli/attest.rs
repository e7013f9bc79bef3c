//! `mkimg attest`: makes a shared image again and, where it is the same, says so beside it; prints what was attested.

use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::shared::Reach;
use super::values;
use super::verify::table;
use crate::arch::Arch;
use crate::session::VerifyOptions;

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

pub(super) fn run(context: &Context<'_>, args: &Attest) -> Result<(), Failure> {
    let options = VerifyOptions {
        arch: args.arch,
        verbose: context.verbose,
        connection: args.reach.connection(),
        ..VerifyOptions::default()
    };
    let attested = match context.session.attest(&args.what, &args.key, &options)? {
        Ok(attested) => attested,
        Err(found) => {
            output::print(&table(&found.image, &found.judgements))?;
            return found.error.map_or(Ok(()), |error| Err(error.into()));
        }
    };
    let exact = attested.place;
    for image in &attested.images {
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
