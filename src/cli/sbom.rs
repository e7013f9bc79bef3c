//! `mkimg sbom`: what is in an image (SPDX), or how it came about (SLSA provenance).

use super::args::{Inventory, Sbom};
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::session::local_file_lines;

pub(super) fn run(context: &Context<'_>, args: &Sbom) -> Result<(), Failure> {
    let opened = context.open(args.target.recipe.as_deref())?;
    let found = opened.documents(args.target.arch)?;
    local_file_lines(&found.plan.local_files()).for_each(|line| context.terminal.line(&line));
    output::print_json(match args.format {
        Inventory::Spdx => &found.contents,
        Inventory::Slsa => &found.provenance,
    })
}
