//! A recipe that a verb was given: found, read with the files that it includes, and checked.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::context::Context;
use super::failure::Failure;
use super::included::Included;
use super::recipes;
use super::sharing;
use crate::arch::Arch;
use crate::digest::Digest;
use crate::dir;
use crate::plan::{LocalFile, Plan};
use crate::realize::RealizeError;
use crate::recipe::{self, Documents, Mode, Parsed};
use crate::share::bundle::is_bundle;
use crate::ui;

/// A recipe that was read and found good.
pub(super) struct Opened {
    /// What it says.
    pub(super) parsed: Parsed,
    /// The directory that its relative paths start from.
    pub(super) base: PathBuf,
    /// The file.
    pub(super) path: PathBuf,
    /// The bundle that it came out of.
    pub(super) bundle: Option<Bundled>,
    /// The files beside it that it names without their hash, once they were read.
    pub(super) files: OnceLock<BTreeMap<String, LocalFile>>,
    /// Its plans, once they were made.
    pub(super) plans: Mutex<BTreeMap<Arch, Arc<Plan>>>,
}

/// A bundle in a recipe's place.
#[derive(Clone)]
pub(super) struct Bundled {
    /// The file.
    pub(super) path: PathBuf,
    /// What it has images for.
    pub(super) archs: Vec<Arch>,
    /// The plans of the images.
    plans: Vec<(Arch, Digest)>,
}

impl Opened {
    /// Says whether it came out of a bundle or a registry.
    pub(super) fn is_shared(&self) -> bool {
        sharing::cache_around(&self.base).is_some()
    }

    /// Returns the image's name, and the variant where there is one.
    pub(super) fn name(&self) -> String {
        let name = &self.parsed.recipe.name.value;
        match &self.parsed.variant {
            Some(variant) => format!("{name} {variant}"),
            None => name.clone(),
        }
    }

    /// Returns it once for each variant, that one chosen; itself where it has none.
    pub(super) fn each_variant(&self) -> Result<Vec<Opened>, Failure> {
        let with = |parsed: Parsed| Opened {
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
        each.collect::<Result<_, _>>().map_err(Failure::invalid)
    }

    /// Returns the files that it names without their hash and those that it includes, by their paths from the recipe.
    pub(super) fn files(&self) -> BTreeMap<String, LocalFile> {
        let mut files = self.files.get().cloned().unwrap_or_default();
        for included in self.parsed.source.included() {
            let file = LocalFile {
                path: included.at.clone(),
                digest: included.digest,
                size: included.size,
            };
            files.extend(included.paths().map(|path| (path.clone(), file.clone())));
        }
        files
    }

    /// Returns the failure of realizing it.
    pub(super) fn wrong(&self, error: RealizeError) -> Failure {
        Failure::realize(error, &self.parsed.source)
    }

    /// Refuses to change what came out of a bundle: the next look at the bundle would bring it back.
    pub(super) fn check_own(&self) -> Result<(), Failure> {
        match self.is_shared() {
            false => Ok(()),
            true => Err(Failure::usage(
                format!(
                    "`{}` came out of a bundle or a registry, and stays what it is",
                    self.path.display()
                ),
                "`mkimg import BUNDLE --extract DIR` writes a recipe of your own to change",
            )),
        }
    }
}

impl Context<'_> {
    /// Reads a recipe; prints its warnings.
    pub(super) fn open(&self, recipe: Option<&Path>, mode: Mode) -> Result<Opened, Failure> {
        let mut path = recipes::find(recipe)?;
        let mut bundle = None;
        // What cannot be read is told when it is read as a recipe.
        if is_bundle(&path).is_ok_and(|found| found) {
            let (_, imported) = sharing::import_bundle(self, &path, None)?;
            let images = imported.images.iter();
            let archs = images.map(|made| made.image.arch).collect();
            let images = imported.images.iter();
            let plans = images.map(|made| (made.image.arch, made.image.plan));
            let plans = plans.collect();
            bundle = Some(Bundled { path, archs, plans });
            path = imported.recipe;
        }
        let parsed = self.read(&path, mode)?;
        sharing::check_imported(&path, &parsed)?;
        if !self.global.quiet {
            ui::print_diagnostics(&parsed.source, &parsed.warnings, self.terminal.color());
        }
        let opened = Opened {
            parsed,
            base: base_of(&path),
            path,
            bundle,
            files: OnceLock::new(),
            plans: Mutex::default(),
        };
        match &opened.bundle {
            Some(bundle) if self.global.variant.is_none() => self.bundled(&opened, &bundle.plans),
            _ => Ok(opened),
        }
    }

    /// Returns a recipe out of a bundle, with the variant chosen that the bundle has the image of.
    fn bundled(&self, opened: &Opened, plans: &[(Arch, Digest)]) -> Result<Opened, Failure> {
        let mut each = opened.each_variant()?;
        let is_there = |one: &Opened| {
            plans.iter().any(|(arch, id)| {
                let plan = self.plan(one, Some(*arch));
                plan.is_ok_and(|plan| plan.id() == *id)
            })
        };
        let at = match each.len() {
            1 => 0,
            _ => each.iter().position(is_there).unwrap_or_default(),
        };
        Ok(each.swap_remove(at))
    }

    /// Reads a recipe and the files that it includes, each once.
    fn read(&self, path: &Path, mode: Mode) -> Result<Parsed, Failure> {
        let bytes = read_recipe(path)?;
        let name = path.display().to_string();
        let base = base_of(path);
        let at = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mut included = Included::of(self, &base);
        let documents = Documents::read(&name, &bytes, &at, &mut included);
        let documents = documents.map_err(Failure::invalid)?;
        let options = self.options(path, &documents, mode)?;
        documents.recipe(&options).map_err(Failure::invalid)
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
fn read_recipe(path: &Path) -> Result<Vec<u8>, Failure> {
    let io = |error| Failure::io("read the recipe", path, error);
    let found = dir::metadata(path).map_err(io)?;
    if found.is_dir() {
        return Err(recipes::directory(path));
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
    Err(Failure::usage(
        format!(
            "`{}` has {size} bytes: no recipe is that large",
            path.display()
        ),
        format!("a recipe has at most {limit} bytes; let `file local=` take in large files"),
    ))
}
