//! Syncing a large file while it is still being written.

use std::fs::File;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::Scratch;
use crate::dir;

/// Bytes after which a sync begins.
const STEP: u64 = 32 << 20;

/// Brings a scratch file's bytes to the disk behind its writer's back, so that [`Scratch::publish`], which syncs the whole,
/// has little left to wait for. It promises nothing: without it everything takes longer, no more.
#[derive(Debug)]
pub struct SyncBehind {
    worker: Option<(SyncSender<()>, JoinHandle<()>)>,
    written: u64,
}

impl SyncBehind {
    /// Begins to look after a file.
    pub fn new(scratch: &Scratch) -> SyncBehind {
        SyncBehind {
            worker: dir::open(scratch.path()).ok().and_then(worker),
            written: 0,
        }
    }

    /// Is told that `count` more bytes were written.
    pub fn wrote(&mut self, count: u64) {
        self.written += count;
        if self.written >= STEP {
            self.written = 0;
            if let Some((wake, _)) = &self.worker {
                // Full is well: then a sync is waiting already.
                let _ = wake.try_send(());
            }
        }
    }
}

fn worker(file: File) -> Option<(SyncSender<()>, JoinHandle<()>)> {
    let (wake, woken) = sync_channel(1);
    let work = move || {
        // Linux reports a failed write once to each open file: the scratch's own sync, which counts, still sees it.
        while woken.recv().is_ok() && file.sync_data().is_ok() {}
    };
    let thread = thread::Builder::new().spawn(work).ok()?;
    Some((wake, thread))
}

impl Drop for SyncBehind {
    fn drop(&mut self) {
        if let Some((wake, thread)) = self.worker.take() {
            drop(wake);
            let _ = thread.join();
        }
    }
}
