//! Members of a zip archive, wheels of Python among them, in the order of its central directory.
//!
//! ```text
//! PK\3\4  header, name, extra, bytes            for each member
//! PK\1\2  header, name, extra, comment          for each member: the central directory, which is what counts
//! PK\6\6  PK\6\7                                zip64: larger numbers for what follows
//! PK\5\6  size and place of the directory       at the very end, but for a comment
//! ```
//!
//! Sources: PKWARE's APPNOTE.TXT 6.3.9; Info-ZIP's `proginfo/extrafld.txt` for modes. Nothing is believed twice: a member whose own
//! header has another name or compression than the directory says is refused, since readers differ in which they take.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::DeflateDecoder;

use super::archive::Source;
use super::archive_error::{ArchiveError, MemberProblem, StreamProblem, shown};
use super::entry::{Entry, EntryKind, FILE_LIMIT, Sink, Walk};
use super::name;
use super::unpack::{Format, Packed};
use crate::progress::{Event, Stage};

/// Says whether a file begins like one.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// The size of the last record without its comment, and of the longest comment.
const END: u64 = 22;
const COMMENT: u64 = 0xffff;

/// What a field says whose value is in a zip64 record.
const ELSEWHERE: u64 = 0xffff_ffff;

/// Systems whose file modes a member has: Unix and macOS.
const UNIX: [u8; 2] = [3, 19];

/// Walks over the members.
pub(super) struct Zip<'a> {
    source: Source<'a>,
    /// The directory, and how many bytes of it are left.
    directory: io::Take<BufReader<File>>,
    /// How many members are left.
    left: u64,
    /// Plain bytes of all members so far, whether they were read or not.
    position: u64,
    current: Option<Member>,
}

/// What the directory says of a member.
struct Member {
    name: Vec<u8>,
    method: u16,
    sum: u32,
    packed: u64,
    size: u64,
    /// Where its own header is.
    offset: u64,
    /// The mode, where it has one.
    mode: Option<u32>,
    encrypted: bool,
}

impl<'a> Zip<'a> {
    /// Finds the directory.
    pub(super) fn new(source: Source<'a>) -> Result<Zip<'a>, ArchiveError> {
        let file = source.opened.file(0)?;
        let mut zip = Zip {
            directory: BufReader::new(file).take(0),
            source,
            left: 0,
            position: 0,
            current: None,
        };
        let (left, size, offset) = zip.end()?;
        let file = zip.directory.get_mut();
        let sought = file.seek(SeekFrom::Start(offset));
        sought.map_err(|error| source.opened.failed(error))?;
        zip.directory.set_limit(size);
        zip.left = left;
        Ok(zip)
    }

    fn problem(&self, problem: StreamProblem, offset: u64) -> ArchiveError {
        self.source.problem(problem, offset)
    }

    fn at(&mut self, offset: u64, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let source = self.source;
        let mut bytes = Vec::new();
        let file = self.directory.get_mut();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(size).read_to_end(&mut bytes))
            .map_err(|error| source.opened.failed(error))?;
        match bytes.len() as u64 == size {
            true => Ok(bytes),
            false => Err(self.problem(StreamProblem::Truncated, offset)),
        }
    }

    /// Returns the number of members, and size and place of the directory, which ends where the records at the end begin.
    fn end(&mut self) -> Result<(u64, u64, u64), ArchiveError> {
        let whole = self.source.opened.blob.size;
        let start = whole.saturating_sub(END + COMMENT);
        let tail = self.at(start, whole - start)?;
        // The last one whose comment ends with the file, or with zeros that pad it.
        let found = (0..tail.len().saturating_sub(END as usize - 1))
            .rev()
            .find(|at| {
                let record = &tail[*at..];
                record.starts_with(b"PK\x05\x06")
                    && record
                        .get(END as usize + usize::from(short(record, 20))..)
                        .is_some_and(|behind| behind.iter().all(|byte| *byte == 0))
            });
        let Some(at) = found else {
            return Err(self.problem(StreamProblem::NoDirectory, whole));
        };
        let (record, place) = (&tail[at..], start + at as u64);
        let disks = (short(record, 4), short(record, 6));
        let mut members = u64::from(short(record, 10));
        let mut size = u64::from(long(record, 12));
        let mut offset = u64::from(long(record, 16));
        let mut end = place;
        if size == ELSEWHERE || offset == ELSEWHERE || members == 0xffff {
            let locator = self.at(place.saturating_sub(20), 20)?;
            if locator.starts_with(b"PK\x06\x07") {
                end = double(&locator, 8);
                if end.checked_add(56).is_none_or(|behind| behind > place) {
                    return Err(self.problem(StreamProblem::NoDirectory, place));
                }
                let record = self.at(end, 56)?;
                if !record.starts_with(b"PK\x06\x06") {
                    return Err(self.problem(StreamProblem::NoDirectory, end));
                }
                (members, size, offset) = (
                    double(&record, 32),
                    double(&record, 40),
                    double(&record, 48),
                );
            }
        }
        if disks != (0, 0) || offset.checked_add(size) != Some(end) {
            return Err(self.problem(StreamProblem::NoDirectory, place));
        }
        Ok((members, size, offset))
    }

    /// Reads exactly so many bytes of the directory.
    fn exact(&mut self, size: usize) -> Result<Vec<u8>, ArchiveError> {
        let source = self.source;
        let mut bytes = vec![0; size];
        self.directory
            .read_exact(&mut bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => source.problem(StreamProblem::Truncated, 0),
                _ => source.opened.failed(error),
            })?;
        Ok(bytes)
    }

    /// Reads the next record of the directory.
    fn member(&mut self) -> Result<Member, ArchiveError> {
        let header = self.exact(46)?;
        if !header.starts_with(b"PK\x01\x02") {
            return Err(self.problem(StreamProblem::Magic(shown(&header[..4])), 0));
        }
        let name = self.exact(short(&header, 28).into())?;
        let extra = self.exact(short(&header, 30).into())?;
        self.exact(short(&header, 32).into())?;
        let mut numbers = [long(&header, 24), long(&header, 20), long(&header, 42)].map(u64::from);
        let mut large = field(&extra, 1).unwrap_or_default();
        for number in numbers.iter_mut().filter(|number| **number == ELSEWHERE) {
            if let Some((value, rest)) = large.split_first_chunk() {
                (*number, large) = (u64::from_le_bytes(*value), rest);
            }
        }
        let [size, packed, offset] = numbers;
        let mode = long(&header, 38) >> 16;
        Ok(Member {
            name,
            method: short(&header, 10),
            sum: long(&header, 16),
            packed,
            size,
            offset,
            mode: (UNIX.contains(&header[5]) && mode != 0).then_some(mode),
            encrypted: short(&header, 8) & 1 != 0,
        })
    }

    fn entry(&mut self, found: Member) -> Result<Entry, ArchiveError> {
        let source = self.source;
        let member = |problem| ArchiveError::Member {
            archive: source.opened.name.to_owned(),
            member: shown(&found.name),
            problem,
        };
        let path = name::normal(&found.name).map_err(member)?;
        let slash = found.name.ends_with(b"/");
        let (kind, flaw) = match found.mode.unwrap_or_default() & 0o170000 {
            0o040000 => (EntryKind::Directory, None),
            0o120000 => (EntryKind::Symlink(self.target(&found)?), None),
            0o100000 | 0 if slash => (EntryKind::Directory, None),
            0o100000 | 0 => (EntryKind::File, None),
            _ => (EntryKind::Fifo, Some(MemberProblem::Special)),
        };
        if path.is_empty() && !matches!(kind, EntryKind::Directory) {
            return Err(member(MemberProblem::Empty));
        }
        let mode = match (&kind, found.mode) {
            (EntryKind::Symlink(_), _) => 0o777,
            (_, Some(mode)) if mode & 0o777 != 0 => mode & 0o7777,
            (EntryKind::Directory, _) => 0o755,
            _ => 0o644,
        };
        let known = matches!(found.method, STORED | DEFLATED) || format(found.method).is_some();
        let flaw = match flaw {
            None if !known => Some(MemberProblem::Method(found.method)),
            None if found.encrypted => Some(MemberProblem::Encrypted),
            None if found.size >= FILE_LIMIT => Some(MemberProblem::Size(found.size)),
            flaw => flaw,
        };
        let is_file = matches!(kind, EntryKind::File);
        let size = if is_file { found.size } else { 0 };
        self.current = is_file.then_some(found);
        Ok(Entry {
            path,
            kind,
            mode,
            uid: 0,
            gid: 0,
            size,
            inode: None,
            flaw,
        })
    }

    fn target(&mut self, found: &Member) -> Result<Vec<u8>, ArchiveError> {
        let mut target = Vec::new();
        if found.size <= name::PATH_MAX as u64 {
            self.pass(found, &mut |bytes| {
                target.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        match target.is_empty() || target.contains(&0) {
            true => Err(ArchiveError::Member {
                archive: self.source.opened.name.to_owned(),
                member: shown(&found.name),
                problem: MemberProblem::Target,
            }),
            false => Ok(target),
        }
    }

    /// Passes the plain bytes of a member, as many as the directory says and with the sum that it says.
    fn pass(&mut self, found: &Member, sink: &mut Sink) -> Result<(), ArchiveError> {
        let broken = |source| ArchiveError::Decompress {
            archive: self.source.opened.name.to_owned(),
            format: "zip",
            source,
        };
        let corrupt = |text: &str| broken(io::Error::new(io::ErrorKind::InvalidData, text));
        let mut file = BufReader::new(self.source.opened.file(found.offset)?);
        let mut header = [0; 30];
        let mut own = Vec::new();
        let read = file.read_exact(&mut header).and_then(|()| {
            let name = (&mut file).take(u64::from(short(&header, 26)));
            name.take(COMMENT).read_to_end(&mut own)?;
            let extra = i64::from(short(&header, 28));
            file.seek_relative(extra)
        });
        read.map_err(broken)?;
        if !header.starts_with(b"PK\x03\x04")
            || own != found.name
            || short(&header, 8) != found.method
        {
            return Err(corrupt(
                "a member's own header is not what the directory says",
            ));
        }
        let packed: Packed = Box::new(file.take(found.packed));
        let mut plain: Box<dyn Read> = match found.method {
            STORED => Box::new(packed),
            DEFLATED => Box::new(DeflateDecoder::new(packed)),
            method => match format(method) {
                Some(format) => format.reader(packed, 1),
                None => return Err(corrupt("it is compressed in a way that is not known")),
            },
        };
        let mut sum = crc32fast::Hasher::new();
        let mut left = found.size;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match plain.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(broken)?,
            };
            left = match left.checked_sub(count as u64) {
                Some(0) if count == 0 => break,
                Some(_) if count == 0 => return Err(corrupt("a member is truncated")),
                Some(left) => left,
                None => return Err(corrupt("a member has more bytes than the directory says")),
            };
            sum.update(&buffer[..count]);
            sink(&buffer[..count])?;
        }
        match sum.finalize() == found.sum {
            true => Ok(()),
            false => Err(corrupt("the checksum of a member is wrong")),
        }
    }
}

impl Walk for Zip<'_> {
    fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.current = None;
        if self.left == 0 {
            return match self.directory.limit() {
                0 => Ok(None),
                _ => Err(self.problem(StreamProblem::NoDirectory, self.source.opened.blob.size)),
            };
        }
        self.left -= 1;
        let found = self.member()?;
        self.position = self.position.saturating_add(found.size);
        if self.position > self.source.limit {
            return Err(ArchiveError::TooLarge {
                archive: self.source.opened.name.to_owned(),
                limit: self.source.limit,
            });
        }
        self.source.progress.event(Event::StageAdvanced {
            stage: Stage::Read,
            done: found.offset,
        });
        self.entry(found).map(Some)
    }

    fn body(&mut self, sink: &mut Sink) -> Result<(), ArchiveError> {
        match self.current.take() {
            Some(found) => self.pass(&found, sink),
            None => Ok(()),
        }
    }

    fn position(&self) -> u64 {
        self.position
    }
}

/// The numbers of the two ways to compress that zip alone has, plain bytes and a bare deflate stream.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Returns the format with a number of its own that is the same as outside of zip.
fn format(method: u16) -> Option<&'static Format> {
    let suffix: &[u8] = match method {
        12 => b".bz2",
        93 => b".zst",
        95 => b".xz",
        _ => return None,
    };
    Format::by_suffix(suffix)
}

/// Returns the extra field of a kind.
fn field(mut extra: &[u8], kind: u16) -> Option<&[u8]> {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let (body, behind) = rest.split_at_checked(short(head, 2).into())?;
        if short(head, 0) == kind {
            return Some(body);
        }
        extra = behind;
    }
    None
}

/// Return the little-endian number at a place, 0 where there is none.
fn short(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

fn long(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn double(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}
