//! `mkimg pin`: fetches sources and writes their sha256 and size into the recipe and the files that it includes, in place.

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
    for one in pinned.iter().filter(|_| args.dry_run) {
        output::write(|out| out.write_all(&one.text))?;
    }
    Ok(())
}
