//! The outer shell of an `.rpm`: what it says of itself, and a compressed cpio archive of its files.
//!
//! ```text
//! lead(96)   begins with ed ab ee db
//! header     8e ad e8 01, reserved(4), entries(4), bytes(4), 16 for each entry, the bytes: signatures, filled up to 8
//! header     the same: what it says of itself
//! payload    to the end
//! ```
//!
//! Source: rpm's `docs/manual/format_v4.md` and `format_header.md`. Numbers are big-endian.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::archive::{Opened, Part};
use super::archive_error::{ArchiveError, StreamProblem};
use super::unpack::{Format, PLAIN};

/// The first bytes of every package.
pub(super) const MAGIC: &[u8] = b"\xed\xab\xee\xdb";

const LEAD: u64 = 96;

/// Finds the payload.
pub(super) fn find(opened: &Opened, file: &mut File) -> Result<Part, ArchiveError> {
    let signatures = behind_header(opened, file, LEAD)?;
    let offset = behind_header(opened, file, signatures.next_multiple_of(8))?;
    let head = at(opened, file, offset, 16)?;
    Ok(Part {
        offset,
        size: opened.blob.size - offset,
        format: Format::of(&head).unwrap_or(&PLAIN),
    })
}

/// Returns where the header at `start` ends.
fn behind_header(opened: &Opened, file: &mut File, start: u64) -> Result<u64, ArchiveError> {
    let header = at(opened, file, start, 16)?;
    let number = |at| {
        let bytes: Option<&[u8; 4]> = header.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)))
    };
    if !header.starts_with(b"\x8e\xad\xe8\x01") {
        return Err(opened.problem("rpm", StreamProblem::Header, start));
    }
    let end = start + 16 + 16 * number(8) + number(12);
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
