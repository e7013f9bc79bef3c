//! Why something could not be shared, or is not what it should be.

use std::io;
use std::path::{Path, PathBuf};

use super::registry::RegistryError;
use crate::fault::{Fault, Outcome, of_io};
use crate::realize::RealizeError;
use crate::store::StoreError;

/// Why something could not be shared, or is not what it should be. `object` names it: a blob, a manifest, a tag, a file.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// Bytes are not the ones that a digest names.
    #[error("{object}: expected {expected}, found {found}")]
    Mismatch {
        /// What.
        object: String,
        /// The digest or size that it should have.
        expected: String,
        /// The one that it has.
        found: String,
    },
    /// Something is not what the format says.
    #[error("{object}: {problem}")]
    Invalid {
        /// What.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something is not there.
    #[error("{object} is not in {place}")]
    Missing {
        /// What.
        object: String,
        /// Where it should be.
        place: String,
    },
    /// A registry cannot be used, or does not let us.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// The cache fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image cannot be made, or made again.
    #[error(transparent)]
    Realize(#[from] RealizeError),
    /// A file is there that would have to become another one.
    #[error("`{path}` is there already, with other bytes")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file outside of the cache.
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
}

impl From<RegistryError> for ShareError {
    fn from(error: RegistryError) -> ShareError {
        ShareError::Registry(Box::new(error))
    }
}

impl ShareError {
    /// Returns the error of an object that breaks the format.
    pub fn invalid(object: impl Into<String>, problem: impl Into<String>) -> ShareError {
        ShareError::Invalid {
            object: object.into(),
            problem: problem.into(),
        }
    }

    /// Returns the error of a failed system call on a path; `what` completes "could not ..".
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> ShareError {
        ShareError::Io {
            what,
            path: path.to_path_buf(),
            source,
        }
    }
}

impl Fault for ShareError {
    fn outcome(&self) -> Outcome {
        match self {
            ShareError::Mismatch { .. } | ShareError::Invalid { .. } => Outcome::Mismatch,
            ShareError::Missing { .. } => Outcome::Failed,
            ShareError::Registry(error) => error.outcome(),
            ShareError::Store(error) => error.outcome(),
            ShareError::Realize(error) => error.outcome(),
            ShareError::Exists { .. } => Outcome::Wrong,
            ShareError::Io { source, .. } => of_io(source).0,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            ShareError::Registry(error) => error.help(),
            ShareError::Store(error) => error.help(),
            ShareError::Realize(error) => error.help(),
            ShareError::Exists { .. } => Some("move it away, or name another place".to_owned()),
            ShareError::Io { source, .. } => of_io(source).1.map(str::to_owned),
            ShareError::Mismatch { .. }
            | ShareError::Invalid { .. }
            | ShareError::Missing { .. } => None,
        }
    }
}
