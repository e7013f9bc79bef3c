//! Files of this machine that a recipe names: which of them it may take, and reading them to where they said that they end.
//!
//! ```text
//! base, name --canonical--> path without symlinks --step by step, following nothing--> File --Read--> as many bytes as it has
//! ```
//!
//! The canonical path is what the rules are about, and nothing but what lies at it is opened: where a directory became a symlink
//! in between, opening fails. Without a hash a recipe has its own project alone (see [`Reach`]), and what the user allowed. With
//! one it may name any regular file, since who knows the hash knows the bytes; but never what the kernel makes up (`/proc`,
//! `/sys`, `/dev`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};

/// Why a file of this machine is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The system refuses.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// A directory.
    #[error("it is a directory")]
    Directory,
    /// A pipe, a socket, a device.
    #[error("it is no regular file")]
    NoFile,
    /// What the kernel makes up while it is read.
    #[error(
        "it leads to `{}`: nothing of {place} goes into an image", .path.display()
    )]
    Kernel {
        /// Where the name leads.
        path: PathBuf,
        /// The directory, or the kind of file system.
        place: &'static str,
    },
    /// A file without a hash, outside of the recipe's project.
    #[error("it leads to `{}`, which is not the recipe's project `{}`", .path.display(), .project.display())]
    Outside {
        /// Where the name leads.
        path: PathBuf,
        /// The project.
        project: PathBuf,
    },
    /// More bytes than it said.
    #[error(
        "it gives more than the {size} bytes that it said it has: it grows, or the kernel makes it up"
    )]
    Longer {
        /// The bytes that it has.
        size: u64,
    },
    /// Another length or time at the end of the reading.
    #[error("it changed while it was read")]
    Changed,
}

impl LocalError {
    /// Returns what to do.
    pub fn help(&self) -> String {
        match self {
            LocalError::Io(_) | LocalError::NoFile => {
                "correct the path (a relative one starts at the recipe's own directory)".to_owned()
            }
            LocalError::Directory => {
                "a whole directory is taken with `tree \"/\" local=\"..\"`".to_owned()
            }
            LocalError::Kernel { .. } => {
                "copy what is needed into a file beside the recipe, and name that".to_owned()
            }
            LocalError::Outside { path, .. } => format!(
                "copy it into the project; or, if you trust the recipe with it, allow it with `--allow-local {0}`, for good with \
                 `allow-local \"{0}\"` in `~/.config/mkimg/config.kdl`; or take it from a `source` with its sha256, which \
                 `mkimg add` prints",
                path.display()
            ),
            LocalError::Longer { .. } | LocalError::Changed => {
                "run mkimg again when nothing writes to it".to_owned()
            }
        }
    }

    /// Says whether there is nothing at the path.
    pub fn is_absent(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, LocalError::Io(error) if matches!(error.kind(), NotFound | NotADirectory))
    }
}

impl From<rustix::io::Errno> for LocalError {
    fn from(error: rustix::io::Errno) -> LocalError {
        LocalError::Io(error.into())
    }
}

/// The files that a recipe may take without their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    project: PathBuf,
    /// The home directory, where the project does not lie in it: what is there belongs to no project, even one around it.
    home: Option<PathBuf>,
    allowed: Vec<PathBuf>,
}

impl Reach {
    /// Returns the reach of a recipe in `base`: its project alone. `home` is the user's home directory.
    pub fn of(base: &Path, home: Option<&Path>) -> Reach {
        let home = home.and_then(|home| fs::canonicalize(home).ok());
        let project = project(base, home.as_deref());
        Reach {
            home: home.filter(|home| !project.starts_with(home)),
            project,
            allowed: Vec::new(),
        }
    }

    /// Adds a file, or a directory with everything below it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn allow(&mut self, path: &Path) -> io::Result<()> {
        self.allowed.push(fs::canonicalize(path)?);
        Ok(())
    }

    /// Returns the home directory, where nothing of it is the project's.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// Refuses a file that is outside.
    ///
    /// # Errors
    /// [`LocalError::Outside`].
    pub fn check(&self, file: &Regular) -> Result<(), LocalError> {
        self.check_path(&file.path)
    }

    /// Refuses what lies at a canonical path that is outside.
    ///
    /// # Errors
    /// [`LocalError::Outside`].
    pub fn check_path(&self, path: &Path) -> Result<(), LocalError> {
        let is_below = |root: &PathBuf| path.starts_with(root);
        let own = is_below(&self.project) && !self.home.as_ref().is_some_and(is_below);
        if own || self.allowed.iter().any(is_below) {
            return Ok(());
        }
        Err(LocalError::Outside {
            path: path.to_path_buf(),
            project: self.project.clone(),
        })
    }
}

/// What tells that a directory is a project's own, and none of several in one above it.
const MARKS: [&str; 3] = [".git", ".hg", ".jj"];

/// Returns the project of a recipe in `base`: the directory that holds `images/`, where the recipe lies in that, else `base`. A
/// repository that is itself called `images` ends there; neither `/` nor the home directory is a project for lying above an
/// `images/`. (A shared recipe is unpacked as deep in `images/` as its files' `..` need.)
fn project(base: &Path, home: Option<&Path>) -> PathBuf {
    let mut found = fs::canonicalize(base).unwrap_or_else(|_| base.to_path_buf());
    while found.file_name().is_some_and(|name| name == "images")
        && !MARKS.iter().any(|mark| found.join(mark).exists())
        && let Some(above) = found.parent()
        && above.parent().is_some()
        && home != Some(above)
    {
        found = above.to_path_buf();
    }
    found
}

/// What a file looked like: another stamp, other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    /// Returns the time of the last change, in seconds since 1970.
    pub fn changed(&self) -> i64 {
        self.ctime.0.max(self.mtime.0)
    }

    /// Returns it as a text of one line.
    pub fn text(&self) -> String {
        let Stamp {
            dev,
            ino,
            size,
            mtime,
            ctime,
        } = self;
        format!(
            "{dev} {ino} {size} {}.{:09} {}.{:09}",
            mtime.0, mtime.1, ctime.0, ctime.1
        )
    }
}

/// A regular file that is open. Read to its end it gives exactly the bytes that it has, or an error that holds a
/// [`LocalError`].
#[derive(Debug)]
pub struct Regular {
    file: File,
    path: PathBuf,
    stamp: Stamp,
    read: u64,
}

impl Regular {
    /// Opens a file that a recipe in `base` names.
    ///
    /// # Errors
    /// [`LocalError`] for what is no regular file, and for what the kernel makes up.
    pub fn open(base: &Path, name: &Path) -> Result<Regular, LocalError> {
        let file = Regular::open_found(canonical(base, name)?)?;
        match kernel_device(file.stamp.dev) {
            None => Ok(file),
            Some(place) => Err(LocalError::Kernel {
                path: file.path,
                place,
            }),
        }
    }

    /// Opens a file that the user named.
    ///
    /// # Errors
    /// [`LocalError`] for what is no regular file, and for what the kernel makes up.
    pub fn open_own(path: &Path) -> Result<Regular, LocalError> {
        Regular::open_found(fs::canonicalize(path).map_err(LocalError::Io)?)
    }

    fn open_found(path: PathBuf) -> Result<Regular, LocalError> {
        let file = open_canonical(&path)?;
        let found = file.metadata().map_err(LocalError::Io)?;
        // It may have become something else since it was looked at.
        if !found.is_file() {
            return Err(LocalError::NoFile);
        }
        if let Some(place) = kernel_file_system(&file) {
            return Err(LocalError::Kernel { path, place });
        }
        Ok(Regular {
            stamp: stamp(&found),
            file,
            path,
            read: 0,
        })
    }

    /// Returns where it is: a path without symlinks.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the bytes that it has.
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Returns what it looked like when it was opened.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn is_as_it_was(&self) -> io::Result<bool> {
        Ok(stamp(&self.file.metadata()?) == self.stamp)
    }
}

impl Read for Regular {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.stamp.size;
        let count = self.file.read(buffer)?;
        self.read += count as u64;
        if self.read > size {
            return Err(io::Error::other(LocalError::Longer { size }));
        }
        if count == 0 && !buffer.is_empty() && (self.read < size || !self.is_as_it_was()?) {
            return Err(io::Error::other(LocalError::Changed));
        }
        Ok(count)
    }
}

/// What a path leads to.
#[derive(Debug)]
pub enum Opened {
    /// A regular file.
    File(Regular),
    /// A directory, and where it is: a path without symlinks.
    Directory(OwnedFd, PathBuf),
}

/// Opens the file or directory that a recipe in `base` names.
///
/// # Errors
/// Those of [`Regular::open`].
pub fn open(base: &Path, name: &Path) -> Result<Opened, LocalError> {
    let path = canonical(base, name)?;
    if !path.is_dir() {
        return Regular::open(base, name).map(Opened::File);
    }
    open_directory(path)
}

/// Opens the directory at a canonical path.
///
/// # Errors
/// [`LocalError`] for what is none, and for what the kernel makes up.
pub fn open_directory(path: PathBuf) -> Result<Opened, LocalError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match (path.parent(), path.file_name()) {
        (Some(_), Some(last)) => openat(open_above(&path)?, last, flags, Mode::empty())?,
        _ => rustix::fs::open("/", flags, Mode::empty())?,
    };
    let dev = rustix::fs::fstat(&directory)?.st_dev;
    match kernel_file_system(&directory).or(kernel_device(dev)) {
        Some(place) => Err(LocalError::Kernel { path, place }),
        None => Ok(Opened::Directory(directory, path)),
    }
}

/// Returns where a name leads, unless that is a place of the kernel's.
fn canonical(base: &Path, name: &Path) -> Result<PathBuf, LocalError> {
    let named = base.join(name);
    let path = fs::canonicalize(&named).map_err(LocalError::Io)?;
    // What a name below `/proc` leads to may be a file like any other, but which one hangs on the process that asks.
    for path in [named, path.clone()] {
        match kernel_place(&path) {
            Some("/dev") if in_shared_memory(base, &path) => {}
            Some(place) => return Err(LocalError::Kernel { path, place }),
            None => {}
        }
    }
    Ok(path)
}

/// Returns the [`LocalError`] in what reading a [`Regular`] gave.
pub fn reading_error(error: io::Error) -> LocalError {
    error
        .downcast::<LocalError>()
        .unwrap_or_else(LocalError::Io)
}

fn stamp(found: &fs::Metadata) -> Stamp {
    Stamp {
        dev: found.dev(),
        ino: found.ino(),
        size: found.len(),
        mtime: (found.mtime(), found.mtime_nsec()),
        ctime: (found.ctime(), found.ctime_nsec()),
    }
}

/// A directory on the way needs no right but to pass.
#[cfg(target_os = "linux")]
const PASSING: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PASSING: OFlags = OFlags::RDONLY;

/// Opens what lies at a canonical path: no symlink is followed, nothing but a regular file is opened, and nothing is waited for.
fn open_canonical(path: &Path) -> Result<File, LocalError> {
    let last = path.file_name().ok_or(LocalError::Directory)?;
    let above = open_above(path)?;
    let found = statat(&above, last, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(LocalError::Directory),
        _ => return Err(LocalError::NoFile),
    }
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(openat(&above, last, flags, Mode::empty())?))
}

/// Opens the directory above a canonical path.
fn open_above(path: &Path) -> Result<OwnedFd, LocalError> {
    let directory = PASSING | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut above = rustix::fs::open("/", directory, Mode::empty())?;
    for part in path.parent().into_iter().flat_map(Path::components) {
        if let Component::Normal(name) = part {
            above = openat(&above, name, directory, Mode::empty())?;
        }
    }
    Ok(above)
}

/// Returns the directory of the kernel's that a path begins with.
fn kernel_place(path: &Path) -> Option<&'static str> {
    let places = ["/proc", "/sys", "/dev"];
    places.into_iter().find(|place| path.starts_with(place))
}

/// Says whether a path lies in a directory of shared memory that the recipe lies in, too: that is a file system like any other,
/// and the user's word that it serves as one.
fn in_shared_memory(base: &Path, path: &Path) -> bool {
    let base = fs::canonicalize(base).unwrap_or_else(|_| base.to_path_buf());
    let shared = base.strip_prefix("/dev/shm").ok();
    let top = shared.and_then(|rest| rest.components().next());
    top.is_some_and(|top| path.starts_with(Path::new("/dev/shm").join(top)))
}

/// Says whether a device is the file system of `/dev`, wherever else that is mounted: its kind does not tell it from a tmpfs.
pub(super) fn kernel_device(found: u64) -> Option<&'static str> {
    let dev = |path: &str| fs::metadata(path).map(|found| found.dev()).ok();
    let (root, devices) = (dev("/"), dev("/dev"));
    (devices != root && devices == Some(found)).then_some("/dev")
}

/// Returns what a file system is called whose files the kernel makes up (`include/uapi/linux/magic.h`).
#[cfg(target_os = "linux")]
pub(super) fn kernel_file_system(file: impl AsFd) -> Option<&'static str> {
    const KINDS: [(u32, &str); 26] = [
        (0x9fa0, "procfs"),
        (0x6265_6572, "sysfs"),
        (0x1cd1, "devpts"),
        (0x6462_6720, "debugfs"),
        (0x7472_6163, "tracefs"),
        (0x6265_6570, "configfs"),
        (0x7363_6673, "securityfs"),
        (0xf97c_ff8c, "selinuxfs"),
        (0x4341_5d53, "smackfs"),
        (0x5a3c_69f0, "apparmorfs"),
        (0xcafe_4a11, "bpf"),
        (0x0027_e0eb, "cgroup"),
        (0x6367_7270, "cgroup2"),
        (0xde5e_81e4, "efivarfs"),
        (0x6165_676c, "pstore"),
        (0x4249_4e4d, "binfmt_misc"),
        (0x1980_0202, "mqueue"),
        (0x6e73_6673, "nsfs"),
        (0x0765_5821, "resctrl"),
        (0x6573_5543, "fusectl"),
        (0xabba_1974, "xenfs"),
        (0x9fa1, "openpromfs"),
        (0x9fa2, "usbfs"),
        (0x6c6f_6f70, "binderfs"),
        (0x6759_6969, "rpc_pipefs"),
        (0x6e66_7364, "nfsd"),
    ];
    let found = rustix::fs::fstatfs(file).ok()?.f_type as u32;
    KINDS
        .into_iter()
        .find_map(|(magic, name)| (magic == found).then_some(name))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn kernel_file_system(_: impl AsFd) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests;
