//! What `mkimg add` put in, which may be had nowhere else: `added-v1/SHA256`, an empty file for each blob.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{Store, StoreError, make_dir};
use crate::digest::Digest;
use crate::dir;

const BUCKET: &str = "added-v1";

impl Store {
    /// Remembers that a blob was put in by its user: `gc` keeps it.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn keep_added(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = path(&self.root, digest);
        make_dir(&self.root.join(BUCKET))?;
        match dir::write_new(&path, b"", 0o444) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(StoreError::io("write", &path, error))
            }
            _ => Ok(()),
        }
    }
}

/// Returns where it is remembered that a blob was added.
pub(super) fn path(root: &Path, digest: &Digest) -> PathBuf {
    root.join(BUCKET).join(digest.to_string())
}

/// Returns all that was added.
pub(super) fn all(root: &Path) -> BTreeSet<Digest> {
    let paths = dir::entries(&root.join(BUCKET)).unwrap_or_default();
    let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
    names.filter_map(|name| name.parse().ok()).collect()
}
