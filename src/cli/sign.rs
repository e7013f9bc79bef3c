//! `mkimg sign`: signs a shared image where it is; prints what was signed.

use std::path::PathBuf;

use clap::Args;

use super::args::Reach;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::session::{self, Key, Place};
use crate::share::examine;
use crate::share::sign::Claim;

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
    let key = Key::open(&args.key)?;
    let place = Place::open(&context.session, &args.what, &args.reach.connection())?;
    let found = place.found()?;
    let store = context.session.store(session::base())?;
    // Nobody signs what is not what it says it is.
    let examined = examine(
        place.origin(),
        &found,
        &context.session.selection(None),
        &store,
    );
    context.terminal.clear();
    let examined = examined?;
    place.attach(&key, Claim::Signature, &found, &examined, &store)?;
    let exact = place.exact(&found);
    for part in &examined.parts {
        let image = &part.shared.image;
        context.terminal.line(&format!(
            "signed {} {}: the manifest sha256:{} in {exact}",
            image.name, image.arch, part.shared.descriptor.digest
        ));
    }
    output::print(&format!("{exact}\n"))
}
