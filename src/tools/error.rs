//! Why there is no QEMU to start.

use std::io;
use std::path::PathBuf;

use crate::fault::{Fault, Outcome};
use crate::source::ArchiveError;
use crate::source::fetch::FetchError;
use crate::store::StoreError;

/// Why there is no QEMU to start. [`ToolsError::help`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// This machine has none, and mkimg brings none for it.
    #[error("no `{program}` of version {OLDEST} or newer is on PATH{}", list(.passed_over))]
    NotFound {
        /// The program that was looked for.
        program: &'static str,
        /// What was found and is of no use, each with the reason.
        passed_over: Vec<String>,
        /// How to install it here.
        install: String,
    },
    /// A program that the user named does not run.
    #[error("could not run `{path} --version`")]
    Run {
        /// The program.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A program that the user named is no QEMU.
    #[error("`{path}` is no QEMU: `--version` says `{said}`")]
    NotQemu {
        /// The program.
        path: PathBuf,
        /// The first line that it printed.
        said: String,
    },
    /// The pinned QEMU was asked for where it cannot run.
    #[error("the pinned QEMU runs on x86_64 Linux alone")]
    NotForThisHost {
        /// How to install one here.
        install: String,
    },
    /// The packages of the pinned QEMU cannot be had.
    #[error(
        "the pinned QEMU could not be fetched: {count} of its packages failed, this is one of them"
    )]
    Fetch {
        /// Why one of them failed, the one whose [`FetchError::kind`] says most.
        #[source]
        source: FetchError,
        /// How many failed.
        count: usize,
        /// How to install one here instead.
        install: String,
    },
    /// A package of the pinned QEMU cannot be read.
    #[error("the pinned QEMU could not be unpacked")]
    Archive(#[source] ArchiveError),
    /// The cache fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The recipe inside this program is wrong.
    #[error("the built-in recipe of QEMU is wrong: {0}")]
    BuiltIn(String),
}

/// The oldest major version that is taken from PATH: `-M microvm` and the options that `machine` uses are all in it.
pub(super) const OLDEST: u32 = 5;

impl ToolsError {
    /// Returns what to do, one line each.
    pub fn help(&self) -> Vec<String> {
        match self {
            ToolsError::NotFound { install, .. } | ToolsError::NotForThisHost { install } => {
                vec![install.clone()]
            }
            ToolsError::Run { .. } | ToolsError::NotQemu { .. } => {
                vec![
                    "name a `qemu-system-..` program with `--qemu PATH`, or leave it out"
                        .to_owned(),
                ]
            }
            ToolsError::Fetch {
                source, install, ..
            } => {
                let mut lines = source.help();
                lines.push(format!("or install one: {install}"));
                lines
            }
            ToolsError::BuiltIn(_) => vec!["this is a bug of mkimg: report it".to_owned()],
            ToolsError::Archive(_) | ToolsError::Store(_) => Vec::new(),
        }
    }
}

impl Fault for ToolsError {
    fn outcome(&self) -> Outcome {
        match self {
            ToolsError::NotFound { .. }
            | ToolsError::NotForThisHost { .. }
            | ToolsError::Run { .. }
            | ToolsError::NotQemu { .. } => Outcome::Wrong,
            _ => Outcome::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        Some(ToolsError::help(self).join("\n")).filter(|help| !help.is_empty())
    }
}

impl ToolsError {
    pub(super) fn fetch(error: FetchError, install: String) -> ToolsError {
        let (source, count) = match error {
            // Fifty packages fail for one reason, as a rule: said once, it can be read.
            FetchError::Several(errors) => {
                let count = errors.len();
                let first = errors.into_iter().min_by_key(FetchError::kind);
                (first.unwrap_or(FetchError::Several(Vec::new())), count)
            }
            one => (one, 1),
        };
        ToolsError::Fetch {
            source,
            count,
            install,
        }
    }
}

fn list(passed_over: &[String]) -> String {
    let lines = passed_over.iter().map(|line| format!("\n  {line}"));
    lines.collect()
}
