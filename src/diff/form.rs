//! The header of a gzip member (RFC 1952), which the decompressor passes by.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use super::error::DiffError;
use super::side::Side;
use crate::pack::read::Segment;

/// The longest name that is read.
const NAME: u64 = 4096;

/// What the header of a gzip member says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gzip {
    pub(super) time: u32,
    pub(super) effort: u8,
    pub(super) system: u8,
    pub(super) name: Vec<u8>,
    /// Whether there is a comment, an extra field or a checksum of the header.
    pub(super) others: u8,
    /// Where the deflate stream begins, in bytes of the file.
    pub(super) body: u64,
}

/// Reads the header of the gzip member that an archive is in.
pub(super) fn gzip(side: &Side, segment: &Segment) -> Result<Gzip, DiffError> {
    let path = side.archive();
    let read = || -> std::io::Result<Gzip> {
        let mut file = BufReader::new(File::open(path)?);
        file.seek(SeekFrom::Start(segment.raw))?;
        let mut head = [0u8; 10];
        file.read_exact(&mut head)?;
        let mut header = Gzip {
            time: u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
            effort: head[8],
            system: head[9],
            name: Vec::new(),
            others: head[3] & !0x08,
            body: segment.raw + 10,
        };
        // An extra field stands before the name.
        if head[3] & 0x04 != 0 {
            let mut size = [0u8; 2];
            file.read_exact(&mut size)?;
            let size = u16::from_le_bytes(size);
            file.seek_relative(i64::from(size))?;
            header.body += 2 + u64::from(size);
        }
        if head[3] & 0x08 != 0 {
            header.body += file.by_ref().take(NAME).read_until(0, &mut header.name)? as u64;
            if header.name.last() == Some(&0) {
                header.name.pop();
            }
        }
        Ok(header)
    };
    read().map_err(|source| DiffError::io(path, source))
}

/// Returns where two files first differ, from an offset in each on; `None` where they are equal to the end.
pub(super) fn first_difference(
    a: (&std::path::Path, u64),
    b: (&std::path::Path, u64),
) -> Result<Option<u64>, DiffError> {
    let open = |(path, offset): (&std::path::Path, u64)| {
        let opened = File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        });
        opened.map_err(|source| DiffError::io(path, source))
    };
    let (mut one, mut other) = (open(a)?, open(b)?);
    let (mut left, mut right) = (vec![0u8; 1 << 17], vec![0u8; 1 << 17]);
    let mut at = 0u64;
    loop {
        let count = super::scan::fill(&mut one, &mut left).map_err(|e| DiffError::io(a.0, e))?;
        let others =
            super::scan::fill(&mut other, &mut right).map_err(|e| DiffError::io(b.0, e))?;
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
