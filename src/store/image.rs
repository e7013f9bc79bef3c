//! Finished images: `images-v1/PLANID-NAME/` where they were made here, `imports-v1/PLANID-NAME-IMAGE/` where they came from
//! elsewhere. Each is a directory that appears whole, after the record of its files (`stamp`).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::scratch::{make_scratch_dir, publishing};
use super::{Blob, Store, StoreError, Sum, make_dir, remove, set_mode};
use crate::digest::Digest;
use crate::dir;

const BUCKET: &str = "images-v1";
const IMPORTS: &str = "imports-v1";

/// An image that is being written. Dropped without [`NewImage::publish`], it is removed.
#[derive(Debug)]
pub struct NewImage<'s> {
    store: &'s Store,
    path: PathBuf,
    target: PathBuf,
    /// Files to sync before the directory gets its name.
    files: Vec<File>,
    /// Blobs that got one more name.
    linked: Vec<Digest>,
}

impl Store {
    /// Returns where the image of a plan is, or would be.
    pub fn image_path(&self, plan: &Digest, name: &str) -> PathBuf {
        self.root.join(BUCKET).join(format!("{plan}-{name}"))
    }

    /// Returns where an image that came from elsewhere is, or would be: `image` is the sha256 of its `image.json`, so that it
    /// never stands for another one of its plan.
    pub fn import_path(&self, plan: &Digest, name: &str, image: &Digest) -> PathBuf {
        let image = &image.to_string()[..32];
        self.root
            .join(IMPORTS)
            .join(format!("{plan}-{name}-{image}"))
    }

    /// Returns the name under which the stamps of an object's files are recorded.
    pub fn record_name(object: &Path) -> String {
        let name = object.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Begins the image that will be at `target`: [`Store::image_path`] or [`Store::import_path`].
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn new_image(&self, target: &Path) -> Result<NewImage<'_>, StoreError> {
        let path = self.scratch_path()?;
        make_scratch_dir(&path)?;
        Ok(NewImage {
            store: self,
            path,
            target: target.to_path_buf(),
            files: Vec::new(),
            linked: Vec::new(),
        })
    }
}

impl NewImage<'_> {
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
            self.linked.push(blob.digest);
            return Ok(());
        }
        let mut from = blob.open()?;
        let mut to = self.file(name)?;
        match io::copy(&mut from, &mut to) {
            Ok(_) => Ok(()),
            Err(error) => Err(StoreError::io("write", &path, error)),
        }
    }

    /// Makes the image appear under its name and returns the path. `sums` are all its files. One that is there already stays where it
    /// is the same, and whole; else this one takes its place.
    ///
    /// # Errors
    /// [`StoreError`]; no image has the name then that did not have it before.
    pub fn publish(mut self, sums: &[Sum]) -> Result<PathBuf, StoreError> {
        for file in std::mem::take(&mut self.files) {
            file.sync_all()
                .map_err(|error| StoreError::io("write", &self.path, error))?;
        }
        if let Some(parent) = self.target.parent() {
            make_dir(parent)?;
        }
        let _alone = self.lock_bucket();
        let name = Store::record_name(&self.target);
        if dir::exists(&self.target) {
            let record = self.store.record(&name);
            let there = self.store.check(&self.target, &name, record.as_ref(), sums);
            if there.is_ok() {
                let _ = dir::touch(&self.target);
                return Ok(self.target.clone());
            }
        }
        // First: an image without a record would have to be made again after a power cut.
        self.store.set_record(&self.path, &name, sums)?;
        for sum in sums.iter().filter(|sum| self.linked.contains(&sum.digest)) {
            self.store.record_linked(&self.path, sum);
        }
        let publishing = publishing();
        let renamed = match dir::rename(&self.path, &self.target) {
            Err(error) if taken(&error) => self.replace(),
            renamed => renamed,
        };
        drop(publishing);
        renamed
            .map_err(|error| StoreError::io("rename a finished image to", &self.target, error))?;
        sync_dir(self.target.parent());
        Ok(self.target.clone())
    }

    /// Waits until no other process publishes in the bucket: of several that made one image, the others then see the first's, and no
    /// two take each other's place. Without locks, as on some network file systems, it is best effort.
    fn lock_bucket(&self) -> Option<File> {
        let bucket = dir::directory(self.target.parent()?).ok()?;
        bucket.lock().ok()?;
        Some(bucket)
    }

    /// Takes the place of the directory that has the name.
    fn replace(&self) -> io::Result<()> {
        let old = self.store.scratch_path().map_err(io::Error::other)?;
        dir::rename(&self.target, &old)?;
        if let Err(error) = dir::rename(&self.path, &self.target) {
            let _ = dir::rename(&old, &self.target);
            return Err(error);
        }
        // What cannot be removed now is swept with the rest of the scratch directory.
        let _ = remove(&old);
        Ok(())
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

impl Drop for NewImage<'_> {
    fn drop(&mut self) {
        let _ = dir::remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn many_that_publish_one_image_at_once_leave_the_first() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let plan = Digest::of(b"plan");
        let inode = |path: &Path| {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(path).unwrap().ino()
        };
        for round in 0..20 {
            let target = store.image_path(&plan, &format!("a{round}"));
            let begin = std::sync::Barrier::new(8);
            let publish = || {
                let mut new = store.new_image(&target).unwrap();
                let text = format!("bytes of {round}");
                new.file("a").unwrap().write_all(text.as_bytes()).unwrap();
                let sum = Sum {
                    name: "a".to_owned(),
                    size: text.len() as u64,
                    digest: Digest::of(text.as_bytes()),
                };
                begin.wait();
                inode(&new.publish(&[sum]).unwrap().join("a"))
            };
            let seen: Vec<u64> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(publish)).collect();
                threads.into_iter().map(|it| it.join().unwrap()).collect()
            });
            assert!(seen.iter().all(|it| *it == inode(&target.join("a"))));
        }
    }

    #[test]
    fn a_scratch_directory_that_a_signal_removed_is_not_made_again_without_its_lock() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let plan = Digest::of(b"plan");
        let first = store.new_image(&store.image_path(&plan, "a")).unwrap();
        let own = first.path.parent().unwrap().to_path_buf();
        drop(first);
        std::fs::remove_dir_all(&own).unwrap();
        assert!(store.new_image(&store.image_path(&plan, "b")).is_err());
        assert!(!own.exists());
    }
}
