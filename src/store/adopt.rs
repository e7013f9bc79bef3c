//! Taking over a cache that came from elsewhere, as CI restores one: what proves itself stays, the rest goes.
//!
//! A blob proves itself, for its name is its sha256. An image, a listing of members, a tool or a note could say anything: each is
//! made again of the blobs. The record that the cache is this user's comes last: killed before, nothing is adopted.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};
use rustix::process::{getegid, geteuid};

use super::door::Alone;
use super::{MARKS, Store, StoreError, added, gc, mark, owner, remove};
use crate::digest::{self, Digest};
use crate::dir;

/// The files that stay as they are, and decide nothing.
const KEPT: [&str; 4] = ["CACHEDIR.TAG", ".gitignore", ".gitkeep", "lock"];
const BLOBS: &str = "blobs-v1";

/// What became of an adopted cache.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Where it is.
    pub path: PathBuf,
    /// Blobs that were hashed and are right.
    pub kept: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that were written anew, since others could have changed them.
    pub copied: usize,
    /// What went, by its path in the cache, and why.
    pub removed: Vec<(PathBuf, &'static str)>,
}

/// Adopts a cache: hashes every blob, throws everything else away, and records that it is this user's.
///
/// # Errors
/// [`StoreError::NotACache`] for a directory that is none; [`StoreError`] where it cannot be read, written or recorded; it is
/// not adopted then.
pub fn adopt(
    cache: &Path,
    state: &Path,
    waiting: &mut dyn FnMut(usize),
) -> Result<Adopted, StoreError> {
    let Some(root) = gc::cache(cache)? else {
        // Nothing is in it that could be wrong.
        drop(Store::open(cache)?);
        owner::take(cache, state)?;
        return Ok(Adopted {
            path: dir::hold(cache).map_err(|error| StoreError::io("open", cache, error))?,
            ..Adopted::default()
        });
    };
    owner::forget(&root).map_err(|error| StoreError::io("change", &root, error))?;
    let mut work = Work {
        done: Adopted {
            path: root.clone(),
            ..Adopted::default()
        },
        root,
    };
    work.own_directory(&work.root.clone())?;
    for name in ["lock", "gate"] {
        let path = work.root.join(name);
        if dir::metadata(&path).is_ok_and(|found| !is_plain(&found)) {
            work.remove(&path, "it is no file of mkimg's")?;
        }
    }
    let alone = Alone::take(&work.root, true, waiting)?;
    let added = added::all(&work.root);
    work.throw_away()?;
    for (name, text) in MARKS {
        let path = work.root.join(name);
        mark(&path, text).map_err(|error| StoreError::io("write", &path, error))?;
    }
    let blobs = work.blobs()?;
    drop(alone);
    {
        let store = Store::open(&work.root)?;
        work.copy(&store, &blobs)?;
        for digest in added.intersection(&blobs.iter().map(|blob| blob.digest).collect()) {
            store.keep_added(digest)?;
        }
    }
    owner::take(&work.root, state)?;
    Ok(work.done)
}

/// A blob whose bytes are right.
struct Right {
    digest: Digest,
    path: PathBuf,
    /// Could others have changed it, or still do so?
    doubtful: bool,
}

struct Work {
    root: PathBuf,
    done: Adopted,
}

impl Work {
    fn remove(&mut self, path: &Path, why: &'static str) -> Result<(), StoreError> {
        remove(path)?;
        let name = path.strip_prefix(&self.root).unwrap_or(path);
        self.done.removed.push((name.to_path_buf(), why));
        Ok(())
    }

    /// Removes all but the blobs and what says that this is a cache.
    fn throw_away(&mut self) -> Result<(), StoreError> {
        for path in entries(&self.root)? {
            let name = path.file_name().unwrap_or_default();
            let found = dir::metadata(&path);
            let found = found.map_err(|error| StoreError::io("look at", &path, error))?;
            let is_kept = match found.is_dir() {
                true => name == BLOBS,
                false => KEPT.iter().any(|kept| name == *kept) && is_plain(&found),
            };
            if !is_kept && name == "gate" {
                remove(&path)?;
            } else if !is_kept {
                self.remove(&path, "no blob proves it")?;
            }
        }
        Ok(())
    }

    /// Hashes the blobs; removes what is none.
    fn blobs(&mut self) -> Result<Vec<Right>, StoreError> {
        let mut right = Vec::new();
        let bucket = self.root.join(BLOBS);
        if !dir::exists(&bucket) {
            return Ok(right);
        }
        self.own_directory(&bucket)?;
        for fan in entries(&bucket)? {
            if !dir::metadata(&fan).is_ok_and(|found| found.is_dir()) {
                self.remove(&fan, "it is no directory of blobs")?;
                continue;
            }
            self.own_directory(&fan)?;
            let first = fan.file_name().unwrap_or_default().to_string_lossy();
            for path in entries(&fan)? {
                let rest = path.file_name().unwrap_or_default().to_string_lossy();
                match hashed(&path, &format!("{first}{rest}")) {
                    Ok((digest, found)) => {
                        self.done.kept += 1;
                        self.done.bytes += found.len();
                        let doubtful = found.nlink() != 1
                            || found.uid() != geteuid().as_raw()
                            || found.mode() & 0o7777 != 0o444;
                        right.push(Right {
                            digest,
                            path: path.clone(),
                            doubtful,
                        });
                    }
                    Err(why) => self.remove(&path, why)?,
                }
            }
        }
        Ok(right)
    }

    /// Writes the blobs anew that others could have changed.
    fn copy(&mut self, store: &Store, blobs: &[Right]) -> Result<(), StoreError> {
        for blob in blobs.iter().filter(|blob| blob.doubtful) {
            let io = |error| StoreError::io("read", &blob.path, error);
            let mut file = dir::open(&blob.path).map_err(io)?;
            let copied = store.blob_from(&mut file, &blob.path)?;
            if copied.digest != blob.digest {
                return Err(io(io::Error::other("it changed while it was read")));
            }
            self.done.copied += 1;
        }
        Ok(())
    }

    /// Makes a directory this user's alone to write.
    fn own_directory(&self, path: &Path) -> Result<(), StoreError> {
        let io = |error| StoreError::io("change the owner of", path, error);
        let directory = dir::directory(path).map_err(io)?;
        let found = directory.metadata().map_err(io)?;
        let (user, group) = (geteuid(), getegid());
        if found.uid() != user.as_raw() {
            let (user, group) = (Uid::from_raw(user.as_raw()), Gid::from_raw(group.as_raw()));
            rustix::fs::fchown(&directory, Some(user), Some(group))
                .map_err(|error| io(error.into()))?;
        }
        if found.mode() & 0o7777 != 0o755 {
            let io = |error| StoreError::io("set the mode of", path, error);
            let mode = found.mode() & 0o7755 | 0o700;
            directory
                .set_permissions(Permissions::from_mode(mode))
                .map_err(io)?;
        }
        Ok(())
    }
}

/// Returns the digest of a blob by its name, where its bytes have it; else why not.
fn hashed(path: &Path, name: &str) -> Result<(Digest, Metadata), &'static str> {
    let digest: Digest = name.parse().map_err(|_| "its name is no sha256")?;
    let mut file = dir::open(path).map_err(|_| "it is no regular file that can be read")?;
    let found = file.metadata().map_err(|_| "it cannot be looked at")?;
    match digest::of_reader(&mut file) {
        Ok((actual, _)) if actual == digest => Ok((digest, found)),
        Ok(_) => Err("its bytes are not those that its name says"),
        Err(_) => Err("it cannot be read"),
    }
}

fn is_plain(found: &Metadata) -> bool {
    found.is_file() && found.nlink() == 1
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    dir::entries(path).map_err(|error| StoreError::io("read", path, error))
}
