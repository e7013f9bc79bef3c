//! What can go wrong with the cache on disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::fault::{Fault, Outcome};

/// A failure of the cache. Each names the path it happened at.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the user's quota on it, is full.
    #[error("no space left to {what} `{path}`")]
    NoSpace {
        /// What was being done.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The cache cannot be written by this user, or at all.
    #[error("the cache cannot be written: could not {what} `{path}`")]
    NotWritable {
        /// What was being done.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Any other failure of the file system.
    #[error("could not {what} `{path}`")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// An object's bytes are not the ones that its name says.
    #[error("damaged object `{path}`: expected sha256 {expected}, found {actual}")]
    Damaged {
        /// The object.
        path: PathBuf,
        /// Its name.
        expected: Digest,
        /// What its bytes hash to.
        actual: Digest,
    },
    /// What was named as the cache is something else.
    #[error("`{path}` is no cache of mkimg")]
    NotACache {
        /// The directory.
        path: PathBuf,
    },
    /// Others use the cache, and were not to be waited for.
    #[error("the cache `{path}` is in use")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

impl StoreError {
    /// Returns the error for a failed system call on `path`; `what` completes "could not ..".
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> StoreError {
        use io::ErrorKind::{
            InvalidFilename, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
            StorageFull,
        };
        let path = path.to_path_buf();
        match source.kind() {
            StorageFull | QuotaExceeded => StoreError::NoSpace { what, path, source },
            // The last two: what was named for the cache is a file, or no name for a file at all.
            PermissionDenied | ReadOnlyFilesystem | NotADirectory | InvalidFilename => {
                StoreError::NotWritable { what, path, source }
            }
            _ => StoreError::Io { what, path, source },
        }
    }

    /// Returns the error as one of a place where no cache can be, whatever the system's reason.
    pub(super) fn unusable(self) -> StoreError {
        match self {
            StoreError::Io { what, path, source } => StoreError::NotWritable { what, path, source },
            error => error,
        }
    }
}

impl Fault for StoreError {
    /// A full disk and a cache that this user cannot write are put right by naming another cache.
    fn outcome(&self) -> Outcome {
        match self {
            StoreError::NoSpace { .. }
            | StoreError::NotWritable { .. }
            | StoreError::NotACache { .. } => Outcome::Wrong,
            StoreError::Damaged { .. } => Outcome::Mismatch,
            StoreError::Io { .. } | StoreError::InUse { .. } => Outcome::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            StoreError::NoSpace { .. } => {
                "make room there, or name a cache on another disk with `--cache DIR`; nothing half-written was left"
            }
            StoreError::NotWritable { .. } => {
                "name a directory that you may write with `--cache DIR` or MKIMG_CACHE"
            }
            StoreError::Damaged { .. } => {
                "run it again: a damaged object is removed and made again"
            }
            StoreError::NotACache { .. } => {
                "it has no CACHEDIR.TAG of mkimg's: name the cache with `--cache DIR`; nothing was removed"
            }
            StoreError::InUse { .. } => "without `--no-wait` it is waited for; nothing was removed",
            StoreError::Io { .. } => {
                "check what is at that path and the disk below it, or name another cache with `--cache DIR`"
            }
        };
        Some(text.to_owned())
    }
}
