//! A tree to the bytes of an image, and back.
//!
//! ```text
//! Tree --newc--> archive --blocks of 512 KiB--> deflate, one thread a block --joined in order--> one gzip member
//! ```
//!
//! The bytes depend on the tree and the [`Compression`] alone: not on the number of threads, the size of reads, the machine.
//! `docs/canonical-image.md` is the specification. Whatever changes a byte here raises the format version in the plan.
//!
//! [`pack`] writes, [`read`] reads back, also what others wrote.

mod blocks;
mod content;
mod deflate;
mod error;
mod gzip;
mod newc;
pub mod read;
mod walk;

use std::io::Write;
use std::num::NonZeroUsize;

use crate::digest::Digest;
use crate::tree::Tree;

use blocks::{BLOCK, Blocks};
pub use error::PackError;
pub use newc::archive_size;

/// How the archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// One gzip member, made by libdeflate.
    Gzip {
        /// libdeflate's level, 1 to 12.
        level: u8,
    },
}

/// What packing gave: the two identities of a tree and its image, and their sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// The sha256 of the uncompressed archive.
    pub tree: Digest,
    /// The size of the uncompressed archive in bytes.
    pub archive_size: u64,
    /// The sha256 of what was written.
    pub output: Digest,
    /// The number of bytes written.
    pub output_size: u64,
}

/// Writes the image of a tree to `out`, compressed by `jobs` threads, and compares the bytes of every file with its digest.
/// `advanced` hears how many bytes of the archive are done by now; [`archive_size`] says how many there will be.
///
/// The same tree and compression give the same bytes, whatever `jobs` is. Memory stays at a few blocks a thread.
///
/// # Errors
/// [`PackError`]. What reached `out` by then is no image.
pub fn pack(
    tree: &Tree,
    compression: Compression,
    jobs: NonZeroUsize,
    out: &mut dyn Write,
    advanced: &mut dyn FnMut(u64),
) -> Result<Packed, PackError> {
    let size = archive_size(tree)?;
    match compression {
        Compression::None => plain(tree, out, advanced),
        Compression::Gzip { level } => {
            let blocks = usize::try_from(size.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX);
            gzip::write(tree, level, jobs.get().min(blocks), out, advanced)
        }
    }
}

/// Writes the archive as it is.
fn plain(
    tree: &Tree,
    out: &mut dyn Write,
    advanced: &mut dyn FnMut(u64),
) -> Result<Packed, PackError> {
    let mut done = 0u64;
    let mut consume = |block: Vec<u8>, _: bool| {
        out.write_all(&block).map_err(PackError::Write)?;
        done += block.len() as u64;
        advanced(done);
        Ok(block)
    };
    let mut blocks = Blocks::new(&mut consume);
    newc::write(tree, &mut blocks)?;
    let (digest, size) = blocks.finish()?;
    out.flush().map_err(PackError::Write)?;
    Ok(Packed {
        tree: digest,
        archive_size: size,
        output: digest,
        output_size: size,
    })
}
