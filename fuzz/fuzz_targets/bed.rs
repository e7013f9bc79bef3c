//! A directory for what a target needs as files. `fuzz/run` has it in memory.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::store::{Blob, Store};

/// A cache in a directory of its own.
pub(super) struct Bed {
    directory: TempDir,
    pub(super) store: Store,
    used: u32,
}

/// How often a cache is used: what the inputs leave in it should not fill the memory.
const USES: u32 = 2000;

thread_local! {
    static BED: RefCell<Option<Bed>> = const { RefCell::new(None) };
}

impl Bed {
    fn new() -> Bed {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("cache")).unwrap();
        Bed {
            directory,
            store,
            used: 0,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Returns the blob of some bytes. It is outside of the cache, where nothing keeps it.
    pub(super) fn blob(&self, bytes: &[u8]) -> Blob {
        Blob {
            digest: crate::digest::Digest::of(bytes),
            size: bytes.len() as u64,
            path: self.file("input", bytes),
        }
    }
}

/// Runs with the cache of this thread.
pub(super) fn with_bed(run: impl FnOnce(&Bed)) {
    BED.with_borrow_mut(|bed| {
        bed.take_if(|bed| bed.used == USES);
        let bed = bed.get_or_insert_with(Bed::new);
        bed.used += 1;
        run(bed);
    });
}
