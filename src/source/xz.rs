//! xz, on one thread or several, and the two formats around the same coding, lzma and lzip: through liblzma.

use std::io::{self, BufRead, Read};

use liblzma::stream::{Action, Error, MtStreamBuilder, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::ends::{only_zeros, trailing, truncated};

/// The most memory that decompression may need, in bytes. `xz -9` needs 65 MiB; more is asked for by hand only.
const MEMORY: u64 = 512 << 20;

/// The memory up to which blocks are decoded at once: each of them is kept whole until its turn comes.
const MEMORY_THREADS: u64 = 256 << 20;

/// What stands around the coded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coder {
    Xz,
    /// What came before xz: one stream without a sum.
    Lzma,
    /// Members with sums, one behind the other.
    Lzip,
}

/// Reads plain bytes out of one stream or several.
pub(super) struct XzReader<R> {
    coder: Coder,
    input: R,
    threads: u32,
    state: State,
}

enum State {
    /// A stream is to begin.
    Fresh,
    Running(Stream),
    /// What was decoded before the error is handed out first: liblzma tells an error once.
    Failed(Error),
    Ended,
}

impl<R: BufRead> XzReader<R> {
    /// Returns a reader that uses up to `threads` threads. A file of one block is never decoded by more than one.
    pub(super) fn new(coder: Coder, input: R, threads: usize) -> XzReader<R> {
        XzReader {
            coder,
            input,
            threads: u32::try_from(threads).unwrap_or(u32::MAX).clamp(1, 64),
            state: State::Fresh,
        }
    }

    fn stream(&self) -> Result<Stream, Error> {
        match self.coder {
            Coder::Lzma => return Stream::new_lzma_decoder(MEMORY),
            Coder::Lzip => return Stream::new_lzip_decoder(MEMORY, TELL_UNSUPPORTED_CHECK),
            Coder::Xz => {}
        }
        if self.threads == 1 {
            return Stream::new_stream_decoder(MEMORY, TELL_UNSUPPORTED_CHECK);
        }
        MtStreamBuilder::new()
            .threads(self.threads)
            .memlimit_threading(MEMORY_THREADS)
            .memlimit_stop(MEMORY)
            .decoder()
    }

    /// Passes over stream padding; says whether another stream follows. Padding is zeros, of xz a multiple of four of them.
    fn more(&mut self) -> io::Result<bool> {
        let next = self.input.fill_buf()?.first();
        match self.coder {
            Coder::Lzip if next == Some(&b'L') => return Ok(true),
            Coder::Lzip | Coder::Lzma => return only_zeros(&mut self.input).map(|()| false),
            Coder::Xz => {}
        }
        let mut padding = 0u64;
        loop {
            let have = self.input.fill_buf()?;
            let zeros = have.iter().take_while(|byte| **byte == 0).count();
            padding += zeros as u64;
            let all = zeros == have.len();
            let (end, magic) = (have.is_empty(), have.get(zeros) == Some(&0xfd));
            self.input.consume(zeros);
            if all && !end {
                continue;
            }
            if !padding.is_multiple_of(4) || (!end && !magic) {
                return Err(trailing());
            }
            return Ok(!end);
        }
    }
}

impl<R: BufRead> Read for XzReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let stream = match &mut self.state {
                State::Ended => return Ok(0),
                State::Failed(error) => return Err(explained(error)),
                State::Fresh => {
                    self.state = State::Running(self.stream().map_err(|error| explained(&error))?);
                    continue;
                }
                State::Running(stream) => stream,
            };
            let input = self.input.fill_buf()?;
            let action = match input.is_empty() {
                true => Action::Finish,
                false => Action::Run,
            };
            let (before_in, before_out) = (stream.total_in(), stream.total_out());
            let status = stream.process(input, buffer, action);
            // Both are bounded by the lengths of the slices.
            let consumed = (stream.total_in() - before_in) as usize;
            let count = (stream.total_out() - before_out) as usize;
            let end = input.is_empty();
            self.input.consume(consumed);
            let status = match status {
                Ok(status) => status,
                Err(error) => {
                    self.state = State::Failed(error);
                    if count > 0 {
                        return Ok(count);
                    }
                    continue;
                }
            };
            if status == Status::StreamEnd {
                self.state = match self.more()? {
                    true => State::Fresh,
                    false => State::Ended,
                };
            }
            if count > 0 {
                return Ok(count);
            }
            if end && status != Status::StreamEnd {
                return Err(truncated());
            }
        }
    }
}

/// Returns a decoder's error in words; liblzma's own are terse.
fn explained(error: &Error) -> io::Error {
    let (kind, text) = match error {
        Error::Data => (io::ErrorKind::InvalidData, "the data is corrupt"),
        Error::Format => (
            io::ErrorKind::InvalidData,
            "this is not what it begins like",
        ),
        Error::MemLimit => (
            io::ErrorKind::InvalidData,
            "the data needs more than 512 MiB of memory",
        ),
        Error::Mem => (io::ErrorKind::OutOfMemory, "no memory left for the decoder"),
        Error::Options => (
            io::ErrorKind::InvalidData,
            "the data is corrupt, or uses a filter that is not known",
        ),
        Error::UnsupportedCheck | Error::NoCheck => (
            io::ErrorKind::InvalidData,
            "the data has a check that is not known",
        ),
        Error::Program => (io::ErrorKind::InvalidData, "the data is corrupt"),
    };
    io::Error::new(kind, text)
}
