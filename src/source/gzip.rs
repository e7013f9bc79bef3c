//! gzip through flate2: any number of members, one behind the other, and zeros behind the last one.
//!
//! Source: RFC 1952; gzip's manual, "Using gzip on tapes": zeros behind the end are ignored.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::ends::only_zeros;

/// Reads plain bytes out of one gzip member or several.
pub(super) struct GzReader<R> {
    /// `None` at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzReader<R> {
    /// Returns a reader of the members in `input`.
    pub(super) fn new(input: R) -> GzReader<R> {
        GzReader {
            member: Some(GzDecoder::new(input)),
        }
    }
}

impl<R: BufRead> Read for GzReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            // The sum was right: else that were an error.
            let Some(mut input) = self.member.take().map(GzDecoder::into_inner) else {
                break;
            };
            match input.fill_buf()?.first() {
                Some(0) | None => only_zeros(&mut input)?,
                Some(_) => self.member = Some(GzDecoder::new(input)),
            }
        }
        Ok(0)
    }
}
