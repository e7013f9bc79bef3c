//! Compressed bytes to plain ones: one line of the table for each way to compress.

use std::io::{BufRead, BufReader, Read};

use super::bzip2::BzReader;
use super::gzip::GzReader;
use super::xz::{Coder, XzReader};
use super::zstd::ZstdReader;

/// Bytes read from the file at once.
const INPUT: usize = 256 * 1024;

/// Compressed bytes.
pub(super) type Packed<'a> = Box<dyn BufRead + 'a>;

/// A way to compress.
pub(super) struct Format {
    /// The word for it in messages.
    pub(super) name: &'static str,
    /// What stands behind `.tar` in a name.
    pub(super) suffix: &'static str,
    /// Says whether bytes begin like it.
    knows: fn(&[u8]) -> bool,
    /// Returns a reader of the plain bytes. It checks the sums that the format has, and fails where anything but padding
    /// follows. The number is how many threads may work at once, where the format allows it.
    reader: for<'a> fn(Packed<'a>, usize) -> Box<dyn Read + 'a>,
}

/// Not compressed.
pub(super) static PLAIN: Format = Format {
    name: "not compressed",
    suffix: "",
    knows: |_| false,
    reader: |input, _| Box::new(input),
};

/// The ways to compress that are read.
pub(super) static FORMATS: [Format; 6] = [
    // RFC 1952
    Format {
        name: "gzip",
        suffix: ".gz",
        knows: |head| head.starts_with(b"\x1f\x8b"),
        reader: |input, _| Box::new(GzReader::new(input)),
    },
    // the .xz file format 1.2.1
    Format {
        name: "xz",
        suffix: ".xz",
        knows: |head| head.starts_with(b"\xfd7zXZ\0"),
        reader: |input, threads| Box::new(XzReader::new(Coder::Xz, input, threads)),
    },
    // RFC 8878; a skippable frame may stand before the first real one
    Format {
        name: "zstd",
        suffix: ".zst",
        knows: |head| {
            head.starts_with(b"\x28\xb5\x2f\xfd")
                || matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
        },
        reader: |input, _| Box::new(ZstdReader::new(input)),
    },
    Format {
        name: "bzip2",
        suffix: ".bz2",
        knows: |head| matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', ..]),
        reader: |input, _| Box::new(BzReader::new(input)),
    },
    Format {
        name: "lzma",
        suffix: ".lzma",
        knows: is_lzma,
        reader: |input, _| Box::new(XzReader::new(Coder::Lzma, input, 1)),
    },
    Format {
        name: "lzip",
        suffix: ".lz",
        knows: |head| head.starts_with(b"LZIP"),
        reader: |input, _| Box::new(XzReader::new(Coder::Lzip, input, 1)),
    },
];

impl Format {
    /// Returns the format that `head` begins like; `PLAIN` is never found.
    pub(super) fn of(head: &[u8]) -> Option<&'static Format> {
        FORMATS.iter().find(|format| (format.knows)(head))
    }

    /// Returns the format whose names have this suffix.
    pub(super) fn by_suffix(suffix: &[u8]) -> Option<&'static Format> {
        let mut all = std::iter::once(&PLAIN).chain(&FORMATS);
        all.find(|format| format.suffix.as_bytes() == suffix)
    }

    /// Says whether bytes begin as this format's do; plain ones may begin in any way.
    pub(super) fn begins(&self, head: &[u8]) -> bool {
        self.suffix.is_empty() || (self.knows)(head)
    }

    /// Returns a reader of the plain bytes.
    pub(super) fn reader<'a>(&self, input: impl Read + 'a, threads: usize) -> Box<dyn Read + 'a> {
        if self.suffix.is_empty() {
            return Box::new(input);
        }
        let input = BufReader::with_capacity(INPUT, input);
        (self.reader)(Box::new(input), threads)
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Says whether bytes begin like what `xz --format=lzma` writes. That has no magic bytes: what every encoder writes is the
/// first byte, a dictionary of a power of two or one and a half of it, and a size that is not known or below 256 GiB.
fn is_lzma(head: &[u8]) -> bool {
    let Some(&[0x5d, a, b, c, d, ref size @ .., _]) = head.first_chunk::<14>() else {
        return false;
    };
    let dictionary = u32::from_le_bytes([a, b, c, d]);
    let size = size
        .iter()
        .rev()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let power = dictionary.is_power_of_two()
        || (dictionary.is_multiple_of(3) && (dictionary / 3).is_power_of_two());
    dictionary >= 4096 && power && (size == u64::MAX || size < 1 << 38)
}

/// Returns what a file is that mkimg does not read, by its first bytes.
pub(super) fn unsupported(head: &[u8]) -> Option<&'static str> {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\x04\x22\x4d\x18", "compressed with lz4"),
        (b"\x89LZO", "compressed with lzop"),
        (b"\x1f\x9d", "compressed with compress"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"hsqs", "a squashfs file system"),
    ];
    KNOWN
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, what)| *what)
}
