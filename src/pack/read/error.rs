//! What can be wrong with an archive that somebody else wrote.

use std::io;

use crate::text::shown;

/// Why an archive cannot be read. Offsets count unpacked bytes from the beginning of the input.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input cannot be read, or a compressed part of it is damaged.
    #[error("at byte {offset}: the archive cannot be read or unpacked")]
    Io {
        /// Where.
        offset: u64,
        /// The error of the system or the decompressor.
        #[source]
        source: io::Error,
    },
    /// There is no archive in the input at all.
    #[error("no archive: the input is empty or has only zeros")]
    Empty,
    /// The input ends inside an archive.
    #[error("at byte {offset}: the archive ends inside {what}")]
    Truncated {
        /// Where.
        offset: u64,
        /// What was being read.
        what: &'static str,
    },
    /// Something stands where an archive or a compressed one should begin.
    #[error(
        "at byte {offset}: `{}` begins neither a newc archive nor gzip, xz or zstd data",
        shown(.found)
    )]
    Unknown {
        /// Where.
        offset: u64,
        /// What is there.
        found: Vec<u8>,
    },
    /// A header begins with neither `070701` nor `070702`.
    #[error("at byte {offset}: expected a header that begins with `070701`, found `{}`", shown(.found))]
    Magic {
        /// Where.
        offset: u64,
        /// What is there.
        found: [u8; 6],
    },
    /// A field is not made of 8 hexadecimal digits.
    #[error("at byte {offset}: {field} is `{}`, not 8 hexadecimal digits", shown(.found))]
    Digits {
        /// Where.
        offset: u64,
        /// The name of the field.
        field: &'static str,
        /// What is there.
        found: [u8; 8],
    },
    /// The kernel skips an entry whose name, its NUL included, is longer than 4096 bytes; 0 leaves no room for the NUL.
    #[error("at byte {offset}: the name has {size} bytes, 1 to 4096 are possible")]
    NameSize {
        /// Where.
        offset: u64,
        /// The declared size.
        size: u32,
    },
    /// A name has no NUL, or something behind it.
    #[error("at byte {offset}: the name `{}` does not end at a NUL, or goes on behind it", shown(.name))]
    Name {
        /// Where.
        offset: u64,
        /// The name as it is there.
        name: Vec<u8>,
    },
    /// The sum of a file's data is not the one in its header: the kernel stops there.
    #[error("at byte {offset}: the data before it has another sum than its header says")]
    Sum {
        /// Where the data ends.
        offset: u64,
    },
    /// Something other than a file or symlink has data: the kernel loses its way there.
    #[error("at byte {offset}: `{}` has {size} bytes of data but can have none", shown(.name))]
    Data {
        /// Where.
        offset: u64,
        /// The name of the entry.
        name: Vec<u8>,
        /// The declared size.
        size: u32,
    },
    /// The body of a symlink is too long.
    #[error(
        "at byte {offset}: the target of a symlink has {size} bytes, at most 4095 are possible"
    )]
    Target {
        /// Where.
        offset: u64,
        /// The declared size.
        size: u32,
    },
    /// Padding has other bytes than zeros.
    #[error("at byte {offset}: padding that is not zero")]
    Padding {
        /// Where.
        offset: u64,
    },
    /// An archive begins where the kernel would not look for one.
    #[error("at byte {offset}: an archive must begin at a multiple of 4 bytes")]
    Misaligned {
        /// Where.
        offset: u64,
    },
}
