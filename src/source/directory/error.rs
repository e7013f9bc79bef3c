//! Why a directory is not taken.

use std::io;

use super::index::IndexError;
use crate::source::ArchiveError;
use crate::source::local::LocalError;

/// Why a directory of this machine is not taken. `path` is a path in it, as it may be shown.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The directory itself.
    #[error("{0}")]
    Local(#[source] LocalError),
    /// The patterns.
    #[error("{0}")]
    Pattern(#[source] ArchiveError),
    /// Something in it that the system refuses.
    #[error("`{path}`: {source}")]
    Io {
        /// The path.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Something that no image has a use for.
    #[error("`{path}` is {what}")]
    Special {
        /// The path.
        path: String,
        /// What it is, with an article.
        what: &'static str,
    },
    /// A name or a size that does not go into an archive.
    #[error("`{path}` {problem}")]
    Unfit {
        /// The path.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What the kernel makes up, mounted in it.
    #[error("`{path}` is a mounted {place}: nothing of that goes into an image")]
    Kernel {
        /// The path.
        path: String,
        /// The kind of file system.
        place: &'static str,
    },
    /// The user's home, or mkimg's own cache.
    #[error("`{path}` is {what}")]
    Private {
        /// The path.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// Other bytes, or another kind, at the end of the reading.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The path.
        path: String,
    },
    /// More entries than are kept track of.
    #[error("it has more than {limit} entries")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// No git work tree.
    #[error("it is in no git work tree: there is no `.git` in it or above it")]
    NoGit,
    /// An index that cannot be read.
    #[error("git's index `{path}` {problem}")]
    Index {
        /// Its file.
        path: String,
        /// Why not.
        problem: IndexError,
    },
    /// What git tracks and the disk does not have.
    #[error("git tracks `{path}` as {wanted}, and on the disk is {found}")]
    Untrue {
        /// The path.
        path: String,
        /// What git has, with an article.
        wanted: &'static str,
        /// What is there, with an article, or `nothing`.
        found: &'static str,
    },
    /// A packed directory that is none.
    #[error("it is a file, and no directory that mkimg packed: {0}")]
    Packed(String),
}

impl DirectoryError {
    /// Returns what to do.
    pub fn help(&self) -> String {
        match self {
            DirectoryError::Local(error) => return error.help(),
            DirectoryError::Pattern(_) => "correct the pattern: it is matched against paths in the directory, as a whole",
            DirectoryError::Io { .. } => "make it readable, or leave it out with `exclude \"..\"`",
            DirectoryError::Special { .. } => {
                "leave it out with `exclude \"..\"`; a `device` node makes a device"
            }
            DirectoryError::Unfit { .. } => "rename it, or leave it out with `exclude \"..\"`",
            DirectoryError::Kernel { .. } => "unmount it, or leave it out with `exclude \"..\"`",
            DirectoryError::Private { .. } => "leave it out with `exclude \"..\"`, or name another directory",
            DirectoryError::Changed { .. } => "run mkimg again when nothing writes to it",
            DirectoryError::TooMany { .. } => "take a part of it: `include \"..\"`, `exclude \"..\"`",
            DirectoryError::NoGit => "leave `git` out, or name a directory of a git work tree",
            DirectoryError::Index { .. } => "let git write it anew, or leave `git` out",
            DirectoryError::Untrue { .. } => {
                "`git add` it or restore it with `git checkout`, or leave it out with `exclude \"..\"`"
            }
            DirectoryError::Packed(_) => {
                "name a directory; an archive is a `source`, taken with `from=`"
            }
        }
        .to_owned()
    }
}
