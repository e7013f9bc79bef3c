//! The end of compressed data: what may follow it, and the errors where it is not right.

use std::io::{self, BufRead};

/// Passes over zeros up to the end, which pad a file to the blocks of a tape; fails where anything else follows.
pub(super) fn only_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let have = input.fill_buf()?;
        if have.is_empty() {
            return Ok(());
        }
        if have.iter().any(|byte| *byte != 0) {
            return Err(trailing());
        }
        let count = have.len();
        input.consume(count);
    }
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
