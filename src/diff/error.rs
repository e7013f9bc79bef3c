//! Why two images cannot be compared.

use std::io;
use std::path::PathBuf;

use crate::fault::{Fault, Outcome, of_io};
use crate::pack::read::ReadError;
use crate::realize::ImageError;

/// Why two images cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// A file cannot be read.
    #[error("could not read `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// An archive is damaged, or none.
    #[error("`{path}` cannot be read as an archive")]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        #[source]
        source: ReadError,
    },
    /// A directory is no image.
    #[error("`{path}` is no image of this mkimg")]
    Image {
        /// The `image.json`.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ImageError,
    },
    /// A file was changed while it was read.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl DiffError {
    pub(super) fn io(path: &std::path::Path, source: io::Error) -> DiffError {
        DiffError::Io {
            path: path.to_path_buf(),
            source,
        }
    }
}

impl Fault for DiffError {
    fn outcome(&self) -> Outcome {
        match self {
            DiffError::Io { source, .. } => of_io(source).0,
            _ => Outcome::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            DiffError::Io { source, .. } => return of_io(source).1.map(str::to_owned),
            DiffError::Image { .. } => "make it again with `mkimg realize`",
            DiffError::Changed { .. } => "run it again once nobody writes to it",
            DiffError::Archive { .. } => {
                "name an intact newc archive, plain or compressed with gzip, xz or zstd"
            }
        };
        Some(text.to_owned())
    }
}
