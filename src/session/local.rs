//! Which files of this machine a recipe may take without their hash, and which ones went in.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Error;
use super::load::Loaded;
use super::open::Session;
use crate::arch::Arch;
use crate::plan::{self, LocalFile, Plan};
use crate::realize::{self, Beside, Workshop};
use crate::source::known::Known;
use crate::source::local::Reach;
use crate::store::Store;
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
    /// Returns the files that the recipe names without their hash and those that it includes, by their paths from the recipe.
    pub(crate) fn files(&self) -> Result<BTreeMap<String, LocalFile>, Error> {
        let mut files = self.local_files()?.clone();
        for included in self.parsed.source.included() {
            let file = LocalFile {
                path: included.at.clone(),
                digest: included.digest,
                size: included.size,
            };
            files.extend(included.paths().map(|path| (path.clone(), file.clone())));
        }
        Ok(files)
    }

    /// Returns these files as they can leave this machine: the directories among them are packed into the cache.
    pub(crate) fn shareable(&self, store: &Store) -> Result<BTreeMap<String, LocalFile>, Error> {
        let mut files = self.files()?;
        let named = self.parsed.recipes().flat_map(plan::local_files);
        let packed: Vec<_> = named.filter(|one| one.taken.is_some()).collect();
        for one in &packed {
            files.remove(&one.key());
        }
        if packed.is_empty() {
            return Ok(files);
        }
        let jobs = self.session.jobs().get();
        for variant in self.each_variant()? {
            for arch in variant.parsed.archs_for(Arch::host()) {
                let plan = variant.plan(Some(arch))?;
                let found = realize::shareable(&plan, store, jobs);
                files.extend(found.map_err(|error| variant.wrong(error, arch))?);
            }
        }
        Ok(files)
    }

    /// Returns the files and directories beside the recipe that it names without their hash. They are read once, whatever the
    /// architectures and the variants.
    pub(super) fn local_files(&self) -> Result<&BTreeMap<String, LocalFile>, Error> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let mut recipes = self.parsed.recipes();
        let files = match recipes.all(|recipe| plan::local_files(recipe).is_empty()) {
            true => BTreeMap::new(),
            false => {
                let reach = self.session.reach(&self.base)?;
                // A cache that cannot be opened is told where it is needed.
                let store = self.session.store(&self.base).ok();
                let known = store.as_ref().map(|store| Known {
                    store,
                    now: i64::try_from(self.session.now()).ok(),
                });
                let mut files: BTreeMap<String, LocalFile> = BTreeMap::new();
                for recipe in self.parsed.recipes() {
                    let mut named = plan::local_files(recipe);
                    named.retain(|one| !files.contains_key(&one.key()));
                    let beside = Beside {
                        base: &self.base,
                        reach: &reach,
                        known,
                        jobs: self.session.jobs().get(),
                    };
                    let read = realize::local_files(named, beside);
                    let source = &self.parsed.source;
                    files.extend(read.map_err(|error| Error::realize(error, recipe, source))?);
                }
                files
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
            .map_err(|error| self.wrong(error, plan.arch))
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
