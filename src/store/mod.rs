//! The cache on disk: blobs by their sha256, what was read out of archives, finished images.
//!
//! ```text
//! CACHEDIR.TAG  .gitignore  lock
//! blobs-v1/ab/cdef...          one file each, read-only, named by its sha256
//! members-v1/ab/cdef...        what was read out of the archive of that sha256 (`source::members` says how)
//! images-v1/PLANID-NAME/       vmlinuz  initramfs.cpio.gz  image.json
//! tools-v1/DIGEST/             a program of ours, unpacked (`tools` says what must be in it)
//! tools-v1/DIGEST.lock         held while that is made
//! partial/SHA256.part          a download under way, or interrupted
//! tmp/N  tmp/N.lock            a running process's own files; swept when nobody holds the lock. tmp/N/needs: what it needs
//!                              though it let go of `lock`
//! notes-v1/NAME                small texts: what was found out once (`note`)
//! imports-v1/PLANID-NAME-IMAGE an image that came along with a bundle or a reference, apart from the ones that were made here
//! stamps-v1/NAME               what was seen of the files of an image or a tool when they were written or hashed (`stamp`)
//! recipes-v1/DIGEST/           recipes that came with an image (`share` writes them)
//! roots/                       symlinks to out-links and locks of users': what `gc` must keep
//! gate                         passed on the way to `lock` (`door`)
//! added-v1/SHA256              a blob that the user put in, for `gc` (`added`)
//! .token                       by which the user's record knows the cache (`owner`)
//! ```
//!
//! Invariants: an object appears under its name by the rename of a finished, fsynced file, so it is there whole or not at
//! all; nothing that is there is ever written again; whoever uses the cache holds a shared lock on `lock`, and only `gc`,
//! which holds it alone, removes what is not damaged. Killing any process at any moment leaves a working cache and at most some
//! garbage.

mod added;
mod adopt;
mod behind;
mod blob;
mod door;
mod error;
mod files;
pub mod gc;
mod image;
mod limit;
mod members;
mod note;
pub mod owner;
mod partial;
mod replace;
mod scratch;
mod stamp;
mod tool;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub use adopt::{Adopted, adopt};
pub use behind::SyncBehind;
pub use blob::{Blob, BlobReader, BlobWriter};
pub use error::StoreError;
pub use image::NewImage;
pub use limit::{limit_help, limit_help_behind};
pub use partial::Partial;
pub use replace::{There, replace, replace_link};
pub use scratch::{Scratch, Unfinished, abandon_scratch};
pub use stamp::{Record, Sum};
pub use tool::{NewTool, ToolLock};

use crate::digest::Digest;
use crate::dir;
use files::{make_dir, make_way, remove, set_mode, unwritable};
use scratch::ScratchDir;

/// The text that marks a directory as a cache for backup programs (the Cache Directory Tagging Specification).
const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This directory is a cache of mkimg. Everything in it can be made again.\n";

/// The files that say what the directory is.
const MARKS: [(&str, &str); 2] = [("CACHEDIR.TAG", CACHEDIR_TAG), (".gitignore", "*\n")];

/// An open cache. Holds the shared lock on it until dropped.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// `None` where the lock file cannot be made: then nothing can be removed from the cache either.
    lock: Option<Arc<File>>,
    scratch: Mutex<Option<ScratchDir>>,
    own: bool,
    /// Released after all that is removed below it when the store is dropped.
    _held: dir::Hold,
}

impl Store {
    /// Opens the cache at `root`, which is made where it is missing.
    ///
    /// # Errors
    /// [`StoreError`] where the directory can neither be found nor made. A cache that can only be read opens.
    pub fn open(root: &Path) -> Result<Store, StoreError> {
        let root = hold(root).map_err(StoreError::unusable)?;
        let path = root.join("lock");
        let open = || match dir::open(&path) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(&root, &path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(StoreError::io("open", &path, error).unusable()),
        };
        Ok(Store {
            lock: door::enter(&root, open)?,
            _held: dir::keep_held(&root),
            root,
            scratch: Mutex::new(None),
            own: true,
        })
    }

    /// Says that others may have written into the cache.
    pub fn distrusted(mut self) -> Store {
        self.own = false;
        self
    }

    /// Says whether nobody but this user wrote into the cache. Where others may have, every byte is hashed that is used, and no
    /// listing, note, stamp or tool is believed.
    pub fn is_own(&self) -> bool {
        self.own
    }

    fn create(root: &Path, lock: &Path) -> Result<Option<File>, StoreError> {
        // The lock comes last: where it is, nobody looks for the others again.
        for (name, text) in MARKS {
            let path = root.join(name);
            match mark(&path, text) {
                Ok(()) => {}
                Err(error) if unwritable(&error) => return Ok(None),
                Err(error) => return Err(StoreError::io("write", &path, error)),
            }
        }
        match dir::open_or_create(lock, 0o644) {
            Ok(file) => Ok(Some(file)),
            // A cache that is mounted read-only, or another user's: what is in it can still be used.
            Err(error) if unwritable(&error) => Ok(None),
            Err(error) => Err(StoreError::io("create", lock, error)),
        }
    }

    /// Returns the shared lock, for whoever goes on with what is in the cache when the store is dropped.
    pub fn lock(&self) -> Option<Arc<File>> {
        self.lock.clone()
    }

    /// Lets go of the cache for the rest of this process, but for what `needs` names: `gc`, which otherwise would wait, leaves
    /// those objects alone until the store is dropped. Where that cannot be written down the cache stays locked.
    pub fn lease(&self, needs: &str) {
        let Some(lock) = &self.lock else {
            return;
        };
        if self.with_scratch(|scratch| scratch.lease(needs)).is_ok() {
            door::leave(&self.root);
            // A failure leaves it locked, which is safe.
            let _ = lock.unlock();
        }
    }

    /// Notes that an image, a tool or an imported recipe is used, so that `gc` knows which were not for long. Best effort: the
    /// cache may be another user's.
    pub fn used(&self, path: &Path) {
        let _ = dir::touch(path);
    }

    /// Returns the cache's directory: absolute, and no symlink leads there.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of an object by its bucket and digest: `BUCKET/ab/cdef..`.
    pub fn object_path(&self, bucket: &str, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        let (fan, rest) = hex.split_at(2);
        self.root.join(bucket).join(fan).join(rest)
    }

    /// Returns a new file of this process, for an object that is being made.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        let path = self.scratch_path()?;
        Scratch::create(path)
    }

    /// Returns a new directory of this process, which is gone with it.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn scratch_directory(&self) -> Result<PathBuf, StoreError> {
        let path = self.scratch_path()?;
        scratch::make_scratch_dir(&path)?;
        Ok(path)
    }

    /// Puts a small file in its place, unless it is there with the same bytes.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        if dir::read(path).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        let mut scratch = self.scratch()?;
        let written = scratch.write_all(bytes);
        written.map_err(|error| StoreError::io("write", scratch.path(), error))?;
        scratch.publish(path)
    }

    /// Removes an object that turned out to be damaged, wherever in the cache it is.
    ///
    /// # Errors
    /// [`StoreError`] where it is not in the cache or cannot be removed.
    pub fn remove_damaged(&self, path: &Path) -> Result<(), StoreError> {
        if !path.starts_with(&self.root) {
            return Err(StoreError::io(
                "remove",
                path,
                io::Error::other("it is not in the cache"),
            ));
        }
        remove(path)
    }

    /// Remembers a path of the user's, an out-link or the lock of a recipe, so that `gc` keeps what it names.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written.
    pub fn add_root(&self, path: &Path) -> Result<(), StoreError> {
        let absolute =
            std::path::absolute(path).map_err(|error| StoreError::io("find", path, error))?;
        let roots = self.root.join("roots");
        make_dir(&roots)?;
        let name = Digest::of(absolute.as_os_str().as_encoded_bytes()).to_string();
        let root = roots.join(name);
        match dir::symlink(&absolute, &root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(StoreError::io("write", &root, error))
            }
            _ => Ok(()),
        }
    }

    /// Returns a path for a new file or directory of this process; nothing is there yet.
    fn scratch_path(&self) -> Result<PathBuf, StoreError> {
        self.with_scratch(|scratch| Ok(scratch.next()))
    }

    fn with_scratch<T>(
        &self,
        work: impl FnOnce(&mut ScratchDir) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // The lock is only poisoned by a panic in the lines below, which leave the value usable.
        let mut slot = self
            .scratch
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        if slot.is_none() {
            *slot = Some(ScratchDir::create(&self.root)?);
        }
        match slot.as_mut() {
            Some(scratch) => work(scratch),
            // Filled two lines above.
            None => Err(StoreError::io(
                "use",
                &self.root,
                io::Error::other("no scratch directory"),
            )),
        }
    }
}

/// Writes a file that says what the cache is, unless one is there: two processes may make the cache at once, and the user may
/// keep a `.gitignore` there. An empty one was left by a process that came to its end, or the disk to its.
fn mark(path: &Path, text: &str) -> io::Result<()> {
    if dir::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0) {
        return Ok(());
    }
    dir::open_or_create(path, 0o644)?.write_all(text.as_bytes())
}

/// Holds the directory of a cache, which is made where it is missing, and returns where it really is.
fn hold(root: &Path) -> Result<PathBuf, StoreError> {
    make_root(root)?;
    dir::hold(root).map_err(|error| StoreError::io("open", root, error))
}

/// Makes the directory of a cache and its parents; readable by everyone whatever the umask, since a cache may be shared.
fn make_root(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        make_root(parent)?;
    }
    let made = match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    };
    made.map_err(|error| StoreError::io("create the directory", path, error))
}
