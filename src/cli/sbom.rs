//! `mkimg sbom`: what is in an image (SPDX), or how it came about (SLSA provenance).

use serde_json::Value;

use super::args::{Inventory, Sbom};
use super::context::Context;
use super::failure::{Code, Failure};
use super::opened::Opened;
use super::output;
use crate::realize::{RealizeError, Realized};
use crate::recipe::Mode;
use crate::share::{Contents, packages, provenance, spdx};
use crate::source::{ArchiveError, Limits};
use crate::store::Store;

pub(super) fn run(context: &Context<'_>, args: &Sbom) -> Result<(), Failure> {
    let opened = context.open(args.target.recipe.as_deref(), Mode::Strict)?;
    let (store, made) = context.realize_opened(&opened, args.target.arch, false)?;
    let (contents, statement) = documents(context, &opened, &store, &made)?;
    let plan = context.plan(&opened, Some(made.image.arch))?;
    context.tell_local_files(&plan.local_files());
    output::print_json(match args.format {
        Inventory::Spdx => &contents,
        Inventory::Slsa => &statement,
    })
}

/// Returns the SPDX document of a realized image and its provenance.
pub(super) fn documents(
    context: &Context<'_>,
    opened: &Opened,
    store: &Store,
    made: &Realized,
) -> Result<(Value, Value), Failure> {
    let plan = context.plan(opened, Some(made.image.arch))?;
    let fetch = context.fetch_options()?;
    let workshop = context.workshop(store, &fetch);
    let wrong = |error| Failure::realize(error, &opened.parsed.source);
    let limits = Limits {
        max_unpacked: context.global.max_unpacked,
        jobs: context.jobs().get(),
    };
    let written = workshop.repairing(|| {
        let blobs = workshop.sources(&plan, &opened.base)?;
        let assembled = workshop.tree(&plan, &opened.base)?;
        let packages = match packages(&plan, &blobs, store, &limits, context.terminal) {
            Err(ArchiveError::Store(error)) => return Err(RealizeError::Store(error)),
            Err(ArchiveError::Damaged { source, .. }) => return Err(RealizeError::Store(*source)),
            packages => packages,
        };
        let packages = match packages {
            Ok(packages) => packages,
            Err(error) => return Ok(Err(unreadable(error))),
        };
        let contents = Contents {
            plan: &plan,
            image: &made.image,
            assembled: &assembled,
            packages: &packages,
        };
        Ok(Ok((spdx(contents)?, provenance(contents))))
    });
    context.terminal.clear();
    written.map_err(wrong)?
}

fn unreadable(error: ArchiveError) -> Failure {
    Failure::Plain {
        error: Box::new(error),
        help: Some("`mkimg realize --verify` finds what is damaged in the cache".to_owned()),
        code: Code::Failed,
    }
}
