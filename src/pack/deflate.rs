//! Compresses one block of the archive so that others can follow it.

use libdeflater::{CompressionLvl, Compressor};

use super::PackError;
use super::walk::{WORD, Walker};

/// The compressor of one thread.
pub(super) struct Deflater {
    compressor: Compressor,
    walker: Walker,
}

impl Deflater {
    pub(super) fn new(level: u8) -> Result<Deflater, PackError> {
        // libdeflate's own level 0 stores; the format begins at 1.
        let valid = CompressionLvl::new(level.into()).ok().filter(|_| level > 0);
        Ok(Deflater {
            compressor: Compressor::new(valid.ok_or(PackError::Level(level))?),
            walker: Walker::new(),
        })
    }

    /// Compresses `block` into `output`, whose old bytes go. Unless it is the last block, its deflate stream is left open and
    /// ends at a byte border.
    pub(super) fn compress(
        &mut self,
        block: &[u8],
        last: bool,
        output: &mut Vec<u8>,
    ) -> Result<(), PackError> {
        let bound = self.compressor.deflate_compress_bound(block.len());
        output.resize(bound, 0);
        let size = self
            .compressor
            .deflate_compress(block, output)
            .map_err(|_| PackError::Compress("libdeflate wants more room than it said"))?;
        output.truncate(size);
        if last {
            return Ok(());
        }
        // The walker loads whole words.
        output.extend([0; WORD]);
        let walk = self.walker.walk(output).map_err(PackError::Compress)?;
        output.truncate(size);
        join(output, walk.last, walk.end)
    }
}

/// Clears the final bit of the last deflate block, which begins at bit `last`, and puts an empty stored block behind bit
/// `end` (RFC 1951, 3.2.4): three zero bits, zeros to the byte border, a length of 0 and its complement.
fn join(stream: &mut Vec<u8>, last: usize, end: usize) -> Result<(), PackError> {
    if end.div_ceil(8) != stream.len() {
        return Err(PackError::Compress("a deflate stream ends early"));
    }
    if let Some(byte) = stream.get_mut(last / 8) {
        *byte &= !(1 << (last % 8));
    }
    if let Some(byte) = stream.get_mut(end / 8) {
        *byte &= (1 << (end % 8)) - 1;
    }
    stream.resize((end + 3).div_ceil(8), 0);
    stream.extend([0, 0, 0xff, 0xff]);
    Ok(())
}
