//! `mkimg pin`: fetches sources and writes their sha256 and size into the recipe, in place.

use super::args::Pin as Args;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::session::PinOptions;

pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    let options = PinOptions {
        refresh: args.refresh,
        sources: args.sources.clone(),
        dry_run: args.dry_run,
    };
    let pinned = context.session.pin(args.recipe.as_deref(), &options)?;
    match args.dry_run && pinned.locations > 0 {
        true => output::write(|out| out.write_all(&pinned.text)),
        false => Ok(()),
    }
}
