//! The legacy LZ4 frame, as the kernel's build writes it with `lz4 -l` (`doc/lz4_Frame_format.md`, "Legacy frame"; the blocks:
//! `doc/lz4_Block_format.md`).
//!
//! ```text
//! 02 21 4c 18, then blocks: u32 compressed size, that many bytes, which give up to 8 MiB; blocks do not know each other
//! ```

/// The first bytes of a legacy frame.
pub(super) const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// What a block gives at most.
const BLOCK: usize = 8 << 20;

/// Returns what a legacy frame holds; nothing where it is damaged or holds more than `limit` bytes.
pub(super) fn decompressed(frame: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut rest = frame.strip_prefix(&MAGIC)?;
    let mut out = Vec::with_capacity(limit.min(BLOCK));
    while !rest.is_empty() {
        let (size, after) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let (block, after) = after.split_at_checked(size)?;
        let limit = limit.min(out.len() + BLOCK);
        decompress_block(block, &mut out, limit)?;
        rest = after;
    }
    Some(out)
}

/// Appends what a block holds to `out`, which may grow to `limit` bytes.
fn decompress_block(mut block: &[u8], out: &mut Vec<u8>, limit: usize) -> Option<()> {
    let start = out.len();
    loop {
        let (token, rest) = block.split_first()?;
        block = rest;
        let literals = length(usize::from(token >> 4), &mut block)?;
        let (bytes, rest) = block.split_at_checked(literals)?;
        if literals > limit - out.len() {
            return None;
        }
        out.extend_from_slice(bytes);
        // The last sequence of a block has no match.
        if rest.is_empty() {
            return Some(());
        }
        let (offset, rest) = rest.split_first_chunk::<2>()?;
        block = rest;
        let offset = usize::from(u16::from_le_bytes(*offset));
        let count = length(usize::from(token & 15), &mut block)?.checked_add(4)?;
        if offset == 0 || offset > out.len() - start || count > limit - out.len() {
            return None;
        }
        repeat(out, offset, count);
    }
}

/// Returns a length that begins in a token's four bits and goes on in bytes while they are 255.
fn length(first: usize, block: &mut &[u8]) -> Option<usize> {
    let mut length = first;
    if first == 15 {
        loop {
            let (byte, rest) = block.split_first()?;
            *block = rest;
            length = length.checked_add(usize::from(*byte))?;
            if *byte != 255 {
                break;
            }
        }
    }
    Some(length)
}

/// Appends `count` bytes that begin `offset` bytes before the end, which may run into those just appended. `offset` is neither 0 nor
/// more than there are.
fn repeat(out: &mut Vec<u8>, offset: usize, count: usize) {
    let from = out.len() - offset;
    let mut left = count;
    while left > 0 {
        // Each round doubles what can be copied at once.
        let piece = left.min(out.len() - from);
        out.extend_from_within(from..from + piece);
        left -= piece;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn packed(data: &[u8]) -> Option<Vec<u8>> {
        let mut child = Command::new("lz4")
            .args(["-l", "-9", "-c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut stdin = child.stdin.take().unwrap();
        let data = data.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&data));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        Some(output.stdout)
    }

    fn samples() -> Vec<Vec<u8>> {
        let noise = |count: u32| {
            let mut state = 1u32;
            (0..count).map(move |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
        };
        vec![
            b"a".to_vec(),
            vec![b'a'; 100_000],
            b"abcabcabcabcabcabcabcabc-".repeat(1000),
            noise(70_000).collect(),
            noise(70_000).collect::<Vec<u8>>().repeat(130),
        ]
    }

    #[test]
    fn what_lz4_packed_comes_back_and_not_one_byte_more_than_allowed() {
        for data in samples() {
            let Some(frame) = packed(&data) else {
                super::super::missing("lz4");
                return;
            };
            assert!(
                decompressed(&frame, data.len()).as_ref() == Some(&data),
                "{}",
                data.len()
            );
            assert!(
                decompressed(&frame, data.len() - 1).is_none(),
                "{}",
                data.len()
            );
        }
    }

    #[test]
    fn damage_is_refused_and_never_a_panic() {
        let cases: [&[u8]; 7] = [
            b"",
            b"\x02\x21\x4c",
            b"\x02\x21\x4c\x18\x01",
            b"\x02\x21\x4c\x18\xff\xff\xff\xff",
            // A match before anything was written, a length that never ends, an offset of 0.
            b"\x02\x21\x4c\x18\x04\x00\x00\x00\x00\x01\x00\x00",
            b"\x02\x21\x4c\x18\x03\x00\x00\x00\xf0\xff\xff",
            b"\x02\x21\x4c\x18\x05\x00\x00\x00\x10a\x00\x00\x00",
        ];
        for case in cases {
            assert_eq!(decompressed(case, 1 << 20), None, "{case:?}");
        }
        let frame = [&MAGIC[..], &[6, 0, 0, 0], b"\x11a\x01\x00\x10b"].concat();
        assert_eq!(decompressed(&frame, 64).as_deref(), Some(&b"aaaaaab"[..]));
        for at in 0..frame.len() {
            for value in 0..=255 {
                let mut broken = frame.clone();
                broken[at] = value;
                let _ = decompressed(&broken, 64);
            }
            let _ = decompressed(&frame[..at], 64);
        }
    }
}
