//! The compressors of kernels.

use std::io::Read;

use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use super::lz4;

/// No kernel is larger unpacked than this; a header that says so is not believed.
pub(super) const LARGEST: usize = 512 << 20;
/// The first bytes of gzip.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Returns what a compressed kernel unpacks to, up to one byte more than `limit` bytes; nothing where it is damaged, or packed with
/// bzip2 or lzo.
pub(super) fn decompressed(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    match *packed.first_chunk::<6>()? {
        [0x1f, 0x8b, ..] => read(flate2::read::GzDecoder::new(packed), limit),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => read(XzDecoder::new(packed), limit),
        [0x5d, 0, 0, ..] => {
            let decoder = Stream::new_lzma_decoder(u64::MAX).ok()?;
            read(XzDecoder::new_stream(packed, decoder), limit)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(packed).ok()?;
            read(decoder, limit)
        }
        [a, b, c, d, ..] if [a, b, c, d] == lz4::MAGIC => lz4::decompressed(packed, limit),
        _ => None,
    }
}

/// Reads up to `limit` bytes, and one more to see that there are not more.
fn read(from: impl Read, limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut out).ok()?;
    Some(out)
}
