//! Numbers of tar headers, and the sum that a block is known by.

/// Offset and length of the sum in a header.
const SUM: std::ops::Range<usize> = 148..156;

/// Says whether a block is a header: whether its sum is right.
pub(super) fn is_header(block: &[u8; 512]) -> bool {
    let field = &block[SUM];
    // The sum is taken with the field itself as eight spaces. SunOS took bytes for signed ones.
    let rest = || block[..SUM.start].iter().chain(&block[SUM.end..]);
    let spaces = 8 * i64::from(b' ');
    let unsigned: i64 = rest().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = rest().map(|byte| i64::from(byte.cast_signed())).sum();
    match number(field) {
        Some(Some(sum)) => [unsigned, signed]
            .iter()
            .any(|own| u64::try_from(own + spaces) == Ok(sum)),
        _ => false,
    }
}

/// Reads a number: octal digits with spaces before and spaces or NULs behind, or base-256 where the first bit is set.
/// The inner `None` is a blank field.
pub(super) fn number(field: &[u8]) -> Option<Option<u64>> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            // The second bit is the sign.
            if first & 0x40 != 0 {
                return None;
            }
            rest.iter()
                .try_fold(u64::from(first & 0x3f), |value, byte| {
                    (value >> 56 == 0).then(|| value << 8 | u64::from(*byte))
                })
                .map(Some)
        }
        field => {
            let field = field.trim_ascii_start();
            let end = field
                .iter()
                .position(|byte| matches!(byte, 0 | b' '))
                .unwrap_or(field.len());
            let (digits, rest) = field.split_at(end);
            if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
                return None;
            }
            if digits.is_empty() {
                return Some(None);
            }
            digits
                .iter()
                .try_fold(0u64, |value, byte| {
                    let digit = char::from(*byte).to_digit(8)?;
                    value.checked_mul(8)?.checked_add(u64::from(digit))
                })
                .map(Some)
        }
    }
}

/// Reads a number that says nothing about where the next header is: readers need not agree on it. A NUL may stand before it, as
/// old tars wrote it, and a negative one is what the kernel would make of it as a user id.
pub(super) fn lenient(field: &[u8]) -> Option<u64> {
    match field {
        [0xff, .., a, b, c, d] if field[..field.len() - 4].iter().all(|byte| *byte == 0xff) => {
            Some(u64::from(u32::from_be_bytes([*a, *b, *c, *d])))
        }
        [0, rest @ ..] => number(rest).map(Option::unwrap_or_default),
        field => number(field).map(Option::unwrap_or_default),
    }
}
