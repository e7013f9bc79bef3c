//! What can go wrong when a tree is packed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::tree::EntryPath;

/// A failure to pack a tree.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The size field of a newc header has 32 bits.
    #[error("`{path}` has {size} bytes: an archive holds files below 4 GiB, which is 4294967296")]
    TooLarge {
        /// The entry.
        path: EntryPath,
        /// Its size in bytes.
        size: u64,
    },
    /// The mode has bits that are no permissions.
    #[error("`{path}` has the mode {mode:#o}, at most 0o7777 is possible")]
    Mode {
        /// The entry.
        path: EntryPath,
        /// Its mode.
        mode: u32,
    },
    /// The kernel's device numbers have 12 bits for the major and 20 for the minor number (`MINORBITS` in `linux/kdev_t.h`).
    #[error("`{path}` is the device {major}:{minor}, but the kernel's numbers end at 4095:1048575")]
    Device {
        /// The entry.
        path: EntryPath,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A symlink that the kernel would skip without a word: `do_symlink` in `init/initramfs.c` can make only what `symlink(2)` takes.
    #[error("the target of the symlink `{path}` is {what}, which the kernel would skip")]
    Target {
        /// The entry.
        path: EntryPath,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Inode numbers have 32 bits.
    #[error("the tree has more entries than there are inode numbers, 4294967296")]
    Entries,
    /// The bytes of a file have another number than its entry says.
    #[error("`{path}` should have {expected} bytes, {} has {actual}", Where(.place))]
    Length {
        /// The entry.
        path: EntryPath,
        /// The file that its bytes were read from; `None` where they are in memory.
        place: Option<PathBuf>,
        /// The size that the entry says.
        expected: u64,
        /// The bytes that are there.
        actual: u64,
    },
    /// The bytes of a file are not the ones that its entry says.
    #[error("`{path}` is damaged in {}: expected sha256 {expected}, found {actual}", Where(.place))]
    Damaged {
        /// The entry.
        path: EntryPath,
        /// The file that its bytes were read from; `None` where they are in memory.
        place: Option<PathBuf>,
        /// The digest that the entry says.
        expected: Digest,
        /// The digest of what was read.
        actual: Digest,
    },
    /// The bytes of a file cannot be read.
    #[error("the bytes of `{path}` cannot be read from `{}`", .place.display())]
    Read {
        /// The entry.
        path: EntryPath,
        /// The file that holds its bytes.
        place: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The image cannot be written.
    #[error("the image cannot be written")]
    Write(#[source] io::Error),
    /// libdeflate has no such level.
    #[error("gzip has the levels 1 to 12, not {0}")]
    Level(u8),
    /// The system gives no thread.
    #[error("no thread to compress with")]
    Thread(#[source] io::Error),
    /// A bug: a compressing thread gave up, or libdeflate wrote what is no deflate stream.
    #[error("compressing failed: {0}; this is a bug")]
    Compress(&'static str),
}

impl PackError {
    /// Returns the file of this machine whose bytes turned out to be missing or wrong, for a cache to heal.
    pub fn place(&self) -> Option<&Path> {
        match self {
            PackError::Length { place, .. } | PackError::Damaged { place, .. } => place.as_deref(),
            PackError::Read { place, .. } => Some(place),
            _ => None,
        }
    }
}

/// Prints where bytes were read from.
struct Where<'a>(&'a Option<PathBuf>);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(place) => write!(f, "`{}`", place.display()),
            None => f.write_str("memory"),
        }
    }
}
