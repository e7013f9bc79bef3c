//! Why something that was asked of a session could not be done.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Outcome, of_io};
use crate::realize::RealizeError;
use crate::recipe::{Diagnostic, Invalid, Parsed, SourceMap};

/// Why something could not be done: what kind of failure it is, what happened, and what to do.
#[derive(Debug)]
pub enum Error {
    /// Diagnostics that point into a recipe.
    Recipe {
        /// The texts of the recipe's files.
        source: SourceMap,
        /// What is wrong with it.
        diagnostics: Vec<Diagnostic>,
        /// What kind of failure it is.
        outcome: Outcome,
    },
    /// An error that points nowhere.
    Plain {
        /// What happened.
        error: Box<dyn StdError + Send + Sync>,
        /// What to do.
        help: Option<String>,
        /// What kind of failure it is.
        outcome: Outcome,
    },
}

/// A failed system call on a path outside of the cache.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} `{path}`")]
struct Access {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Error {
    /// Returns an error that points nowhere.
    pub(crate) fn new(
        outcome: Outcome,
        error: impl Into<Box<dyn StdError + Send + Sync>>,
        help: Option<String>,
    ) -> Error {
        Error::Plain {
            error: error.into(),
            help,
            outcome,
        }
    }

    /// Returns the error of a user who asked for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>, help: impl Into<String>) -> Error {
        Error::new(Outcome::Wrong, message.into(), Some(help.into()))
    }

    /// Returns the error of a system call on a path that the user named; `what` completes "could not ..".
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Error {
        let (outcome, help) = of_io(&source);
        let path = path.to_path_buf();
        Error::Plain {
            error: Box::new(Access { what, path, source }),
            help: help.map(str::to_owned),
            outcome,
        }
    }

    /// Returns the error of a recipe that is none.
    pub(crate) fn invalid(invalid: Invalid) -> Error {
        match invalid {
            Invalid::Unreadable { message, help } => Error::usage(message, help),
            Invalid::Wrong { text, diagnostics } => Error::Recipe {
                source: text,
                diagnostics,
                outcome: Outcome::Wrong,
            },
        }
    }

    /// Returns the error of a realization of a recipe.
    pub(crate) fn realize(error: RealizeError, parsed: &Parsed) -> Error {
        match error {
            RealizeError::Recipe(problems) => {
                let located = problems.iter().map(|problem| problem.located(parsed));
                Error::wrong(located.collect(), parsed)
            }
            error => error.into(),
        }
    }

    /// Returns the error of a recipe that has to be changed.
    pub(crate) fn wrong(diagnostics: Vec<Diagnostic>, parsed: &Parsed) -> Error {
        Error::Recipe {
            source: parsed.source.clone(),
            diagnostics,
            outcome: Outcome::Wrong,
        }
    }

    /// Returns what kind of failure it is.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Recipe { outcome, .. } | Error::Plain { outcome, .. } => *outcome,
        }
    }

    /// Returns what to do, where that can be said.
    pub fn help(&self) -> Option<&str> {
        match self {
            Error::Plain { help, .. } => help.as_deref(),
            Error::Recipe { diagnostics, .. } => {
                diagnostics.iter().find_map(|one| one.help.as_deref())
            }
        }
    }

    /// Returns what happened, line by line, and then what to do.
    pub(crate) fn lines(&self) -> Vec<String> {
        let what = self.to_string();
        let help = self.help().into_iter().flat_map(str::lines);
        what.lines().chain(help).map(str::to_owned).collect()
    }

    /// Returns what happened, in one line.
    pub(crate) fn first_line(&self) -> String {
        self.lines().into_iter().next().unwrap_or_default()
    }

    /// Returns the file and the line that it points at.
    pub(crate) fn place(&self) -> Option<(String, usize)> {
        let Error::Recipe {
            source,
            diagnostics,
            ..
        } = self
        else {
            return None;
        };
        let (span, _) = diagnostics.first()?.labels.first()?;
        Some((source.name(span).to_owned(), source.line(span)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Plain { error, .. } => error.fmt(f),
            Error::Recipe { diagnostics, .. } => {
                let first = diagnostics.first();
                f.write_str(first.map_or("the recipe cannot be used", |first| &first.message))
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Plain { error, .. } => error.source(),
            Error::Recipe { .. } => None,
        }
    }
}

impl<E: Fault> From<E> for Error {
    fn from(error: E) -> Error {
        Error::Plain {
            outcome: error.outcome(),
            help: error.help(),
            error: Box::new(error),
        }
    }
}
