//! A recipe: found, read with the files that it includes, and found good.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::error::Error;
use super::find;
use super::included::Included;
use super::open::Session;
use super::places::{cache_around, check_imported};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::dir;
use crate::plan::{LocalFile, Plan};
use crate::realize::RealizeError;
use crate::recipe::{self, Documents, Mode, Parsed};
use crate::share::bundle::is_bundle;

/// A recipe that was read and found good.
pub struct Loaded<'s> {
    pub(crate) session: &'s Session<'s>,
    /// What it says.
    pub(crate) parsed: Parsed,
    /// The directory that its relative paths start from.
    pub(crate) base: PathBuf,
    /// The file.
    pub(crate) path: PathBuf,
    /// The bundle that it came out of.
    pub(crate) bundle: Option<Bundled>,
    /// The files and directories beside it that it names without their hash, by their keys, once they were read.
    pub(super) files: OnceLock<BTreeMap<String, LocalFile>>,
    /// Its plans, once they were made.
    pub(super) plans: Mutex<BTreeMap<Arch, Arc<Plan>>>,
}

/// A bundle in a recipe's place.
#[derive(Clone)]
pub(crate) struct Bundled {
    /// The file.
    pub(crate) path: PathBuf,
    /// What it has images for.
    pub(crate) archs: Vec<Arch>,
    /// The plans of the images.
    plans: Vec<(Arch, Digest)>,
}

impl<'s> Loaded<'s> {
    /// Returns it once for each variant, that one chosen; itself where it has none.
    ///
    /// # Errors
    /// [`Error`] where a variant cannot be had.
    pub fn each_variant(&self) -> Result<Vec<Loaded<'s>>, Error> {
        let with = |parsed: Parsed| Loaded {
            session: self.session,
            parsed,
            base: self.base.clone(),
            path: self.path.clone(),
            bundle: self.bundle.clone(),
            files: self.files.clone(),
            plans: Mutex::default(),
        };
        if self.parsed.variants.is_empty() {
            return Ok(vec![with(self.parsed.clone())]);
        }
        let names = self.parsed.variants.iter();
        let each = names.map(|name| self.parsed.select(name).map(with));
        each.collect::<Result<_, _>>().map_err(Error::invalid)
    }

    /// Returns the variant, where the recipe has some.
    pub fn variant(&self) -> Option<&str> {
        self.parsed.variant.as_deref()
    }

    /// Returns the image's name, and the variant where there is one.
    pub(crate) fn name(&self) -> String {
        let name = &self.parsed.recipe.name.value;
        match self.variant() {
            Some(variant) => format!("{name} {variant}"),
            None => name.clone(),
        }
    }

    /// Returns the error of realizing it for an architecture.
    pub(crate) fn wrong(&self, error: RealizeError, arch: Arch) -> Error {
        Error::realize(error, self.parsed.of(arch), &self.parsed.source)
    }

    /// Says whether it came out of a bundle or a registry.
    pub(crate) fn is_shared(&self) -> bool {
        cache_around(&self.base).is_some()
    }

    /// Refuses to change what came out of a bundle: the next look at the bundle would bring it back.
    pub(crate) fn check_own(&self) -> Result<(), Error> {
        match self.is_shared() {
            false => Ok(()),
            true => Err(Error::usage(
                format!(
                    "`{}` came out of a bundle or a registry, and stays what it is",
                    self.path.display()
                ),
                "`mkimg import BUNDLE --extract DIR` writes a recipe of your own to change",
            )),
        }
    }
}

impl<'s> Loaded<'s> {
    /// Returns a recipe out of a bundle, with the variant chosen that the bundle has the image of.
    fn bundled(&self, plans: &[(Arch, Digest)]) -> Result<Loaded<'s>, Error> {
        let mut each = self.each_variant()?;
        let is_there = |one: &Loaded<'_>| {
            plans.iter().any(|(arch, id)| {
                let plan = one.plan(Some(*arch));
                plan.is_ok_and(|plan| plan.id() == *id)
            })
        };
        let at = match each.len() {
            1 => 0,
            _ => each.iter().position(is_there).unwrap_or_default(),
        };
        Ok(each.swap_remove(at))
    }
}

impl<'r> Session<'r> {
    /// Reads a recipe: a file, the NAME of `images/NAME.kdl`, or a bundle. Its warnings are reported.
    ///
    /// ```
    /// # let project = tempfile::tempdir()?;
    /// # let recipe = project.path().join("typo.kdl");
    /// # std::fs::write(&recipe, "imagee \"typo\"\n")?;
    /// use mkimg::fault::Outcome;
    /// use mkimg::session::{Options, Session};
    ///
    /// let session = Session::open(Options::default())?;
    /// let error = session.load(&recipe).err().unwrap();
    /// assert_eq!(error.outcome(), Outcome::Wrong);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error`], with all mistakes of the recipe where it has some.
    pub fn load(&self, recipe: impl AsRef<Path>) -> Result<Loaded<'_>, Error> {
        self.load_as(Some(recipe.as_ref()), Mode::Strict)
    }

    /// Reads the recipe that is named, else the only one in `images/`.
    pub(crate) fn load_as(&self, recipe: Option<&Path>, mode: Mode) -> Result<Loaded<'_>, Error> {
        let mut path = find::find(recipe)?;
        let mut bundle = None;
        // What cannot be read is told when it is read as a recipe.
        if is_bundle(&path).is_ok_and(|found| found) {
            let imported = self.import(&path, None)?;
            let images = imported.images.iter();
            let archs = images.map(|made| made.image.arch).collect();
            let images = imported.images.iter();
            let plans = images.map(|made| (made.image.arch, made.image.plan));
            let plans = plans.collect();
            bundle = Some(Bundled { path, archs, plans });
            path = imported.recipe;
        }
        let parsed = self.read(&path, mode)?;
        check_imported(&path, &parsed)?;
        self.report.warnings(&parsed.source, &parsed.warnings);
        let loaded = Loaded {
            session: self,
            parsed,
            base: base_of(&path),
            path,
            bundle,
            files: OnceLock::new(),
            plans: Mutex::default(),
        };
        match &loaded.bundle {
            Some(bundle) if self.options.variant.is_none() => loaded.bundled(&bundle.plans),
            _ => Ok(loaded),
        }
    }

    /// Reads a recipe and the files that it includes, each once.
    fn read(&self, path: &Path, mode: Mode) -> Result<Parsed, Error> {
        let bytes = read_recipe(path)?;
        let name = path.display().to_string();
        let base = base_of(path);
        let at = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mut included = Included::of(self, &base);
        let documents = Documents::read(&name, &bytes, &at, &mut included);
        let documents = documents.map_err(Error::invalid)?;
        let options = self.reading(path, &documents, mode);
        documents.recipe(&options).map_err(Error::invalid)
    }
}

/// Returns the directory that the relative paths of a recipe start from.
fn base_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Reads a recipe's file, which may be a pipe, but no further than any recipe goes.
fn read_recipe(path: &Path) -> Result<Vec<u8>, Error> {
    let io = |error| Error::io("read the recipe", path, error);
    let found = dir::metadata(path).map_err(io)?;
    if found.is_dir() {
        return Err(find::directory(path));
    }
    let limit = recipe::MAX_BYTES as u64;
    let mut bytes = Vec::new();
    let file = dir::open(path).map_err(io)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    let size = match found.is_file() {
        true => found.len().to_string(),
        false => format!("more than {limit}"),
    };
    Err(Error::usage(
        format!(
            "`{}` has {size} bytes: no recipe is that large",
            path.display()
        ),
        format!("a recipe has at most {limit} bytes; let `file local=` take in large files"),
    ))
}
