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
//! Read as GNU tar and bsdtar read it where these agree: a stream may end without zero blocks, but not inside of a member; what
//! is no file has no bytes, whatever its size says; a member of an unknown type is a file (POSIX). Where they do not agree a
//! stream is refused: with something behind the first zero block, or with a hard link of some size in a pax archive.

use ::tar::Header;

use super::archive_error::{ArchiveError, MemberProblem, StreamProblem, shown};
use super::entry::{Entry, EntryKind, FILE_LIMIT, Sink, Walk};
use super::name;
use super::octal::{is_header, lenient, number};
use super::pax::Pax;
use super::sparse::Map;
use super::tape::Tape;

/// The largest pax or GNU long-name header that is taken, in bytes. Names end at 4095.
const EXTENDED: u64 = 1 << 20;

/// Walks over a tar stream.
pub(super) struct Tar<'a> {
    tape: Tape<'a>,
    /// Stored bytes of the current member that were not read yet, and the zeros behind them.
    body: u64,
    padding: u64,
    /// Where they belong, of a sparse file.
    map: Option<Map>,
    first: bool,
    /// Was there a pax header?
    pax: bool,
    /// Names are inside of the root whatever they say, as a runtime of containers has it.
    confined: bool,
    /// What global headers say of all members behind them.
    owner: (Option<u64>, Option<u64>),
}

impl<'a> Tar<'a> {
    /// Begins at the tape's place.
    pub(super) fn new(tape: Tape<'a>) -> Tar<'a> {
        Tar {
            tape,
            body: 0,
            padding: 0,
            map: None,
            first: true,
            pax: false,
            confined: false,
            owner: (None, None),
        }
    }

    /// Begins at the first member of a layer of a container image.
    pub(super) fn layer(tape: Tape<'a>) -> Tar<'a> {
        Tar {
            confined: true,
            ..Tar::new(tape)
        }
    }

    /// Reads the bytes of a header that describes another one.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > EXTENDED {
            return Err(self.tape.problem(StreamProblem::Extended(size)));
        }
        let mut bytes = Vec::new();
        self.tape.take(size, &mut |some| {
            bytes.extend_from_slice(some);
            Ok(())
        })?;
        self.tape.skip(padding(size))?;
        Ok(bytes)
    }

    /// Reads the next header and checks its sum; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        self.map = None;
        let left = std::mem::take(&mut self.body);
        self.tape.skip(left)?;
        let left = std::mem::take(&mut self.padding);
        self.tape.skip(left)?;
        let first = std::mem::replace(&mut self.first, false);
        let Some(block) = self.tape.block::<512>()? else {
            // Some writers leave the zero blocks out.
            return match first {
                true => Err(self.tape.problem(StreamProblem::NotTar)),
                false => Ok(None),
            };
        };
        if block.iter().all(|byte| *byte == 0) {
            return match self.tape.finish() {
                Ok(()) => Ok(None),
                // A disk image, say.
                Err(ArchiveError::Stream { .. }) if first => {
                    Err(self.tape.problem(StreamProblem::NotTar))
                }
                Err(error) => Err(error),
            };
        }
        if !is_header(&block) {
            return Err(self.tape.problem(match first {
                true => StreamProblem::NotTar,
                false => StreamProblem::Checksum,
            }));
        }
        Ok(Some(Header::from_byte_slice(&block).clone()))
    }

    fn entry(&mut self, header: &Header, size: u64, long: Long) -> Result<Entry, ArchiveError> {
        let pax = match &long.pax {
            Some(bytes) => {
                Pax::parse(bytes).ok_or_else(|| self.tape.problem(StreamProblem::Pax))?
            }
            None => Pax::default(),
        };
        let old = header.as_old();
        let sparse_name = pax.sparse.as_ref().and_then(|sparse| sparse.name);
        let raw = match (sparse_name.or(pax.path), long.name) {
            (Some(path), _) => path.to_vec(),
            (None, Some(path)) => without_nul(path),
            (None, None) => header.path_bytes().into_owned(),
        };
        let archive = self.tape.archive();
        let member = |problem| ArchiveError::Member {
            archive: archive.to_owned(),
            member: shown(&raw),
            problem,
        };
        let normal = match self.confined {
            true => name::confined,
            false => name::normal,
        };
        let path = normal(&raw).map_err(member)?;
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
        let flag = kind_of(header);
        let kind = match flag {
            b'1' => EntryKind::HardLink(normal(&target()?).map_err(member)?),
            b'2' => EntryKind::Symlink(target()?),
            b'3' | b'4' => {
                let (major, minor) = self.device(header)?;
                EntryKind::Device {
                    block: flag == b'4',
                    major: u32::try_from(major).map_err(|_| member(MemberProblem::Device))?,
                    minor: u32::try_from(minor).map_err(|_| member(MemberProblem::Device))?,
                }
            }
            b'5' | b'D' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'M' => return Err(member(MemberProblem::Volume)),
            // The first tar had no type for directories: a slash at the end said it.
            _ if raw.ends_with(b"/") => EntryKind::Directory,
            _ => EntryKind::File,
        };
        if path.is_empty() && !matches!(kind, EntryKind::Directory) {
            return Err(member(MemberProblem::Empty));
        }
        let is_file = matches!(kind, EntryKind::File);
        let stored = match (flag, pax.size.unwrap_or(size)) {
            // GNU tar's list of what a directory held is the only body of something else.
            (b'D', size) => size,
            (_, size) if is_file => size,
            // bsdtar goes by the size of a hard link where the archive is of the pax format, GNU tar never does.
            (b'1', 1..) if self.pax => {
                return Err(self.tape.problem(StreamProblem::Size(shown(&raw))));
            }
            (b'1'..=b'6', _) | (_, 0) => 0,
            _ => return Err(self.tape.problem(StreamProblem::Size(shown(&raw)))),
        };
        let map = match &pax.sparse {
            Some(sparse) if is_file && sparse.foreign => return Err(member(MemberProblem::Sparse)),
            Some(sparse) if is_file => Some(Map::pax(sparse, stored, &mut self.tape)?),
            _ if flag == b'S' && header.as_gnu().is_none() => {
                return Err(member(MemberProblem::Sparse));
            }
            _ if flag == b'S' && is_file => {
                Some(Map::gnu(header.as_bytes(), stored, &mut self.tape)?)
            }
            _ => None,
        };
        let size = match &map {
            Some(map) => map.size,
            None if is_file => stored,
            None => 0,
        };
        let flaw = match (&pax.attribute, &kind) {
            (Some(key), _) => Some(MemberProblem::Attribute(shown(key))),
            (None, EntryKind::Fifo) => Some(MemberProblem::Fifo),
            (None, _) if size >= FILE_LIMIT => Some(MemberProblem::Size(size)),
            _ => None,
        };
        let mode = match kind {
            EntryKind::Symlink(_) => 0o777,
            // Some writers put the file type there as well: masked, the bits cannot say anything else.
            _ => (self.lenient(&old.mode, "mode")? & 0o7777) as u32,
        };
        let entry = Entry {
            path,
            kind,
            mode,
            uid: match pax.uid.or(self.owner.0) {
                Some(uid) => uid,
                None => self.lenient(&old.uid, "user id")?,
            },
            gid: match pax.gid.or(self.owner.1) {
                Some(gid) => gid,
                None => self.lenient(&old.gid, "group id")?,
            },
            size,
            inode: None,
            flaw,
        };
        self.body = map.as_ref().map_or(stored, |map| map.stored);
        // The map of a sparse file may have been in front of its bytes, in whole blocks.
        self.padding = padding(self.body);
        if let Some(map) = map.filter(|map| map.size < FILE_LIMIT) {
            self.tape.count(map.size - map.stored)?;
            self.map = Some(map);
        }
        Ok(entry)
    }

    /// Takes what a global header says of all members behind it. What can only hold for one is refused.
    fn global(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let pax = Pax::parse(bytes).ok_or_else(|| self.tape.problem(StreamProblem::Pax))?;
        if let Some(key) = pax.of_one() {
            return Err(self.tape.problem(StreamProblem::Global(shown(key))));
        }
        self.owner = (pax.uid.or(self.owner.0), pax.gid.or(self.owner.1));
        Ok(())
    }

    fn device(&self, header: &Header) -> Result<(u64, u64), ArchiveError> {
        let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
            (Some(ustar), _) => (ustar.dev_major, ustar.dev_minor),
            (None, Some(gnu)) => (gnu.dev_major, gnu.dev_minor),
            (None, None) => return Err(self.tape.problem(StreamProblem::Number("device number"))),
        };
        Ok((
            self.lenient(&major, "device number")?,
            self.lenient(&minor, "device number")?,
        ))
    }

    fn size(&self, header: &Header) -> Result<u64, ArchiveError> {
        let size = number(&header.as_old().size);
        match kind_of(header) {
            // What has no bytes, and GNU tar's labels, may have no size either.
            b'1'..=b'6' | b'V' => size.map(Option::unwrap_or_default),
            _ => size.flatten(),
        }
        .ok_or_else(|| self.tape.problem(StreamProblem::Number("size")))
    }

    fn lenient(&self, field: &[u8], what: &'static str) -> Result<u64, ArchiveError> {
        lenient(field).ok_or_else(|| self.tape.problem(StreamProblem::Number(what)))
    }
}

impl Walk for Tar<'_> {
    fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut long = Long::default();
        loop {
            let Some(header) = self.header()? else {
                if long.any() {
                    return Err(self.tape.problem(StreamProblem::Dangling));
                }
                return Ok(None);
            };
            let size = self.size(&header)?;
            let slot = match kind_of(&header) {
                b'L' => &mut long.name,
                b'K' => &mut long.link,
                // Solaris has a letter of its own for it.
                b'x' | b'X' => &mut long.pax,
                b'g' => &mut None,
                // The name of the archive, for people.
                b'V' => {
                    (self.body, self.padding) = (size, padding(size));
                    continue;
                }
                _ => return self.entry(&header, size, long).map(Some),
            };
            if slot.is_some() {
                return Err(self.tape.problem(StreamProblem::Dangling));
            }
            let bytes = self.extended(size)?;
            self.pax |= matches!(kind_of(&header), b'x' | b'X' | b'g');
            if kind_of(&header) == b'g' {
                self.global(&bytes)?;
            } else {
                *slot = Some(bytes);
            }
        }
    }

    fn body(&mut self, sink: &mut Sink) -> Result<(), ArchiveError> {
        let body = std::mem::take(&mut self.body);
        match self.map.take() {
            Some(map) => map.pass(&mut self.tape, sink),
            None => self.tape.take(body, sink),
        }
    }

    fn position(&self) -> u64 {
        self.tape.position()
    }
}

/// Returns the letter that says what a member is.
fn kind_of(header: &Header) -> u8 {
    header.as_old().linkflag[0]
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
