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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::walk::Walk;
    use super::*;

    fn random(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }

    /// Data of one kind: noise, a small alphabet, runs, repeats from afar, text.
    fn sample(next: &mut impl FnMut() -> u64, size: usize) -> Vec<u8> {
        let kind = next() % 6;
        let mut data = Vec::with_capacity(size + 300);
        while data.len() < size {
            let value = next();
            match kind {
                0 => data.extend(value.to_le_bytes()),
                1 => data.push(b"abcdefgh"[(value % 8) as usize] >> (value % 3)),
                2 => data.resize(data.len() + 1 + (value % 300) as usize, (value >> 32) as u8),
                3 if data.len() > 100 => {
                    let from = value as usize % data.len();
                    let to = data.len().min(from + 3 + (value >> 40) as usize % 260);
                    data.extend_from_within(from..to);
                }
                4 => data.push((value.trailing_zeros() * 7) as u8),
                _ => data.extend(format!("{:x} ", value % 5000).bytes()),
            }
        }
        data.truncate(size);
        data
    }

    #[test]
    fn joined_blocks_of_any_data_unpack_to_their_concatenation_at_every_level() {
        let mut next = random(0x1234_5678_9abc_def1);
        for level in 1..=12 {
            let mut deflater = Deflater::new(level).unwrap();
            for _ in 0..12 {
                let (mut plain, mut stream) = (Vec::new(), Vec::new());
                let count = 1 + next() % 4;
                for index in 0..count {
                    let size = (next() % 5) * (next() % 20_000);
                    let data = sample(&mut next, size as usize);
                    // What was in the buffer must not matter.
                    let mut output = vec![0xff; (next() % 1000) as usize];
                    deflater
                        .compress(&data, index + 1 == count, &mut output)
                        .unwrap();
                    plain.extend(data);
                    stream.extend(output);
                }
                let mut unpacked = Vec::new();
                let mut decoder = flate2::bufread::DeflateDecoder::new(&stream[..]);
                decoder.read_to_end(&mut unpacked).unwrap();
                assert!(unpacked == plain, "level {level}");
                assert_eq!(decoder.total_in(), stream.len() as u64, "level {level}");
            }
        }
    }

    #[test]
    fn a_block_is_left_open_by_clearing_one_bit_and_adding_an_empty_stored_block() {
        let mut deflater = Deflater::new(7).unwrap();
        let (mut last, mut open) = (Vec::new(), Vec::new());
        deflater.compress(&[b'a'; 300], true, &mut last).unwrap();
        deflater.compress(&[b'a'; 300], false, &mut open).unwrap();
        // The example of docs/canonical-image.md.
        assert_eq!(last, [0x4b, 0x4c, 0x1c, 0x05, 0xc4, 0x02, 0x00]);
        assert_eq!(
            open,
            [
                0x4a, 0x4c, 0x1c, 0x05, 0xc4, 0x02, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff
            ]
        );
    }

    #[test]
    fn the_walker_finds_the_last_block_behind_stored_and_fixed_ones() {
        // Stored "a"; fixed: end of block; fixed and last: end of block, all by hand from RFC 1951.
        let stream = [0b000, 1, 0, 0xfe, 0xff, b'a', 0b0000_0010, 0b0000_1100, 0];
        let mut padded = stream.to_vec();
        padded.extend([0; WORD]);
        let walk = Walker::new().walk(&padded);
        assert_eq!(walk, Ok(Walk { last: 58, end: 68 }));
    }

    #[test]
    fn the_walker_says_no_to_what_is_no_deflate_stream() {
        let mut next = random(99);
        let mut walker = Walker::new();
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..next() % 90).map(|_| next() as u8).collect();
            // It ends, without a panic; most noise is refused.
            let _ = walker.walk(&bytes);
        }
        let refused = [
            (vec![0x07; 20], "a deflate block of no known type"),
            (vec![0x00; 4], "a deflate stream without an end"),
        ];
        for (bytes, reason) in refused {
            assert_eq!(walker.walk(&bytes), Err(reason));
        }
    }
}
