//! The plain bytes of an archive, one after the other, counted.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};

use super::archive_error::{ArchiveError, StreamProblem};
use super::unpack::Format;
use crate::progress::{Event, Progress, Stage};

/// Plain bytes that are decoded at once.
const BUFFER: usize = 1 << 20;

/// The bytes of an archive's file, which tells how far it is.
pub(super) struct Input<'a> {
    file: Take<File>,
    done: u64,
    told: u64,
    progress: &'a dyn Progress,
}

/// Compressed bytes between two events.
const TELL: u64 = 512 * 1024;

impl<'a> Input<'a> {
    /// Returns the bytes of `file` that a [`Take`] gives; `done` are the ones before them.
    pub(super) fn new(file: Take<File>, done: u64, progress: &'a dyn Progress) -> Input<'a> {
        Input {
            file,
            done,
            told: done,
            progress,
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done += count as u64;
        if self.done - self.told >= TELL {
            self.told = self.done;
            self.progress.event(Event::StageAdvanced {
                stage: Stage::Read,
                done: self.done,
            });
        }
        Ok(count)
    }
}

/// The plain bytes. What is counted, and held to the limit, are the bytes that were asked for: never what a decoder has
/// ready beyond them, so that the count depends on the archive alone.
pub(super) struct Tape<'a> {
    archive: &'a str,
    form: &'static str,
    format: &'static Format,
    reader: BufReader<Box<dyn Read + 'a>>,
    read: u64,
    /// Bytes that were counted and not read.
    holes: u64,
    limit: u64,
}

impl<'a> Tape<'a> {
    /// Returns the tape of `input`, of which at most `limit` bytes may be read. `form` is what is on it, for messages.
    pub(super) fn new(
        archive: &'a str,
        form: &'static str,
        format: &'static Format,
        input: Input<'a>,
        threads: usize,
        limit: u64,
    ) -> Tape<'a> {
        Tape {
            archive,
            form,
            format,
            reader: BufReader::with_capacity(BUFFER, format.reader(input, threads)),
            read: 0,
            holes: 0,
            limit,
        }
    }

    /// Returns the archive's name.
    pub(super) fn archive(&self) -> &'a str {
        self.archive
    }

    /// Returns the number of bytes read or counted so far.
    pub(super) fn position(&self) -> u64 {
        self.read + self.holes
    }

    /// Counts zeros that a member has beyond its bytes on the tape.
    pub(super) fn count(&mut self, zeros: u64) -> Result<(), ArchiveError> {
        if zeros > self.limit.saturating_sub(self.position()) {
            return Err(self.too_large());
        }
        self.holes += zeros;
        Ok(())
    }

    fn too_large(&self) -> ArchiveError {
        ArchiveError::TooLarge {
            archive: self.archive.to_owned(),
            limit: self.limit,
        }
    }

    /// Returns the error for a problem at this place.
    pub(super) fn problem(&self, problem: StreamProblem) -> ArchiveError {
        ArchiveError::Stream {
            archive: self.archive.to_owned(),
            form: self.form,
            offset: self.read,
            problem,
        }
    }

    /// Passes the next bytes, at most `most` of them, to `sink`; returns how many, 0 at the end.
    fn some(
        &mut self,
        most: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<u64, ArchiveError> {
        let have = loop {
            match self.reader.fill_buf() {
                Ok(have) => break have,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ArchiveError::Decompress {
                        archive: self.archive.to_owned(),
                        format: self.format.name,
                        source,
                    });
                }
            }
        };
        let allowed = self.limit.saturating_sub(self.read + self.holes);
        if allowed == 0 && most > 0 && !have.is_empty() {
            return Err(self.too_large());
        }
        // Never more than the slice has.
        let count = most.min(allowed).min(have.len() as u64) as usize;
        sink(&have[..count])?;
        self.reader.consume(count);
        self.read += count as u64;
        Ok(count as u64)
    }

    /// Passes exactly `count` bytes to `sink`.
    pub(super) fn take(
        &mut self,
        mut count: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        while count > 0 {
            match self.some(count, sink)? {
                0 => return Err(self.problem(StreamProblem::Truncated)),
                some => count -= some,
            }
        }
        Ok(())
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), ArchiveError> {
        self.take(count, &mut |_| Ok(()))
    }

    /// Reads the next `N` bytes; `None` at the end.
    pub(super) fn block<const N: usize>(&mut self) -> Result<Option<[u8; N]>, ArchiveError> {
        let mut block = [0u8; N];
        let mut filled = 0usize;
        while filled < block.len() {
            let rest = &mut block[filled..];
            let mut count = 0;
            self.some(rest.len() as u64, &mut |bytes| {
                count = bytes.len();
                rest[..count].copy_from_slice(bytes);
                Ok(())
            })?;
            match (count, filled) {
                (0, 0) => return Ok(None),
                (0, _) => return Err(self.problem(StreamProblem::Truncated)),
                _ => filled += count,
            }
        }
        Ok(Some(block))
    }

    /// Reads to the end, where the decoder makes its last checks; every byte must be zero.
    pub(super) fn finish(&mut self) -> Result<(), ArchiveError> {
        loop {
            let (archive, form, start) = (self.archive, self.form, self.read);
            let count = self.some(u64::MAX, &mut |bytes| match bytes
                .iter()
                .position(|byte| *byte != 0)
            {
                None => Ok(()),
                Some(at) => Err(ArchiveError::Stream {
                    archive: archive.to_owned(),
                    form,
                    offset: start + at as u64,
                    problem: StreamProblem::Trailing,
                }),
            })?;
            if count == 0 {
                return Ok(());
            }
        }
    }
}
