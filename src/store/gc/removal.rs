//! Taking objects out of the cache: first their names, then their bytes.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::inventory::Object;
use crate::dir;
use crate::store::scratch::{ScratchDir, publishing};
use crate::store::{StoreError, remove};

/// Where objects go that lost their names: this process's scratch directory.
#[derive(Debug)]
pub(super) struct Trash {
    scratch: ScratchDir,
}

impl Trash {
    /// Makes one; processes that are gone are swept on the way.
    pub(super) fn new(root: &Path) -> Result<Trash, StoreError> {
        Ok(Trash {
            scratch: ScratchDir::create(root)?,
        })
    }

    /// Returns the bytes of the directory itself, while nothing is in it.
    pub(super) fn bytes(&self) -> u64 {
        let found = dir::metadata(self.scratch.path());
        found.map_or(0, |found| found.blocks() * 512)
    }

    /// Takes away the names of objects and links, in order. What cannot be taken stays whole, and the others go: the first
    /// error is returned.
    pub(super) fn take(
        mut self,
        root: &Path,
        objects: &[Object],
        links: &[PathBuf],
    ) -> (Trash, Result<(), StoreError>) {
        let mut first = Ok(());
        let mut note = |done: Result<(), StoreError>| {
            if first.is_ok() {
                first = done;
            }
        };
        for object in objects {
            for path in &object.paths {
                let done = self.take_path(path);
                let failed = done.is_err();
                note(done);
                if failed {
                    break;
                }
            }
            // `ab/`, where that was the last in it.
            if let Some(fan) = object.paths.first().and_then(|path| path.parent())
                && fan.parent() != Some(root)
            {
                let _ = dir::remove_dir(fan);
            }
        }
        for link in links {
            note(remove(link));
        }
        (self, first)
    }

    fn take_path(&mut self, path: &Path) -> Result<(), StoreError> {
        let to = self.scratch.next();
        let publishing = publishing();
        let renamed = dir::rename(path, &to);
        drop(publishing);
        match renamed {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // A bucket on a disk of its own.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => remove(path),
            Err(error) => Err(StoreError::io("remove", path, error)),
        }
    }

    /// Removes the bytes.
    pub(super) fn empty(self) -> Result<(), StoreError> {
        self.scratch.empty()
    }
}
