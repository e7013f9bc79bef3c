//! The outer shell of an `.rpm`: what it says of itself, and a compressed cpio archive of its files.
//!
//! ```text
//! lead(96)   begins with ed ab ee db
//! header     8e ad e8 01, reserved(4), entries(4), bytes(4), 16 for each entry, the bytes: signatures, filled up to 8
//! header     the same: what it says of itself
//! payload    to the end
//! entry      tag(4) type(4) offset(4) in the bytes, count(4)
//! ```
//!
//! Source: rpm's `docs/manual/format_v4.md`, `format_header.md` and `tags.md`. Numbers are big-endian. Capabilities of files stand in
//! the header alone, so it is read for them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::archive::{Opened, Part, Source};
use super::archive_error::{ArchiveError, MemberProblem, StreamProblem};
use super::cpio::Cpio;
use super::entry::{Entry, Sink, Walk};
use super::name;
use super::unpack::{Format, PLAIN};

/// The first bytes of every package.
pub(super) const MAGIC: &[u8] = b"\xed\xab\xee\xdb";

const LEAD: u64 = 96;

/// The largest header that is taken, in bytes: rpm's own bound (`headerMaxbytes`).
const LARGEST: u64 = 256 << 20;

/// Tags: a number, of each file, of its directory; names; directories; and what a file may do without being root.
const DIRECTORY_OF: u32 = 1116;
const NAMES: u32 = 1117;
const DIRECTORIES: u32 = 1118;
const CAPABILITIES: u32 = 5010;

/// Finds the payload.
pub(super) fn find(opened: &Opened, file: &mut File) -> Result<Part, ArchiveError> {
    let (_, offset) = header(opened, file)?;
    let head = at(opened, file, offset, 16)?;
    Ok(Part {
        offset,
        size: opened.blob.size - offset,
        format: Format::of(&head).unwrap_or(&PLAIN),
    })
}

/// Walks over the files of a package.
pub(super) struct Rpm<'a> {
    payload: Cpio<'a>,
    /// The paths of files with capabilities, which the payload does not have.
    capable: BTreeSet<Vec<u8>>,
}

impl<'a> Rpm<'a> {
    /// Begins at the first file.
    pub(super) fn new(source: Source<'a>) -> Result<Rpm<'a>, ArchiveError> {
        let opened = source.opened;
        let mut file = opened.file(0)?;
        let (start, end) = header(&opened, &mut file)?;
        if end - start > LARGEST {
            return Err(opened.problem("rpm", StreamProblem::Header, start));
        }
        Ok(Rpm {
            payload: Cpio::new(source.tape()?),
            capable: capable(&at(&opened, &mut file, start, end - start)?),
        })
    }
}

impl Walk for Rpm<'_> {
    fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut entry = self.payload.next()?;
        if let Some(entry) = &mut entry
            && self.capable.contains(&entry.path)
        {
            let name = "security.capability".to_owned();
            entry.flaw.get_or_insert(MemberProblem::Attribute(name));
        }
        Ok(entry)
    }

    fn body(&mut self, sink: &mut Sink) -> Result<(), ArchiveError> {
        self.payload.body(sink)
    }

    fn position(&self) -> u64 {
        self.payload.position()
    }
}

/// Returns the paths of the files that have capabilities.
fn capable(header: &[u8]) -> BTreeSet<Vec<u8>> {
    let directories: Vec<&[u8]> = strings(header, DIRECTORIES);
    let index = found(header, DIRECTORY_OF).unwrap_or_default();
    let paths = strings(header, NAMES)
        .into_iter()
        .zip(index.chunks_exact(4))
        .map(|(name, index)| {
            [
                directories
                    .get(number(index, 0))
                    .copied()
                    .unwrap_or_default(),
                name,
            ]
            .concat()
        });
    paths
        .zip(strings(header, CAPABILITIES))
        .filter(|(_, capabilities)| !capabilities.is_empty())
        .filter_map(|(path, _)| name::normal(path.strip_prefix(b"/").unwrap_or(&path)).ok())
        .collect()
}

/// Returns the strings of a tag, none where there is no such tag.
fn strings(header: &[u8], tag: u32) -> Vec<&[u8]> {
    let count = entry(header, tag).map_or(0, |entry| number(entry, 12));
    let bytes = found(header, tag).unwrap_or_default();
    bytes.split(|byte| *byte == 0).take(count).collect()
}

/// Returns the bytes from where the values of a tag begin.
fn found(header: &[u8], tag: u32) -> Option<&[u8]> {
    let data = header.get(16 + 16 * number(header, 8)..)?;
    data.get(number(entry(header, tag)?, 8)..)
}

fn entry(header: &[u8], tag: u32) -> Option<&[u8]> {
    let entries = header.get(16..)?.chunks_exact(16);
    let mut entries = entries.take(number(header, 8));
    entries.find(|entry| entry.starts_with(&tag.to_be_bytes()))
}

/// Returns the number at a place, 0 where there is none.
fn number(bytes: &[u8], at: usize) -> usize {
    let bytes: Option<&[u8; 4]> = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize)
}

/// Returns where the header begins and ends that says what the package is.
fn header(opened: &Opened, file: &mut File) -> Result<(u64, u64), ArchiveError> {
    let signatures = behind(opened, file, LEAD)?;
    let start = signatures.next_multiple_of(8);
    Ok((start, behind(opened, file, start)?))
}

/// Returns where the header at `start` ends.
fn behind(opened: &Opened, file: &mut File, start: u64) -> Result<u64, ArchiveError> {
    let header = at(opened, file, start, 16)?;
    if !header.starts_with(b"\x8e\xad\xe8\x01") {
        return Err(opened.problem("rpm", StreamProblem::Header, start));
    }
    let end = start + 16 + 16 * number(&header, 8) as u64 + number(&header, 12) as u64;
    match end < opened.blob.size {
        true => Ok(end),
        false => Err(opened.problem("rpm", StreamProblem::Truncated, start)),
    }
}

fn at(opened: &Opened, file: &mut File, offset: u64, size: u64) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.take(size).read_to_end(&mut bytes))
        .map_err(|error| opened.failed(error))?;
    Ok(bytes)
}
