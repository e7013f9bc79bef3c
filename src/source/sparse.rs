//! Sparse files of GNU tar: the bytes that are stored, and where they belong; everything else is zeros.
//!
//! ```text
//! type S   header: 4 x (offset 12, bytes 12) at 386, a flag at 482, the size at 483; while the flag is set, blocks of
//!          21 x (offset 12, bytes 12) and a flag at 504; then the bytes
//! pax 0.0  records GNU.sparse.offset, GNU.sparse.numbytes, one pair after the other; GNU.sparse.size
//! pax 0.1  the same in one record, GNU.sparse.map
//! pax 1.0  GNU.sparse.realsize; before the bytes the number of pairs and the pairs, in decimal, each number with a line feed,
//!          filled up with zeros to 512
//! ```
//!
//! Source: GNU tar's manual, "Storing Sparse Files".

use super::archive_error::{ArchiveError, StreamProblem};
use super::entry::Sink;
use super::octal::number;
use super::pax::{self, decimal};
use super::tape::Tape;

/// The most pieces of one file: as many as a file below 4 GiB can have with holes of 4 KiB.
const PIECES: usize = 1 << 20;

/// Zeros that are passed on at once.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Where the bytes of a sparse file are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// The size of the whole file.
    pub(super) size: u64,
    /// The number of bytes that are stored.
    pub(super) stored: u64,
    /// Offsets and numbers of bytes, in order.
    pieces: Vec<(u64, u64)>,
}

impl Map {
    /// Checks a map: numbers in turn offset and number of bytes, all inside the file and one behind the other.
    fn new(size: u64, stored: u64, numbers: &[u64]) -> Option<Map> {
        let mut map = Map {
            size,
            stored,
            pieces: Vec::new(),
        };
        let (pairs, odd) = numbers.as_chunks::<2>();
        let (mut end, mut sum) = (0, 0u64);
        for [offset, count] in pairs {
            if *offset < end {
                return None;
            }
            end = offset.checked_add(*count)?;
            sum += count;
            map.pieces.push((*offset, *count));
        }
        (odd.is_empty() && end <= size && sum == stored).then_some(map)
    }

    /// Reads the map of a member of type S, whose header says that `stored` bytes follow; the tape is behind the header.
    pub(super) fn gnu(
        header: &[u8; 512],
        stored: u64,
        tape: &mut Tape,
    ) -> Result<Map, ArchiveError> {
        let bad = |tape: &Tape| tape.problem(StreamProblem::Map);
        let size = number(&header[483..495])
            .flatten()
            .ok_or_else(|| bad(tape))?;
        let mut numbers = Vec::new();
        let mut all = pairs(&header[386..482], &mut numbers);
        let mut more = header[482] != 0;
        while all.is_some() && more && numbers.len() <= 2 * PIECES {
            let block: [u8; 512] = tape
                .block()?
                .ok_or_else(|| tape.problem(StreamProblem::Truncated))?;
            all = pairs(&block[..504], &mut numbers);
            more = block[504] != 0;
        }
        all.filter(|()| !more)
            .and_then(|()| Map::new(size, stored, &numbers))
            .ok_or_else(|| bad(tape))
    }

    /// Reads the map of a member that a pax header describes, and that has `stored` bytes in the archive; the tape is behind
    /// its header. In format 1.0 the first of these bytes are the map, which is taken from the tape.
    pub(super) fn pax(
        said: &pax::Sparse,
        stored: u64,
        tape: &mut Tape,
    ) -> Result<Map, ArchiveError> {
        let inside;
        let (numbers, before) = match said.version {
            (0, _) => (&said.map, 0),
            (1, 0) => {
                inside = numbers_on(tape, stored)?;
                (&inside.0, inside.1)
            }
            _ => return Err(tape.problem(StreamProblem::Map)),
        };
        said.size
            .and_then(|size| Map::new(size, stored - before, numbers))
            .ok_or_else(|| tape.problem(StreamProblem::Map))
    }

    /// Passes the whole file to `sink`: the bytes from the tape, and zeros.
    pub(super) fn pass(&self, tape: &mut Tape, sink: &mut Sink) -> Result<(), ArchiveError> {
        let mut at = 0;
        for (offset, count) in &self.pieces {
            zeros(offset - at, sink)?;
            tape.take(*count, sink)?;
            at = offset + count;
        }
        zeros(self.size - at, sink)
    }
}

fn zeros(mut count: u64, sink: &mut Sink) -> Result<(), ArchiveError> {
    while count > 0 {
        let some = count.min(ZEROS.len() as u64);
        sink(&ZEROS[..some as usize])?;
        count -= some;
    }
    Ok(())
}

/// Adds the pairs of a table, up to a blank one; `None` where a field is no number.
fn pairs(table: &[u8], numbers: &mut Vec<u64>) -> Option<()> {
    let (fields, _) = table.as_chunks::<12>();
    let (pairs, _) = fields.as_chunks::<2>();
    for [offset, count] in pairs {
        let Some(count) = number(count)? else {
            break;
        };
        numbers.extend([number(offset)?.unwrap_or_default(), count]);
    }
    Some(())
}

/// Reads the numbers of a map, of which the first is the number of pairs, and the number of bytes that they take, at most
/// `stored`.
fn numbers_on(tape: &mut Tape, stored: u64) -> Result<(Vec<u64>, u64), ArchiveError> {
    let mut numbers = Vec::new();
    let mut wanted = None;
    let mut digits = Vec::new();
    let mut taken = 0;
    while wanted.is_none_or(|wanted| numbers.len() < wanted) {
        taken += 512;
        let bad = |tape: &Tape| tape.problem(StreamProblem::Map);
        if taken > stored {
            return Err(bad(tape));
        }
        let block: [u8; 512] = tape
            .block()?
            .ok_or_else(|| tape.problem(StreamProblem::Truncated))?;
        for byte in block {
            match byte {
                b'\n' => {
                    let number = decimal(&digits).ok_or_else(|| bad(tape))?;
                    digits.clear();
                    match wanted {
                        Some(wanted) if numbers.len() == wanted => return Err(bad(tape)),
                        Some(_) => numbers.push(number),
                        None if number <= PIECES as u64 => wanted = Some(2 * number as usize),
                        None => return Err(bad(tape)),
                    }
                }
                // What fills up the last block.
                0 => break,
                digit => digits.push(digit),
            }
        }
        if digits.len() > 20 {
            return Err(bad(tape));
        }
    }
    Ok((numbers, taken))
}
