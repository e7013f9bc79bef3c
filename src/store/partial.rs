//! Downloads under way: `partial/SHA256.part`, locked by the process that writes it.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::scratch::is_file_at;
use super::{Blob, Store, StoreError, make_dir, make_way, set_mode};
use crate::digest::{Digest, Hasher};
use crate::dir;

/// The file of one download. It stays when dropped, so that the next process can take up where this one stopped.
#[derive(Debug)]
pub struct Partial<'s> {
    store: &'s Store,
    expected: Digest,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    size: u64,
}

impl Store {
    /// Takes over the download of a digest: waits while another process has it (`waiting` is called once before), and hashes
    /// what an earlier download left. `None` where the blob is there by now.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written or locked.
    pub fn partial(
        &self,
        expected: &Digest,
        waiting: &mut dyn FnMut(),
    ) -> Result<Option<Partial<'_>>, StoreError> {
        let directory = self.root.join("partial");
        make_dir(&directory)?;
        let path = directory.join(format!("{expected}.part"));
        let file = loop {
            let opened = dir::open_or_create(&path, 0o644);
            let file = opened.map_err(|error| StoreError::io("open", &path, error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting();
                    file.lock()
                        .map_err(|error| StoreError::io("lock", &path, error))?;
                }
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::io("lock", &path, error));
                }
            }
            // Whoever had the lock may have finished: the file that we hold is a blob by now, and not ours to write.
            if self.blob(expected).is_some() {
                if is_file_at(&file, &path) {
                    let _ = dir::remove(&path);
                }
                return Ok(None);
            }
            if !is_file_at(&file, &path) {
                continue;
            }
            // With a second name it may be somebody's file, which is not ours to write.
            if file.metadata().is_ok_and(|found| found.nlink() == 1) {
                break file;
            }
            super::remove(&path)?;
        };
        let mut partial = Partial {
            store: self,
            expected: *expected,
            file,
            path,
            hasher: Hasher::new(),
            size: 0,
        };
        partial.rehash()?;
        Ok(Some(partial))
    }
}

impl Partial<'_> {
    fn rehash(&mut self) -> Result<(), StoreError> {
        let mut buffer = vec![0u8; 128 * 1024];
        loop {
            let count = match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::io("read", &self.path, error)),
            };
            self.hasher.update(&buffer[..count]);
            self.size += count as u64;
        }
    }

    /// Returns how many bytes the file has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the digest of the bytes that the file has.
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`StoreError`], and the file keeps what it has.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_all(bytes)
            .map_err(|error| StoreError::io("write", &self.path, error))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what the file has.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be emptied.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        let io = |error| StoreError::io("empty", &self.path, error);
        self.file.set_len(0).map_err(io)?;
        self.file.seek(SeekFrom::Start(0)).map_err(io)?;
        self.hasher = Hasher::new();
        self.size = 0;
        Ok(())
    }

    /// Makes the file a blob. `Err(self)` with the bytes kept where they are not the expected ones.
    ///
    /// # Errors
    /// The outer [`StoreError`] where the cache cannot be written.
    #[allow(clippy::result_large_err)]
    pub fn commit(self) -> Result<Result<Blob, Self>, StoreError> {
        if self.digest() != self.expected {
            return Ok(Err(self));
        }
        let path = self.store.blob_path(&self.expected);
        if let Err(error) = self.file.sync_all() {
            // What the disk did not take may still be read back from memory, and would be found right the next time; and
            // on a full disk it only takes room.
            let _ = dir::remove(&self.path);
            return Err(StoreError::io("write", &self.path, error));
        }
        set_mode(&self.file, &self.path, 0o444)?;
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        make_way(&path)?;
        dir::rename(&self.path, &path)
            .map_err(|error| StoreError::io("rename a finished download to", &path, error))?;
        Ok(Ok(Blob {
            digest: self.expected,
            size: self.size,
            path,
        }))
    }

    /// Removes the file: what it holds is of no use to a later download.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be removed.
    pub fn discard(self) -> Result<(), StoreError> {
        super::remove(&self.path)
    }
}
