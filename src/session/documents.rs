//! What is in an image (SPDX), and how it came about (SLSA provenance).

use std::sync::Arc;

use serde_json::Value;

use super::error::Error;
use super::load::Loaded;
use super::realize::RealizeOptions;
use crate::arch::Arch;
use crate::fault::Outcome;
use crate::plan::Plan;
use crate::realize::{RealizeError, Realized};
use crate::share::{Contents, packages, provenance, spdx};
use crate::source::{ArchiveError, Limits};
use crate::store::Store;

/// The documents about an image.
pub struct Documents {
    /// What is in it: SPDX 2.3.
    pub contents: Value,
    /// How it came about: an in-toto statement with SLSA v1 provenance.
    pub provenance: Value,
    /// What it was made of.
    pub plan: Arc<Plan>,
}

impl Loaded<'_> {
    /// Makes the image, and the documents about it.
    ///
    /// # Errors
    /// [`Error`] where the image cannot be made, or its sources cannot be had.
    pub fn documents(&self, arch: Option<Arch>) -> Result<Documents, Error> {
        let made = self.image(&RealizeOptions::look(arch))?;
        documents(self, &made.store, &made.realized)
    }
}

/// Returns the SPDX document of a realized image and its provenance.
pub(super) fn documents(
    opened: &Loaded<'_>,
    store: &Store,
    made: &Realized,
) -> Result<Documents, Error> {
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
    let (contents, provenance) = written.map_err(wrong)??;
    Ok(Documents {
        contents,
        provenance,
        plan,
    })
}

fn unreadable(error: ArchiveError) -> Error {
    let help = "`mkimg realize --verify` finds what is damaged in the cache".to_owned();
    Error::new(Outcome::Failed, error, Some(help))
}
