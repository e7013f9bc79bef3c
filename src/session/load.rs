//! A recipe: found, read and found good.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::error::Error;
use super::find;
use super::open::Session;
use super::places::{cache_around, check_imported};
use crate::arch::Arch;
use crate::dir;
use crate::plan::{LocalFile, Plan};
use crate::recipe::{self, Mode, Parsed};
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
pub(crate) struct Bundled {
    /// The file.
    pub(crate) path: PathBuf,
    /// What it has images for.
    pub(crate) archs: Vec<Arch>,
}

impl Loaded<'_> {
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
            bundle = Some(Bundled { path, archs });
            path = imported.recipe;
        }
        let bytes = read_recipe(&path)?;
        let parsed =
            recipe::parse(&path.display().to_string(), &bytes, mode).map_err(Error::invalid)?;
        check_imported(&path, &parsed.source.root().text)?;
        self.report.warnings(&parsed.source, &parsed.warnings);
        let base = path.parent().map_or(PathBuf::from("."), |parent| {
            if parent.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                parent.to_path_buf()
            }
        });
        Ok(Loaded {
            session: self,
            parsed,
            base,
            path,
            bundle,
            files: OnceLock::new(),
            plans: Mutex::default(),
        })
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
