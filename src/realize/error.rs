//! Why a recipe gives no image.

use std::path::Path;

use super::images::ImageFailure;
use crate::pack::PackError;
use crate::recipe::Diagnostic;
use crate::source::fetch::{FetchError, Kind};
use crate::store::StoreError;

/// Why a recipe gives no image.
#[derive(Debug, thiserror::Error)]
pub enum RealizeError {
    /// The recipe is at fault, at the places that the diagnostics show.
    #[error("{}", first(.0))]
    Recipe(Vec<Diagnostic>),
    /// The sources cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A container image cannot be had.
    #[error(transparent)]
    Image(Box<ImageFailure>),
    /// The cache fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive cannot be written.
    #[error(transparent)]
    Pack(PackError),
}

fn first(diagnostics: &[Diagnostic]) -> &str {
    diagnostics
        .first()
        .map_or("the recipe cannot be used", |first| &first.message)
}

/// What kind of failure it is: the exit codes of the command line follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something outside of the recipe failed; trying again may help.
    Failed,
    /// The recipe, or the place that was named for the cache, must change.
    Wrong,
    /// Bytes are not the ones that were declared.
    Mismatch,
}

impl RealizeError {
    /// Returns what kind of failure it is.
    pub fn outcome(&self) -> Outcome {
        match self {
            RealizeError::Recipe(_) => Outcome::Wrong,
            RealizeError::Fetch(error) => match error.kind() {
                Kind::Mismatch => Outcome::Mismatch,
                Kind::Refused => Outcome::Wrong,
                Kind::Unreachable => Outcome::Failed,
                Kind::Store => error.store().map_or(Outcome::Failed, StoreError::outcome),
            },
            RealizeError::Image(failure) => failure.outcome,
            RealizeError::Store(error) => error.outcome(),
            RealizeError::Pack(_) => Outcome::Failed,
        }
    }

    /// Returns the object of the cache that turned out to be damaged.
    pub fn damaged(&self) -> Option<&Path> {
        match self {
            RealizeError::Store(StoreError::Damaged { path, .. }) => Some(path),
            RealizeError::Pack(error) => error.place(),
            _ => None,
        }
    }
}

impl StoreError {
    /// Returns what kind of failure it is: a full disk and a cache that this user cannot write are put right by naming
    /// another cache.
    pub fn outcome(&self) -> Outcome {
        match self {
            StoreError::NoSpace { .. }
            | StoreError::NotWritable { .. }
            | StoreError::NotACache { .. } => Outcome::Wrong,
            StoreError::Damaged { .. } => Outcome::Mismatch,
            StoreError::Io { .. } | StoreError::InUse { .. } => Outcome::Failed,
        }
    }
}
