//! A tar stream to checked headers.
//!
//! ```text
//! header(512)  body, filled up with zeros to 512      for each member; a pax or GNU header describes the one behind it
//! zeros(512) ..                                       to the end of the stream
//! ```
//!
//! Sources: POSIX.1-2017 pax ("ustar Interchange Format", "pax Extended Header"), and GNU tar's manual, "Basic Tar Format".
//! The crate `tar` gives the layout of a header; what the fields hold is read here, since that crate takes numbers with junk
//! behind them, splits pax records at line breaks inside of values, and returns what is left of a truncated member.
//!
//! Stricter than GNU tar, where tools differ in what they make of a file: at least one zero block must end the stream (else
//! an archive cut between two members would pass), nothing but zeros may follow it, and what is no file must have no size.

use ::tar::{EntryType, Header};

use super::archive_error::{ArchiveError, MemberProblem, TarProblem, shown};
use super::name;
use super::pax::Pax;
use super::tape::Tape;

/// The largest pax or GNU long-name header that is taken, in bytes. Names end at 4095.
const EXTENDED: u64 = 1 << 20;

/// Files of this size and more do not fit into newc, whose sizes are 32 bits.
const FILE_LIMIT: u64 = 1 << 32;

/// One member of the stream.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path, normal; empty is the root.
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
    /// The permission bits, at most 0o7777.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// The number of bytes of a file; else 0.
    pub(super) size: u64,
    /// Why it cannot be part of an image. Members that nobody wants may have such a flaw.
    pub(super) flaw: Option<MemberProblem>,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum EntryKind {
    File,
    /// To the normal path.
    HardLink(Vec<u8>),
    /// With its body.
    Symlink(Vec<u8>),
    Directory,
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
    Fifo,
}

impl EntryKind {
    /// Returns what it is, with an article.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            EntryKind::File => "a file",
            EntryKind::HardLink(_) => "a hard link",
            EntryKind::Symlink(_) => "a symlink",
            EntryKind::Directory => "a directory",
            EntryKind::Device { .. } => "a device",
            EntryKind::Fifo => "a named pipe",
        }
    }
}

/// Walks over a tar stream.
pub(super) struct Walk<'a> {
    tape: Tape<'a>,
    /// Bytes of the current member that were not read yet, and the zeros behind them.
    body: u64,
    padding: u64,
    first: bool,
}

impl<'a> Walk<'a> {
    /// Begins at the tape's place.
    pub(super) fn new(tape: Tape<'a>) -> Walk<'a> {
        Walk {
            tape,
            body: 0,
            padding: 0,
            first: true,
        }
    }

    /// Returns the number of plain bytes that were read.
    pub(super) fn position(&self) -> u64 {
        self.tape.position()
    }

    /// Passes the current member's bytes to `sink`.
    pub(super) fn body(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let body = std::mem::take(&mut self.body);
        self.tape.take(body, sink)
    }

    /// Returns the next member, passing over what is left of the one before; `None` at the archive's end, behind which
    /// everything was checked.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut long = Long::default();
        loop {
            let Some(header) = self.header()? else {
                if long.any() {
                    return Err(self.tape.problem(TarProblem::Dangling));
                }
                return Ok(None);
            };
            let old = header.as_old();
            let size = self.number(&old.size, "size")?;
            let kind = header.entry_type();
            let slot = match kind {
                EntryType::GNULongName => &mut long.name,
                EntryType::GNULongLink => &mut long.link,
                EntryType::XHeader => &mut long.pax,
                EntryType::XGlobalHeader => &mut None,
                _ => return self.entry(&header, size, long).map(Some),
            };
            if slot.is_some() {
                return Err(self.tape.problem(TarProblem::Dangling));
            }
            if size > EXTENDED {
                return Err(self.tape.problem(TarProblem::Extended(size)));
            }
            let mut bytes = Vec::new();
            self.tape.take(size, &mut |some| {
                bytes.extend_from_slice(some);
                Ok(())
            })?;
            self.tape.skip(padding(size))?;
            if kind == EntryType::XGlobalHeader {
                self.global(&bytes)?;
            } else {
                *slot = Some(bytes);
            }
        }
    }

    /// Reads the next header and checks its sum; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let left = std::mem::take(&mut self.body);
        self.tape.skip(left)?;
        let left = std::mem::take(&mut self.padding);
        self.tape.skip(left)?;
        let first = std::mem::replace(&mut self.first, false);
        let Some(block) = self.tape.block()? else {
            return Err(self.tape.problem(match first {
                true => TarProblem::NotTar,
                false => TarProblem::NoEnd,
            }));
        };
        if block.iter().all(|byte| *byte == 0) {
            return match self.tape.finish() {
                Ok(()) => Ok(None),
                // A disk image, say.
                Err(ArchiveError::Tar { .. }) if first => {
                    Err(self.tape.problem(TarProblem::NotTar))
                }
                Err(error) => Err(error),
            };
        }
        if !is_header(&block) {
            return Err(self.tape.problem(match first {
                true => TarProblem::NotTar,
                false => TarProblem::Checksum,
            }));
        }
        Ok(Some(Header::from_byte_slice(&block).clone()))
    }

    fn entry(&mut self, header: &Header, size: u64, long: Long) -> Result<Entry, ArchiveError> {
        let pax = match &long.pax {
            Some(bytes) => Pax::parse(bytes).ok_or_else(|| self.tape.problem(TarProblem::Pax))?,
            None => Pax::default(),
        };
        let old = header.as_old();
        let raw = match (&pax.path, long.name) {
            (Some(path), _) => path.to_vec(),
            (None, Some(path)) => without_nul(path),
            (None, None) => header.path_bytes().into_owned(),
        };
        let member = |problem| ArchiveError::Member {
            archive: self.tape.archive().to_owned(),
            member: shown(&raw),
            problem,
        };
        let path = name::normal(&raw).map_err(member)?;
        if pax.sparse {
            return Err(member(MemberProblem::Sparse));
        }
        let target = || {
            let target = match (&pax.linkpath, &long.link) {
                (Some(target), _) => target.to_vec(),
                (None, Some(target)) => without_nul(target.clone()),
                (None, None) => header
                    .link_name_bytes()
                    .map(|name| name.into_owned())
                    .unwrap_or_default(),
            };
            match target.is_empty() || target.contains(&0) || target.len() > name::PATH_MAX {
                true => Err(member(MemberProblem::Target)),
                false => Ok(target),
            }
        };
        let kind = match header.entry_type() {
            // The first tar had no type for directories: a slash at the end said it.
            EntryType::Regular if raw.ends_with(b"/") => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous => EntryKind::File,
            EntryType::Directory => EntryKind::Directory,
            EntryType::Link => EntryKind::HardLink(name::normal(&target()?).map_err(member)?),
            EntryType::Symlink => EntryKind::Symlink(target()?),
            EntryType::Fifo => EntryKind::Fifo,
            EntryType::Char | EntryType::Block => {
                let (major, minor) = self.device(header)?;
                EntryKind::Device {
                    block: header.entry_type().is_block_special(),
                    major: u32::try_from(major).map_err(|_| member(MemberProblem::Device))?,
                    minor: u32::try_from(minor).map_err(|_| member(MemberProblem::Device))?,
                }
            }
            EntryType::GNUSparse => return Err(member(MemberProblem::Sparse)),
            other => {
                return Err(member(MemberProblem::Type(shown(&[other.as_byte()]))));
            }
        };
        if path.is_empty() && !matches!(kind, EntryKind::Directory) {
            return Err(member(MemberProblem::Empty));
        }
        let size = pax.size.unwrap_or(size);
        let is_file = matches!(kind, EntryKind::File);
        if !is_file && size != 0 {
            return Err(self.tape.problem(TarProblem::Size(shown(&raw))));
        }
        let flaw = match (&pax.attribute, &kind) {
            (Some(key), _) => Some(MemberProblem::Attribute(shown(key))),
            (None, EntryKind::Fifo) => Some(MemberProblem::Fifo),
            (None, _) if size >= FILE_LIMIT => Some(MemberProblem::Size(size)),
            _ => None,
        };
        let mode = match kind {
            EntryKind::Symlink(_) => 0o777,
            // Some writers put the file type there as well: masked, the bits cannot say anything else.
            _ => (self.number_or_zero(&old.mode, "mode")? & 0o7777) as u32,
        };
        let entry = Entry {
            path,
            kind,
            mode,
            uid: match pax.uid {
                Some(uid) => uid,
                None => self.number_or_zero(&old.uid, "user id")?,
            },
            gid: match pax.gid {
                Some(gid) => gid,
                None => self.number_or_zero(&old.gid, "group id")?,
            },
            size,
            flaw,
        };
        (self.body, self.padding) = (size, padding(size));
        Ok(entry)
    }

    /// Checks a global header: what it sets holds for all members behind it, which is refused but for what mkimg never keeps.
    fn global(&self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let pax = Pax::parse(bytes).ok_or_else(|| self.tape.problem(TarProblem::Pax))?;
        match pax.meaningful {
            Some(key) => Err(self.tape.problem(TarProblem::Global(shown(key)))),
            None => Ok(()),
        }
    }

    fn device(&self, header: &Header) -> Result<(u64, u64), ArchiveError> {
        let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
            (Some(ustar), _) => (ustar.dev_major, ustar.dev_minor),
            (None, Some(gnu)) => (gnu.dev_major, gnu.dev_minor),
            (None, None) => return Err(self.tape.problem(TarProblem::Number("device number"))),
        };
        Ok((
            self.number_or_zero(&major, "device number")?,
            self.number_or_zero(&minor, "device number")?,
        ))
    }

    fn number(&self, field: &[u8], what: &'static str) -> Result<u64, ArchiveError> {
        number(field)
            .flatten()
            .ok_or_else(|| self.tape.problem(TarProblem::Number(what)))
    }

    fn number_or_zero(&self, field: &[u8], what: &'static str) -> Result<u64, ArchiveError> {
        number(field)
            .map(Option::unwrap_or_default)
            .ok_or_else(|| self.tape.problem(TarProblem::Number(what)))
    }
}

/// What stands before a member and describes it.
#[derive(Default)]
struct Long {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

impl Long {
    fn any(&self) -> bool {
        self.name.is_some() || self.link.is_some() || self.pax.is_some()
    }
}

/// Says whether a block is a header: whether its sum is right.
pub(super) fn is_header(block: &[u8; 512]) -> bool {
    let header = Header::from_byte_slice(block);
    let field = &header.as_old().cksum;
    // The sum is taken with the field itself as eight spaces.
    let all: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = field.iter().map(|byte| u64::from(*byte)).sum();
    number(field) == Some(Some(all - own + 8 * u64::from(b' ')))
}

/// Reads a number: octal digits with spaces before and spaces or NULs behind, or base-256 where the first bit is set.
/// The inner `None` is a blank field.
fn number(field: &[u8]) -> Option<Option<u64>> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            // The second bit is the sign; negative numbers mean nothing in any of the fields.
            if first & 0x40 != 0 {
                return None;
            }
            rest.iter()
                .try_fold(u64::from(first & 0x3f), |value, byte| {
                    (value >> 56 == 0).then(|| value << 8 | u64::from(*byte))
                })
                .map(Some)
        }
        field => {
            let field = field.trim_ascii_start();
            let end = field
                .iter()
                .position(|byte| matches!(byte, 0 | b' '))
                .unwrap_or(field.len());
            let (digits, rest) = field.split_at(end);
            if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
                return None;
            }
            if digits.is_empty() {
                return Some(None);
            }
            digits
                .iter()
                .try_fold(0u64, |value, byte| {
                    let digit = char::from(*byte).to_digit(8)?;
                    value.checked_mul(8)?.checked_add(u64::from(digit))
                })
                .map(Some)
        }
    }
}

/// Returns the zeros behind a body of `size` bytes.
fn padding(size: u64) -> u64 {
    (512 - size % 512) % 512
}

/// GNU tar ends long names with a NUL, and counts it.
fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    if name.last() == Some(&0) {
        name.pop();
    }
    name
}
