//! Zstandard through ruzstd: any number of frames, their content sums checked.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::ends::{trailing, truncated};

/// Plain bytes that are decoded before they are handed out.
const CHUNK: usize = 256 * 1024;

/// Reads plain bytes out of one zstd frame or several. The window is bounded by ruzstd's own limit of 128 MiB, which is
/// what `zstd -d` takes without `--long`.
pub(super) struct ZstdReader<R> {
    input: R,
    decoder: FrameDecoder,
    /// Is the decoder inside a frame?
    running: bool,
    /// Has a frame been seen?
    any: bool,
}

impl<R: BufRead> ZstdReader<R> {
    /// Returns a reader of the frames in `input`.
    pub(super) fn new(input: R) -> ZstdReader<R> {
        ZstdReader {
            input,
            decoder: FrameDecoder::new(),
            running: false,
            any: false,
        }
    }

    /// Begins the next frame, passing over skippable ones; says whether there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        use ReadFrameHeaderError::{BadMagicNumber, MagicNumberReadError, SkipFrame};
        loop {
            if self.input.fill_buf()?.is_empty() {
                return match self.any {
                    true => Ok(false),
                    false => Err(truncated()),
                };
            }
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    (self.running, self.any) = (true, true);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
                    if skipped != length {
                        return Err(truncated());
                    }
                }
                Err(FrameDecoderError::ReadFrameHeaderError(
                    BadMagicNumber(_) | MagicNumberReadError(_),
                )) if self.any => return Err(trailing()),
                Err(error) => return Err(explained(&error)),
            }
        }
    }

    /// Compares what a finished frame says of itself with what came out of it.
    fn check(&self) -> io::Result<()> {
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the zstd data is corrupt: its checksum is wrong",
            ));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.running && !self.next_frame()? {
                return Ok(0);
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.decoder.is_finished() {
                self.check()?;
                self.running = false;
                continue;
            }
            self.decoder
                .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBytes(CHUNK))
                .map_err(|error| explained(&error))?;
        }
    }
}

/// Returns a decoder's error in words.
fn explained(error: &FrameDecoderError) -> io::Error {
    let text = match error {
        FrameDecoderError::WindowSizeTooBig { requested, max } => {
            format!("the zstd data needs a window of {requested} bytes, {max} are allowed")
        }
        FrameDecoderError::DictNotProvided { .. } => {
            "the zstd data needs a dictionary, which is not supported".to_owned()
        }
        error => format!("the zstd data is corrupt or truncated: {error}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}
