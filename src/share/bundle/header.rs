//! The headers of the tar that a bundle is: POSIX ustar, as few bits of freedom as possible.
//!
//! ```text
//! name 100  mode 8  uid 8  gid 8  size 12  mtime 12  sum 8  type 1  link 100  magic 6  version 2  user 32  group 32
//! major 8  minor 8  prefix 155  zeros 12                                             512 bytes
//! ```

/// Bytes of a header, and of what bodies are filled up to.
pub(super) const BLOCK: usize = 512;
/// The largest body: 11 octal digits.
pub(super) const MAX_SIZE: u64 = 0o77_777_777_777;

/// Where the sum of a header is: it counts as blanks.
const SUM: std::ops::Range<usize> = 148..156;

/// A header that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) size: u64,
    /// A directory, which other tools write.
    pub(super) directory: bool,
    /// It is, byte for byte, what mkimg writes for this name and size.
    pub(super) ours: bool,
}

/// Returns the header of a file. Names of a bundle have at most 77 bytes, sizes are checked before.
pub(super) fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(SUM.start, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    for (to, from) in block[SUM].iter_mut().zip(format!("{sum:06o}\0 ").bytes()) {
        *to = from;
    }
    block
}

/// Reads a header, also of another tool; otherwise returns what is wrong with it.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Header, String> {
    let expected = octal(&block[SUM]).ok_or("its checksum is no number")?;
    let counted = block
        .iter()
        .enumerate()
        .map(|(at, byte)| match SUM.contains(&at) {
            true => u64::from(b' '),
            false => u64::from(*byte),
        });
    if counted.sum::<u64>() != expected {
        return Err("its checksum does not match".to_owned());
    }
    if &block[257..262] != b"ustar" {
        return Err("it is no ustar header".to_owned());
    }
    let directory = match block[156] {
        b'0' | 0 => false,
        b'5' => true,
        kind => {
            let kind = char::from(kind).escape_debug();
            return Err(format!(
                "it has the type `{kind}`: a bundle has regular files alone"
            ));
        }
    };
    if block[345..500].iter().any(|byte| *byte != 0) {
        return Err("its name has a prefix: no name of a bundle is that long".to_owned());
    }
    let name = text(&block[..100]).ok_or("its name is no text")?;
    let size = octal(&block[124..136]).ok_or("its size is no number")?;
    Ok(Header {
        ours: *block == header(name, size),
        name: name.to_owned(),
        size,
        directory,
    })
}

fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0);
    let (text, rest) = field.split_at(end.unwrap_or(field.len()));
    let plain = text.iter().all(u8::is_ascii_graphic) && rest.iter().all(|byte| *byte == 0);
    std::str::from_utf8(text).ok().filter(|_| plain)
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' '));
    let (digits, rest) = digits.split_at(end.unwrap_or(digits.len()));
    if digits.is_empty() || rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = char::from(*digit).to_digit(8)?;
        value.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_of_any_byte_is_an_error_or_no_longer_ours() {
        let good = header("index.json", 1234);
        let read = parse(&good).unwrap();
        assert!(read.ours && read.size == 1234 && read.name == "index.json");
        for at in 0..BLOCK {
            for bit in 0..8 {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert!(
                    parse(&bad).is_err() || !parse(&bad).unwrap().ours,
                    "{at}.{bit}"
                );
            }
        }
    }
}
