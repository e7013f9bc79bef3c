//! Paths inside an image.

use std::fmt;

use crate::text::shown;

/// The longest path in bytes, its leading `/` and the NUL of the archive included in the kernel's count: `PATH_MAX` is 4096,
/// and `do_header` in `init/initramfs.c` skips an entry with a longer name without a word.
pub const PATH_MAX: usize = 4096;

/// The path of an entry: bytes, absolute and normal, kept without the leading `/` as the archive has it. Ordered by bytes,
/// which puts every parent before its children.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(Vec<u8>);

/// Why some bytes are no path of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing is left: the root has no entry of its own.
    #[error("it names the root, which has no entry of its own")]
    Root,
    /// More than [`PATH_MAX`] bytes.
    #[error("it is longer than 4095 bytes, which the kernel would skip without a word")]
    Long,
    /// A component is empty, `.` or `..`.
    #[error("a component of it is empty, `.` or `..`")]
    Component,
    /// A NUL byte ends a name in the archive.
    #[error("it has a NUL byte")]
    Nul,
    /// A line break would let one entry pass for two in every listing.
    #[error("it has a line break")]
    LineBreak,
    /// `TRAILER!!!` ends the archive.
    #[error("`TRAILER!!!` is what ends an archive")]
    Trailer,
}

impl EntryPath {
    /// Returns the path of the bytes, which have no leading `/`.
    ///
    /// # Errors
    /// [`PathError`] where they are no normal relative path.
    pub fn new(bytes: &[u8]) -> Result<EntryPath, PathError> {
        if bytes.is_empty() {
            return Err(PathError::Root);
        }
        if bytes.len() + 1 >= PATH_MAX {
            return Err(PathError::Long);
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        if bytes.contains(&b'\n') {
            return Err(PathError::LineBreak);
        }
        if bytes
            .split(|byte| *byte == b'/')
            .any(|part| matches!(part, b"" | b"." | b".."))
        {
            return Err(PathError::Component);
        }
        if bytes == b"TRAILER!!!" {
            return Err(PathError::Trailer);
        }
        Ok(EntryPath(bytes.to_vec()))
    }

    /// Returns a bound for a range query: not checked, never kept in a tree.
    pub(super) fn lower_bound(bytes: &[u8]) -> EntryPath {
        EntryPath(bytes.to_vec())
    }

    /// Returns the bytes, without the leading `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the directory that the entry is in; `None` is the root.
    pub fn parent(&self) -> Option<EntryPath> {
        let end = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(EntryPath(self.0[..end].to_vec()))
    }

    /// Returns the last component.
    pub fn name(&self) -> &[u8] {
        self.0
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or(&self.0)
    }
}

impl fmt::Display for EntryPath {
    /// Writes the path with its leading `/`, as [`shown`] has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("/{}", shown(&self.0)))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryPath({self})")
    }
}
