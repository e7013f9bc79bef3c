//! A directory as one file, for what leaves this machine: a plain newc archive, as GNU cpio and mkimg itself read it.
//!
//! ```text
//! members --pack--> blob        file --members--> members, whose bytes are in that file
//! ```

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;

use crate::digest;
use crate::pack::read::{ReadError, Reader, Record};
use crate::pack::{self, Compression, PackError};
use crate::source::directory::DirectoryError;
use crate::source::{Content, Member, MemberKind};
use crate::store::{Blob, Store, StoreError};
use crate::tree::{self, Conflict, Entry, EntryPath, Kind, Place, Region, Tree};

/// Why a directory cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackedError {
    /// A path that no archive has.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// What it holds.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The cache.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Packs members, sorted by path, into a blob. The same members give the same bytes.
pub(super) fn pack(members: &[Member], store: &Store) -> Result<Blob, PackedError> {
    let mut tree = Tree::new(0);
    for member in members {
        let kind = match &member.kind {
            MemberKind::File(file) => Kind::File(tree::Content {
                digest: file.digest,
                size: file.size,
                place: Place::File(Region {
                    path: file.path.clone(),
                    offset: file.offset,
                }),
            }),
            MemberKind::Symlink(target) => Kind::Symlink(target.clone()),
            _ => Kind::Directory,
        };
        let entry = Entry {
            kind,
            mode: member.mode,
            uid: 0,
            gid: 0,
            origin: Some(0),
        };
        // What several nodes take of one directory is in it once.
        if let Ok(path) = EntryPath::new(&member.path)
            && tree.get(&path).is_none_or(|there| *there != entry)
        {
            tree.insert(path, entry)?;
        }
    }
    let mut out = store.blob_writer()?;
    let one = NonZeroUsize::MIN;
    pack::pack(&tree, Compression::None, one, &mut out, &mut |_| {})?;
    out.flush()
        .map_err(|error| StoreError::io("write into the cache", store.root(), error))?;
    Ok(out.commit()?)
}

/// Reads the members of a packed directory, sorted by path.
pub(super) fn members(
    file: impl std::io::Read,
    path: &Path,
) -> Result<Vec<Member>, DirectoryError> {
    let wrong = |error: ReadError| DirectoryError::Packed(error.to_string());
    let mut reader = Reader::new(BufReader::with_capacity(128 * 1024, file));
    let mut members = Vec::new();
    while let Some(record) = reader.next_record().map_err(wrong)? {
        if reader
            .segments()
            .iter()
            .any(|segment| segment.compression != "none")
        {
            return Err(DirectoryError::Packed("it is compressed".to_owned()));
        }
        let kind = if record.is_directory() {
            MemberKind::Directory
        } else if record.is_symlink() {
            MemberKind::Symlink(reader.target().map_err(wrong)?)
        } else if record.is_file() {
            let unread = |error: std::io::Error| DirectoryError::Packed(error.to_string());
            let (digest, size) = digest::of_reader(&mut reader.body()).map_err(unread)?;
            MemberKind::File(Content {
                digest,
                size,
                path: path.to_path_buf(),
                offset: data(&record),
            })
        } else {
            return Err(DirectoryError::Special {
                path: crate::text::shown(record.path()),
                what: "a device, or of an unknown kind",
            });
        };
        members.push(Member {
            path: record.path().to_vec(),
            mode: match &kind {
                MemberKind::Symlink(_) => 0o777,
                MemberKind::File(_) if record.mode & 0o100 == 0 => 0o644,
                _ => 0o755,
            },
            kind,
            uid: 0,
            gid: 0,
        });
    }
    members.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(members)
}

/// Returns where the bytes of a file begin: behind 110 bytes of header, the name and its NUL, filled up to a multiple of 4.
fn data(record: &Record) -> u64 {
    (record.offset + 110 + record.name.len() as u64 + 1).next_multiple_of(4)
}

/// Opens a packed directory and reads its members.
pub(super) fn open(path: &Path) -> Result<Vec<Member>, DirectoryError> {
    let open = crate::dir::open(path);
    let file: File = open.map_err(|error| DirectoryError::Packed(error.to_string()))?;
    members(file.take(1 << 40), path)
}
