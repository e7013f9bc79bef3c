//! Which directories are a project's, and which are a cache's.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::share::Project;

/// Returns the directory whose cache takes what is no recipe's: the project's here, where there is one.
pub(crate) fn base() -> &'static Path {
    match Path::new("images").is_dir() {
        true => Path::new("images"),
        false => Path::new("."),
    }
}

/// Compares a recipe that came out of a bundle or a registry, and lies in a cache, with the digest that it lies under.
pub(crate) fn check_imported(recipe: &Path, text: &str) -> Result<(), Error> {
    let Ok(absolute) = fs::canonicalize(recipe) else {
        return Ok(());
    };
    match absolute.parent().and_then(import_around) {
        Some(directory) => Ok(Project::check_unpacked(directory, &absolute, text)?),
        None => Ok(()),
    }
}

/// Returns the directory of an imported recipe that a directory is, or is below.
fn import_around(directory: &Path) -> Option<&Path> {
    let is_bucket = |path: &Path| path.file_name().is_some_and(|name| name == "recipes-v1");
    let mut above = directory.ancestors();
    let own = above.find(|path| path.parent().is_some_and(is_bucket))?;
    cache_around(own).map(|_| own)
}

/// Returns the cache that a recipe out of a bundle lies in.
pub(crate) fn cache_around(directory: &Path) -> Option<PathBuf> {
    let mut above = directory.ancestors();
    let bucket = above.find(|path| path.file_name().is_some_and(|name| name == "recipes-v1"))?;
    let cache = bucket.parent()?;
    cache
        .join("CACHEDIR.TAG")
        .is_file()
        .then(|| cache.to_path_buf())
}
