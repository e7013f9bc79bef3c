//! Files of a running process, before they become objects: `tmp/N`, guarded by a lock on `tmp/N.lock`.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::{StoreError, make_dir, make_way, remove, set_mode};
use crate::dir;

/// The scratch directories and unfinished files of this process, for [`abandon_scratch`]. Locked while one is made or removed, lock file included:
/// a signal finds either all of it, listed here, or nothing.
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The name of the text in a scratch directory that says what its process needs, though it let go of the cache.
pub(super) const LEASE: &str = "needs";

/// Held while an object gets its name.
static PUBLISHING: Mutex<()> = Mutex::new(());

/// Removes the scratch directories and the unfinished files of this process, which is about to end without dropping anything. What cannot be removed
/// is swept by the next process. From here on nothing gets a name any more, and no scratch directory is made or removed:
/// whoever tries waits for the end.
pub fn abandon_scratch() {
    // Whoever removes a directory goes on in it when it is renamed meanwhile: a finished image would lose its files.
    std::mem::forget(publishing());
    let mut live = live();
    let abandoned = std::mem::take(&mut *live);
    std::mem::forget(live);
    for path in abandoned {
        // Outside of the cache: an unfinished file or directory of the user's.
        if !dir::is_held(&path) {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            continue;
        }
        // Another thread may be making files in there at this moment: then once more, or the next process has to.
        for _ in 0..8 {
            let _ = dir::remove(&path);
            if !dir::exists(&path) {
                // Without the lock nobody would sweep the directory.
                let _ = dir::remove(&path.with_extension("lock"));
                break;
            }
        }
    }
}

/// Keeps [`abandon_scratch`] from removing what is being renamed, until dropped.
pub(super) fn publishing() -> MutexGuard<'static, ()> {
    PUBLISHING
        .lock()
        .unwrap_or_else(|poison| poison.into_inner())
}

fn live() -> MutexGuard<'static, Vec<PathBuf>> {
    LIVE.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// A file outside of the cache that has not got its name yet: a signal removes it, until this is dropped.
#[derive(Debug)]
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// Makes a file with `make`, so that a signal finds either none or one that it knows of.
    ///
    /// # Errors
    /// What `make` gives.
    pub fn make<T>(
        path: &Path,
        make: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<(T, Unfinished)> {
        let mut live = live();
        let made = make(path)?;
        live.push(path.to_path_buf());
        Ok((made, Unfinished(path.to_path_buf())))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        live().retain(|path| *path != self.0);
    }
}

/// A process's own directory below `tmp/`. Removed when dropped; swept by a later process when this one was killed.
#[derive(Debug)]
pub(super) struct ScratchDir {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
    count: u32,
}

/// Makes a directory in a process's own one; never that again, which a signal may have removed, lock and all.
pub(super) fn make_scratch_dir(path: &Path) -> Result<(), StoreError> {
    dir::create_dir(path, 0o755)
        .map_err(|error| StoreError::io("create the directory", path, error))
}

impl ScratchDir {
    pub(super) fn create(root: &Path) -> Result<ScratchDir, StoreError> {
        let tmp = root.join("tmp");
        make_dir(&tmp)?;
        sweep(&tmp);
        let mut live = live();
        for number in 0u32.. {
            let path = tmp.join(number.to_string());
            let lock_path = tmp.join(format!("{number}.lock"));
            let lock = match dir::create_new(&lock_path) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(StoreError::io("create", &lock_path, error)),
            };
            // Between the two calls a sweeper may take the lock and unlink the file: then this name is lost.
            if lock.try_lock().is_err() || !is_file_at(&lock, &lock_path) {
                continue;
            }
            match dir::create_dir(&path, 0o755) {
                Ok(()) => {}
                // Left by a process whose lock file somebody removed by hand.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let _ = dir::remove(&lock_path);
                    continue;
                }
                Err(error) => {
                    let _ = dir::remove(&lock_path);
                    return Err(StoreError::io("create the directory", &path, error));
                }
            }
            live.push(path.clone());
            return Ok(ScratchDir {
                path,
                lock_path,
                _lock: lock,
                count: 0,
            });
        }
        Err(StoreError::io(
            "use",
            &tmp,
            io::Error::other("every number is taken"),
        ))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down what the process needs when it lets go of the cache. Appears whole.
    pub(super) fn lease(&mut self, text: &str) -> Result<(), StoreError> {
        let path = self.path.join(LEASE);
        let beside = self.next();
        let written = dir::write_new(&beside, text.as_bytes(), 0o644)
            .and_then(|_| dir::rename(&beside, &path));
        written.map_err(|error| StoreError::io("write", &path, error))
    }

    /// Removes everything in it.
    pub(super) fn empty(self) -> Result<(), StoreError> {
        for path in dir::entries(&self.path).unwrap_or_default() {
            remove(&path)?;
        }
        Ok(())
    }

    /// Returns the path of the next file or directory.
    pub(super) fn next(&mut self) -> PathBuf {
        self.count += 1;
        self.path.join(self.count.to_string())
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let mut live = live();
        live.retain(|path| *path != self.path);
        // What cannot be removed now is swept by the next process.
        if dir::remove(&self.path).is_ok() || !dir::exists(&self.path) {
            let _ = dir::remove(&self.lock_path);
        }
    }
}

/// Removes what processes left that are no longer there: whose lock can be had.
fn sweep(tmp: &Path) {
    for lock_path in dir::entries(tmp).unwrap_or_default() {
        if lock_path
            .extension()
            .is_none_or(|extension| extension != "lock")
        {
            continue;
        }
        let Ok(lock) = dir::open_to_write(&lock_path) else {
            continue;
        };
        if lock.try_lock().is_ok() && is_file_at(&lock, &lock_path) {
            let path = lock_path.with_extension("");
            if dir::remove(&path).is_ok() || !dir::exists(&path) {
                let _ = dir::remove(&lock_path);
            }
        }
    }
}

/// Says whether the open file is still the one at `path`.
pub(super) fn is_file_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), dir::metadata(path)) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
        _ => false,
    }
}

/// A file that will become an object. Dropped without [`Scratch::publish`], it is removed.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    path: PathBuf,
    published: bool,
}

impl Scratch {
    pub(super) fn create(path: PathBuf) -> Result<Scratch, StoreError> {
        let file =
            dir::create_new(&path).map_err(|error| StoreError::io("create", &path, error))?;
        Ok(Scratch {
            file,
            path,
            published: false,
        })
    }

    /// Returns where the file is for now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Makes the file an object: synced to disk, read-only, renamed to `to`, whose directory is made.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is at `to` then that was not there before.
    pub fn publish(mut self, to: &Path) -> Result<(), StoreError> {
        self.file
            .sync_all()
            .map_err(|error| StoreError::io("write", &self.path, error))?;
        set_mode(&self.file, &self.path, 0o444)?;
        if let Some(parent) = to.parent() {
            make_dir(parent)?;
        }
        make_way(to)?;
        let _publishing = publishing();
        dir::rename(&self.path, to)
            .map_err(|error| StoreError::io("rename a finished file to", to, error))?;
        self.published = true;
        Ok(())
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Scratch {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.published {
            let _ = dir::remove(&self.path);
        }
    }
}
