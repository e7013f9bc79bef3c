//! Git's index: which files git tracks, and with which modes. No program is run and no configuration read, so that nothing that
//! somebody else's repository says is carried out.
//!
//! ```text
//! DIRC VERSION COUNT                              big-endian, 4 bytes each; versions 2, 3 and 4
//! ctime mtime dev ino MODE uid gid size HASH FLAGS [FLAGS] NAME NUL ..
//! extensions                                      4 letters, the size, the bytes
//! HASH                                            of all bytes before; zeros where `index.skipHash` is set
//! ```
//!
//! `Documentation/gitformat-index.txt` of git has the whole of it.

use std::collections::BTreeMap;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// Why an index cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It ends too soon, or begins as none does.
    #[error("is damaged, or none")]
    Damaged,
    /// Its sum is another one.
    #[error("is damaged: its checksum is another one")]
    Checksum,
    /// A version of the future.
    #[error("has a version that mkimg does not know (2, 3 and 4 it does)")]
    Version,
    /// Files of a merge.
    #[error("has conflicts of a merge")]
    Conflict,
    /// Extensions without which its entries are not all.
    #[error("is split or sparse: its entries are not all that git tracks")]
    Partial,
    /// A path that leads somewhere else.
    #[error("has a path with `..`, or one that begins with `/`")]
    Path,
    /// The system refuses.
    #[error("cannot be read")]
    Unread,
}

/// What git has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked {
    /// A file.
    File,
    /// A file that can be executed.
    Executable,
    /// A symbolic link.
    Symlink,
    /// Another repository.
    Submodule,
}

/// Reads an index: what is tracked, by path.
///
/// # Errors
/// [`IndexError`].
pub fn tracked(bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Tracked>, IndexError> {
    let hash = hash_size(bytes)?;
    let body = bytes
        .len()
        .checked_sub(hash)
        .and_then(|end| bytes.get(..end));
    let mut input = Input(body.ok_or(IndexError::Damaged)?);
    if input.take(4)? != b"DIRC" {
        return Err(IndexError::Damaged);
    }
    let version = input.number()?;
    if !(2..=4).contains(&version) {
        return Err(IndexError::Version);
    }
    let count = input.number()?;
    let mut found = BTreeMap::new();
    let mut name = Vec::new();
    for _ in 0..count {
        let start = input.0.len();
        input.take(24)?;
        let mode = input.number()?;
        input.take(12 + hash)?;
        let flags = input.short()?;
        if flags & 0x3000 != 0 {
            return Err(IndexError::Conflict);
        }
        if flags & 0x4000 != 0 {
            input.short()?;
        }
        match version {
            4 => {
                let keep = name.len().checked_sub(input.offset()?);
                name.truncate(keep.ok_or(IndexError::Damaged)?);
                name.extend_from_slice(input.text()?);
            }
            _ => {
                name.clear();
                name.extend_from_slice(input.text()?);
                // With one NUL and up to seven more the entry's size is a multiple of 8.
                let size = start - input.0.len();
                input.take(size.next_multiple_of(8) - size)?;
            }
        }
        let kind = match mode {
            0o100_644 => Tracked::File,
            0o100_755 => Tracked::Executable,
            0o120_000 => Tracked::Symlink,
            0o160_000 => Tracked::Submodule,
            0o040_000 => return Err(IndexError::Partial),
            _ => return Err(IndexError::Damaged),
        };
        // So a split index marks what takes the place of an entry of the shared one.
        if name.is_empty() {
            return Err(IndexError::Partial);
        }
        let mut parts = name.split(|byte| *byte == b'/');
        if parts.any(|part| matches!(part, b"" | b"." | b"..")) {
            return Err(IndexError::Path);
        }
        found.insert(name.clone(), kind);
    }
    while !input.0.is_empty() {
        let word = input.take(4)?;
        if matches!(word, b"link" | b"sdir") {
            return Err(IndexError::Partial);
        }
        // What begins with a capital letter may be passed over.
        if !word.first().is_some_and(u8::is_ascii_uppercase) {
            return Err(IndexError::Version);
        }
        let size = input.number()?;
        input.take(usize::try_from(size).map_err(|_| IndexError::Damaged)?)?;
    }
    Ok(found)
}

/// Returns the bytes of a hash: 20 in most repositories, 32 in those of sha256. The sum at the end tells.
fn hash_size(bytes: &[u8]) -> Result<usize, IndexError> {
    for (size, algorithm) in [(20, &SHA1_FOR_LEGACY_USE_ONLY), (32, &SHA256)] {
        if let Some((body, sum)) = bytes.len().checked_sub(size).map(|at| bytes.split_at(at))
            && digest(algorithm, body).as_ref() == sum
        {
            return Ok(size);
        }
    }
    match bytes.ends_with(&[0; 20]) {
        true => Ok(20),
        false => Err(IndexError::Checksum),
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], IndexError> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or(IndexError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, IndexError> {
        let bytes = self.take(4)?.first_chunk().ok_or(IndexError::Damaged)?;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn short(&mut self) -> Result<u16, IndexError> {
        let bytes = self.take(2)?.first_chunk().ok_or(IndexError::Damaged)?;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// Takes what ends with a NUL.
    fn text(&mut self) -> Result<&'a [u8], IndexError> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.take(end.ok_or(IndexError::Damaged)?)?;
        self.take(1)?;
        Ok(text)
    }

    /// Takes a number as packs have it: seven bits a byte, and one is added for each byte that follows.
    fn offset(&mut self) -> Result<usize, IndexError> {
        let mut value = 0usize;
        loop {
            let byte = *self.take(1)?.first().ok_or(IndexError::Damaged)?;
            value = value.checked_mul(128).ok_or(IndexError::Damaged)?;
            value |= usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            value = value.checked_add(1).ok_or(IndexError::Damaged)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an index of version 2 with two entries.
    fn index() -> Vec<u8> {
        let mut bytes = b"DIRC\0\0\0\x02\0\0\0\x02".to_vec();
        for (mode, name) in [(0o100_755_u32, &b"a/b"[..]), (0o120_000, b"c")] {
            let start = bytes.len();
            bytes.extend([0; 24]);
            bytes.extend(mode.to_be_bytes());
            bytes.extend([0; 32]);
            bytes.extend([0, name.len() as u8]);
            bytes.extend(name);
            let size = bytes.len() - start;
            bytes.resize(start + (size + 8) / 8 * 8, 0);
        }
        bytes.extend(b"TREE\0\0\0\x01x");
        bytes
    }

    fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
        let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes);
        bytes.extend(sum.as_ref());
        bytes
    }

    #[test]
    fn an_index_lists_what_is_tracked_and_one_with_any_byte_changed_is_refused() {
        let expected = [
            (b"a/b".to_vec(), Tracked::Executable),
            (b"c".to_vec(), Tracked::Symlink),
        ];
        let whole = summed(index());
        assert_eq!(tracked(&whole), Ok(expected.clone().into()));
        let unsummed = [index(), vec![0; 20]].concat();
        assert_eq!(tracked(&unsummed), Ok(expected.into()));
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(tracked(&changed), Err(IndexError::Checksum), "{at}");
            // And what only has the right sum.
            let mut changed = index();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 0xff;
                let _ = tracked(&summed(changed));
            }
            let _ = tracked(&summed(index()[..at.min(index().len())].to_vec()));
        }
        let with = |from: &[u8], to: &[u8]| {
            let mut bytes = index();
            let at = bytes
                .windows(from.len())
                .position(|part| part == from)
                .unwrap();
            bytes.splice(at..at + from.len(), to.iter().copied());
            tracked(&summed(bytes))
        };
        assert_eq!(with(b"TREE", b"link"), Err(IndexError::Partial));
        assert_eq!(with(b"a/b", b"../"), Err(IndexError::Path));
        assert_eq!(with(&[0, 3], &[0x10, 3]), Err(IndexError::Conflict));
        assert_eq!(with(&[0, 0, 0, 2], &[0, 0, 0, 5]), Err(IndexError::Version));
    }
}
