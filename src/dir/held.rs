//! A directory that is held open, and what is below it, reached through no symlink.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, retry_on_intr};

/// How a directory on the way is opened: on Linux without the right to list it.
#[cfg(target_os = "linux")]
const WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
#[cfg(not(target_os = "linux"))]
const WAY: OFlags = OFlags::DIRECTORY;

/// A directory that is held open.
#[derive(Debug)]
pub(super) struct Held {
    /// Where it was when it was opened: absolute, without a symlink.
    pub(super) path: PathBuf,
    fd: OwnedFd,
    /// Has this system `openat2`, which checks the whole way in one call?
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    at_once: bool,
}

impl Held {
    /// Opens a directory. It may be named through symlinks: the name is the user's.
    pub(super) fn open(path: &Path) -> io::Result<Held> {
        let path = std::fs::canonicalize(path)?;
        let flags = WAY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| openat(CWD, &path, flags, Mode::empty()))?;
        let at_once = has_openat2(&fd);
        Ok(Held { path, fd, at_once })
    }

    /// Does without `openat2`, as on other systems and older kernels.
    #[cfg(test)]
    pub(super) fn step_by_step(mut self) -> Held {
        self.at_once = false;
        self
    }

    /// Opens what is at a relative path; the empty one is the directory itself.
    pub(super) fn at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let opened = self.reach(path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode);
        opened.map_err(|error| self.explain(path, error))
    }

    /// Opens the directory that a relative path is in; returns the name in it too.
    pub(super) fn above(&self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let above = path.parent().unwrap_or(Path::new(""));
        Ok((self.at(above, WAY, Mode::empty())?, name))
    }

    fn reach(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let plain = |part| matches!(part, Component::Normal(_));
        if !path.components().all(plain) {
            return Err(Errno::INVAL);
        }
        let path = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        #[cfg(target_os = "linux")]
        if self.at_once {
            use rustix::fs::{ResolveFlags, openat2};
            let rules =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            return retry_on_intr(|| openat2(&self.fd, path, flags, mode, rules));
        }
        let mut parts = path.iter().peekable();
        let mut way: Option<OwnedFd> = None;
        loop {
            let part = parts.next().ok_or(Errno::INVAL)?;
            let last = parts.peek().is_none();
            let (flags, mode) = match last {
                true => (flags, mode),
                false => (WAY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()),
            };
            let from = way.as_ref().unwrap_or(&self.fd);
            let next = retry_on_intr(|| openat(from, part, flags, mode))?;
            if last {
                return Ok(next);
            }
            way = Some(next);
        }
    }

    /// Returns an error that says what is in the way, where something is that should not be there.
    fn explain(&self, path: &Path, error: Errno) -> io::Error {
        if !matches!(
            error,
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::XDEV
        ) {
            return error.into();
        }
        let mut above: Vec<&Path> = path.ancestors().collect();
        above.reverse();
        for part in above.into_iter().filter(|part| part.file_name().is_some()) {
            let directory = part.parent().unwrap_or(Path::new(""));
            let found = self.reach(directory, WAY | OFlags::CLOEXEC, Mode::empty());
            let name = part.file_name().unwrap_or_default();
            let stat = found.and_then(|found| statat(&found, name, AtFlags::SYMLINK_NOFOLLOW));
            let Ok(stat) = stat else {
                break;
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind != FileType::Directory {
                return refused(&self.path.join(part), kind);
            }
        }
        error.into()
    }
}

/// Returns the error for something that mkimg does not open.
pub(super) fn refused(path: &Path, kind: FileType) -> io::Error {
    let (what, why) = match kind {
        FileType::Symlink => ("a symlink", "none is followed below a cache"),
        FileType::Fifo => ("a FIFO", "no file or directory"),
        FileType::Socket => ("a socket", "no file or directory"),
        FileType::CharacterDevice | FileType::BlockDevice => ("a device", "no file or directory"),
        FileType::Directory => ("a directory", "no file"),
        FileType::RegularFile => ("a file", "no directory"),
        _ => ("something else", "no file or directory"),
    };
    let path = path.display();
    io::Error::other(format!("`{path}` is {what}, {why}: remove it"))
}

#[cfg(target_os = "linux")]
fn has_openat2(directory: &OwnedFd) -> bool {
    use rustix::fs::{ResolveFlags, openat2};
    // Where it is missing, or a container's filter refuses it, the answer is an error.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(directory, ".", flags, Mode::empty(), ResolveFlags::BENEATH).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn has_openat2(_: &OwnedFd) -> bool {
    false
}
