//! A member as an archive has it, and the walk over the members of an archive, whatever its form.

use super::archive_error::{ArchiveError, MemberProblem};

/// Files of this size and more do not fit into newc, whose sizes are 32 bits.
pub(super) const FILE_LIMIT: u64 = 1 << 32;

/// One member of an archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path, normal; empty is the root.
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
    /// The permission bits, at most 0o7777.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// The number of bytes of a file; else 0.
    pub(super) size: u64,
    /// The device and inode number that the names of one file share, where the format says hard links that way (cpio).
    pub(super) inode: Option<(u64, u64)>,
    /// Why it cannot be part of an image. Members that nobody wants may have such a flaw.
    pub(super) flaw: Option<MemberProblem>,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum EntryKind {
    File,
    /// To the normal path.
    HardLink(Vec<u8>),
    /// With its body.
    Symlink(Vec<u8>),
    Directory,
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
    Fifo,
}

impl EntryKind {
    /// Returns what it is, with an article.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            EntryKind::File => "a file",
            EntryKind::HardLink(_) => "a hard link",
            EntryKind::Symlink(_) => "a symlink",
            EntryKind::Directory => "a directory",
            EntryKind::Device { .. } => "a device",
            EntryKind::Fifo => "a named pipe",
        }
    }
}

/// Takes bytes of a member.
pub(super) type Sink<'s> = dyn FnMut(&[u8]) -> Result<(), ArchiveError> + 's;

/// Walks over the members of an archive, in its order.
pub(super) trait Walk {
    /// Returns the next member, passing over what is left of the one before; `None` at the archive's end, behind which
    /// everything was checked.
    fn next(&mut self) -> Result<Option<Entry>, ArchiveError>;

    /// Passes the current member's bytes to `sink`.
    fn body(&mut self, sink: &mut Sink) -> Result<(), ArchiveError>;

    /// Returns the number of plain bytes so far, the holes of sparse files included.
    fn position(&self) -> u64;
}
