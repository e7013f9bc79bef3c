//! The compressors of kernels.

use std::io::Read;

use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use super::lz4;

/// No kernel is larger unpacked than this; a header that says so is not believed.
pub(super) const LARGEST: usize = 512 << 20;
/// The first bytes of gzip.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Returns what a compressed kernel unpacks to, up to one byte more than `limit` bytes; nothing where it is damaged, does not end
/// where the data does, or is packed with bzip2 or lzo.
pub(super) fn decompressed(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    match *packed.first_chunk::<6>()? {
        [0x1f, 0x8b, ..] => {
            let mut decoder = GzDecoder::new(packed);
            let out = read(&mut decoder, limit)?;
            decoder.into_inner().is_empty().then_some(out)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => xz(XzDecoder::new(packed), limit),
        [0x5d, 0, 0, ..] => {
            let decoder = Stream::new_lzma_decoder(u64::MAX).ok()?;
            xz(XzDecoder::new_stream(packed, decoder), limit)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).ok()?;
            let out = read(&mut decoder, limit)?;
            let (rest, frame) = decoder.into_parts();
            let stored = frame.get_checksum_from_data();
            let is_right = stored.is_none() || stored == frame.get_calculated_checksum();
            (rest.is_empty() && is_right).then_some(out)
        }
        [a, b, c, d, ..] if [a, b, c, d] == lz4::MAGIC => lz4::decompressed(packed, limit),
        _ => None,
    }
}

fn xz(mut decoder: XzDecoder<&[u8]>, limit: usize) -> Option<Vec<u8>> {
    let out = read(&mut decoder, limit)?;
    decoder.into_inner().is_empty().then_some(out)
}

/// Reads up to `limit` bytes, and one more to see that there are not more.
fn read(from: impl Read, limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut out).ok()?;
    Some(out)
}
