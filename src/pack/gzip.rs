//! One gzip member (RFC 1952), compressed by several threads.
//!
//! The calling thread reads, hashes and writes; the others compress. It keeps a bounded number of blocks under way, and
//! never waits but for a block that some thread has: the number of threads decides the time, never the bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use crate::tree::Tree;

use super::blocks::{BLOCK, Blocks, Output};
use super::deflate::Deflater;
use super::{PackError, Packed, newc};

/// Deflate; no name, no comment, no time (pitfall 33); XFL 2, OS 255 "unknown" (pitfall 34).
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];

/// A block on its way to a thread and back.
struct Block {
    index: u64,
    last: bool,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// A compressed block and the CRC32 of its input.
type Done = Result<(Block, crc32fast::Hasher), PackError>;

/// How often the first thread is asked for: where few are allowed, those of the step before still count for a moment after they
/// were joined.
const PATIENCE: u32 = 50;

/// Writes the archive of a tree as one gzip member.
pub(super) fn write(
    tree: &Tree,
    level: u8,
    jobs: usize,
    out: &mut dyn Write,
    advanced: &mut dyn FnMut(u64),
) -> Result<Packed, PackError> {
    let (blocks_out, blocks_in) = mpsc::channel();
    let queue = Mutex::new(blocks_in);
    thread::scope(|scope| {
        let (done_out, done_in) = mpsc::channel();
        // Owned by this closure: whatever way it is left, the channel closes and the threads end.
        let mut pipeline = Pipeline {
            blocks: blocks_out,
            done: done_in,
            waiting: BTreeMap::new(),
            spare: Vec::new(),
            limit: 2 * jobs as u64 + 1,
            sent: 0,
            written: 0,
            crc: crc32fast::Hasher::new(),
            size: 0,
            output: Output::new(out),
            advanced,
        };
        let (mut threads, mut patience) = (0, PATIENCE);
        while threads < jobs {
            let (deflater, queue, done) = (Deflater::new(level)?, &queue, done_out.clone());
            let spawned = thread::Builder::new()
                .name("compress".to_owned())
                .spawn_scoped(scope, move || work(deflater, queue, &done));
            match spawned {
                Ok(_) => threads += 1,
                Err(_) if threads == 0 && patience > 0 => {
                    patience -= 1;
                    thread::sleep(Duration::from_millis(2));
                }
                Err(error) if threads == 0 => return Err(PackError::Thread(error)),
                // Fewer threads cost time alone.
                Err(_) => break,
            }
        }
        drop(done_out);
        pipeline.output.put(&HEADER)?;
        let mut consume = |block, last| pipeline.send(block, last);
        let mut blocks = Blocks::new(&mut consume);
        newc::write(tree, &mut blocks)?;
        let (tree, archive_size) = blocks.finish()?;
        let (output, output_size) = pipeline.finish()?;
        Ok(Packed {
            tree,
            archive_size,
            output,
            output_size,
        })
    })
}

/// Compresses blocks until there are no more. A panic becomes an answer: nobody may wait for a block for ever.
fn work(mut deflater: Deflater, queue: &Mutex<Receiver<Block>>, done: &Sender<Done>) {
    loop {
        let next = queue.lock().map(|queue| queue.recv());
        let Ok(Ok(mut block)) = next else { return };
        let answer = catch_unwind(AssertUnwindSafe(move || {
            deflater.compress(&block.input, block.last, &mut block.output)?;
            let mut crc = crc32fast::Hasher::new();
            crc.update(&block.input);
            Ok((deflater, block, crc))
        }))
        .unwrap_or(Err(PackError::Compress("a thread panicked")));
        let (answer, kept) = match answer {
            Ok((deflater, block, crc)) => (Ok((block, crc)), Some(deflater)),
            Err(error) => (Err(error), None),
        };
        let heard = done.send(answer).is_ok();
        match kept {
            Some(kept) if heard => deflater = kept,
            _ => return,
        }
    }
}

/// The calling thread's end.
struct Pipeline<'a> {
    blocks: Sender<Block>,
    done: Receiver<Done>,
    /// Blocks that are done before their turn.
    waiting: BTreeMap<u64, (Block, crc32fast::Hasher)>,
    /// Buffers to use again.
    spare: Vec<Block>,
    /// The most blocks that may be sent and not yet written.
    limit: u64,
    sent: u64,
    written: u64,
    crc: crc32fast::Hasher,
    size: u64,
    output: Output<'a>,
    advanced: &'a mut dyn FnMut(u64),
}

impl Pipeline<'_> {
    /// Sends a block to be compressed; returns a buffer for the next one.
    fn send(&mut self, input: Vec<u8>, last: bool) -> Result<Vec<u8>, PackError> {
        let spare = self.spare.pop();
        let (mut next, output) = spare.map_or_else(Default::default, |old| (old.input, old.output));
        let block = Block {
            index: self.sent,
            last,
            input,
            output,
        };
        let gone = |_| PackError::Compress("every thread is gone");
        self.blocks.send(block).map_err(gone)?;
        self.sent += 1;
        while let Ok(done) = self.done.try_recv() {
            self.take(done)?;
        }
        while self.sent - self.written >= self.limit {
            self.wait()?;
        }
        next.resize(BLOCK, 0);
        Ok(next)
    }

    fn wait(&mut self) -> Result<(), PackError> {
        let gone = |_| PackError::Compress("every thread is gone");
        let done = self.done.recv().map_err(gone)?;
        self.take(done)
    }

    /// Takes a block that is done, and writes those whose turn it is.
    fn take(&mut self, done: Done) -> Result<(), PackError> {
        let (block, crc) = done?;
        self.waiting.insert(block.index, (block, crc));
        while let Some((block, crc)) = self.waiting.remove(&self.written) {
            self.output.put(&block.output)?;
            self.crc.combine(&crc);
            self.size += block.input.len() as u64;
            self.written += 1;
            (self.advanced)(self.size);
            self.spare.push(block);
        }
        Ok(())
    }

    /// Waits for the blocks under way and writes the end of the member.
    fn finish(mut self) -> Result<(crate::digest::Digest, u64), PackError> {
        while self.written < self.sent {
            self.wait()?;
        }
        self.output.put(&self.crc.finalize().to_le_bytes())?;
        // ISIZE is the size modulo 2^32.
        self.output.put(&(self.size as u32).to_le_bytes())?;
        self.output.finish()
    }
}
