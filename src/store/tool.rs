//! Programs that mkimg brings along: `tools-v1/DIGEST/`, a directory that appears whole.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::scratch::make_scratch_dir;
use super::{Blob, Store, StoreError, make_dir, remove};
use crate::digest::Digest;
use crate::dir;

const BUCKET: &str = "tools-v1";

/// The right to make or replace one tool. Held by one process at a time, until dropped.
#[derive(Debug)]
pub struct ToolLock {
    target: PathBuf,
    _file: File,
}

/// A tool that is being unpacked. Dropped without [`NewTool::publish`], it is removed.
#[derive(Debug)]
pub struct NewTool<'s> {
    store: &'s Store,
    path: PathBuf,
}

impl Store {
    /// Returns where the tool of a digest is, or would be.
    pub fn tool_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(BUCKET).join(digest.to_string())
    }

    /// Takes the right to make a tool: waits while another process has it (`waiting` is called once before). What that one
    /// did meanwhile is for the caller to see.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written or locked.
    pub fn lock_tool(
        &self,
        digest: &Digest,
        waiting: &mut dyn FnMut(),
    ) -> Result<ToolLock, StoreError> {
        let bucket = self.root.join(BUCKET);
        make_dir(&bucket)?;
        // Stays: without a second look at its inode, removing a lock file would let two processes hold it.
        let path = bucket.join(format!("{digest}.lock"));
        let file = dir::open_or_create(&path, 0o644)
            .map_err(|error| StoreError::io("open", &path, error))?;
        let failed = |error| StoreError::io("lock", &path, error);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(ToolLock {
            target: self.tool_path(digest),
            _file: file,
        })
    }

    /// Begins a tool.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn new_tool(&self) -> Result<NewTool<'_>, StoreError> {
        let path = self.scratch_path()?;
        make_scratch_dir(&path)?;
        Ok(NewTool { store: self, path })
    }
}

impl NewTool<'_> {
    /// Returns where a file of the tool is for now.
    pub fn path(&self, name: &Path) -> PathBuf {
        self.path.join(name)
    }

    /// Gives the tool a blob's bytes as the file `name`, which can only be read: by a hard link where the file system can, else
    /// by a copy. The bytes are compared with the blob's name.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Damaged`] where the blob's bytes are not the ones that its name says.
    pub fn link(&mut self, blob: &Blob, name: &Path) -> Result<(), StoreError> {
        let path = self.place(name)?;
        if dir::hard_link(&blob.path, &path).is_ok() {
            return blob.verify();
        }
        self.copy(blob, name, 0o444)
    }

    /// Gives the tool a copy of a blob's bytes, as the file `name` with these permission bits.
    ///
    /// # Errors
    /// As [`NewTool::link`].
    pub fn copy(&mut self, blob: &Blob, name: &Path, mode: u32) -> Result<(), StoreError> {
        blob.verify()?;
        let bytes =
            dir::read(&blob.path).map_err(|error| StoreError::io("read", &blob.path, error))?;
        self.write(name, &bytes, mode)
    }

    /// Writes a file of the tool.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn write(&mut self, name: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
        let path = self.place(name)?;
        let failed = |error| StoreError::io("write", &path, error);
        let file = dir::write_new(&path, bytes, mode).map_err(failed)?;
        // Of a tool whose name survived a power cut and whose bytes did not, the next start would only see the sizes.
        file.sync_all().map_err(failed)
    }

    fn place(&self, name: &Path) -> Result<PathBuf, StoreError> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        Ok(path)
    }

    /// Makes the tool appear under its name, in place of one that was there, and returns the path. Who runs that one keeps
    /// the files that are open.
    ///
    /// # Errors
    /// [`StoreError`]; without a power cut the name is never left without a tool that had one before.
    pub fn publish(self, lock: &ToolLock) -> Result<PathBuf, StoreError> {
        let target = &lock.target;
        let old = self.store.scratch_path()?;
        let moved = dir::rename(target, &old).is_ok();
        if let Err(error) = dir::rename(&self.path, target) {
            if moved {
                let _ = dir::rename(&old, target);
            }
            return Err(StoreError::io("rename a finished tool to", target, error));
        }
        // What cannot be removed now is swept with the rest of the scratch directory.
        let _ = remove(&old);
        Ok(target.clone())
    }
}

impl Drop for NewTool<'_> {
    fn drop(&mut self) {
        // Gone already where it was published.
        let _ = dir::remove(&self.path);
    }
}
