//! Whose a cache is: whether what is in it may be believed.
//!
//! A folder that came with a clone or a tarball can look like a cache to the last byte, so nothing in it tells. What tells is a
//! record outside of it, in the user's state directory: `caches/HASH`, where HASH is the sha256 of the random token in the
//! cache's file `token`, and the text is the device and inode of the cache's directory. Moved, a cache keeps its record; a copy
//! of it has none.

use std::fs::{self, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::process::geteuid;

use super::StoreError;
use crate::digest::Digest;
use crate::dir;

/// The name of the file with the token in a cache.
pub(super) const TOKEN: &str = "token";
/// What a folder may hold and be empty: a project keeps its `cache/` in Git by such a file.
const KEEPERS: [&str; 2] = [".gitignore", ".gitkeep"];

/// Where a cache comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// mkimg made it on this machine, for this user.
    Here,
    /// Nothing is in it yet.
    Empty,
    /// There is no record of it.
    Unknown,
}

/// Finds out where the cache in a directory comes from; `state` is the user's state directory for mkimg.
///
/// # Errors
/// [`StoreError`] where the directory cannot be read.
pub fn origin(cache: &Path, state: &Path) -> Result<Origin, StoreError> {
    let io = |error| StoreError::io("look at", cache, error);
    let cache = dir::hold(cache).map_err(io)?;
    let found = dir::metadata(&cache).map_err(io)?;
    if let Some(token) = token(&cache)
        && fs::read_to_string(record(state, &token)).is_ok_and(|text| text == text_of(&found))
    {
        return Ok(Origin::Here);
    }
    match dir::entries(&cache)
        .map_err(io)?
        .iter()
        .all(|path| is_keeper(path))
    {
        true => Ok(Origin::Empty),
        false => Ok(Origin::Unknown),
    }
}

fn is_keeper(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    KEEPERS.iter().any(|keeper| name == *keeper)
        && dir::metadata(path).is_ok_and(|found| found.is_file() && found.nlink() == 1)
}

/// Records that mkimg made the cache in a directory.
///
/// # Errors
/// [`StoreError`] where the state directory or the cache cannot be written; there is no record then.
pub fn take(cache: &Path, state: &Path) -> Result<(), StoreError> {
    let io = |error| StoreError::io("look at", cache, error);
    let cache = dir::hold(cache).map_err(io)?;
    // Of two processes that take it at once the second finds the first one's record.
    let alone = dir::directory(&cache).map_err(io)?;
    alone
        .lock()
        .map_err(|error| StoreError::io("lock", &cache, error))?;
    if origin(&cache, state)? == Origin::Here {
        return Ok(());
    }
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        StoreError::io(
            "draw a token for",
            &cache,
            io::Error::other("no randomness"),
        )
    })?;
    let token = Digest::of(&bytes).to_string();
    let found = dir::metadata(&cache).map_err(io)?;
    // The record comes first: a token without one would make the folder a stranger's.
    write_record(&record(state, &token), &text_of(&found))?;
    let path = cache.join(TOKEN);
    let written = forget(&cache).and_then(|()| dir::write_new(&path, token.as_bytes(), 0o600));
    written
        .map(drop)
        .map_err(|error| StoreError::io("write", &path, error))
}

/// Removes the token of a cache: whatever the record, it is nobody's now.
pub(super) fn forget(cache: &Path) -> io::Result<()> {
    match dir::remove(&cache.join(TOKEN)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn token(cache: &Path) -> Option<String> {
    let mut text = String::new();
    let file = dir::open(&cache.join(TOKEN)).ok()?;
    file.take(65).read_to_string(&mut text).ok()?;
    text.parse::<Digest>().ok()?;
    Some(text)
}

fn record(state: &Path, token: &str) -> PathBuf {
    let hash = Digest::of(token.as_bytes()).to_string();
    state.join("caches").join(hash)
}

fn text_of(found: &Metadata) -> String {
    format!("{} {}\n", found.dev(), found.ino())
}

fn write_record(path: &Path, text: &str) -> Result<(), StoreError> {
    let io = |error| StoreError::io("write", path, error);
    let directory = path.parent().unwrap_or(path);
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(io)?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.persist(path)
        .map(drop)
        .map_err(|error| io(error.error))
}

/// Says why a cache that the user named may hold what others put there; `None` where it may not. One that is missing may not.
///
/// # Errors
/// [`StoreError`] where the directory cannot be read.
pub fn fault(cache: &Path) -> Result<Option<String>, StoreError> {
    let io = |error| StoreError::io("look at", cache, error);
    let cache = match dir::hold(cache) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        held => held.map_err(io)?,
    };
    let found = dir::metadata(&cache).map_err(io)?;
    if let Some(fault) = fault_of(&found) {
        return Ok(Some(fault));
    }
    for path in dir::entries(&cache).map_err(io)? {
        let found = dir::metadata(&path).ok().filter(Metadata::is_dir);
        if let Some(fault) = found.and_then(|found| fault_of(&found)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Ok(Some(format!("has a directory `{name}` that {fault}")));
        }
    }
    Ok(None)
}

fn fault_of(found: &Metadata) -> Option<String> {
    let (user, group, mode) = (found.uid(), found.gid(), found.mode());
    if user != geteuid().as_raw() && user != 0 {
        return Some(format!("belongs to another user (uid {user})"));
    }
    // Where every user has a group of the same number, nobody else is in it.
    let others = if group == user { 0o002 } else { 0o022 };
    match mode & others {
        0 => None,
        _ => Some(format!(
            "can be written by others (mode {:o})",
            mode & 0o7777
        )),
    }
}

/// Says whether a cache belongs to this user: one that is missing will.
pub fn is_mine(cache: &Path) -> bool {
    fs::metadata(cache).is_ok_and(|found| found.uid() == geteuid().as_raw()) || !cache.exists()
}
