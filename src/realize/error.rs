//! Why a recipe gives no image.

use std::fmt;
use std::path::Path;

use crate::digest::Digest;
use crate::fault::{Fault, Outcome};
use crate::pack::PackError;
use crate::plan::Problem;
use crate::source::fetch::FetchError;
use crate::store::StoreError;

/// Why a recipe gives no image.
#[derive(Debug, thiserror::Error)]
pub enum RealizeError {
    /// The recipe is at fault, at the places that the problems name.
    #[error("{}", first(.0))]
    Recipe(Vec<Problem>),
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

fn first(diagnostics: &[Problem]) -> &str {
    diagnostics
        .first()
        .map_or("the recipe cannot be used", |first| &first.message)
}

impl RealizeError {
    /// Returns the object of the cache that turned out to be damaged.
    pub fn damaged(&self) -> Option<&Path> {
        match self {
            RealizeError::Store(StoreError::Damaged { path, .. }) => Some(path),
            RealizeError::Pack(error) => error.place(),
            _ => None,
        }
    }
}

impl Fault for RealizeError {
    fn outcome(&self) -> Outcome {
        match self {
            RealizeError::Recipe(_) => Outcome::Wrong,
            RealizeError::Fetch(error) => error.outcome(),
            RealizeError::Image(failure) => failure.outcome,
            RealizeError::Store(error) => error.outcome(),
            RealizeError::Pack(_) => Outcome::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            RealizeError::Fetch(error) => Fault::help(error),
            RealizeError::Image(failure) => failure.help(),
            RealizeError::Store(error) => error.help(),
            RealizeError::Recipe(_) | RealizeError::Pack(_) => None,
        }
    }
}

/// A container image that no place gave.
#[derive(Debug)]
pub struct ImageFailure {
    /// The source.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Each place with what it gave, and what to do about it.
    pub attempts: Vec<(String, String, Option<String>)>,
    /// What kind of failure it is.
    pub outcome: Outcome,
}

impl fmt::Display for ImageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "could not fetch `{}` (sha256:{})",
            self.name, self.digest
        )?;
        for (place, what, _) in &self.attempts {
            write!(f, "\n  `{place}`: {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ImageFailure {}

impl ImageFailure {
    /// Returns what to do.
    pub fn help(&self) -> Option<String> {
        self.attempts.iter().find_map(|(.., help)| help.clone())
    }
}
