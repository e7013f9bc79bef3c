//! Finished images: `images-v1/PLANID-NAME/`, a directory that appears whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::scratch::{make_scratch_dir, publishing};
use super::{Blob, Store, StoreError, make_dir, remove, set_mode};
use crate::digest::Digest;
use crate::dir;

const BUCKET: &str = "images-v1";

/// An image that is being written. Dropped without [`NewImage::publish`], it is removed.
#[derive(Debug)]
pub struct NewImage {
    path: PathBuf,
    target: PathBuf,
    /// Files to sync before the directory gets its name.
    files: Vec<File>,
}

impl Store {
    /// Returns where the image of a plan is, or would be.
    pub fn image_path(&self, plan: &Digest, name: &str) -> PathBuf {
        self.root.join(BUCKET).join(format!("{plan}-{name}"))
    }

    /// Begins the image of a plan.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn new_image(&self, plan: &Digest, name: &str) -> Result<NewImage, StoreError> {
        let path = self.scratch_path()?;
        make_scratch_dir(&path)?;
        Ok(NewImage {
            path,
            target: self.image_path(plan, name),
            files: Vec::new(),
        })
    }

    /// Removes an image that turned out to be damaged.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be removed.
    pub fn remove_image(&self, plan: &Digest, name: &str) -> Result<(), StoreError> {
        remove(&self.image_path(plan, name))
    }
}

impl NewImage {
    /// Returns a new, empty file of the image.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be made.
    pub fn file(&mut self, name: &str) -> Result<File, StoreError> {
        let path = self.path.join(name);
        let io = |error| StoreError::io("create", &path, error);
        let file = dir::create_new(&path).map_err(io)?;
        self.files.push(file.try_clone().map_err(io)?);
        set_mode(&file, &path, 0o444)?;
        Ok(file)
    }

    /// Returns where a file of the image is for now, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Gives the image a blob's bytes as a file: by a hard link where the file system can, for both are read-only, else by a
    /// copy.
    ///
    /// # Errors
    /// [`StoreError`] where neither works.
    pub fn link(&mut self, blob: &Blob, name: &str) -> Result<(), StoreError> {
        let path = self.path.join(name);
        if dir::hard_link(&blob.path, &path).is_ok() {
            return Ok(());
        }
        let mut from = blob.open()?;
        let mut to = self.file(name)?;
        match io::copy(&mut from, &mut to) {
            Ok(_) => Ok(()),
            Err(error) => Err(StoreError::io("write", &path, error)),
        }
    }

    /// Makes the image appear under its name and returns the path. Whoever was faster with the same plan wins: the bytes
    /// are the same.
    ///
    /// # Errors
    /// [`StoreError`]; no image has the name then that did not have it before.
    pub fn publish(mut self) -> Result<PathBuf, StoreError> {
        for file in std::mem::take(&mut self.files) {
            file.sync_all()
                .map_err(|error| StoreError::io("write", &self.path, error))?;
        }
        if let Some(parent) = self.target.parent() {
            make_dir(parent)?;
        }
        let publishing = publishing();
        let renamed = dir::rename(&self.path, &self.target);
        drop(publishing);
        match renamed {
            Ok(()) => sync_dir(self.target.parent()),
            Err(error) if taken(&error) => {
                let _ = dir::touch(&self.target);
            }
            Err(error) => {
                return Err(StoreError::io(
                    "rename a finished image to",
                    &self.target,
                    error,
                ));
            }
        }
        Ok(self.target.clone())
    }
}

/// Says whether a rename failed since a directory with files in it has the name.
fn taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}

/// Brings a rename to the disk. Best effort: without it a power cut loses the name, never the bytes.
fn sync_dir(path: Option<&Path>) {
    if let Some(Ok(directory)) = path.map(dir::directory) {
        let _ = directory.sync_all();
    }
}

impl Drop for NewImage {
    fn drop(&mut self) {
        let _ = dir::remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_that_a_signal_removed_is_not_made_again_without_its_lock() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let plan = Digest::of(b"plan");
        let first = store.new_image(&plan, "a").unwrap();
        let own = first.path.parent().unwrap().to_path_buf();
        drop(first);
        std::fs::remove_dir_all(&own).unwrap();
        assert!(store.new_image(&plan, "b").is_err());
        assert!(!own.exists());
    }
}
