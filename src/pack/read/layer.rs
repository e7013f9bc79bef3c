//! Where the bytes of an archive come from: the input itself, or a decompressor on top of it.

use std::io::{self, BufRead, BufReader, Read};
use std::mem;

use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// Memory that an xz stream may ask for, in bytes; `xz -9` asks for 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// The input, counted.
pub(super) struct Input<R> {
    inner: R,
    /// Bytes taken so far.
    pub(super) offset: u64,
}

impl<R> Input<R> {
    pub(super) fn new(inner: R) -> Input<R> {
        Input { inner, offset: 0 }
    }
}

impl<R: BufRead> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.offset += count as u64;
    }
}

/// One decompressor at most, for one member, stream or frame. It takes no byte behind the end of that.
pub(super) enum Layer<R: BufRead> {
    Raw(Input<R>),
    Gzip(Box<BufReader<GzDecoder<Input<R>>>>),
    Xz(Box<BufReader<XzDecoder<Input<R>>>>),
    Zstd(Box<BufReader<StreamingDecoder<Input<R>, FrameDecoder>>>),
    /// A decompressor could not begin, which was an error; nothing follows.
    Gone(io::Empty),
}

impl<R: BufRead> Layer<R> {
    fn top(&mut self) -> &mut dyn BufRead {
        match self {
            Layer::Raw(input) => input,
            Layer::Gzip(layer) => layer,
            Layer::Xz(layer) => layer,
            Layer::Zstd(layer) => layer,
            Layer::Gone(nothing) => nothing,
        }
    }

    /// Returns what the bytes are compressed with.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Layer::Raw(_) | Layer::Gone(_) => "none",
            Layer::Gzip(_) => "gzip",
            Layer::Xz(_) => "xz",
            Layer::Zstd(_) => "zstd",
        }
    }

    /// Returns how many bytes of the input are taken, where no decompressor is on top of it.
    pub(super) fn taken(&self) -> u64 {
        match self {
            Layer::Raw(input) => input.offset,
            _ => 0,
        }
    }

    pub(super) fn fill(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.top().fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        // Filled above, so this reads nothing.
        self.top().fill_buf()
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.top().consume(count);
    }

    /// Goes back to the input, behind what the decompressor took. gzip and xz have compared their sums by then.
    pub(super) fn close(&mut self) -> io::Result<()> {
        *self = match mem::replace(self, Layer::Gone(io::empty())) {
            Layer::Gzip(layer) => Layer::Raw(layer.into_inner().into_inner()),
            Layer::Xz(layer) => Layer::Raw(layer.into_inner().into_inner()),
            Layer::Zstd(layer) => {
                let (input, frame) = layer.into_inner().into_parts();
                let stored = frame.get_checksum_from_data();
                if stored.is_some() && stored != frame.get_calculated_checksum() {
                    let text = "the zstd data is corrupt: its checksum is wrong";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                Layer::Raw(input)
            }
            other => other,
        };
        Ok(())
    }

    /// Puts the decompressor on the input that its next byte calls for; the decompressor looks at the rest of the magic.
    /// Returns whether there is one.
    pub(super) fn open(&mut self) -> io::Result<bool> {
        let first = self.fill()?.first().copied();
        let Layer::Raw(_) = self else {
            return Ok(false);
        };
        if !matches!(first, Some(0x1f | 0xfd | 0x28)) {
            return Ok(false);
        }
        if let Layer::Raw(input) = mem::replace(self, Layer::Gone(io::empty())) {
            *self = match first {
                Some(0x1f) => Layer::Gzip(Box::new(BufReader::new(GzDecoder::new(input)))),
                Some(0xfd) => {
                    let stream = Stream::new_stream_decoder(XZ_MEMORY, 0)?;
                    Layer::Xz(Box::new(BufReader::new(XzDecoder::new_stream(
                        input, stream,
                    ))))
                }
                _ => {
                    let frame = StreamingDecoder::new(input).map_err(io::Error::other)?;
                    Layer::Zstd(Box::new(BufReader::new(frame)))
                }
            };
        }
        Ok(true)
    }
}
