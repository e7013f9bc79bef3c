//! Roots: paths of users' that lead to what must be kept. `roots/NAME`, a symlink to each.
//!
//! Either an out-link, itself a symlink to an image, or a project's lock, a file.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::mention::mentions;
use crate::digest::Digest;
use crate::dir;
use crate::store::StoreError;

/// The most bytes of a lock that are read.
const LIMIT: u64 = 1 << 20;

/// A root, and what it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The link in the cache.
    pub(super) link: PathBuf,
    /// The user's path.
    pub path: PathBuf,
    /// What is there.
    pub state: RootState,
}

/// What is found at a root's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootState {
    /// An out-link or a lock, which names these.
    Keeps(BTreeSet<Digest>),
    /// Nothing any more, or nothing that keeps anything.
    Gone,
    /// Nobody knows: with the reason.
    Unreadable(String),
}

/// Reads all roots of a cache.
pub(super) fn roots(cache: &Path) -> Result<Vec<Root>, StoreError> {
    let directory = cache.join("roots");
    let entries = match dir::entries(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", &directory, error)),
    };
    let mut roots = Vec::new();
    for link in entries {
        // What is no symlink is nobody's root, and not ours to remove. mkimg writes absolute ones: where another leads hangs on
        // where gc is run.
        if let Ok(path) = dir::read_link(&link)
            && path.is_absolute()
        {
            let state = state(&path);
            roots.push(Root { link, path, state });
        }
    }
    roots.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(roots)
}

fn state(path: &Path) -> RootState {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) => return missing(path, &error),
    };
    if found.is_symlink() {
        return match fs::read_link(path) {
            Ok(target) => RootState::Keeps(mentions(target.as_os_str().as_encoded_bytes())),
            Err(error) => RootState::Unreadable(error.to_string()),
        };
    }
    // Whoever made the cache may have put a link to any file there: only what may be a lock is read.
    if !found.is_file() || path.extension().is_none_or(|end| end != "lock") {
        return RootState::Gone;
    }
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut text)) {
        Ok(_) => RootState::Keeps(mentions(&text)),
        Err(error) => RootState::Unreadable(error.to_string()),
    }
}

/// Tells a path that was removed from one whose disk is away: below that there is nothing at all, not even a directory.
fn missing(path: &Path, error: &io::Error) -> RootState {
    use io::ErrorKind::{NotADirectory, NotFound};
    if !matches!(error.kind(), NotFound | NotADirectory) {
        return RootState::Unreadable(error.to_string());
    }
    for above in path.ancestors().skip(1) {
        match fs::read_dir(above).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {
                return RootState::Unreadable(format!(
                    "`{}` is empty, as where a disk is not mounted",
                    above.display()
                ));
            }
            Ok(false) => return RootState::Gone,
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {}
            Err(error) => return RootState::Unreadable(error.to_string()),
        }
    }
    RootState::Gone
}
