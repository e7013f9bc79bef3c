//! Which files of this machine a recipe may take without their hash, and which ones went in.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Error;
use super::load::Loaded;
use super::open::Session;
use crate::plan::{self, LocalFile, Plan};
use crate::realize::{self, Beside, Workshop};
use crate::source::known::Known;
use crate::source::local::Reach;
use crate::units::bytes;

impl Session<'_> {
    /// Returns the reach of a recipe in `base`: its project, and what the user allows. The user's configuration is read where it
    /// is asked for.
    pub(crate) fn reach(&self, base: &Path) -> Result<Reach, Error> {
        let mut reach = Reach::of(base, self.options.environment.home.as_deref());
        for path in &self.options.allow_local {
            reach
                .allow(path)
                .map_err(|error| Error::io("find the file for `--allow-local`,", path, error))?;
        }
        for path in self.allowed_by_user()? {
            // What is not there allows nothing.
            let _ = reach.allow(&path);
        }
        Ok(reach)
    }
}

impl Loaded<'_> {
    /// Returns the files and directories beside the recipe that it names without their hash. They are read once, whatever the architectures.
    pub(super) fn local_files(&self) -> Result<&BTreeMap<String, LocalFile>, Error> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let named = plan::local_files(&self.parsed.recipe);
        let files = match named.is_empty() {
            true => BTreeMap::new(),
            false => {
                let reach = self.session.reach(&self.base)?;
                // A cache that cannot be opened is told where it is needed.
                let store = self.session.store(&self.base).ok();
                let known = store.as_ref().map(|store| Known {
                    store,
                    now: i64::try_from(self.session.now()).ok(),
                });
                let beside = Beside {
                    base: &self.base,
                    reach: &reach,
                    known,
                    jobs: self.session.jobs().get(),
                };
                realize::local_files(named, beside)
                    .map_err(|error| Error::realize(error, &self.parsed))?
            }
        };
        Ok(self.files.get_or_init(|| files))
    }

    /// Holds the sources of a plan to the files of this machine that they name. A recipe out of a bundle names another machine's.
    pub(crate) fn check_local_sources(
        &self,
        workshop: &Workshop<'_>,
        plan: &Plan,
    ) -> Result<(), Error> {
        if self.bundle.is_some() || self.is_shared() {
            return Ok(());
        }
        workshop
            .check_local_sources(plan, &self.base)
            .map_err(|error| Error::realize(error, &self.parsed))
    }
}

/// Returns what to report of the files of this machine that went into what leaves it.
pub(crate) fn local_file_lines(
    files: &BTreeMap<String, LocalFile>,
) -> impl Iterator<Item = String> {
    files.iter().map(|(name, file)| {
        format!(
            "local file `{name}` went in: {}, sha256 {}",
            bytes(file.size),
            file.digest
        )
    })
}
