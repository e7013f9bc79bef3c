//! The one archive of an image: what the kernel would unpack, and whether that is all there is.
//!
//! The tree identity says nothing of what a reader passes over. So the file ends where its one gzip member ends, that holds one
//! archive, which ends with the zeros behind its trailer, and each entry is as mkimg writes it: then what a listing says of the
//! archive and what the kernel makes of it are the same.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::{Reader, Record, Segment};
use crate::digest::{Digest, Hasher};
use crate::pack::gzip;
use crate::text::shown;
use crate::tree::EntryPath;

/// What is in the file of an image's initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sole {
    /// The sha256 of the unpacked bytes: the tree identity.
    pub tree: Digest,
    /// Their number.
    pub size: u64,
    /// What is not as it is in an image; nothing where all is.
    pub odd: Option<String>,
}

/// Reads the initramfs of an image to its end. No more than `most` unpacked bytes are looked at.
///
/// # Errors
/// Those of reading and of unpacking, a wrong sum among them.
pub fn sole(mut file: impl BufRead, compressed: bool, most: u64) -> io::Result<Sole> {
    if !compressed {
        return unpacked(file.take(most));
    }
    let mut header = [0u8; gzip::HEADER.len()];
    file.read_exact(&mut header)?;
    let mut packed = GzDecoder::new(header.as_slice().chain(&mut file));
    let mut found = unpacked(BufReader::new((&mut packed).take(most)))?;
    // The kernel passes over no field of a header but the name: with another one, it would unpack other bytes.
    if header != gzip::HEADER {
        found.odd = Some("its gzip header is not as mkimg writes it".to_owned());
    }
    if found.size < most && !file.fill_buf()?.is_empty() {
        found.odd =
            Some("more bytes follow its gzip member, which the kernel would unpack too".to_owned());
    }
    Ok(found)
}

fn unpacked(from: impl BufRead) -> io::Result<Sole> {
    let mut hashed = Hashed {
        from,
        hasher: Hasher::new(),
        size: 0,
        failed: None,
    };
    let odd = odd(&mut hashed);
    if let Some(error) = hashed.failed.take() {
        return Err(error);
    }
    // Whatever is wrong with it, it has an identity.
    io::copy(&mut hashed, &mut io::sink())?;
    Ok(Sole {
        tree: hashed.hasher.finish(),
        size: hashed.size,
        odd,
    })
}

/// Returns the first thing that is not as in an archive of mkimg.
fn odd(from: &mut impl BufRead) -> Option<String> {
    let mut archive = Reader::new(from);
    let mut entries = Entries::default();
    loop {
        match archive.next_record() {
            Ok(Some(record)) => {
                if let Some(odd) = entries.odd(&record) {
                    return Some(format!("the entry `{}` {odd}", shown(&record.name)));
                }
            }
            Ok(None) => break,
            Err(error) => return Some(error.to_string()),
        }
    }
    let [only] = archive.segments() else {
        return Some("more than one archive is in it".to_owned());
    };
    ends(only)
}

fn ends(archive: &Segment) -> Option<String> {
    let Some(trailer) = &archive.trailer else {
        return Some("its archive has no trailer".to_owned());
    };
    let plain = Record {
        offset: trailer.offset,
        name: trailer.name.clone(),
        nlink: 1,
        ..Record::default()
    };
    // A header of 110 bytes and a name of 11, padded to a multiple of 4.
    let end = trailer.offset + 124;
    let zeros = end.next_multiple_of(512) - end;
    let odd = match () {
        () if archive.compression != "none" => "its archive is compressed twice",
        () if archive.offset != 0 => "zeros stand before its archive",
        () if archive.lower_case => "its headers have lower-case digits",
        () if *trailer != plain => "its trailer is not as mkimg writes it",
        () if archive.zeros != zeros => "its archive is not filled up to 512 bytes",
        () => return None,
    };
    Some(odd.to_owned())
}

/// The entries so far.
#[derive(Default)]
struct Entries {
    count: u32,
    last: Vec<u8>,
    directories: BTreeSet<Vec<u8>>,
}

impl Entries {
    fn odd(&mut self, record: &Record) -> Option<&'static str> {
        let name = record.name.as_slice();
        let parent = name.iter().rposition(|byte| *byte == b'/');
        let parent = parent.map(|end| &name[..end]);
        let odd = match () {
            () if EntryPath::new(name).is_err() => "has no plain path",
            () if self.count > 0 && name <= self.last.as_slice() => {
                "does not come in the order of the paths, or twice"
            }
            () if parent.is_some_and(|parent| !self.directories.contains(parent)) => {
                "has no directory before it"
            }
            () if record.ino != self.count => "is not numbered as mkimg numbers it",
            () if record.nlink != if record.is_directory() { 2 } else { 1 } => {
                "has another number of links"
            }
            () if record.dev != (0, 0) || record.check != 0 => "has fields that an image leaves 0",
            () => {
                self.count += 1;
                self.last = name.to_vec();
                if record.is_directory() {
                    self.directories.insert(name.to_vec());
                }
                return None;
            }
        };
        Some(odd)
    }
}

/// A reader whose bytes are hashed as they are taken.
struct Hashed<R> {
    from: R,
    hasher: Hasher,
    size: u64,
    failed: Option<io::Error>,
}

impl<R: BufRead> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.from.fill_buf()
            && error.kind() != io::ErrorKind::Interrupted
        {
            // The first one is what happened: whoever reads on may be told less.
            let kind = error.kind();
            self.failed.get_or_insert(error);
            return Err(kind.into());
        }
        // Filled above, so this reads nothing.
        self.from.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Ok(bytes) = self.from.fill_buf() {
            self.hasher.update(&bytes[..count.min(bytes.len())]);
            self.size += count as u64;
        }
        self.from.consume(count);
    }
}
