//! Reads newc archives, also those of others: one after the other, plain or compressed, as the kernel takes them.
//!
//! The rules are those of `unpack_to_rootfs` in `init/initramfs.c`: archives follow each other with zeros between them; one
//! that is not compressed begins at a multiple of 4; gzip, xz and zstd data may stand in its place. Where the kernel lets
//! something pass without a word (a missing trailer, a name that is too long) this reader gives an error with its offset.
//! It believes no size: nothing is reserved for bytes that have not come.

mod error;
mod layer;
mod root;
mod sole;

use std::io::{self, BufRead, Read};

use crate::tree::PATH_MAX;

pub use error::ReadError;
use layer::{Input, Layer};
pub use root::{Root, Seen};
pub use sole::{Sole, sole};

/// The header of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Where the header begins, in unpacked bytes from the beginning of the input.
    pub offset: u64,
    /// The name as it stands there, without its NUL.
    pub name: Vec<u8>,
    /// Inode number.
    pub ino: u32,
    /// The kind (`0o170000`, as in `stat(2)`) and the permission bits.
    pub mode: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Number of links.
    pub nlink: u32,
    /// Modification time in seconds since 1970.
    pub mtime: u32,
    /// Bytes of data.
    pub size: u32,
    /// Major and minor number of the device that held the file.
    pub dev: (u32, u32),
    /// Major and minor number of the device that a node stands for.
    pub rdev: (u32, u32),
    /// The check field: 0, but where the archive has sums (070702), that of the data.
    pub check: u32,
    /// Has the archive sums (070702)?
    pub summed: bool,
    /// NULs behind the name, beside its own.
    pub nuls: u32,
}

impl Record {
    /// Returns the name without leading `/` and `./`; empty is the root.
    pub fn path(&self) -> &[u8] {
        let mut path = &self.name[..];
        loop {
            path = match path {
                [b'/', rest @ ..] | [b'.', b'/', rest @ ..] => rest,
                b"." => b"",
                _ => return path,
            };
        }
    }

    /// Says whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & 0o170000 == 0o040000
    }

    /// Says whether this is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & 0o170000 == 0o100000
    }

    /// Says whether this is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.mode & 0o170000 == 0o120000
    }
}

/// One archive of the input, and the form it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What it is compressed with: `none`, `gzip`, `xz` or `zstd`.
    pub compression: &'static str,
    /// Where it begins, in unpacked bytes from the beginning of the input.
    pub offset: u64,
    /// Where the compressed data that it is in begins, in bytes of the input; of a plain one, where it begins itself.
    pub raw: u64,
    /// The entry that ends it, once it was read.
    pub trailer: Option<Record>,
    /// Zeros behind it, those that align the compressed data's end or the input's included.
    pub zeros: u64,
    /// A header has lower-case hexadecimal digits.
    pub lower_case: bool,
}

/// Reads the entries of all archives of an input, in order.
pub struct Reader<R: BufRead> {
    layer: Layer<R>,
    /// Unpacked bytes so far.
    offset: u64,
    /// What the kernel aligns by: bytes since the beginning of the input, or of the compressed data.
    aligned: u64,
    /// Inside an archive, before its trailer.
    inside: bool,
    /// The last archive was not compressed, so what follows must be aligned.
    after_plain: bool,
    /// There was an archive.
    any: bool,
    /// Bytes of the current body that are still to come.
    left: u32,
    /// The sum that the current body should have, and that of what was read of it.
    sum: Option<(u32, u32)>,
    /// Where the current compressed data begins in the input.
    raw: u64,
    segments: Vec<Segment>,
}

impl<R: BufRead> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl<R: BufRead> Reader<R> {
    /// Returns the reader of an input.
    pub fn new(input: R) -> Reader<R> {
        Reader {
            layer: Layer::Raw(Input::new(input)),
            offset: 0,
            aligned: 0,
            inside: false,
            after_plain: false,
            any: false,
            left: 0,
            sum: None,
            raw: 0,
            segments: Vec::new(),
        }
    }

    /// Returns the archives so far, in their order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the next entry, passing what was not read of the last one's body; `None` behind the last archive.
    ///
    /// # Errors
    /// [`ReadError`]; nothing more can be read after one.
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        while self.left > 0 {
            let count = self.body_bytes()?.len();
            self.pass_body(count);
        }
        if let Some((said, sum)) = self.sum.take()
            && said != sum
        {
            let offset = self.offset;
            return Err(ReadError::Sum { offset });
        }
        loop {
            if self.inside {
                self.padding()?;
            } else if !self.next_archive()? {
                return Ok(None);
            }
            let record = self.record()?;
            if record.name != b"TRAILER!!!" {
                self.left = record.size;
                return Ok(Some(record));
            }
            self.inside = false;
            if let Some(segment) = self.segments.last_mut() {
                segment.trailer = Some(record);
            }
        }
    }

    /// Returns a reader of the rest of the current entry's body. Its errors carry a [`ReadError`].
    pub fn body(&mut self) -> Body<'_, R> {
        Body(self)
    }

    /// Reads the target of a symlink, the entry that [`Reader::next_record`] just gave.
    ///
    /// # Errors
    /// [`ReadError`], also where it is longer than a path can be.
    pub fn target(&mut self) -> Result<Vec<u8>, ReadError> {
        if self.left as usize >= PATH_MAX {
            return Err(ReadError::Target {
                offset: self.offset,
                size: self.left,
            });
        }
        let mut target = Vec::new();
        while self.left > 0 {
            let bytes = self.body_bytes()?;
            target.extend_from_slice(bytes);
            let count = bytes.len();
            self.pass_body(count);
        }
        Ok(target)
    }

    /// Finds the next archive; returns whether there is one.
    fn next_archive(&mut self) -> Result<bool, ReadError> {
        loop {
            let offset = self.offset;
            let failed = |source| ReadError::Io { offset, source };
            let bytes = self.layer.fill().map_err(failed)?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let next = bytes.get(zeros).copied();
            let found = bytes[zeros..].iter().take(6).copied().collect();
            let nothing = bytes.is_empty();
            self.pass(zeros);
            if let Some(segment) = self.segments.last_mut() {
                segment.zeros += zeros as u64;
            }
            let offset = self.offset;
            let plain = matches!(self.layer, Layer::Raw(_));
            match next {
                None if !nothing => {}
                None if !plain => {
                    self.layer.close().map_err(failed)?;
                    if let Layer::Raw(input) = &self.layer {
                        self.aligned = input.offset;
                    }
                }
                None if self.any => return Ok(false),
                None => return Err(ReadError::Empty),
                Some(b'0') if self.aligned.is_multiple_of(4) => {
                    (self.inside, self.any, self.after_plain) = (true, true, plain);
                    self.segments.push(Segment {
                        compression: self.layer.name(),
                        offset,
                        raw: if plain { self.layer.taken() } else { self.raw },
                        trailer: None,
                        zeros: 0,
                        lower_case: false,
                    });
                    return Ok(true);
                }
                Some(b'0') => return Err(ReadError::Misaligned { offset }),
                Some(_) if plain && self.after_plain && !self.aligned.is_multiple_of(4) => {
                    return Err(ReadError::Misaligned { offset });
                }
                Some(_) => {
                    self.raw = self.layer.taken();
                    if !self.layer.open().map_err(failed)? {
                        return Err(ReadError::Unknown { offset, found });
                    }
                    (self.aligned, self.after_plain) = (0, false);
                }
            }
        }
    }

    /// Returns bytes inside an archive, never none.
    fn bytes(&mut self, what: &'static str) -> Result<&[u8], ReadError> {
        let offset = self.offset;
        let failed = |source| ReadError::Io { offset, source };
        while self.layer.fill().map_err(failed)?.is_empty() {
            // Compressed data may come in several members, one behind the other.
            let plain = matches!(self.layer, Layer::Raw(_));
            self.layer.close().map_err(failed)?;
            if plain || !self.layer.open().map_err(failed)? {
                return Err(ReadError::Truncated { offset, what });
            }
        }
        self.layer.fill().map_err(failed)
    }

    fn pass(&mut self, count: usize) {
        self.layer.consume(count);
        self.offset += count as u64;
        self.aligned += count as u64;
    }

    fn exact(&mut self, mut buffer: &mut [u8], what: &'static str) -> Result<(), ReadError> {
        while !buffer.is_empty() {
            let bytes = self.bytes(what)?;
            let count = bytes.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(&bytes[..count]);
            buffer = later;
            self.pass(count);
        }
        Ok(())
    }

    /// Passes zeros up to a multiple of 4.
    fn padding(&mut self) -> Result<(), ReadError> {
        let offset = self.offset;
        let missing = (self.aligned.next_multiple_of(4) - self.aligned) as usize;
        let mut zeros = [0u8; 3];
        let zeros = &mut zeros[..missing];
        self.exact(zeros, "padding")?;
        match zeros.iter().position(|byte| *byte != 0) {
            Some(index) => Err(ReadError::Padding {
                offset: offset + index as u64,
            }),
            None => Ok(()),
        }
    }

    fn body_bytes(&mut self) -> Result<&[u8], ReadError> {
        let left = self.left as usize;
        let bytes = self.bytes("the data of an entry")?;
        Ok(&bytes[..bytes.len().min(left)])
    }

    fn pass_body(&mut self, count: usize) {
        if let Some((_, sum)) = &mut self.sum
            && let Ok(bytes) = self.layer.fill()
        {
            let bytes = bytes.iter().take(count);
            *sum = bytes.fold(*sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        }
        self.pass(count);
        // Never more than `left`, see `body_bytes`.
        self.left -= count as u32;
    }

    fn record(&mut self) -> Result<Record, ReadError> {
        const FIELDS: [&str; 13] = [
            "the inode number",
            "the mode",
            "the user id",
            "the group id",
            "the number of links",
            "the modification time",
            "the size",
            "the major device number",
            "the minor device number",
            "the major number",
            "the minor number",
            "the size of the name",
            "the check field",
        ];
        let offset = self.offset;
        let mut magic = [0u8; 6];
        self.exact(&mut magic, "a header")?;
        let summed = &magic == b"070702";
        if &magic != b"070701" && !summed {
            return Err(ReadError::Magic {
                offset,
                found: magic,
            });
        }
        let mut values = [0u32; 13];
        for (value, field) in values.iter_mut().zip(FIELDS) {
            let offset = self.offset;
            let mut found = [0u8; 8];
            self.exact(&mut found, "a header")?;
            if found.iter().any(u8::is_ascii_lowercase)
                && let Some(segment) = self.segments.last_mut()
            {
                segment.lower_case = true;
            }
            *value = hexadecimal(found).ok_or(ReadError::Digits {
                offset,
                field,
                found,
            })?;
        }
        let [ino, mode, uid, gid, nlink, mtime, size, ..] = values;
        let [.., major, minor, rmajor, rminor, name_size, check] = values;
        if name_size == 0 || name_size as usize > PATH_MAX {
            let size = name_size;
            return Err(ReadError::NameSize { offset, size });
        }
        let mut name = vec![0u8; name_size as usize];
        self.exact(&mut name, "a name")?;
        // Some writers align the data to blocks by more NULs. The kernel takes the name up to the first.
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len());
        if end == name.len() || name[end..].iter().any(|byte| *byte != 0) {
            return Err(ReadError::Name { offset, name });
        }
        let nuls = (name.len() - end - 1) as u32;
        name.truncate(end);
        self.padding()?;
        let has_data = matches!(mode & 0o170000, 0o100000 | 0o120000) && name != b"TRAILER!!!";
        if size > 0 && !has_data {
            return Err(ReadError::Data { offset, name, size });
        }
        // GNU cpio writes none for symlinks, and the kernel checks none of theirs.
        self.sum =
            (summed && has_data && mode & 0o170000 == 0o100000 && size > 0).then_some((check, 0));
        Ok(Record {
            offset,
            name,
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            size,
            dev: (major, minor),
            rdev: (rmajor, rminor),
            check,
            summed,
            nuls,
        })
    }
}

/// Returns the value of hexadecimal digits; unlike `from_str_radix`, takes no sign.
fn hexadecimal(digits: [u8; 8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

/// The body of an entry.
#[derive(Debug)]
pub struct Body<'a, R: BufRead>(&'a mut Reader<R>);

impl<R: BufRead> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self.0.body_bytes().map_err(|error| {
            let kind = match &error {
                ReadError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
                ReadError::Io { source, .. } => source.kind(),
                _ => io::ErrorKind::InvalidData,
            };
            io::Error::new(kind, error)
        })?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.0.pass_body(count);
        Ok(count)
    }
}
