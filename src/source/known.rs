//! The digests of files of this machine, kept by what the files looked like when they were read: `notes-v1/local-PATH`.
//!
//! A file whose stamp is the kept one has the bytes that it had then: nobody can set the time of the last change. A file that
//! changed just now could change once more at the same time, so it is read again.

use std::io;

use super::local::Regular;
use crate::digest::{self, Digest};
use crate::store::Store;

/// Bytes of a file that is simply read: as quick as looking for what is known of it.
const SMALL: u64 = 64 * 1024;
/// How old a change must be, in seconds, for the file's times to tell of the next one: some file systems count in steps of two.
const SETTLED: i64 = 3;

/// The digests that a cache knows.
#[derive(Debug, Clone, Copy)]
pub struct Known<'s> {
    /// The cache.
    pub store: &'s Store,
    /// The time in seconds since 1970. Where nobody knows it, nothing is kept.
    pub now: Option<i64>,
}

impl Known<'_> {
    /// Returns the digest and the size of a file that was just opened; read where it is not known.
    ///
    /// # Errors
    /// What reading it gives.
    pub fn digest(self, file: &mut Regular) -> io::Result<(Digest, u64)> {
        let size = file.size();
        if size <= SMALL {
            return digest::of_reader(file);
        }
        let stamp = file.stamp();
        let path = Digest::of(file.path().as_os_str().as_encoded_bytes());
        let note = format!("local-{}", path.short());
        let kept = self.store.note(&note).and_then(|kept| {
            let (digest, then) = kept.strip_suffix('\n')?.split_once(' ')?;
            let is_same = then == stamp.text();
            digest.parse().ok().filter(|_| is_same)
        });
        if let Some(digest) = kept {
            return Ok((digest, size));
        }
        let (digest, size) = digest::of_reader(file)?;
        if self.now.is_some_and(|now| stamp.changed() + SETTLED <= now) {
            // Where it cannot be kept, the file is read again.
            let _ = self
                .store
                .set_note(&note, &format!("{digest} {}\n", stamp.text()));
        }
        Ok((digest, size))
    }
}
