//! The one way to files below a cache.
//!
//! The cache's directory is held open ([`hold`]), and what is below it is reached from there, relative to it: by `openat2`
//! with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`, or one directory after the other where the system has no such call.
//! No symlink below it is ever followed, and what should be a file and is a FIFO, a socket or a device is an error at once:
//! whoever put it there decides nothing but that error.
//!
//! Paths are absolute, as others name them: each function looks for the held directory that its path is below. What only reads
//! ([`open`], [`read`], [`metadata`]) takes any path: one that is below none is the user's own, and is opened as it stands.

mod held;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use held::{Held, refused};

/// How many directories are held that nobody keeps any more: of a cache that is closed paths are still in use.
const AFTERWARDS: usize = 16;

/// The directories that this process holds.
static HELD: Mutex<Vec<Arc<Held>>> = Mutex::new(Vec::new());

/// Keeps a directory held as long as it lives.
#[derive(Debug)]
pub struct Hold {
    _held: Option<Arc<Held>>,
}

/// Holds a directory open from now on, and returns its path: absolute and without symlinks, though `path` may lead through some.
///
/// # Errors
/// The system's, where there is no such directory or it cannot be opened.
pub fn hold(path: &Path) -> io::Result<PathBuf> {
    Ok(keep(Held::open(path)?))
}

fn keep(new: Held) -> PathBuf {
    let path = new.path.clone();
    let mut held = HELD.lock().unwrap_or_else(|poison| poison.into_inner());
    // Another directory may be at the path by now.
    held.retain(|other| other.path != path);
    held.push(Arc::new(new));
    // The oldest go first. A program holds two or three, a test of it hundreds.
    let unkept = |held: &Arc<Held>| Arc::strong_count(held) == 1;
    let mut surplus = held.iter().filter(|held| unkept(held)).count();
    held.retain(|held| {
        let goes = unkept(held) && surplus > AFTERWARDS;
        surplus -= usize::from(goes);
        !goes
    });
    path
}

/// Keeps the held directory that a path is below.
pub fn keep_held(path: &Path) -> Hold {
    Hold {
        _held: find(path).map(|(held, _)| held),
    }
}

/// Returns the held directory that a path is below, and the rest of the path, in which a `..` takes back what stands before it:
/// no symlink is below a held directory that would make it mean anything else.
fn find(path: &Path) -> Option<(Arc<Held>, Cow<'_, Path>)> {
    let held = HELD.lock().unwrap_or_else(|poison| poison.into_inner());
    let below = held
        .iter()
        .filter_map(|held| Some((held, path.strip_prefix(&held.path).ok()?)));
    let (held, rest) = below.min_by_key(|(_, rest)| rest.as_os_str().len())?;
    let goes_back = rest.components().any(|part| part == Component::ParentDir);
    let rest = match goes_back {
        // What leads out of the directory is refused where it is opened.
        true => normal(rest).map_or(Cow::Borrowed(rest), Cow::Owned),
        false => Cow::Borrowed(rest),
    };
    Some((held.clone(), rest))
}

/// Says whether a path is below a held directory.
pub fn is_held(path: &Path) -> bool {
    find(path).is_some()
}

/// Returns a relative path without `..`; nothing where it leads out.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !normal.pop() => return None,
            Component::ParentDir => {}
            part => normal.push(part),
        }
    }
    Some(normal)
}

fn held(path: &Path) -> io::Result<(Arc<Held>, Cow<'_, Path>)> {
    find(path).ok_or_else(|| io::Error::other("it is not below the cache"))
}

/// Opens the directory that something is in, for a call that works on the name alone.
fn above(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let (held, rest) = held(path)?;
    held.above(&rest)
}

/// Opens what must be a regular file. Without O_NONBLOCK a FIFO would wait for somebody at its other end.
fn file(path: &Path, flags: OFlags) -> io::Result<File> {
    let (held, rest) = held(path)?;
    let mode = match flags.contains(OFlags::CREATE) {
        true => Mode::from_raw_mode(0o666),
        false => Mode::empty(),
    };
    let file = File::from(held.at(&rest, flags | OFlags::NONBLOCK, mode)?);
    let found = file.metadata()?;
    match found.is_file() {
        true => Ok(file),
        false => {
            let kind = FileType::from_raw_mode(found.permissions().mode() as _);
            Err(refused(path, kind))
        }
    }
}

/// Opens a file for reading.
///
/// # Errors
/// The system's; or with what is wrong, where a symlink is in the way, or it is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    match find(path) {
        Some(_) => file(path, OFlags::RDONLY),
        None => File::open(path),
    }
}

/// Reads a whole file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file that is text.
///
/// # Errors
/// As [`open`].
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Returns what is known about a file; below a held directory of a symlink itself.
///
/// # Errors
/// The system's; or with what is wrong, where a symlink is in the way.
pub fn metadata(path: &Path) -> io::Result<Metadata> {
    let Some((held, rest)) = find(path) else {
        return fs::metadata(path);
    };
    #[cfg(target_os = "linux")]
    return File::from(held.at(&rest, OFlags::PATH, Mode::empty())?).metadata();
    // Without O_PATH nothing can be opened just to be looked at: the way is checked, then the path is used.
    #[cfg(not(target_os = "linux"))]
    return match rest.file_name() {
        Some(_) => held.above(&rest).and_then(|_| fs::symlink_metadata(path)),
        None => directory(path)?.metadata(),
    };
}

/// Says whether something is at a path, be it a symlink that leads nowhere.
pub fn exists(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// Opens a file for reading and writing that is not there yet.
///
/// # Errors
/// The system's; or with what is wrong, where a symlink is in the way.
pub fn create_new(path: &Path) -> io::Result<File> {
    file(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
}

/// Opens a file for reading and writing that is there.
///
/// # Errors
/// As [`open`].
pub fn open_to_write(path: &Path) -> io::Result<File> {
    file(path, OFlags::RDWR)
}

/// Opens a file for reading and writing, and makes it with these permissions where it is missing. Those of one that is there
/// stay as they are: it may be a hard link to somebody's file.
///
/// # Errors
/// As [`open`].
pub fn open_or_create(path: &Path, mode: u32) -> io::Result<File> {
    loop {
        match open_to_write(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                file.set_permissions(fs::Permissions::from_mode(mode))?;
                return Ok(file);
            }
        }
    }
}

/// Writes a new file with these permissions.
///
/// # Errors
/// As [`create_new`].
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let mut file = create_new(path)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

/// Opens a directory.
///
/// # Errors
/// The system's; or with what is wrong, where a symlink is in the way.
pub fn directory(path: &Path) -> io::Result<File> {
    let (held, rest) = held(path)?;
    Ok(held.at(&rest, OFlags::DIRECTORY, Mode::empty())?.into())
}

/// Makes a directory that is not there yet, with these permissions whatever the umask.
///
/// # Errors
/// As [`create_new`].
pub fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    let (above, name) = above(path)?;
    rustix::fs::mkdirat(&above, &name, Mode::from_raw_mode(0o700))?;
    directory(path)?.set_permissions(fs::Permissions::from_mode(mode))
}

/// Makes a directory and those above it, where they are missing; readable by everyone, since a cache may be shared.
///
/// # Errors
/// As [`create_new`].
pub fn create_dirs(path: &Path) -> io::Result<()> {
    match directory(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // One that may be passed through and not listed.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        opened => return opened.map(drop),
    }
    if let Some(parent) = path.parent() {
        create_dirs(parent)?;
    }
    match create_dir(path, 0o755) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => directory(path).map(drop),
        made => made,
    }
}

/// Returns the paths in a directory, sorted.
///
/// # Errors
/// As [`directory`].
pub fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    let names = names(&directory(path)?)?;
    Ok(names.into_iter().map(|name| path.join(name)).collect())
}

fn names(directory: &File) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

/// Gives something another name.
///
/// # Errors
/// The system's; or with what is wrong, where a symlink is in the way.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let ((from, old), (to, new)) = (above(from)?, above(to)?);
    Ok(rustix::fs::renameat(from, old, to, new)?)
}

/// Gives a file a second name.
///
/// # Errors
/// As [`rename`].
pub fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    let ((from, old), (to, new)) = (above(from)?, above(to)?);
    Ok(rustix::fs::linkat(from, old, to, new, AtFlags::empty())?)
}

/// Makes a symlink to `target`.
///
/// # Errors
/// As [`rename`].
pub fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    let (above, name) = above(path)?;
    Ok(rustix::fs::symlinkat(target, above, name)?)
}

/// Returns where a symlink leads; it is not followed.
///
/// # Errors
/// As [`rename`].
pub fn read_link(path: &Path) -> io::Result<PathBuf> {
    let (above, name) = above(path)?;
    let target = rustix::fs::readlinkat(above, name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

/// Gives a file or directory the time of now.
///
/// # Errors
/// As [`rename`].
pub fn touch(path: &Path) -> io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    let (above, name) = above(path)?;
    Ok(utimensat(above, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Removes a file, or a directory with all that is in it; of a symlink itself.
///
/// # Errors
/// As [`rename`].
pub fn remove(path: &Path) -> io::Result<()> {
    let (above, name) = above(path)?;
    remove_at(above.as_fd(), &name)
}

fn remove_at(above: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    use rustix::fs::{openat, unlinkat};
    match unlinkat(above, name, AtFlags::empty()) {
        // What a system says of a directory: POSIX the one, Linux the other.
        Err(Errno::PERM | Errno::ISDIR) => {}
        removed => return Ok(removed?),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = File::from(openat(above, name, flags, Mode::empty())?);
    for name in names(&inside)? {
        match remove_at(inside.as_fd(), &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(unlinkat(above, name, AtFlags::REMOVEDIR)?)
}

/// Removes a directory where it is empty.
///
/// # Errors
/// As [`rename`].
pub fn remove_dir(path: &Path) -> io::Result<()> {
    let (above, name) = above(path)?;
    Ok(rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR)?)
}

#[cfg(test)]
mod tests;
