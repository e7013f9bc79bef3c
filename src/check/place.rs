//! A directory of a round's own, which is gone with it, or with a signal.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::CheckError;
use crate::store::Unfinished;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A new directory. Dropped, it is removed.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Dropped after it was removed.
    _unfinished: Unfinished,
}

impl Place {
    /// Makes one in a directory, for nobody else to enter.
    ///
    /// # Errors
    /// [`CheckError`] where that cannot be written.
    pub fn new(base: &Path) -> Result<Place, CheckError> {
        let process = std::process::id();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("mkimg-check-{process}-{number}"));
            match Unfinished::make(&path, |path| fs::DirBuilder::new().mode(0o700).create(path)) {
                Ok(((), _unfinished)) => return Ok(Place { path, _unfinished }),
                // Of a process that was killed, and had this one's number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(CheckError::io("make the directory", path, error)),
            }
        }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is in a directory for temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}
