//! Compressed bytes to plain ones.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::xz::XzReader;
use super::zstd::ZstdReader;

/// Bytes read from the file at once.
const INPUT: usize = 256 * 1024;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Not at all.
    Plain,
    /// gzip, RFC 1952.
    Gzip,
    /// xz, the .xz file format 1.2.1.
    Xz,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Format {
    /// Returns the format whose magic bytes `head` begins with; `Plain` is never found.
    pub(super) fn of(head: &[u8]) -> Option<Format> {
        match head {
            [0x1f, 0x8b, ..] => Some(Format::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Format::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Format::Zstd),
            // A skippable frame, which may stand before the first real one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Format::Zstd),
            _ => None,
        }
    }

    /// Returns the word for it in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Plain => "not compressed",
            Format::Gzip => "gzip",
            Format::Xz => "xz",
            Format::Zstd => "zstd",
        }
    }

    /// Returns a reader of the plain bytes. It checks the sums that the format has, and fails where anything follows.
    /// `threads` is how many may work at once, where the format allows it.
    pub(super) fn reader<'a>(self, input: impl Read + 'a, threads: usize) -> Box<dyn Read + 'a> {
        if self == Format::Plain {
            return Box::new(input);
        }
        let input = BufReader::with_capacity(INPUT, input);
        match self {
            Format::Plain => Box::new(input),
            Format::Gzip => Box::new(MultiGzDecoder::new(input)),
            Format::Xz => Box::new(XzReader::new(input, threads)),
            Format::Zstd => Box::new(ZstdReader::new(input)),
        }
    }
}

/// Returns what a file is that mkimg does not read, by its first bytes.
pub(super) fn unsupported(head: &[u8]) -> Option<&'static str> {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"BZh", "compressed with bzip2"),
        (b"\x5d\0\0", "compressed with lzma"),
        (b"LZIP", "compressed with lzip"),
        (b"\x04\x22\x4d\x18", "compressed with lz4"),
        (b"\x89LZO", "compressed with lzop"),
        (b"\x1f\x9d", "compressed with compress"),
        (b"PK\x03\x04", "a zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"\xed\xab\xee\xdb", "an RPM package"),
        (b"070701", "a cpio archive"),
        (b"070702", "a cpio archive"),
    ];
    KNOWN
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, what)| *what)
}

/// Returns the error for something behind the end of the compressed data.
pub(super) fn trailing() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "something follows the end of the compressed data",
    )
}

/// Returns the error for compressed data that ends too early.
pub(super) fn truncated() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the compressed data is truncated",
    )
}
