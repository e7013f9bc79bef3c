//! Who may be in the cache: everybody at once, or `gc` alone.
//!
//! ```text
//! lock   shared by every process that uses the cache, exclusive for gc
//! gate   passed on the way to `lock`; gc closes it for moments, so that those inside come to an end and no others follow
//! ```
//!
//! A file lock alone would let a cache that is always in use starve gc: as long as one process overlaps the next, nobody gets
//! it exclusively. The gate is made by the first gc; where there is none nobody has to pass one.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::StoreError;
use super::scratch::is_file_at;
use crate::dir;

/// How long the gate is closed at a time: nobody who comes waits longer than this for a gc that waits itself.
const CLOSED: Duration = Duration::from_secs(2);
/// How long it is open in between.
const OPEN: Duration = Duration::from_secs(3);
/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(5);

/// The shared locks of this process: a second one on the same cache would have to pass the gate that gc closes on the first.
static HELD: Mutex<BTreeMap<PathBuf, Weak<File>>> = Mutex::new(BTreeMap::new());

/// Takes the shared lock that `open` opens, or the one that this process has already.
pub(super) fn enter(
    root: &Path,
    open: impl FnOnce() -> Result<Option<File>, StoreError>,
) -> Result<Option<Arc<File>>, StoreError> {
    let path = root.join("lock");
    let mut held = HELD.lock().unwrap_or_else(|poison| poison.into_inner());
    if let Some(lock) = held.get(root).and_then(Weak::upgrade)
        && is_file_at(&lock, &path)
    {
        return Ok(Some(lock));
    }
    let Some(lock) = open()? else {
        return Ok(None);
    };
    pass(root, &lock).map_err(|error| StoreError::io("lock", &path, error))?;
    let lock = Arc::new(lock);
    held.retain(|_, lock| lock.strong_count() > 0);
    held.insert(root.to_path_buf(), Arc::downgrade(&lock));
    Ok(Some(lock))
}

/// Takes a shared lock behind the gate.
fn pass(root: &Path, lock: &File) -> io::Result<()> {
    let gate = dir::open(&root.join("gate")).ok();
    if let Some(gate) = &gate {
        gate.lock_shared()?;
    }
    lock.lock_shared()
}

/// Forgets the lock of a cache that this process let go of, so that the next one who opens it takes another.
pub(super) fn leave(root: &Path) {
    let mut held = HELD.lock().unwrap_or_else(|poison| poison.into_inner());
    held.remove(root);
}

/// The cache for oneself, until dropped.
#[derive(Debug)]
pub(super) struct Alone {
    _lock: File,
    _gate: Option<File>,
}

impl Alone {
    /// Takes the exclusive lock. Waits for those inside where `wait` says so (`waiting` is called once before, with their
    /// number where that is known); `None` where it does not, and there are some.
    pub(super) fn take(
        root: &Path,
        wait: bool,
        waiting: &mut dyn FnMut(usize),
    ) -> Result<Option<Alone>, StoreError> {
        let path = root.join("lock");
        let lock = open(&path)?;
        let failed = |error| StoreError::io("lock", &path, error);
        let mut told = false;
        let start = Instant::now();
        loop {
            let mut gate = Some(open(&root.join("gate"))?);
            if let Some(gate) = &gate {
                if wait {
                    gate.lock().map_err(failed)?;
                } else if !tried(gate.try_lock()).map_err(failed)? {
                    return Ok(None);
                }
            }
            let closed = Instant::now();
            while closed.elapsed() < CLOSED + OPEN {
                if tried(lock.try_lock()).map_err(failed)? {
                    return Ok(Some(Alone {
                        _lock: lock,
                        _gate: gate,
                    }));
                }
                if !wait {
                    return Ok(None);
                }
                // Those who are about to finish are not worth a word.
                if !told && start.elapsed() > Duration::from_millis(300) {
                    told = true;
                    waiting(count(&lock));
                }
                if closed.elapsed() > CLOSED {
                    gate = None;
                }
                thread::sleep(LOOK);
            }
        }
    }
}

fn tried(lock: Result<(), TryLockError>) -> io::Result<bool> {
    match lock {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    // For everybody, whatever the umask.
    dir::open_or_create(path, 0o644).map_err(|error| StoreError::io("open", path, error))
}

/// Returns how many processes have a shared lock on the file, as far as Linux tells; else 0.
fn count(lock: &File) -> usize {
    let Ok(found) = lock.metadata() else {
        return 0;
    };
    let suffix = format!(":{}", found.ino());
    let text = fs::read_to_string("/proc/locks").unwrap_or_default();
    let held = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"FLOCK")
            && words.get(3) == Some(&"READ")
            && words.get(5).is_some_and(|inode| inode.ends_with(&suffix))
    };
    text.lines().filter(held).count()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    /// Processes that are in the cache one after the other, so that there is always one.
    #[test]
    fn a_cache_that_is_always_in_use_is_had_alone_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let root = &dir::hold(directory.path()).unwrap();
        let _held = dir::keep_held(root);
        File::create(root.join("lock")).unwrap();
        let (stop, entered, inside) = (
            AtomicBool::new(false),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let come_and_go = || {
            while !stop.load(Ordering::SeqCst) {
                let lock = File::open(root.join("lock")).unwrap();
                pass(root, &lock).unwrap();
                inside.fetch_add(1, Ordering::SeqCst);
                let number = entered.fetch_add(1, Ordering::SeqCst);
                // Nobody leaves before the next one came, but for those who find the gate closed.
                let start = Instant::now();
                while entered.load(Ordering::SeqCst) == number + 1
                    && start.elapsed() < Duration::from_millis(200)
                {
                    thread::sleep(LOOK);
                }
                inside.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let alone = thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(come_and_go);
            }
            while entered.load(Ordering::SeqCst) < 10 {
                thread::sleep(LOOK);
            }
            // Without the gate nobody is ever let in alone.
            let lock = File::open(root.join("lock")).unwrap();
            let tries = (0..100).filter(|_| {
                thread::sleep(LOOK);
                tried(lock.try_lock()).unwrap()
            });
            assert_eq!(tries.count(), 0, "the cache was not always in use");
            let (sent, taken) = std::sync::mpsc::channel();
            thread::scope(|scope| {
                scope.spawn(|| sent.send(Alone::take(root, true, &mut |_| ())));
                let alone = taken.recv_timeout(Duration::from_secs(20));
                let others = inside.load(Ordering::SeqCst);
                stop.store(true, Ordering::SeqCst);
                // Let go of, or those who wait to come in never end.
                alone.map(|alone| (alone.unwrap().is_some(), others))
            })
        });
        let (alone, others) = alone.expect("gc starves");
        assert!(alone);
        assert_eq!(others, 0);
    }
}
