//! Proves that an image comes out the same: realizes it again from its sources, each round in a world changed on purpose.
//!
//! ```text
//! Ground --World::of--> World --Round::run--> child: mkimg check-round --> what it saw, its image
//!                                        stored image + what the child saw + its image --judge--> rows, verdict
//! ```
//!
//! What a round is meant to change is not believed: the child reports what it sees, and a variation counts as applied only
//! where that is what was meant and not what this process sees. `docs/check.md` has the list.

mod children;
mod place;
mod round;
mod slots;
mod table;
mod variation;
mod world;

use std::io;
use std::path::PathBuf;

pub use children::Children;
pub use place::Place;
pub use round::{Done, Round};
pub use slots::{Slot, Slots};
pub use table::{Row, rows};
pub use variation::{Seen, VARIATIONS};
pub use world::{Ground, World, limits_text};

use crate::fault::{Fault, Outcome};

/// Why a round could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The place where a round works cannot be made.
    #[error("could not {what} `{path}`, where a round would work")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The child failed.
    #[error("round {number} could not realize the image ({code}): {said}")]
    Child {
        /// Its number, from 1.
        number: usize,
        /// Its exit status, or the signal that ended it, in words.
        code: String,
        /// What it said.
        said: String,
    },
    /// The cache.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl Fault for CheckError {
    fn outcome(&self) -> Outcome {
        match self {
            CheckError::Store(error) => error.outcome(),
            CheckError::Io { .. } | CheckError::Child { .. } => Outcome::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            CheckError::Store(error) => error.help(),
            _ => Some("TMPDIR names another place for the rounds".to_owned()),
        }
    }
}

impl CheckError {
    fn io(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> CheckError {
        let path = path.into();
        CheckError::Io { what, path, source }
    }
}
