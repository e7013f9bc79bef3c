//! What can go wrong with starting and talking to QEMU. How a guest ended is no error: that is [`End`](super::End).

use std::io;
use std::path::PathBuf;

use super::arguments::Unsuitable;
use crate::fault::{Fault, Outcome};

/// A failure to run a machine at all.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// QEMU could not be started.
    #[error("could not start `{program}`")]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The pipes to QEMU, or waiting for it, failed.
    #[error("could not {what}")]
    Io {
        /// What was being done; completes "could not ..".
        what: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The accelerator that was asked for cannot be used.
    #[error("`{accelerator}` cannot be used: {reason}")]
    Accelerator {
        /// Its name.
        accelerator: &'static str,
        /// Why.
        reason: String,
    },
    /// The architecture has no such board.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
}

impl MachineError {
    pub(super) fn io(what: &'static str, source: impl Into<io::Error>) -> MachineError {
        MachineError::Io {
            what,
            source: source.into(),
        }
    }
}

impl Fault for MachineError {
    fn outcome(&self) -> Outcome {
        match self {
            MachineError::Start { .. } | MachineError::Io { .. } => Outcome::Failed,
            MachineError::Accelerator { .. } | MachineError::Unsuitable(_) => Outcome::Wrong,
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            MachineError::Start { .. } => {
                "is it installed, and executable? `--qemu` can name another one"
            }
            MachineError::Accelerator { .. } => "`--accel auto` takes what works",
            MachineError::Unsuitable(_) => "`--machine auto` takes one that fits",
            MachineError::Io { .. } => "try again; with `--dry-run` you can start it by hand",
        };
        Some(text.to_owned())
    }
}
