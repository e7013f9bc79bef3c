//! What is at a path.

use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use crate::digest::Digest;
use crate::dir;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The permission bits, at most 0o7777. Of a symlink always 0o777, as Linux reports it.
    pub mode: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Which entry of the recipe put it here (its index); `None` for a parent that was made as needed.
    pub origin: Option<usize>,
}

impl Entry {
    /// Returns a directory that was made since something is in it.
    pub(super) fn parent() -> Entry {
        Entry {
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            origin: None,
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link with its body, which is not interpreted.
    Symlink(Vec<u8>),
    /// A device node.
    Device {
        /// Character or block.
        class: DeviceClass,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

impl Kind {
    /// Returns the word for it in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Directory => "directory",
            Kind::File(_) => "file",
            Kind::Symlink(_) => "symlink",
            Kind::Device { .. } => "device",
        }
    }
}

/// The two kinds of device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceClass {
    /// Character device.
    Char,
    /// Block device.
    Block,
}

/// The bytes of a regular file: what they are, and where they can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The sha256 of the bytes. Whoever reads them compares.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Where they are.
    pub place: Place,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Here.
    Memory(Arc<[u8]>),
    /// In a file of this machine.
    File(Region),
}

/// A part of a file of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The file.
    pub path: PathBuf,
    /// Where the part begins, in bytes.
    pub offset: u64,
}

impl Content {
    /// Returns the content that is the bytes themselves.
    pub fn memory(bytes: impl Into<Arc<[u8]>>) -> Content {
        let bytes = bytes.into();
        Content {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            place: Place::Memory(bytes),
        }
    }

    /// Opens the bytes for reading; they end after `size` at the latest. Nothing is compared.
    ///
    /// # Errors
    /// Whatever opening the file gives.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        self.open_at(0)
    }

    /// Opens the bytes from an offset on; nothing follows where it is behind the end.
    fn open_at(&self, at: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        let at = at.min(self.size);
        match &self.place {
            Place::Memory(bytes) => {
                let at = usize::try_from(at).unwrap_or(bytes.len());
                Ok(Box::new(bytes.get(at..).unwrap_or_default()))
            }
            Place::File(region) => {
                let mut file = dir::open(&region.path)?;
                let start = region.offset.saturating_add(at);
                if start > 0 {
                    file.seek(SeekFrom::Start(start))?;
                }
                Ok(Box::new(file.take(self.size - at)))
            }
        }
    }

    /// Reads at most the first `limit` bytes. Nothing is compared.
    ///
    /// # Errors
    /// Whatever opening or reading the file gives.
    pub fn head(&self, limit: u64) -> io::Result<Vec<u8>> {
        self.piece(0, limit)
    }

    /// Reads at most `limit` bytes from an offset on. Nothing is compared.
    ///
    /// # Errors
    /// Whatever opening or reading the file gives.
    pub fn piece(&self, at: u64, limit: u64) -> io::Result<Vec<u8>> {
        let mut piece = Vec::new();
        self.open_at(at)?.take(limit).read_to_end(&mut piece)?;
        Ok(piece)
    }
}
