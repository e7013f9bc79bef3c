//! What kind of archive a file is, by its bytes, and where its tar stream is.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use super::archive_error::ArchiveError;
use super::deb::{self, DebError, Part, Shell};
use super::tape::{Input, Tape};
use super::tar::is_header;
use super::unpack::{Format, unsupported};
use crate::dir;
use crate::progress::Progress;
use crate::store::Blob;

/// The bytes at the beginning of a file that tell its kind.
const HEAD: u64 = 512;

/// A kind of archive that members can be read out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// A Debian package.
    Deb,
    /// A tar archive, compressed or not.
    Tar,
}

/// Returns the kind of archive whose file begins with `head`, of which 512 bytes are needed; `None` is no archive. What is
/// compressed is taken for a tar archive: whether it is one shows when it is read. No name is looked at.
pub fn archive_kind(head: &[u8]) -> Option<ArchiveKind> {
    if head.starts_with(deb::MAGIC) {
        return Some(ArchiveKind::Deb);
    }
    let plain = head.first_chunk().is_some_and(is_header);
    (Format::of(head).is_some() || plain).then_some(ArchiveKind::Tar)
}

/// An archive whose kind is known.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    name: &'a str,
    blob: &'a Blob,
    kind: ArchiveKind,
    format: Format,
    offset: u64,
    size: u64,
}

impl<'a> Archive<'a> {
    /// Finds out what a blob is. Of a `.deb` the whole outer shell is checked, its files' bytes are not.
    pub(super) fn open(blob: &'a Blob, name: &'a str) -> Result<Archive<'a>, ArchiveError> {
        Archive::open_at(blob, name, |shell| shell.data)
    }

    /// Finds the control archive of a `.deb`; `None` where the blob is none.
    pub(super) fn control(
        blob: &'a Blob,
        name: &'a str,
    ) -> Result<Option<Archive<'a>>, ArchiveError> {
        let mut magic = Vec::new();
        dir::open(&blob.path)
            .and_then(|file| file.take(deb::MAGIC.len() as u64).read_to_end(&mut magic))
            .map_err(|source| read_error(blob, name, source))?;
        if magic != deb::MAGIC {
            return Ok(None);
        }
        Archive::open_at(blob, name, |shell| shell.control).map(Some)
    }

    fn open_at(
        blob: &'a Blob,
        name: &'a str,
        part: impl Fn(Shell) -> Part,
    ) -> Result<Archive<'a>, ArchiveError> {
        let failed = |source| read_error(blob, name, source);
        let mut file = dir::open(&blob.path).map_err(failed)?;
        let mut head = Vec::new();
        (&mut file)
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(failed)?;
        let archive = |kind, format, offset, size| Archive {
            name,
            blob,
            kind,
            format,
            offset,
            size,
        };
        match (archive_kind(&head), unsupported(&head)) {
            (Some(ArchiveKind::Deb), _) => {
                let shell = deb::find(&mut file, blob.size).map_err(|error| match error {
                    DebError::Io(source) => failed(source),
                    DebError::Problem(problem) => ArchiveError::Deb {
                        archive: name.to_owned(),
                        problem,
                    },
                })?;
                let part = part(shell);
                Ok(archive(
                    ArchiveKind::Deb,
                    part.format,
                    part.offset,
                    part.size,
                ))
            }
            (Some(ArchiveKind::Tar), _) => {
                let format = Format::of(&head).unwrap_or(Format::Plain);
                Ok(archive(ArchiveKind::Tar, format, 0, blob.size))
            }
            // A tar archive of no members is nothing but zeros; what only begins with them is found out while it is read.
            (None, _) if head == [0; HEAD as usize] => {
                Ok(archive(ArchiveKind::Tar, Format::Plain, 0, blob.size))
            }
            (None, Some(found)) => Err(ArchiveError::Unsupported {
                archive: name.to_owned(),
                found,
            }),
            (None, None) => Err(ArchiveError::NotAnArchive {
                archive: name.to_owned(),
            }),
        }
    }

    /// Says whether it is a Debian package.
    pub(super) fn is_deb(&self) -> bool {
        self.kind == ArchiveKind::Deb
    }

    /// Returns its tar stream from the beginning.
    pub(super) fn tape(
        &self,
        threads: usize,
        limit: u64,
        progress: &'a dyn Progress,
    ) -> Result<Tape<'a>, ArchiveError> {
        let failed = |source| read_error(self.blob, self.name, source);
        let mut file = dir::open(&self.blob.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let input = Input::new(file.take(self.size), self.offset, progress);
        Ok(Tape::new(self.name, self.format, input, threads, limit))
    }
}

fn read_error(blob: &Blob, name: &str, source: io::Error) -> ArchiveError {
    ArchiveError::Read {
        archive: name.to_owned(),
        path: blob.path.clone(),
        source,
    }
}
