//! What was read out of an archive, as a text in the cache.
//!
//! ```text
//! mkimg-members 1 SHA256          of all lines below
//! archive SHA256
//! want KEY                        what was wanted
//! unpacked N                      plain bytes that had to be read for it
//! blobs                           file bytes are blobs of their own; or:
//! data N                          file bytes are in the data file beside, which has N bytes
//! file MODE UID GID SIZE SHA256 OFFSET PATH
//! dir MODE UID GID PATH
//! link MODE UID GID PATH TARGET
//! char MODE UID GID MAJOR MINOR PATH
//! block MODE UID GID MAJOR MINOR PATH
//! flawed MODE UID GID PATH REASON what no image can have
//! ```
//!
//! Sorted by path; modes octal, other numbers decimal; of paths and targets each byte that is not printable ASCII, and `%`,
//! is `%` and two upper-case hexadecimal digits. A text that does not have this form, or another sum, is as good as none.

use std::fmt::Write as _;

use crate::digest::Digest;

const MAGIC: &str = "mkimg-members 1";

/// What was read out of an archive for one want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) archive: Digest,
    pub(super) want: String,
    pub(super) unpacked: u64,
    /// The size of the data file; `None` where file bytes are blobs.
    pub(super) data: Option<u64>,
    pub(super) records: Vec<Record>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) path: Vec<u8>,
    pub(super) kind: RecordKind,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordKind {
    File(Span),
    Directory,
    Symlink(Vec<u8>),
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
    /// What no image can have, and why: only where it was not known yet whether it is wanted.
    Flawed(String),
}

/// The bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Where they begin in the data file; 0 where they are a blob.
    pub(super) offset: u64,
}

impl Listing {
    /// Returns the text.
    pub(super) fn encode(&self) -> String {
        let mut body = format!(
            "archive {}\nwant {}\nunpacked {}\n",
            self.archive, self.want, self.unpacked
        );
        match self.data {
            Some(size) => body.push_str(&format!("data {size}\n")),
            None => body.push_str("blobs\n"),
        }
        for record in &self.records {
            record.encode(&mut body);
        }
        format!("{MAGIC} {}\n{body}", Digest::of(body.as_bytes()))
    }

    /// Reads the text; `None` where it is damaged, or of another version.
    pub(super) fn decode(text: &[u8]) -> Option<Listing> {
        let text = std::str::from_utf8(text).ok()?;
        let (head, body) = text.split_once('\n')?;
        let sum: Digest = head.strip_prefix(MAGIC)?.strip_prefix(' ')?.parse().ok()?;
        if Digest::of(body.as_bytes()) != sum {
            return None;
        }
        let mut lines = body.lines();
        let archive = lines.next()?.strip_prefix("archive ")?.parse().ok()?;
        let want = lines.next()?.strip_prefix("want ")?.to_owned();
        let unpacked = lines.next()?.strip_prefix("unpacked ")?.parse().ok()?;
        let data = match lines.next()? {
            "blobs" => None,
            line => Some(line.strip_prefix("data ")?.parse().ok()?),
        };
        let records = lines.map(Record::decode).collect::<Option<_>>()?;
        Some(Listing {
            archive,
            want,
            unpacked,
            data,
            records,
        })
    }
}

impl Record {
    fn encode(&self, text: &mut String) {
        let word = match &self.kind {
            RecordKind::File(_) => "file",
            RecordKind::Directory => "dir",
            RecordKind::Symlink(_) => "link",
            RecordKind::Device { block: false, .. } => "char",
            RecordKind::Device { block: true, .. } => "block",
            RecordKind::Flawed(_) => "flawed",
        };
        // Writing into a String cannot fail.
        let _ = write!(text, "{word} {:o} {} {} ", self.mode, self.uid, self.gid);
        let path = escaped(&self.path);
        let _ = match &self.kind {
            RecordKind::File(span) => {
                writeln!(text, "{} {} {} {path}", span.size, span.digest, span.offset)
            }
            RecordKind::Directory => writeln!(text, "{path}"),
            RecordKind::Symlink(target) => writeln!(text, "{path} {}", escaped(target)),
            RecordKind::Device { major, minor, .. } => writeln!(text, "{major} {minor} {path}"),
            RecordKind::Flawed(reason) => writeln!(text, "{path} {}", escaped(reason.as_bytes())),
        };
    }

    fn decode(line: &str) -> Option<Record> {
        let mut words = line.split(' ');
        let word = words.next()?;
        let mode = u32::from_str_radix(words.next()?, 8).ok()?;
        let uid = words.next()?.parse().ok()?;
        let gid = words.next()?.parse().ok()?;
        let (kind, path) = match word {
            "file" => {
                let size = words.next()?.parse().ok()?;
                let digest = words.next()?.parse().ok()?;
                let offset = words.next()?.parse().ok()?;
                let span = Span {
                    digest,
                    size,
                    offset,
                };
                (RecordKind::File(span), unescaped(words.next()?)?)
            }
            "dir" => (RecordKind::Directory, unescaped(words.next()?)?),
            "link" => {
                let path = unescaped(words.next()?)?;
                (RecordKind::Symlink(unescaped(words.next()?)?), path)
            }
            "flawed" => {
                let path = unescaped(words.next()?)?;
                let reason = String::from_utf8(unescaped(words.next()?)?).ok()?;
                (RecordKind::Flawed(reason), path)
            }
            "char" | "block" => {
                let major = words.next()?.parse().ok()?;
                let minor = words.next()?.parse().ok()?;
                let block = word == "block";
                let kind = RecordKind::Device {
                    block,
                    major,
                    minor,
                };
                (kind, unescaped(words.next()?)?)
            }
            _ => return None,
        };
        words.next().is_none().then_some(Record {
            path,
            kind,
            mode,
            uid,
            gid,
        })
    }
}

/// Returns bytes as a word of printable ASCII.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'%' => text.push_str("%25"),
            byte if byte.is_ascii_graphic() => text.push(char::from(*byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

pub(super) fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let record = |path: &[u8], kind| Record {
            path: path.to_vec(),
            kind,
            mode: 0o4755,
            uid: 3_000_000_000_000,
            gid: 7,
        };
        let device = |block| RecordKind::Device {
            block,
            major: 5,
            minor: 1,
        };
        Listing {
            archive: Digest::of(b"archive"),
            want: "1 one a%20b".to_owned(),
            unpacked: 1024,
            data: Some(99),
            records: vec![
                record(b"a b%\xff/c", RecordKind::Directory),
                record(
                    b"f",
                    RecordKind::File(Span {
                        digest: Digest::of(b"f"),
                        size: 9,
                        offset: 90,
                    }),
                ),
                record(b"l", RecordKind::Symlink(b"../a\nb ".to_vec())),
                record(b"p", RecordKind::Flawed("it is\na pipe".to_owned())),
                record(b"c", device(false)),
                record(b"b", device(true)),
            ],
        }
    }

    #[test]
    fn a_listing_reads_back_as_it_was_written() {
        let blobs = Listing {
            data: None,
            ..listing()
        };
        for listing in [listing(), blobs] {
            assert_eq!(Listing::decode(listing.encode().as_bytes()), Some(listing));
        }
    }

    #[test]
    fn a_listing_with_any_byte_changed_or_missing_is_none() {
        let text = listing().encode().into_bytes();
        for at in 0..text.len() {
            assert_eq!(Listing::decode(&text[..at]), None, "cut at {at}");
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert_eq!(Listing::decode(&changed), None, "changed at {at}");
        }
    }
}
