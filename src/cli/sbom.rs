//! `mkimg sbom`: what is in an image (SPDX), or how it came about (SLSA provenance).

use serde_json::Value;

use super::args::{Inventory, Sbom};
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::fault::Outcome;
use crate::realize::{RealizeError, Realized};
use crate::session::{Error, Loaded, RealizeOptions, local_file_lines};
use crate::share::{Contents, packages, provenance, spdx};
use crate::source::{ArchiveError, Limits};
use crate::store::Store;

pub(super) fn run(context: &Context<'_>, args: &Sbom) -> Result<(), Failure> {
    let opened = context.open(args.target.recipe.as_deref())?;
    let made = opened.image(&RealizeOptions::look(args.target.arch))?;
    let (contents, statement) = documents(&opened, &made.store, &made.realized)?;
    let plan = opened.plan(Some(made.realized.image.arch))?;
    local_file_lines(&plan.local_files()).for_each(|line| context.terminal.line(&line));
    output::print_json(match args.format {
        Inventory::Spdx => &contents,
        Inventory::Slsa => &statement,
    })
}

/// Returns the SPDX document of a realized image and its provenance.
pub(super) fn documents(
    opened: &Loaded<'_>,
    store: &Store,
    made: &Realized,
) -> Result<(Value, Value), Error> {
    let session = opened.session;
    let plan = opened.plan(Some(made.image.arch))?;
    let fetch = session.fetch_options()?;
    let workshop = session.workshop(store, &fetch);
    let wrong = |error| Error::realize(error, &opened.parsed);
    let limits = Limits {
        max_unpacked: session.options.max_unpacked,
        jobs: session.jobs().get(),
    };
    let written = workshop.repairing(|| {
        let blobs = workshop.sources(&plan, &opened.base)?;
        let assembled = workshop.tree(&plan, &opened.base)?;
        let packages = match packages(&plan, &blobs, store, &limits, session.report) {
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
    session.report.clear();
    written.map_err(wrong)?
}

fn unreadable(error: ArchiveError) -> Error {
    let help = "`mkimg realize --verify` finds what is damaged in the cache".to_owned();
    Error::new(Outcome::Failed, error, Some(help))
}
