//! A directory of this machine as a recipe takes it: sorted, with nothing of the host in it but names, bytes, the targets of
//! symlinks and who may execute.
//!
//! ```text
//! directory --walk--> entries with stamps --memo, or reading--> members --manifest--> text, whose sha256 is in the plan
//! ```
//!
//! Modes are 0o755 for directories and for files that their owner may execute, else 0o644; owners are 0:0. Symlinks are taken as
//! they are and never followed. `.git` is passed over.

mod error;
pub mod index;
mod memo;
mod walk;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{Mode, OFlags, fstat, openat};

pub use error::DirectoryError;

use super::listing::escaped;
use super::local::{LocalError, Opened, open_directory};
use super::members::{Content, Member, MemberKind};
use super::select::{Selection, Selector};
use crate::digest::{Digest, Hasher};
use crate::store::Store;
use crate::text::shown;
use index::{IndexError, Tracked};
use memo::Memo;
use walk::{Found, Kind, Stamp, Walk, failed, os};

/// The largest index of git that is read.
const INDEX: u64 = 256 << 20;

/// A directory, and what is taken of it.
#[derive(Debug)]
pub struct Directory<'a> {
    /// Where it is: a path without symlinks.
    pub path: PathBuf,
    /// The patterns.
    pub selection: Selection,
    /// Is it what git tracks?
    pub git: bool,
    /// Directories that are never taken, and what they are: the user's home, the cache.
    pub private: Vec<(PathBuf, &'static str)>,
    /// The cache that remembers digests.
    pub store: Option<&'a Store>,
    /// How many threads may read at once.
    pub jobs: usize,
}

impl Directory<'_> {
    /// Returns the sha256 of the manifest, and the bytes of all files. Where nothing changed no file is opened.
    ///
    /// # Errors
    /// [`DirectoryError`] about the first thing that cannot be taken.
    pub fn digest(&self) -> Result<(Digest, u64), DirectoryError> {
        let root = self.open()?;
        let found = self.walk(&root)?;
        if let Some(known) = self.memo().and_then(|memo| memo.whole(&found)) {
            return Ok(known);
        }
        let members = self.read(&root, found)?;
        Ok((Digest::of(manifest(&members).as_bytes()), size(&members)))
    }

    /// Returns its members, sorted by path.
    ///
    /// # Errors
    /// [`DirectoryError`] about the first thing that cannot be taken.
    pub fn members(&self) -> Result<Vec<Member>, DirectoryError> {
        let root = self.open()?;
        let found = self.walk(&root)?;
        self.read(&root, found)
    }

    fn open(&self) -> Result<OwnedFd, DirectoryError> {
        match open_directory(self.path.clone()).map_err(DirectoryError::Local)? {
            Opened::Directory(root, _) => Ok(root),
            Opened::File(_) => Err(DirectoryError::Local(LocalError::NoFile)),
        }
    }

    fn walk(&self, root: &OwnedFd) -> Result<Vec<Found>, DirectoryError> {
        let walk = Walk {
            selector: Selector::new(&self.selection).map_err(DirectoryError::Pattern)?,
            tracked: match self.git {
                true => Some(self.tracked()?),
                false => None,
            },
            private: &self.private,
            root: self.path.clone(),
            found: Vec::new(),
        };
        walk.run(root)
    }

    /// Returns what git tracks of the directory.
    fn tracked(&self) -> Result<BTreeMap<Vec<u8>, Tracked>, DirectoryError> {
        let mut above = self.path.ancestors();
        let top = above.find(|path| path.join(".git").symlink_metadata().is_ok());
        let top = top.ok_or(DirectoryError::NoGit)?;
        let path = git_directory(top).join("index");
        let wrong = |problem| DirectoryError::Index {
            path: path.display().to_string(),
            problem,
        };
        let bytes = match fs::metadata(&path) {
            // Nothing was added yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Ok(found) if found.is_file() && found.len() <= INDEX => fs::read(&path).ok(),
            _ => None,
        };
        let bytes = bytes.ok_or_else(|| wrong(IndexError::Unread))?;
        let tracked = index::tracked(&bytes).map_err(wrong)?;
        let prefix = self.path.strip_prefix(top).unwrap_or(Path::new(""));
        let mut prefix = prefix.as_os_str().as_bytes().to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let own = tracked.into_iter().filter_map(|(path, kind)| {
            let own = path.strip_prefix(prefix.as_slice())?;
            Some((own.to_vec(), kind))
        });
        Ok(own.collect())
    }

    fn memo(&self) -> Option<Memo<'_>> {
        let mut key = Hasher::new();
        let patterns = [&self.selection.include, &self.selection.exclude];
        key.update(self.path.as_os_str().as_bytes());
        for patterns in patterns {
            key.update(&[0, 0]);
            for pattern in patterns {
                key.update(pattern.as_bytes());
                key.update(&[0]);
            }
        }
        key.update(&[u8::from(self.git)]);
        let key = key.finish();
        self.store.map(|store| Memo::new(store, &key))
    }

    /// Hashes the files that are not known, and remembers what came of it.
    fn read(&self, root: &OwnedFd, found: Vec<Found>) -> Result<Vec<Member>, DirectoryError> {
        // Before the first file is read: what changes from now on is seen the next time.
        let at = self.store.and_then(Store::clock);
        let memo = self.memo();
        let known = memo.as_ref().map(Memo::files).unwrap_or_default();
        let files = found
            .iter()
            .filter(|entry| matches!(entry.kind, Kind::File { .. }));
        let mut digests: BTreeMap<&[u8], Digest> = BTreeMap::new();
        let mut missing = Vec::new();
        for entry in files {
            match known.get(&entry.path) {
                Some((digest, stamp)) if *stamp == entry.stamp => {
                    digests.insert(&entry.path, *digest);
                }
                _ => missing.push(entry),
            }
        }
        let hashed = hash_all(root, &missing, self.jobs)?;
        digests.extend(
            missing
                .iter()
                .map(|entry| entry.path.as_slice())
                .zip(hashed),
        );
        let member = |entry: &Found| self.member(entry, digests.get(entry.path.as_slice()));
        let members: Vec<Member> = found.iter().map(member).collect();
        if let (Some(at), Some(memo)) = (at, memo)
            && !missing.is_empty()
        {
            let whole = (Digest::of(manifest(&members).as_bytes()), size(&members));
            memo.keep(at, &found, &digests, whole);
        }
        Ok(members)
    }

    fn member(&self, entry: &Found, digest: Option<&Digest>) -> Member {
        let (kind, mode) = match (&entry.kind, digest) {
            (Kind::File { executable }, Some(digest)) => {
                let content = Content {
                    digest: *digest,
                    size: entry.stamp.size,
                    path: self.path.join(os(&entry.path)),
                    offset: 0,
                };
                let mode = if *executable { 0o755 } else { 0o644 };
                (MemberKind::File(content), mode)
            }
            (Kind::Symlink(target), _) => (MemberKind::Symlink(target.clone()), 0o777),
            _ => (MemberKind::Directory, 0o755),
        };
        Member {
            path: entry.path.clone(),
            kind,
            mode,
            uid: 0,
            gid: 0,
        }
    }
}

/// Returns what is in a directory, as a text: two directories have the same where an image of them is the same.
///
/// ```text
/// mkimg-directory 1
/// dir PATH
/// file MODE SIZE SHA256 PATH
/// link PATH TARGET
/// ```
pub fn manifest(members: &[Member]) -> String {
    let mut text = "mkimg-directory 1\n".to_owned();
    for member in members {
        let path = escaped(&member.path);
        // Writing into a String cannot fail.
        let _ = match &member.kind {
            MemberKind::File(file) => {
                let mode = member.mode;
                writeln!(text, "file {mode:o} {} {} {path}", file.size, file.digest)
            }
            MemberKind::Symlink(target) => writeln!(text, "link {path} {}", escaped(target)),
            _ => writeln!(text, "dir {path}"),
        };
    }
    text
}

/// Returns the bytes of all files.
pub fn size(members: &[Member]) -> u64 {
    let sizes = members.iter().map(|member| match &member.kind {
        MemberKind::File(file) => file.size,
        _ => 0,
    });
    sizes.sum()
}

/// Returns the directory where git keeps what it knows of a work tree: `.git`, or what a file of that name says.
fn git_directory(top: &Path) -> PathBuf {
    let git = top.join(".git");
    let mut text = String::new();
    let said = File::open(&git).and_then(|file| file.take(8192).read_to_string(&mut text));
    match (said, text.strip_prefix("gitdir: ")) {
        (Ok(_), Some(path)) => top.join(path.trim_end_matches(['\n', '\r'])),
        _ => git,
    }
}

/// Hashes files, several at once; returns their digests in order.
fn hash_all(root: &OwnedFd, files: &[&Found], jobs: usize) -> Result<Vec<Digest>, DirectoryError> {
    /// Files that a thread takes at once.
    const SHARE: usize = 64;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        let mut buffer = vec![0u8; 64 * 1024];
        loop {
            let from = next.fetch_add(SHARE, Ordering::Relaxed);
            let Some(share) = files.get(from..).filter(|rest| !rest.is_empty()) else {
                return done;
            };
            for (index, file) in share.iter().take(SHARE).enumerate() {
                done.push((from + index, hash(root, file, &mut buffer)));
            }
        }
    };
    let threads = jobs.min(files.len().div_ceil(SHARE));
    let mut done = thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let started: Vec<_> = (1..threads).filter_map(start).collect();
        let mut done = work();
        for thread in started {
            done.extend(thread.join().unwrap_or_default());
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    let digests: Vec<Digest> = done
        .into_iter()
        .map(|(_, digest)| digest)
        .collect::<Result<_, _>>()?;
    match digests.len() == files.len() {
        true => Ok(digests),
        false => Err(failed(b".", io::Error::other("a thread was lost"))),
    }
}

/// Hashes a file, which must be the one that was seen, before and after.
fn hash(root: &OwnedFd, entry: &Found, buffer: &mut [u8]) -> Result<Digest, DirectoryError> {
    let path = &entry.path;
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(root, os(path), flags, Mode::empty()).map_err(|error| failed(path, error))?;
    let changed = || DirectoryError::Changed { path: shown(path) };
    let same = |file: &File| {
        let now = fstat(file).map_err(|error| failed(path, error))?;
        match Stamp::of(&now) == entry.stamp {
            true => Ok(()),
            false => Err(changed()),
        }
    };
    let file = File::from(file);
    same(&file)?;
    let (mut hasher, mut size) = (Hasher::new(), 0u64);
    while size <= entry.stamp.size {
        match (&file).read(buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(path, error)),
        }
    }
    same(&file)?;
    match size == entry.stamp.size {
        true => Ok(hasher.finish()),
        false => Err(changed()),
    }
}
