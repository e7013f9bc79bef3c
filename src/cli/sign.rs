//! `mkimg sign`: signs a shared image where it is; prints what was signed.

use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::shared::Reach;

/// `mkimg sign`
#[derive(Debug, Args)]
pub(super) struct Sign {
    /// What: a bundle, or REGISTRY/REPOSITORY with :TAG or @sha256:HEX
    #[arg(value_name = "REF|FILE")]
    what: String,
    /// The SSH key to sign with: a private key, or the public key of one that an agent has
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// How to reach the registry.
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(context: &Context<'_>, args: &Sign) -> Result<(), Failure> {
    let connection = args.reach.connection();
    let (exact, signed) = context.session.sign(&args.what, &args.key, &connection)?;
    for (image, manifest) in &signed {
        context.terminal.line(&format!(
            "signed {} {}: the manifest sha256:{manifest} in {exact}",
            image.name, image.arch
        ));
    }
    output::print(&format!("{exact}\n"))
}
