//! The programs that mkimg starts: a QEMU of this machine, or the pinned one that it brings along.
//!
//! ```text
//! Choice, PATH --find--> Emulator     (PATH first, then `tools-v1/` in the cache, which is filled from `qemu.kdl`)
//! ```
//!
//! Knows nothing of machines: an [`Emulator`] is the beginning of a command. Reads no environment: PATH and the text of
//! `/etc/os-release` are given by the caller.

mod error;
mod install;
mod manifest;
mod pinned;
mod recipe;
mod system;
mod together;

use std::env::consts;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use error::ToolsError;
pub use recipe::VERSION as PINNED_VERSION;

use crate::arch::Arch;
use crate::digest::Digest;
use crate::progress::{Event, Progress};
use crate::source::fetch::FetchOptions;
use crate::store::Store;
use error::OLDEST;
use system::Said;

/// Returns the digest that names the pinned QEMU for a guest in the cache.
pub fn pinned_digest(guest: Arch) -> Digest {
    recipe::digest(guest)
}

/// What tools are found and made with.
#[derive(Clone, Copy)]
pub struct Toolbox<'a> {
    /// The cache.
    pub store: &'a Store,
    /// How packages are fetched.
    pub fetch: &'a FetchOptions,
    /// Threads for unpacking.
    pub jobs: NonZeroUsize,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// What is known about this machine.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The operating system, by [`consts::OS`].
    pub os: &'a str,
    /// The architecture, where mkimg knows it.
    pub arch: Option<Arch>,
    /// The value of PATH.
    pub path: Option<&'a OsStr>,
    /// The text of `/etc/os-release`, empty where there is none.
    pub os_release: &'a str,
}

/// Which QEMU to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first one on PATH of version 5 or newer, else the pinned one.
    #[default]
    Auto,
    /// The first one on PATH of version 5 or newer.
    System,
    /// The pinned one.
    Pinned,
    /// This program, of any version.
    Path(PathBuf),
}

/// A QEMU that can be started: the beginning of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// The file to execute.
    pub program: PathBuf,
    /// Arguments that come before all others.
    pub leading_args: Vec<OsString>,
    /// Variables to set.
    pub env: Vec<(OsString, OsString)>,
    /// The version of QEMU, such as `7.2.22`.
    pub version: String,
}

impl<'a> Host<'a> {
    /// Returns the machine that this program runs on.
    pub fn here(path: Option<&'a OsStr>, os_release: &'a str) -> Host<'a> {
        Host {
            os: consts::OS,
            arch: Arch::host(),
            path,
            os_release,
        }
    }

    /// Says whether the pinned QEMU runs here.
    fn runs_pinned(&self) -> bool {
        self.os == "linux" && self.arch == Some(Arch::X86_64)
    }

    fn install(&self, guest: Arch) -> String {
        install::install(self.os, self.os_release, guest)
    }
}

impl Toolbox<'_> {
    /// Returns the QEMU to take for a guest.
    ///
    /// # Errors
    /// [`ToolsError`] where there is none, or the one that was asked for is of no use.
    pub fn qemu(
        &self,
        guest: Arch,
        choice: &Choice,
        host: &Host<'_>,
    ) -> Result<Emulator, ToolsError> {
        let mut passed_over = Vec::new();
        match choice {
            Choice::Path(path) => return self.named(path),
            Choice::Pinned => return self.pinned(guest, host, ""),
            Choice::Auto | Choice::System => {
                if let Some(found) = self.on_path(guest, host, &mut passed_over) {
                    return Ok(found);
                }
            }
        }
        let program = guest.facts().qemu;
        if *choice == Choice::Auto && host.runs_pinned() {
            for line in &passed_over {
                self.progress.event(Event::Detail(line.clone()));
            }
            let why = match passed_over.is_empty() {
                true => format!("no `{program}` here: "),
                false => format!("no `{program}` of version {OLDEST} or newer here: "),
            };
            return self.pinned(guest, host, &why);
        }
        Err(ToolsError::NotFound {
            program,
            passed_over,
            install: host.install(guest),
        })
    }

    fn on_path(
        &self,
        guest: Arch,
        host: &Host<'_>,
        passed_over: &mut Vec<String>,
    ) -> Option<Emulator> {
        let program = guest.facts().qemu;
        for path in system::on_path(program, host.path.unwrap_or_default()) {
            let shown = path.display();
            passed_over.push(match system::version(self.store, &path) {
                Ok(Said::Version(version)) if system::is_new_enough(&version) => {
                    return Some(Emulator::plain(&path, version));
                }
                Ok(Said::Version(version)) => format!("`{shown}` is version {version}"),
                Ok(Said::Other(said)) => format!("`{shown}` is no QEMU: it says `{said}`"),
                Err(error) => format!("`{shown}` does not run: {error}"),
            });
        }
        None
    }

    fn named(&self, path: &Path) -> Result<Emulator, ToolsError> {
        // A bare name would be looked for on PATH when it is started, and is a file here when it is looked at.
        let beside = Path::new(".").join(path);
        let path = match path.components().count() {
            1 => &beside,
            _ => path,
        };
        match system::version(self.store, path) {
            Ok(Said::Version(version)) => Ok(Emulator::plain(path, version)),
            Ok(Said::Other(said)) => Err(ToolsError::NotQemu {
                path: path.to_path_buf(),
                said,
            }),
            Err(source) => Err(ToolsError::Run {
                path: path.to_path_buf(),
                source,
            }),
        }
    }
}

impl Emulator {
    fn plain(path: &Path, version: String) -> Emulator {
        Emulator {
            program: path.to_path_buf(),
            leading_args: Vec::new(),
            env: Vec::new(),
            version,
        }
    }
}
