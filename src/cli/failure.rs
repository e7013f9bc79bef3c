//! How a verb ends without its result: an exit code, and what is said about it.

use std::io;
use std::path::Path;

use crate::fault::Outcome;
use crate::session::Error;
use crate::store::limit_help_behind;
use crate::ui::{self, Terminal};

/// Returns the exit code of each kind of failure (docs/design.md section 8).
const fn exit_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Failed => 1,
        Outcome::Wrong => 2,
        Outcome::Mismatch => 3,
        Outcome::Different => 4,
        Outcome::Guest => 5,
        Outcome::Interrupted => 130,
    }
}

/// Why a verb ends without its result.
pub(super) enum Failure {
    /// It could not be done.
    Error(Error),
    /// What there is to say was said.
    Said(Outcome),
    /// A signal ended a running machine, in order.
    Signalled(i32),
    /// Whoever read our output went away: nothing is said.
    Silent,
}

impl Failure {
    /// Returns the failure of a user who asked for something that cannot be.
    pub(super) fn usage(message: impl Into<String>, help: impl Into<String>) -> Failure {
        Error::usage(message, help).into()
    }

    /// Returns the failure of a system call on a path that the user named; `what` completes "could not ..".
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Failure {
        Error::io(what, path, source).into()
    }

    /// Says it on standard error and returns the exit code.
    pub(super) fn print(self, terminal: &Terminal) -> u8 {
        terminal.clear();
        match self {
            Failure::Error(error) => {
                print(&error, terminal);
                exit_code(error.outcome())
            }
            Failure::Said(outcome) => exit_code(outcome),
            // As the shell counts: 130 for Ctrl-C, 143 for `kill`.
            Failure::Signalled(signal) => u8::try_from(128 + signal).unwrap_or(1),
            Failure::Silent => 0,
        }
    }
}

/// Says an error on standard error.
pub(super) fn print(error: &Error, terminal: &Terminal) {
    match error {
        Error::Recipe {
            source,
            diagnostics,
            ..
        } => {
            ui::print_diagnostics(source, diagnostics, terminal.color());
            if diagnostics.len() > 1 {
                terminal.error(&format!(
                    "{} errors in `{}`",
                    diagnostics.len(),
                    source.root().name
                ));
            }
        }
        Error::Plain { error, help, .. } => {
            let limit = limit_help_behind(error.as_ref());
            ui::print_error(error.as_ref(), limit.or(help.as_deref()), terminal.color());
        }
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Error(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::digest::Digest;
    use crate::fault::Fault as _;
    use crate::realize::RealizeError;
    use crate::share::ShareError;
    use crate::store::StoreError;

    #[test]
    fn a_damaged_object_ends_with_3_whoever_meets_it() {
        let damaged = || StoreError::Damaged {
            path: PathBuf::from("x"),
            expected: Digest::of(b"a"),
            actual: Digest::of(b"b"),
        };
        let outcomes = [
            damaged().outcome(),
            ShareError::Store(damaged()).outcome(),
            RealizeError::Store(damaged()).outcome(),
        ];
        assert_eq!(outcomes.map(exit_code), [3, 3, 3]);
    }
}
