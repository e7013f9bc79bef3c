//! What every error says beside its text: what kind of failure it is, and what to do.

use std::error::Error;
use std::io;

/// What kind of failure it is. The command line has an exit code for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something outside of the recipe failed; trying again may help.
    Failed,
    /// The recipe, or what was asked for, must change.
    Wrong,
    /// Bytes, or who signed them, are not what was declared.
    Mismatch,
    /// Not reproducible, a lock that is out of date, or two things that differ.
    Different,
    /// A boot or a test failed.
    Guest,
    /// The user interrupted it.
    Interrupted,
}

/// An error that says what kind of failure it is, and what to do.
pub trait Fault: Error + Send + Sync + 'static {
    /// Returns what kind of failure it is.
    fn outcome(&self) -> Outcome;

    /// Returns what to do, where that can be said.
    fn help(&self) -> Option<String> {
        None
    }
}

/// Returns what a failed system call on a path that the user named is, and what to do about it.
pub fn of_io(error: &io::Error) -> (Outcome, Option<&'static str>) {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    match error.kind() {
        StorageFull | QuotaExceeded => (
            Outcome::Wrong,
            Some("make room there, or name another place"),
        ),
        NotFound | NotADirectory | IsADirectory | PermissionDenied | ReadOnlyFilesystem
        | AlreadyExists | InvalidFilename => (
            Outcome::Wrong,
            Some("check the path and who may use it, or name another"),
        ),
        _ => (Outcome::Failed, None),
    }
}
