//! How a verb fails: an exit code, and what is said about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::realize::{Outcome, RealizeError};
use crate::recipe::{Diagnostic, Invalid, SourceMap, SourceText};
use crate::share::ShareError;
use crate::source::fetch::FetchError;
use crate::store::{StoreError, limit_help_behind};
use crate::ui::{self, Terminal};

/// The exit codes of the command line (docs/design.md section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Something outside of the recipe failed.
    Failed = 1,
    /// Wrong usage, or a recipe that cannot be used.
    Wrong = 2,
    /// A hash did not match.
    Mismatch = 3,
    /// Not reproducible, a lock that is out of date, or two things that differ.
    Different = 4,
    /// A boot or a test failed.
    Guest = 5,
    /// The user interrupted it.
    Interrupted = 130,
}

/// Why a verb ends without its result.
pub(super) enum Failure {
    /// Diagnostics that point into a recipe.
    Recipe {
        /// The texts of the recipe's files.
        source: SourceMap,
        /// What is wrong with it.
        diagnostics: Vec<Diagnostic>,
        /// The code.
        code: Code,
    },
    /// An error that points nowhere.
    Plain {
        /// What happened.
        error: Box<dyn Error + Send + Sync>,
        /// What to do.
        help: Option<String>,
        /// The code.
        code: Code,
    },
    /// What there is to say was said.
    Said(Code),
    /// A signal ended a running machine, in order.
    Signalled(i32),
    /// Whoever read our output went away: nothing is said.
    Silent,
}

/// An error that is its text.
#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Message {}

/// A failed system call on a path outside of the cache.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} `{path}`")]
struct Access {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Failure {
    /// Returns the failure of a user who asked for something that cannot be.
    pub(super) fn usage(message: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure::Plain {
            error: Box::new(Message(message.into())),
            help: Some(help.into()),
            code: Code::Wrong,
        }
    }

    /// Returns the failure of a system call on a path that the user named; `what` completes "could not ..".
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Failure {
        use io::ErrorKind::{
            AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, NotFound,
            PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        let help = match source.kind() {
            StorageFull | QuotaExceeded => Some("make room there, or name another place"),
            NotFound | NotADirectory | IsADirectory | PermissionDenied | ReadOnlyFilesystem
            | AlreadyExists | InvalidFilename => {
                Some("check the path and who may use it, or name another")
            }
            _ => None,
        };
        Failure::Plain {
            error: Box::new(Access {
                what,
                path: path.to_path_buf(),
                source,
            }),
            help: help.map(str::to_owned),
            code: if help.is_some() {
                Code::Wrong
            } else {
                Code::Failed
            },
        }
    }

    /// Returns the failure of a guest.
    pub(super) fn guest(message: &str, help: Option<String>, code: Code) -> Failure {
        Failure::Plain {
            error: Box::new(Message(message.to_owned())),
            help,
            code,
        }
    }

    /// Returns the failure of a recipe that is none.
    pub(super) fn invalid(invalid: Invalid) -> Failure {
        match invalid {
            Invalid::Unreadable { message, help } => Failure::usage(message, help),
            Invalid::Wrong { text, diagnostics } => Failure::Recipe {
                source: text,
                diagnostics,
                code: Code::Wrong,
            },
        }
    }

    /// Returns the failure of a realization of a recipe.
    pub(super) fn realize(error: RealizeError, source: &SourceMap) -> Failure {
        let code = match error.outcome() {
            Outcome::Failed => Code::Failed,
            Outcome::Wrong => Code::Wrong,
            Outcome::Mismatch => Code::Mismatch,
        };
        match error {
            RealizeError::Recipe(diagnostics) => Failure::Recipe {
                source: source.clone(),
                diagnostics,
                code,
            },
            RealizeError::Store(error) => Failure::from(error),
            RealizeError::Fetch(error) => Failure::fetch(error, code),
            error => Failure::Plain {
                error: Box::new(error),
                help: None,
                code,
            },
        }
    }

    fn fetch(error: FetchError, code: Code) -> Failure {
        let help = Some(error.help().join("\n")).filter(|help| !help.is_empty());
        Failure::Plain {
            error: Box::new(error),
            help,
            code,
        }
    }

    /// Returns the exit code of a failure that is told as an error.
    pub(super) fn code(&self) -> Option<Code> {
        match self {
            Failure::Recipe { code, .. } | Failure::Plain { code, .. } | Failure::Said(code) => {
                Some(*code)
            }
            Failure::Signalled(_) | Failure::Silent => None,
        }
    }

    /// Returns what happened in one line, and then what to do.
    pub(super) fn lines(&self) -> Vec<String> {
        let (what, help) = match self {
            Failure::Plain { error, help, .. } => (error.to_string(), help.as_deref()),
            Failure::Recipe { diagnostics, .. } => {
                let first = diagnostics.first();
                let what = first.map_or_else(String::new, |first| first.message.clone());
                let help = diagnostics.iter().find_map(|one| one.help.as_deref());
                (what, help)
            }
            Failure::Said(_) | Failure::Signalled(_) | Failure::Silent => (String::new(), None),
        };
        let what = what.lines().map(str::to_owned);
        let help = help.into_iter().flat_map(str::lines).map(str::to_owned);
        what.chain(help).collect()
    }

    /// Returns what happened, in one line.
    pub(super) fn first_line(&self) -> String {
        self.lines().into_iter().next().unwrap_or_default()
    }

    /// Returns the file and the line that it points at.
    pub(super) fn place(&self) -> Option<(String, usize)> {
        let Failure::Recipe {
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

    /// Says it on standard error and returns the exit code.
    pub(super) fn print(self, terminal: &Terminal) -> u8 {
        terminal.clear();
        match self {
            Failure::Recipe {
                source,
                diagnostics,
                code,
            } => {
                ui::print_diagnostics(&source, &diagnostics, terminal.color());
                if diagnostics.len() > 1 {
                    terminal.error(&format!(
                        "{} errors in `{}`",
                        diagnostics.len(),
                        source.root().name
                    ));
                }
                code as u8
            }
            Failure::Plain { error, help, code } => {
                let limit = limit_help_behind(error.as_ref());
                let help = limit.or(help.as_deref());
                ui::print_error(error.as_ref(), help, terminal.color());
                code as u8
            }
            Failure::Said(code) => code as u8,
            // As the shell counts: 130 for Ctrl-C, 143 for `kill`.
            Failure::Signalled(signal) => u8::try_from(128 + signal).unwrap_or(Code::Failed as u8),
            Failure::Silent => 0,
        }
    }
}

fn store_help(error: &StoreError) -> &'static str {
    match error {
        StoreError::NoSpace { .. } => {
            "make room there, or name a cache on another disk with `--cache DIR`; nothing half-written was left"
        }
        StoreError::NotWritable { .. } => {
            "name a directory that you may write with `--cache DIR` or MKIMG_CACHE"
        }
        StoreError::Damaged { .. } => "run it again: a damaged object is removed and made again",
        StoreError::NotACache { .. } => {
            "it has no CACHEDIR.TAG of mkimg's: name the cache with `--cache DIR`; nothing was removed"
        }
        StoreError::InUse { .. } => "without `--no-wait` it is waited for; nothing was removed",
        StoreError::Io { .. } => {
            "check what is at that path and the disk below it, or name another cache with `--cache DIR`"
        }
    }
}

impl From<ShareError> for Failure {
    fn from(error: ShareError) -> Failure {
        let code = match error.outcome() {
            Outcome::Failed => Code::Failed,
            Outcome::Wrong => Code::Wrong,
            Outcome::Mismatch => Code::Mismatch,
        };
        let help = match error {
            ShareError::Store(error) => return Failure::from(error),
            ShareError::Io { what, path, source } => return Failure::io(what, &path, source),
            ShareError::Registry(ref error) => error.help(),
            ShareError::Exists { .. } => Some("move it away, or name another place".to_owned()),
            _ => None,
        };
        Failure::Plain {
            error: Box::new(error),
            help,
            code,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let code = match error {
            StoreError::NoSpace { .. }
            | StoreError::NotWritable { .. }
            | StoreError::NotACache { .. } => Code::Wrong,
            StoreError::Damaged { .. } => Code::Mismatch,
            StoreError::Io { .. } | StoreError::InUse { .. } => Code::Failed,
        };
        Failure::Plain {
            help: Some(store_help(&error).to_owned()),
            error: Box::new(error),
            code,
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Failure {
        Failure::realize(
            RealizeError::Fetch(error),
            &SourceMap::from(SourceText {
                name: String::new(),
                text: "".into(),
            }),
        )
    }
}
