//! A cpio stream to checked members: newc (070701), newc with sums (070702) and odc (070707).
//!
//! ```text
//! newc  magic(6) 13 fields of 8 hexadecimal digits, name, NULs to a multiple of 4, bytes, NULs to a multiple of 4
//! odc   magic(6) octal: dev(6) ino(6) mode(6) uid(6) gid(6) nlink(6) rdev(6) mtime(11) namesize(6) filesize(11), name, bytes
//! ```
//!
//! A member called `TRAILER!!!` ends the stream; nothing but zeros follows it. Names of one file have the same device and inode
//! numbers and a count of links above 1; in newc the last of them has the bytes. A name ends at its first NUL: some writers
//! put more of them behind it, so that the bytes begin at a block.
//!
//! Sources: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`; cpio(5) of libarchive.

use super::archive_error::{ArchiveError, MemberProblem, StreamProblem, shown};
use super::entry::{Entry, EntryKind, FILE_LIMIT, Sink, Walk};
use super::name;
use super::tape::Tape;

/// The magic bytes of the three forms.
const NEWC: &[u8; 6] = b"070701";
const CRC: &[u8; 6] = b"070702";
const ODC: &[u8; 6] = b"070707";

/// The most bytes of a name, the NULs behind it included.
const NAME: u64 = 64 * 1024;

/// Says whether a stream begins like one.
pub(super) fn is_cpio(head: &[u8]) -> bool {
    [NEWC, CRC, ODC]
        .iter()
        .any(|magic| head.starts_with(*magic))
}

/// Walks over a cpio stream.
pub(super) struct Cpio<'a> {
    tape: Tape<'a>,
    /// Bytes of the current member that were not read yet.
    body: u64,
    /// Zeros behind them.
    padding: u64,
    /// What its header says is their sum.
    sum: Option<u64>,
    ended: bool,
}

/// The fields of a header.
struct Header {
    /// Device and inode number.
    inode: (u64, u64),
    mode: u64,
    uid: u64,
    gid: u64,
    links: u64,
    size: u64,
    /// The numbers of the device that a node stands for.
    node: (u64, u64),
    name: u64,
    sum: Option<u64>,
    /// To what the name and the bytes are aligned.
    align: u64,
}

impl<'a> Cpio<'a> {
    /// Begins at the tape's place.
    pub(super) fn new(tape: Tape<'a>) -> Cpio<'a> {
        Cpio {
            tape,
            body: 0,
            padding: 0,
            sum: None,
            ended: false,
        }
    }

    fn header(&mut self) -> Result<Header, ArchiveError> {
        match &self.exact::<6>()? {
            ODC => {
                const WIDTHS: [usize; 10] = [6, 6, 6, 6, 6, 6, 6, 11, 6, 11];
                let bytes = self.exact::<70>()?;
                let [device, inode, mode, uid, gid, links, node, _, name, size] =
                    self.fields(&bytes, WIDTHS, 8)?;
                Ok(Header {
                    inode: (device, inode),
                    mode,
                    uid,
                    gid,
                    links,
                    size,
                    node: (node >> 8, node & 0xff),
                    name,
                    sum: None,
                    align: 1,
                })
            }
            magic @ (NEWC | CRC) => {
                let bytes = self.exact::<104>()?;
                let [
                    inode,
                    mode,
                    uid,
                    gid,
                    links,
                    _,
                    size,
                    major,
                    minor,
                    node,
                    node2,
                    name,
                    sum,
                ] = self.fields(&bytes, [8; 13], 16)?;
                Ok(Header {
                    inode: (major << 32 | minor, inode),
                    mode,
                    uid,
                    gid,
                    links,
                    size,
                    node: (node, node2),
                    name,
                    sum: (magic == CRC).then_some(sum),
                    align: 4,
                })
            }
            found => Err(self.tape.problem(StreamProblem::Magic(shown(found)))),
        }
    }

    fn exact<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let found = self.tape.block()?;
        found.ok_or_else(|| self.tape.problem(StreamProblem::Truncated))
    }

    fn fields<const N: usize>(
        &self,
        mut bytes: &[u8],
        widths: [usize; N],
        radix: u32,
    ) -> Result<[u64; N], ArchiveError> {
        let mut values = [0; N];
        for (value, width) in values.iter_mut().zip(widths) {
            let (digits, rest) = bytes.split_at(width);
            bytes = rest;
            for digit in digits {
                let digit = char::from(*digit).to_digit(radix);
                let digit = digit.ok_or_else(|| self.tape.problem(StreamProblem::Digits))?;
                *value = *value * u64::from(radix) + u64::from(digit);
            }
        }
        Ok(values)
    }

    /// Reads bytes that belong to the header, and what aligns the ones behind them.
    fn bytes(&mut self, count: u64, behind: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        self.tape.take(count, &mut |some| {
            bytes.extend_from_slice(some);
            Ok(())
        })?;
        self.tape.skip(behind)?;
        Ok(bytes)
    }

    fn name(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        if !(1..=NAME).contains(&header.name) {
            return Err(self.tape.problem(StreamProblem::Name));
        }
        let mut name = self.bytes(header.name, 0)?;
        self.tape.skip(header.behind(self.tape.position()))?;
        if name.last() != Some(&0) {
            return Err(self.tape.problem(StreamProblem::Name));
        }
        let end = name.iter().position(|byte| *byte == 0);
        name.truncate(end.unwrap_or_default());
        Ok(name)
    }

    fn entry(&mut self, header: &Header, raw: &[u8]) -> Result<Entry, ArchiveError> {
        let archive = self.tape.archive();
        let member = |problem| ArchiveError::Member {
            archive: archive.to_owned(),
            member: shown(raw),
            problem,
        };
        let path = name::normal(raw).map_err(member)?;
        let node = |number| u32::try_from(number).map_err(|_| member(MemberProblem::Device));
        let kind = match header.mode & 0o170000 {
            0o100000 => EntryKind::File,
            0o040000 => EntryKind::Directory,
            0o010000 | 0o140000 => EntryKind::Fifo,
            0o120000 => {
                if header.size > name::PATH_MAX as u64 + 1 {
                    return Err(member(MemberProblem::Target));
                }
                let behind = header.behind(self.tape.position() + header.size);
                let mut target = self.bytes(header.size, behind)?;
                // The kernel takes it up to a NUL, which some writers count.
                let end = target.iter().position(|byte| *byte == 0);
                target.truncate(end.unwrap_or(target.len()));
                if target.is_empty() || target.len() > name::PATH_MAX {
                    return Err(member(MemberProblem::Target));
                }
                EntryKind::Symlink(target)
            }
            kind @ (0o020000 | 0o060000) => EntryKind::Device {
                block: kind == 0o060000,
                major: node(header.node.0)?,
                minor: node(header.node.1)?,
            },
            _ => return Err(self.tape.problem(StreamProblem::Digits)),
        };
        if path.is_empty() && !matches!(kind, EntryKind::Directory) {
            return Err(member(MemberProblem::Empty));
        }
        if !matches!(kind, EntryKind::Symlink(_)) {
            self.body = header.size;
            self.padding = header.behind(self.tape.position() + header.size);
            self.sum = header.sum.filter(|_| header.size > 0);
        }
        let is_file = matches!(kind, EntryKind::File);
        Ok(Entry {
            path,
            inode: (is_file && header.links > 1).then_some(header.inode),
            flaw: match header.mode & 0o170000 {
                0o010000 => Some(MemberProblem::Fifo),
                0o140000 => Some(MemberProblem::Socket),
                _ if header.size >= FILE_LIMIT => Some(MemberProblem::Size(header.size)),
                _ => None,
            },
            mode: match kind {
                EntryKind::Symlink(_) => 0o777,
                _ => (header.mode & 0o7777) as u32,
            },
            kind,
            uid: header.uid,
            gid: header.gid,
            size: if is_file { header.size } else { 0 },
        })
    }

    /// Passes the rest of the current member's bytes, and checks their sum.
    fn pass(&mut self, sink: &mut Sink) -> Result<(), ArchiveError> {
        let mut sum = 0u32;
        let body = std::mem::take(&mut self.body);
        let summed = self.sum.take();
        self.tape.take(body, &mut |bytes| {
            if summed.is_some() {
                sum = bytes
                    .iter()
                    .fold(sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
            }
            sink(bytes)
        })?;
        match summed {
            Some(said) if said != u64::from(sum) => Err(self.tape.problem(StreamProblem::Sum)),
            _ => Ok(()),
        }
    }
}

impl Header {
    /// Returns the number of zeros at a position.
    fn behind(&self, position: u64) -> u64 {
        position.next_multiple_of(self.align) - position
    }
}

impl Walk for Cpio<'_> {
    fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        self.pass(&mut |_| Ok(()))?;
        let padding = std::mem::take(&mut self.padding);
        self.tape.skip(padding)?;
        let header = self.header()?;
        let name = self.name(&header)?;
        if name == b"TRAILER!!!" {
            self.ended = true;
            return self.tape.finish().map(|()| None);
        }
        self.entry(&header, &name).map(Some)
    }

    fn body(&mut self, sink: &mut Sink) -> Result<(), ArchiveError> {
        self.pass(sink)
    }

    fn position(&self) -> u64 {
        self.tape.position()
    }
}
