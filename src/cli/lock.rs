//! `mkimg lock`: what a recipe gives, for every architecture that it has, into the file beside it.

use super::args::LockVerb;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::lock;

pub(super) fn run(context: &Context<'_>, args: &LockVerb) -> Result<(), Failure> {
    let opened = context.open(args.recipe.as_deref())?;
    match args.check {
        true => opened.check_lock()?,
        false => drop(opened.lock()?),
    }
    output::print(&format!("{}\n", lock::path_of(&opened.path).display()))
}
