//! The outer shell of a `.deb`: an ar archive of `debian-binary`, `control.tar*` and `data.tar*`, in this order.
//!
//! ```text
//! !<arch>\n                                                             8 bytes
//! name(16) mtime(12) uid(6) gid(6) mode(8, octal) size(10) `\n         60 bytes, fields filled up with spaces
//! the member's bytes, and a \n where their number is odd
//! ..
//! ```
//!
//! Sources: deb(5) of dpkg 1.21 and ar(5). As deb(5) says, a higher minor number of the version and more lines behind it are
//! passed over, and members whose names start with `_` may be added before and after the data member. As dpkg-deb does, times,
//! owners and modes of members are not looked at, and the last member may lack its padding. Stricter than dpkg-deb, which
//! skips what it does not know: what stands behind the data member would be bytes that nobody reads, and two data members
//! would be read differently by different tools.

use std::io::{self, Read, Seek, SeekFrom};

use super::archive::{Opened, Part};
use super::archive_error::{ArchiveError, DebProblem, shown};
use super::pax::decimal;
use super::unpack::Format;

/// The first bytes of every ar archive.
pub(super) const MAGIC: &[u8] = b"!<arch>\n";

const HEADER: u64 = 60;

/// The two tar archives of a package.
#[derive(Debug)]
pub(super) struct Shell {
    /// What the package says of itself.
    pub(super) control: Part,
    /// Its files.
    pub(super) data: Part,
}

/// Why the shell could not be read.
enum DebError {
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

/// Finds the two tar archives of a package. Reads the headers of all members, and nothing else.
pub(super) fn find(file: &mut (impl Read + Seek), opened: &Opened) -> Result<Shell, ArchiveError> {
    parts(file, opened.blob.size).map_err(|error| match error {
        DebError::Io(source) => opened.failed(source),
        DebError::Problem(problem) => ArchiveError::Deb {
            archive: opened.name.to_owned(),
            problem,
        },
    })
}

fn parts(file: &mut (impl Read + Seek), size: u64) -> Result<Shell, DebError> {
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
    if !is_version_2(&version) {
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
        file.take(member.size.min(16)).read_to_end(&mut head)?;
        if !format.begins(&head) {
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

/// Says whether `debian-binary` begins with a line `2.` and a minor number.
fn is_version_2(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').next();
    let minor = line.and_then(|line| line.strip_prefix(b"2."));
    text.contains(&b'\n')
        && minor.is_some_and(|minor| !minor.is_empty() && minor.iter().all(u8::is_ascii_digit))
}

/// Returns the compression that a member's name says, where the name is `stem` and a suffix; the inner `None` is a suffix that
/// is not supported.
fn stem(name: &[u8], stem: &[u8]) -> Option<Option<&'static Format>> {
    name.strip_prefix(stem).map(Format::by_suffix)
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
    let (name, size, magic) = (&header[..16], &header[48..58], &header[58..]);
    if magic != b"`\n" {
        return Err(bad("end mark").into());
    }
    let name = name.trim_ascii_end();
    // GNU ar ends names with a slash, dpkg-deb does not.
    let name = name.strip_suffix(b"/").unwrap_or(name);
    if name.is_empty() || name.iter().any(|byte| !byte.is_ascii_graphic()) {
        return Err(bad("name").into());
    }
    let size = decimal(size.trim_ascii_end()).ok_or_else(|| bad("size"))?;
    let offset = start + HEADER;
    fits(&format!("`{}`", shown(name)), offset, size, end)?;
    *at = offset + size;
    if size % 2 == 1 && *at < end {
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
