//! The entries of a directory, as the file system has them: nothing is followed, and no file is opened.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};

use super::error::DirectoryError;
use super::index::Tracked;
use crate::source::entry::FILE_LIMIT;
use crate::source::local::{kernel_device, kernel_file_system};
use crate::source::name::PATH_MAX;
use crate::source::select::{Selector, Verdict};
use crate::text::shown;

/// The most entries that are taken.
const ENTRIES: usize = 1 << 19;

/// How deep directories may be in each other: each one on the way is held open.
const DEPTH: usize = 200;

/// Seconds since 1970, and nanoseconds.
pub(super) type Time = (i64, i64);

/// What the file system says of an entry: another stamp, perhaps other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) modified: Time,
    pub(super) changed: Time,
}

impl Stamp {
    /// The types of the fields hang on the system.
    #[allow(clippy::unnecessary_cast)]
    pub(super) fn of(found: &Stat) -> Stamp {
        Stamp {
            dev: found.st_dev as u64,
            ino: found.st_ino as u64,
            size: found.st_size as u64,
            modified: (found.st_mtime as i64, found.st_mtime_nsec as i64),
            changed: (found.st_ctime as i64, found.st_ctime_nsec as i64),
        }
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path in the directory.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) stamp: Stamp,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File { executable: bool },
    Directory,
    Symlink(Vec<u8>),
}

/// Walks through a directory.
pub(super) struct Walk<'a> {
    /// Which entries there are, by the patterns.
    pub(super) selector: Selector,
    /// What git has; nothing else is there then.
    pub(super) tracked: Option<BTreeMap<Vec<u8>, Tracked>>,
    /// Directories that are never taken, and what they are.
    pub(super) private: &'a [(PathBuf, &'static str)],
    /// Where the directory is: a path without symlinks.
    pub(super) root: PathBuf,
    pub(super) found: Vec<Found>,
}

impl Walk<'_> {
    /// Returns the entries, sorted by path.
    pub(super) fn run(mut self, root: &OwnedFd) -> Result<Vec<Found>, DirectoryError> {
        let stamp = rustix::fs::fstat(root).map_err(|error| failed(b".", error))?;
        let verdict = self.selector.root();
        let dev = Stamp::of(&stamp).dev;
        self.directory(root.as_fd(), &[], dev, verdict, 0)?;
        if let Some(glob) = self.selector.unused() {
            return Err(DirectoryError::Pattern(
                crate::source::ArchiveError::NoMatch {
                    archive: self.root.display().to_string(),
                    what: "entry",
                    path: glob.to_owned(),
                    help: String::new(),
                },
            ));
        }
        self.found.sort_by(|one, other| one.path.cmp(&other.path));
        self.check_tracked()?;
        Ok(self.found)
    }

    /// Walks through a directory; says whether anything of it was taken.
    fn directory(
        &mut self,
        fd: BorrowedFd<'_>,
        path: &[u8],
        dev: u64,
        above: Verdict,
        depth: usize,
    ) -> Result<bool, DirectoryError> {
        if depth > DEPTH {
            let problem = "is too deep: at most 200 directories in each other are read";
            return Err(unfit(path, problem));
        }
        let mut taken = false;
        let names = Dir::read_from(fd).map_err(|error| failed(path, error))?;
        for name in names {
            let name = name.map_err(|error| failed(path, error))?;
            let name = name.file_name();
            if !matches!(name.to_bytes(), b"." | b".." | b".git") {
                taken |= self.entry(fd, name, path, dev, above, depth)?;
            }
        }
        Ok(taken)
    }

    fn entry(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &CStr,
        directory: &[u8],
        dev: u64,
        above: Verdict,
        depth: usize,
    ) -> Result<bool, DirectoryError> {
        let mut path = directory.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let tracked = match &self.tracked {
            None => None,
            Some(tracked) => match tracked.get(&path) {
                Some(kind) => Some(*kind),
                None if has_below(tracked, &path) => None,
                None => return Ok(false),
            },
        };
        let verdict = self.selector.judge(&path, above);
        if verdict == Verdict::Excluded {
            return Ok(false);
        }
        let stat =
            statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| failed(&path, error))?;
        let (stamp, selected) = (Stamp::of(&stat), verdict == Verdict::In);
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                if tracked == Some(Tracked::Submodule) && selected {
                    return Err(special(&path, "another git repository (a submodule)"));
                }
                if !selected && !self.selector.may_be_below(&path) {
                    return Ok(false);
                }
                let below = self.below(fd, name, &path, (dev, stamp.dev), verdict, depth)?;
                // Git has no directories but those above files.
                if !(below || selected && self.tracked.is_none()) {
                    return Ok(false);
                }
                Kind::Directory
            }
            _ if !selected => return Ok(false),
            FileType::RegularFile => Kind::File {
                executable: match tracked {
                    Some(kind) => kind == Tracked::Executable,
                    None => stat.st_mode & 0o100 != 0,
                },
            },
            FileType::Symlink => {
                let target =
                    readlinkat(fd, name, Vec::new()).map_err(|error| failed(&path, error))?;
                Kind::Symlink(target.into_bytes())
            }
            FileType::Fifo => return Err(special(&path, "a named pipe")),
            FileType::Socket => return Err(special(&path, "a socket")),
            FileType::CharacterDevice => return Err(special(&path, "a character device")),
            FileType::BlockDevice => return Err(special(&path, "a block device")),
            _ => return Err(special(&path, "of an unknown kind")),
        };
        check(&path, &kind, stamp.size)?;
        if self.found.len() >= ENTRIES {
            return Err(DirectoryError::TooMany { limit: ENTRIES });
        }
        self.found.push(Found { path, kind, stamp });
        Ok(true)
    }

    /// Walks through a directory in a directory, whose devices are `devs`.
    fn below(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
        devs: (u64, u64),
        verdict: Verdict,
        depth: usize,
    ) -> Result<bool, DirectoryError> {
        let whole = self.root.join(os(path));
        if let Some((_, what)) = self.private.iter().find(|(path, _)| *path == whole) {
            let path = shown(path);
            return Err(DirectoryError::Private { path, what });
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = openat(fd, name, flags, Mode::empty()).map_err(|error| failed(path, error))?;
        if devs.0 != devs.1
            && let Some(place) = kernel_file_system(&inner).or(kernel_device(devs.1))
        {
            let path = shown(path);
            return Err(DirectoryError::Kernel { path, place });
        }
        self.directory(inner.as_fd(), path, devs.1, verdict, depth + 1)
    }

    /// Holds what was found to what git tracks.
    fn check_tracked(&mut self) -> Result<(), DirectoryError> {
        let Some(tracked) = self.tracked.take() else {
            return Ok(());
        };
        for (path, kind) in tracked {
            let wanted = match kind {
                Tracked::File | Tracked::Executable => "a file",
                Tracked::Symlink => "a symlink",
                Tracked::Submodule => "another repository",
            };
            let at = self.found.binary_search_by(|found| found.path.cmp(&path));
            if at.is_err() && !self.selects(&path) {
                continue;
            }
            let kind = self.found.get(at.unwrap_or(usize::MAX));
            let found = match kind.map(|found| &found.kind) {
                None => "nothing",
                Some(Kind::File { .. }) => "a file",
                Some(Kind::Symlink(_)) => "a symlink",
                Some(Kind::Directory) => "a directory",
            };
            if found != wanted {
                let path = shown(&path);
                return Err(DirectoryError::Untrue {
                    path,
                    wanted,
                    found,
                });
            }
        }
        Ok(())
    }

    /// Says whether the patterns take a path, whatever is there.
    fn selects(&mut self, path: &[u8]) -> bool {
        let mut verdict = self.selector.root();
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends: Vec<usize> = ends.map(|(at, _)| at).chain([path.len()]).collect();
        for end in ends {
            verdict = self.selector.judge(&path[..end], verdict);
        }
        verdict == Verdict::In
    }
}

fn has_below(tracked: &BTreeMap<Vec<u8>, Tracked>, path: &[u8]) -> bool {
    let prefix = [path, b"/"].concat();
    let next = tracked.range(prefix.clone()..).next();
    next.is_some_and(|(below, _)| below.starts_with(&prefix))
}

/// Refuses what does not go into an archive.
fn check(path: &[u8], kind: &Kind, size: u64) -> Result<(), DirectoryError> {
    let problem = match kind {
        _ if path.contains(&b'\n') => "has a line break in its name",
        _ if path.len() > PATH_MAX => "has a path of more than 4095 bytes",
        Kind::File { .. } if size >= FILE_LIMIT => {
            "has 4 GiB or more: an archive holds files below that"
        }
        Kind::Symlink(target) if target.len() > PATH_MAX => "has a target of more than 4095 bytes",
        _ => return Ok(()),
    };
    Err(unfit(path, problem))
}

fn unfit(path: &[u8], problem: &'static str) -> DirectoryError {
    let path = shown(path);
    DirectoryError::Unfit { path, problem }
}

fn special(path: &[u8], what: &'static str) -> DirectoryError {
    let path = shown(path);
    DirectoryError::Special { path, what }
}

pub(super) fn failed(path: &[u8], error: impl Into<io::Error>) -> DirectoryError {
    DirectoryError::Io {
        path: shown(path),
        source: error.into(),
    }
}

/// Returns a path as the system takes it.
pub(super) fn os(path: &[u8]) -> &OsStr {
    OsStr::from_bytes(path)
}
