//! The header of a gzip member (RFC 1952), which the decompressor passes by.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use super::error::DiffError;
use super::scan::fill;
use super::side::Side;
use crate::dir;
use crate::pack::read::Segment;
use crate::text::shown;

/// The longest name or comment that is read.
const NAME: u64 = 4096;

/// What the header of a gzip member says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gzip {
    pub(super) time: u32,
    pub(super) effort: u8,
    pub(super) system: u8,
    pub(super) name: Vec<u8>,
    /// The flags of what else there is: a comment, an extra field, a checksum of the header.
    flags: u8,
    comment: Vec<u8>,
    extra: Vec<u8>,
    /// Where the deflate stream begins, in bytes of the file.
    pub(super) body: u64,
}

impl Gzip {
    /// Returns what there is beside the usual fields.
    pub(super) fn others(&self) -> String {
        let mut parts = vec![format!("flags {:#04x}", self.flags)];
        if self.flags & 0x10 != 0 {
            parts.push(format!("comment `{}`", shown(&self.comment)));
        }
        if self.flags & 0x04 != 0 {
            parts.push(format!("extra field `{}`", shown(&self.extra)));
        }
        parts.join(", ")
    }
}

/// Reads the header of the gzip member that an archive is in.
pub(super) fn gzip(side: &Side, segment: &Segment) -> Result<Gzip, DiffError> {
    let path = side.archive();
    let read = || -> std::io::Result<Gzip> {
        let mut file = BufReader::new(dir::open(path)?);
        file.seek(SeekFrom::Start(segment.raw))?;
        let mut head = [0u8; 10];
        file.read_exact(&mut head)?;
        let mut header = Gzip {
            time: u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
            effort: head[8],
            system: head[9],
            flags: head[3] & !0x08,
            body: segment.raw + 10,
            ..Gzip::default()
        };
        // In this order, each where its flag is set.
        if head[3] & 0x04 != 0 {
            let mut size = [0u8; 2];
            file.read_exact(&mut size)?;
            header.extra = vec![0; usize::from(u16::from_le_bytes(size))];
            file.read_exact(&mut header.extra)?;
            header.body += 2 + header.extra.len() as u64;
        }
        for (flag, text) in [(0x08, &mut header.name), (0x10, &mut header.comment)] {
            if head[3] & flag != 0 {
                header.body += file.by_ref().take(NAME).read_until(0, text)? as u64;
                if text.last() == Some(&0) {
                    text.pop();
                }
            }
        }
        if head[3] & 0x02 != 0 {
            header.body += 2;
        }
        Ok(header)
    };
    read().map_err(|source| DiffError::io(path, source))
}

/// Returns where parts of two files first differ, counted from their beginnings; `None` where they are equal to the end.
pub(super) fn first_difference(
    a: (&std::path::Path, Range<u64>),
    b: (&std::path::Path, Range<u64>),
) -> Result<Option<u64>, DiffError> {
    let open = |(path, part): (&std::path::Path, Range<u64>)| {
        let opened = dir::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(part.start))?;
            Ok(file.take(part.end - part.start))
        });
        opened.map_err(|source| DiffError::io(path, source))
    };
    let paths = [a.0, b.0];
    let (mut one, mut other) = (open(a)?, open(b)?);
    let (mut left, mut right) = (vec![0u8; 1 << 17], vec![0u8; 1 << 17]);
    let mut at = 0u64;
    loop {
        let count = fill(&mut one, &mut left).map_err(|e| DiffError::io(paths[0], e))?;
        let others = fill(&mut other, &mut right).map_err(|e| DiffError::io(paths[1], e))?;
        if let Some(offset) = differ(&left[..count], &right[..others]) {
            return Ok(Some(at + offset as u64));
        }
        if count == 0 {
            return Ok(None);
        }
        at += count as u64;
    }
}

/// Returns where two byte strings first differ: behind the shorter one where the longer one goes on.
pub(super) fn differ(a: &[u8], b: &[u8]) -> Option<usize> {
    let common = a.iter().zip(b).position(|(one, other)| one != other);
    common.or_else(|| (a.len() != b.len()).then(|| a.len().min(b.len())))
}
