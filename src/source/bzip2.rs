//! bzip2 through libbz2-rs: any number of streams, one behind the other, and zeros behind the last one.

use std::io::{self, BufRead, Read};

use ::bzip2::{Decompress, Status};

use super::ends::{only_zeros, truncated};

/// Reads plain bytes out of one bzip2 stream or several.
pub(super) struct BzReader<R> {
    input: R,
    /// `None` at the end.
    stream: Option<Decompress>,
}

impl<R: BufRead> BzReader<R> {
    /// Returns a reader of the streams in `input`.
    pub(super) fn new(input: R) -> BzReader<R> {
        BzReader {
            input,
            stream: Some(Decompress::new(false)),
        }
    }
}

impl<R: BufRead> Read for BzReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(stream) = &mut self.stream {
            let input = self.input.fill_buf()?;
            let end = input.is_empty();
            let (before_in, before_out) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(input, buffer).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "the bzip2 data is corrupt")
            })?;
            // Both are bounded by the lengths of the slices.
            let consumed = (stream.total_in() - before_in) as usize;
            let count = (stream.total_out() - before_out) as usize;
            self.input.consume(consumed);
            if status == Status::StreamEnd {
                self.stream = match self.input.fill_buf()?.first() {
                    Some(0) | None => {
                        only_zeros(&mut self.input)?;
                        None
                    }
                    Some(_) => Some(Decompress::new(false)),
                };
            } else if end && count == 0 {
                return Err(truncated());
            }
            if count > 0 {
                return Ok(count);
            }
        }
        Ok(0)
    }
}
