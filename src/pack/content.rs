//! Copies the bytes of files into the archive, and compares them with what their entries say.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::digest::{Digest, Hasher};
use crate::dir;
use crate::tree::{Content, EntryPath, Place, Region};

use super::PackError;
use super::blocks::Blocks;

/// The reader of contents. It keeps the last file open: the members of an archive are thousands of parts of one file.
#[derive(Default)]
pub(super) struct Contents<'t> {
    open: Option<(&'t Path, File)>,
}

impl<'t> Contents<'t> {
    /// Copies the bytes of the file at `path`.
    pub(super) fn copy(
        &mut self,
        path: &EntryPath,
        content: &'t Content,
        blocks: &mut Blocks<'_>,
    ) -> Result<(), PackError> {
        let (actual, place) = match &content.place {
            Place::Memory(bytes) => {
                if bytes.len() as u64 != content.size {
                    return Err(PackError::Length {
                        path: path.clone(),
                        place: None,
                        expected: content.size,
                        actual: bytes.len() as u64,
                    });
                }
                blocks.put(bytes)?;
                (Digest::of(bytes), None)
            }
            Place::File(region) => (
                self.copy_region(path, region, content.size, blocks)?,
                Some(region.path.clone()),
            ),
        };
        if actual == content.digest {
            return Ok(());
        }
        Err(PackError::Damaged {
            path: path.clone(),
            place,
            expected: content.digest,
            actual,
        })
    }

    /// Reads straight into the block, where the bytes are hashed while they are still in the processor's cache.
    fn copy_region(
        &mut self,
        path: &EntryPath,
        region: &'t Region,
        size: u64,
        blocks: &mut Blocks<'_>,
    ) -> Result<Digest, PackError> {
        let failed = |source| PackError::Read {
            path: path.clone(),
            place: region.path.clone(),
            source,
        };
        let file = self.file(&region.path).map_err(failed)?;
        let mut hasher = Hasher::new();
        let mut done = 0u64;
        while done < size {
            let room = blocks.room()?;
            let wanted = room
                .len()
                .min(usize::try_from(size - done).unwrap_or(usize::MAX));
            let room = &mut room[..wanted];
            let count = match file.read_at(room, region.offset.saturating_add(done)) {
                Ok(0) => {
                    return Err(PackError::Length {
                        path: path.clone(),
                        place: Some(region.path.clone()),
                        expected: size,
                        actual: done,
                    });
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            hasher.update(&room[..count]);
            blocks.advance(count);
            done += count as u64;
        }
        Ok(hasher.finish())
    }

    fn file(&mut self, path: &'t Path) -> io::Result<&File> {
        let kept = self.open.take().filter(|(kept, _)| *kept == path);
        let open = match kept {
            Some(open) => open,
            None => (path, dir::open(path)?),
        };
        Ok(&self.open.insert(open).1)
    }
}
