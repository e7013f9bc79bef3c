//! Cuts the archive into blocks, and counts and hashes what goes by.

use std::io::Write;

use crate::digest::{Digest, Hasher};

use super::PackError;

/// Bytes of the archive that are compressed on their own. Another number gives other bytes: it belongs to the format.
pub(super) const BLOCK: usize = 512 * 1024;

/// Takes a block, and whether it is the last one; returns a buffer of [`BLOCK`] bytes for the next one.
pub(super) type Consume<'a> = dyn FnMut(Vec<u8>, bool) -> Result<Vec<u8>, PackError> + 'a;

/// The archive while it is written: every block but the last has [`BLOCK`] bytes, whatever sizes the bytes come in.
pub(super) struct Blocks<'a> {
    block: Vec<u8>,
    filled: usize,
    done: u64,
    hasher: Hasher,
    consume: &'a mut Consume<'a>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(consume: &'a mut Consume<'a>) -> Blocks<'a> {
        Blocks {
            block: vec![0; BLOCK],
            filled: 0,
            done: 0,
            hasher: Hasher::new(),
            consume,
        }
    }

    /// Returns the room left in the block, never none; [`Blocks::advance`] says how much of it was filled.
    pub(super) fn room(&mut self) -> Result<&mut [u8], PackError> {
        // A full block waits until it is known not to be the last one.
        if self.filled == BLOCK {
            self.cut(false)?;
        }
        Ok(&mut self.block[self.filled..BLOCK])
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.filled += count;
    }

    pub(super) fn put(&mut self, mut bytes: &[u8]) -> Result<(), PackError> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            room[..count].copy_from_slice(now);
            self.advance(count);
            bytes = later;
        }
        Ok(())
    }

    /// Fills with zeros up to a multiple of `unit`, which is at most 512.
    pub(super) fn pad(&mut self, unit: u64) -> Result<(), PackError> {
        let position = self.done + self.filled as u64;
        let missing = (position.next_multiple_of(unit) - position) as usize;
        self.put(&[0; 512][..missing])
    }

    /// Hands over the last block; returns the digest and size of the whole.
    pub(super) fn finish(mut self) -> Result<(Digest, u64), PackError> {
        self.cut(true)?;
        Ok((self.hasher.finish(), self.done))
    }

    fn cut(&mut self, last: bool) -> Result<(), PackError> {
        self.block.truncate(self.filled);
        self.hasher.update(&self.block);
        self.done += self.filled as u64;
        self.filled = 0;
        self.block = (self.consume)(std::mem::take(&mut self.block), last)?;
        Ok(())
    }
}

/// The image while it is written: counted and hashed.
pub(super) struct Output<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
    size: u64,
}

impl<'a> Output<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Output<'a> {
        Output {
            out,
            hasher: Hasher::new(),
            size: 0,
        }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.out.write_all(bytes).map_err(PackError::Write)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(Digest, u64), PackError> {
        self.out.flush().map_err(PackError::Write)?;
        Ok((self.hasher.finish(), self.size))
    }
}
