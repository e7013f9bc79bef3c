//! The outer shell of a `.deb`: an ar archive of `debian-binary`, `control.tar*` and `data.tar*`, in this order.
//!
//! ```text
//! !<arch>\n                                                             8 bytes
//! name(16) mtime(12) uid(6) gid(6) mode(8, octal) size(10) `\n         60 bytes, fields filled up with spaces
//! the member's bytes, and a \n where their number is odd
//! ..
//! ```
//!
//! Sources: deb(5) of dpkg 1.21 and ar(5). Stricter than dpkg-deb, which skips what it does not know: what stands behind the
//! data member would be bytes that nobody reads, and two data members would be read differently by different tools.
//! Members whose names start with `_` may be added before and after the data member, as deb(5) says.

use std::io::{self, Read, Seek, SeekFrom};

use super::archive_error::{DebProblem, shown};
use super::unpack::Format;

/// The first bytes of every ar archive.
pub(super) const MAGIC: &[u8] = b"!<arch>\n";

const HEADER: u64 = 60;

/// The two tar archives of a package.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shell {
    /// What the package says of itself.
    pub(super) control: Part,
    /// Its files.
    pub(super) data: Part,
}

/// Where one of them is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The first byte.
    pub(super) offset: u64,
    /// The number of bytes.
    pub(super) size: u64,
    /// How they are compressed.
    pub(super) format: Format,
}

/// Why the shell could not be read.
#[derive(Debug)]
pub(super) enum DebError {
    Problem(DebProblem),
    Io(io::Error),
}

impl From<io::Error> for DebError {
    fn from(error: io::Error) -> DebError {
        DebError::Io(error)
    }
}

impl From<DebProblem> for DebError {
    fn from(problem: DebProblem) -> DebError {
        DebError::Problem(problem)
    }
}

struct Member {
    name: Vec<u8>,
    offset: u64,
    size: u64,
}

/// Finds the two tar archives of a package of `size` bytes. Reads the headers of all members, and nothing else.
pub(super) fn find(file: &mut (impl Read + Seek), size: u64) -> Result<Shell, DebError> {
    let mut at = MAGIC.len() as u64;
    let Some(first) = next(file, &mut at, size)? else {
        return Err(DebProblem::Empty.into());
    };
    if first.name != b"debian-binary" {
        return Err(DebProblem::First(shown(&first.name)).into());
    }
    let mut version = Vec::new();
    file.seek(SeekFrom::Start(first.offset))?;
    file.take(first.size.min(64)).read_to_end(&mut version)?;
    if version != b"2.0\n" {
        return Err(DebProblem::Version(shown(&version)).into());
    }
    let mut control = None;
    let mut data = None;
    while let Some(member) = next(file, &mut at, size)? {
        let name = shown(&member.name);
        if member.name.starts_with(b"_") {
            continue;
        }
        if control.is_none() {
            let Some(format) = stem(&member.name, b"control.tar") else {
                return Err(DebProblem::NoControl(name).into());
            };
            control = Some(Part {
                offset: member.offset,
                size: member.size,
                format: format.ok_or(DebProblem::Compression(name))?,
            });
            continue;
        }
        let Some(format) = stem(&member.name, b"data.tar") else {
            return Err(DebProblem::Unexpected(name).into());
        };
        if data.is_some() {
            return Err(DebProblem::TwoData(name).into());
        }
        let format = format.ok_or_else(|| DebProblem::Compression(name.clone()))?;
        let mut head = Vec::new();
        file.seek(SeekFrom::Start(member.offset))?;
        file.take(member.size.min(8)).read_to_end(&mut head)?;
        if format != Format::Plain && Format::of(&head) != Some(format) {
            return Err(DebProblem::Mismatch(name).into());
        }
        data = Some(Part {
            offset: member.offset,
            size: member.size,
            format,
        });
    }
    Ok(Shell {
        control: control.ok_or(DebProblem::Short)?,
        data: data.ok_or(DebProblem::NoData)?,
    })
}

/// Returns the compression that a member's name says, where the name is `stem` and a suffix; the inner `None` is a suffix that
/// is not supported.
fn stem(name: &[u8], stem: &[u8]) -> Option<Option<Format>> {
    Some(match name.strip_prefix(stem)? {
        b"" => Some(Format::Plain),
        b".gz" => Some(Format::Gzip),
        b".xz" => Some(Format::Xz),
        b".zst" => Some(Format::Zstd),
        _ => None,
    })
}

/// Reads the member header at `at` and moves `at` behind the member.
fn next(file: &mut (impl Read + Seek), at: &mut u64, end: u64) -> Result<Option<Member>, DebError> {
    if *at == end {
        return Ok(None);
    }
    let start = *at;
    fits("a member header", start, HEADER, end)?;
    let mut header = [0u8; HEADER as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut header)?;
    let bad = |field| DebProblem::Header {
        offset: start,
        field,
    };
    let (name, rest) = header.split_at(16);
    let (numbers, magic) = rest.split_at(42);
    if magic != b"`\n" {
        return Err(bad("end mark").into());
    }
    let name = name.trim_ascii_end();
    // GNU ar ends names with a slash, dpkg-deb does not.
    let name = name.strip_suffix(b"/").unwrap_or(name);
    if name.is_empty() || name.iter().any(|byte| !byte.is_ascii_graphic()) {
        return Err(bad("name").into());
    }
    let (times, rest) = numbers.split_at(24);
    let (mode, size) = rest.split_at(8);
    let (mtime, owner) = times.split_at(12);
    let (uid, gid) = owner.split_at(6);
    for (field, digits, what) in [
        (mtime, 10, "time"),
        (uid, 10, "user id"),
        (gid, 10, "group id"),
        (mode, 8, "mode"),
    ] {
        // Blank is what some builders write; the values mean nothing here.
        let field = field.trim_ascii_end();
        if !field.is_empty() {
            number(field, digits).ok_or_else(|| bad(what))?;
        }
    }
    let size = number(size.trim_ascii_end(), 10).ok_or_else(|| bad("size"))?;
    let offset = start + HEADER;
    fits(&format!("`{}`", shown(name)), offset, size, end)?;
    *at = offset + size;
    if size % 2 == 1 {
        fits("the padding", *at, 1, end)?;
        let mut padding = [0u8];
        file.seek(SeekFrom::Start(*at))?;
        file.read_exact(&mut padding)?;
        if padding != *b"\n" {
            return Err(DebProblem::Padding { offset: *at }.into());
        }
        *at += 1;
    }
    Ok(Some(Member {
        name: name.to_vec(),
        offset,
        size,
    }))
}

fn fits(what: &str, offset: u64, need: u64, end: u64) -> Result<(), DebProblem> {
    let have = end.saturating_sub(offset);
    if need <= have {
        return Ok(());
    }
    Err(DebProblem::Truncated {
        what: what.to_owned(),
        offset,
        need,
        have,
    })
}

fn number(field: &[u8], radix: u32) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        value
            .checked_mul(u64::from(radix))?
            .checked_add(u64::from(digit))
    })
}
