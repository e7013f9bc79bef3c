//! What is remembered of a directory, so that nothing is hashed where nothing changed: two notes of the cache.
//!
//! ```text
//! directory-KEY          SEEN DIGEST SIZE           the stamps of all entries, and what they came to
//! directory-KEY-files    DIGEST DEV INO SIZE SECONDS.NANOS SECONDS.NANOS PATH      for each file
//! ```
//!
//! KEY is of the directory's path and of what is taken of it. A file that changed less than [`SETTLED`] seconds before it was
//! looked at could change once more without a trace, so nothing is remembered of it: some file systems count time in steps of two.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::walk::{Found, Kind, Stamp, Time};
use crate::digest::{Digest, Hasher};
use crate::source::listing::{escaped, unescaped};
use crate::store::Store;

/// How old a change must be, in seconds, for an entry's times to tell of the next one.
const SETTLED: i64 = 3;

/// The notes about a directory.
pub(super) struct Memo<'s> {
    store: &'s Store,
    name: String,
}

impl<'s> Memo<'s> {
    pub(super) fn new(store: &'s Store, key: &Digest) -> Memo<'s> {
        let name = format!("directory-{}", key.short());
        Memo { store, name }
    }

    /// Returns what a directory came to that looked like this.
    pub(super) fn whole(&self, found: &[Found]) -> Option<(Digest, u64)> {
        let note = self.store.note(&self.name)?;
        let mut words = note.trim_end().split(' ');
        let seen: Digest = words.next()?.parse().ok()?;
        let digest = words.next()?.parse().ok()?;
        let size = words.next()?.parse().ok()?;
        (seen == stamps(found)).then_some((digest, size))
    }

    /// Returns the digests of the files that look as they did.
    pub(super) fn files(&self) -> BTreeMap<Vec<u8>, (Digest, Stamp)> {
        let note = self.store.note(&format!("{}-files", self.name));
        let read = |line: &str| {
            let mut words = line.split(' ');
            let digest = words.next()?.parse().ok()?;
            let stamp = Stamp {
                dev: words.next()?.parse().ok()?,
                ino: words.next()?.parse().ok()?,
                size: words.next()?.parse().ok()?,
                modified: time(words.next()?)?,
                changed: time(words.next()?)?,
            };
            Some((unescaped(words.next()?)?, (digest, stamp)))
        };
        note.unwrap_or_default().lines().filter_map(read).collect()
    }

    /// Remembers what a directory came to that was looked at at a time of the file system's clock. Best effort: else it is read
    /// again.
    pub(super) fn keep(
        &self,
        at: Time,
        found: &[Found],
        digests: &BTreeMap<&[u8], Digest>,
        whole: (Digest, u64),
    ) {
        let settled = |stamp: &Stamp| stamp.changed.0.max(stamp.modified.0) + SETTLED <= at.0;
        let mut text = String::new();
        for entry in found.iter().filter(|entry| settled(&entry.stamp)) {
            if let Some(digest) = digests.get(entry.path.as_slice()) {
                let Stamp {
                    dev,
                    ino,
                    size,
                    modified,
                    changed,
                } = entry.stamp;
                // Writing into a String cannot fail.
                let _ = writeln!(
                    text,
                    "{digest} {dev} {ino} {size} {}.{} {}.{} {}",
                    modified.0,
                    modified.1,
                    changed.0,
                    changed.1,
                    escaped(&entry.path)
                );
            }
        }
        let _ = self.store.set_note(&format!("{}-files", self.name), &text);
        if found.iter().all(|entry| settled(&entry.stamp)) {
            let text = format!("{} {} {}\n", stamps(found), whole.0, whole.1);
            let _ = self.store.set_note(&self.name, &text);
        }
    }
}

/// Returns what tells that no entry changed. A directory's own times tell nothing that its entries do not.
fn stamps(found: &[Found]) -> Digest {
    let mut hasher = Hasher::new();
    for entry in found {
        let mut numbers = [0i64; 7];
        let (kind, target): (u8, &[u8]) = match &entry.kind {
            Kind::Directory => (b'd', b""),
            Kind::Symlink(target) => (b'l', target),
            Kind::File { executable } => {
                let stamp = &entry.stamp;
                numbers = [
                    stamp.dev.cast_signed(),
                    stamp.ino.cast_signed(),
                    stamp.size.cast_signed(),
                    stamp.modified.0,
                    stamp.modified.1,
                    stamp.changed.0,
                    stamp.changed.1,
                ];
                (if *executable { b'x' } else { b'f' }, b"")
            }
        };
        hasher.update(&[kind]);
        for text in [entry.path.as_slice(), target] {
            hasher.update(text);
            hasher.update(&[0]);
        }
        hasher.update(&numbers.map(i64::to_le_bytes).concat());
    }
    hasher.finish()
}

fn time(text: &str) -> Option<Time> {
    let (seconds, nanos) = text.split_once('.')?;
    Some((seconds.parse().ok()?, nanos.parse().ok()?))
}
