//! Whose a cache is: whether what is in it may be believed.
//!
//! A folder that came with a clone or a tarball can look like a cache to the last byte, so nothing in it tells. What tells is a
//! record outside of it, in the user's state directory: `caches/HASH`, where HASH is the sha256 of the random token in the
//! cache's file `.token`, and the text is the device and inode of the cache's directory. Moved, a cache keeps its record; a copy
//! of it has none.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::process::geteuid;

use super::StoreError;
use crate::digest::Digest;
use crate::dir;

/// The name of the file with the token in a cache; hidden, since with that alone a cache is still empty.
const TOKEN: &str = ".token";
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
    match seen(&cache, state)? {
        // A process may be taking it: its token came after the first look, and what it made before the second.
        Origin::Unknown => {
            let _calm = locked(&cache)?;
            seen(&cache, state)
        }
        origin => Ok(origin),
    }
}

/// Locks a cache's directory, as whoever takes it does.
fn locked(cache: &Path) -> Result<File, StoreError> {
    let io = |error| StoreError::io("lock", cache, error);
    let directory = dir::directory(cache).map_err(io)?;
    directory.lock().map_err(io)?;
    Ok(directory)
}

/// Returns where a cache comes from by a look at its token, and one at what else is in it.
fn seen(cache: &Path, state: &Path) -> Result<Origin, StoreError> {
    let io = |error| StoreError::io("look at", cache, error);
    let found = dir::metadata(cache).map_err(io)?;
    if let Some(token) = token(cache)
        && fs::read_to_string(record(state, &token)).is_ok_and(|text| text == text_of(&found))
    {
        return Ok(Origin::Here);
    }
    match dir::entries(cache)
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
    let _alone = locked(&cache)?;
    if seen(&cache, state)? == Origin::Here {
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
    let io = |error| StoreError::io("look at", cache, error).unusable();
    let cache = match dir::hold(cache) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        held => held.map_err(io)?,
    };
    if let Some(fault) = own_fault(&cache)? {
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

/// Says the same of the directory itself: whoever cannot write into it cannot replace what mkimg made there.
///
/// # Errors
/// [`StoreError`] where the directory cannot be looked at.
pub fn own_fault(cache: &Path) -> Result<Option<String>, StoreError> {
    let found = dir::metadata(cache);
    let found = found.map_err(|error| StoreError::io("look at", cache, error).unusable())?;
    Ok(fault_of(&found))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    struct Bed {
        dir: tempfile::TempDir,
    }

    impl Bed {
        fn new() -> Bed {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("cache")).unwrap();
            Bed { dir }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn origin(&self, cache: &str) -> Origin {
            origin(&self.path(cache), &self.path("state")).unwrap()
        }

        /// Returns one whose cache was taken and filled.
        fn taken() -> Bed {
            let bed = Bed::new();
            take(&bed.path("cache"), &bed.path("state")).unwrap();
            fs::write(bed.path("cache/CACHEDIR.TAG"), "x").unwrap();
            assert_eq!(bed.origin("cache"), Origin::Here);
            bed
        }
    }

    #[test]
    fn a_folder_is_empty_that_holds_nothing_but_what_git_wants() {
        let bed = Bed::new();
        assert_eq!(bed.origin("cache"), Origin::Empty);
        fs::write(bed.path("cache/.gitignore"), "*\n").unwrap();
        assert_eq!(bed.origin("cache"), Origin::Empty);
        for make in [
            |path: &Path| fs::write(path.join("lock"), ""),
            |path: &Path| fs::create_dir(path.join("blobs-v1")),
            |path: &Path| symlink("/nowhere", path.join(".gitkeep")),
            |path: &Path| fs::hard_link(path.join(".gitignore"), path.join(".gitkeep")),
            |path: &Path| fs::write(path.join(TOKEN), Digest::of(b"x").to_string()),
        ] {
            let bed = Bed::new();
            fs::write(bed.path("cache/.gitignore"), "*\n").unwrap();
            make(&bed.path("cache")).unwrap();
            assert_eq!(bed.origin("cache"), Origin::Unknown);
        }
    }

    #[test]
    fn a_cache_that_another_process_takes_at_this_moment_is_known() {
        let bed = Bed::new();
        let cache = bed.path("cache");
        let alone = File::open(&cache).unwrap();
        alone.lock().unwrap();
        // As it lies there between the two looks: no token was seen, but what is made after it.
        fs::write(cache.join("lock"), "").unwrap();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| bed.origin("cache"));
            std::thread::sleep(std::time::Duration::from_millis(100));
            let token = Digest::of(b"x").to_string();
            let text = text_of(&fs::metadata(&cache).unwrap());
            write_record(&record(&bed.path("state"), &token), &text).unwrap();
            fs::write(cache.join(TOKEN), token).unwrap();
            drop(alone);
            assert_eq!(other.join().unwrap(), Origin::Here);
        });
    }

    #[test]
    fn a_cache_that_was_moved_is_known_and_a_copy_of_it_is_not() {
        let bed = Bed::taken();
        fs::rename(bed.path("cache"), bed.path("moved")).unwrap();
        assert_eq!(bed.origin("moved"), Origin::Here);
        fs::create_dir(bed.path("copy")).unwrap();
        for name in [TOKEN, "CACHEDIR.TAG"] {
            fs::copy(bed.path("moved").join(name), bed.path("copy").join(name)).unwrap();
        }
        assert_eq!(bed.origin("copy"), Origin::Unknown);
        assert_eq!(bed.origin("moved"), Origin::Here);
        // Another user's state knows nothing of it.
        let other = origin(&bed.path("moved"), &bed.path("other")).unwrap();
        assert_eq!(other, Origin::Unknown);
    }

    #[test]
    fn another_token_or_none_or_a_link_to_it_is_no_record() {
        type Harm = fn(&Bed, &Path) -> io::Result<()>;
        let harms: [Harm; 4] = [
            |_, token| fs::write(token, Digest::of(b"guess").to_string()),
            |_, token| fs::write(token, "../../../etc/passwd"),
            |_, token| fs::remove_file(token),
            |bed, token| {
                fs::rename(token, bed.path("elsewhere"))?;
                symlink(bed.path("elsewhere"), token)
            },
        ];
        for harm in harms {
            let bed = Bed::taken();
            let token = bed.path("cache").join(TOKEN);
            fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
            harm(&bed, &token).unwrap();
            assert_eq!(bed.origin("cache"), Origin::Unknown);
        }
    }

    #[test]
    fn where_no_record_can_be_written_the_folder_stays_as_it_is() {
        let bed = Bed::new();
        fs::write(bed.path("state"), "a file").unwrap();
        take(&bed.path("cache"), &bed.path("state")).unwrap_err();
        assert_eq!(fs::read_dir(bed.path("cache")).unwrap().count(), 0);
    }

    #[test]
    fn a_cache_that_others_can_write_has_a_fault() {
        let bed = Bed::new();
        let cache = bed.path("cache");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        let fault = || fault(&cache).unwrap().unwrap_or_default();
        assert_eq!(super::fault(&bed.path("missing")).unwrap(), None);
        set(&cache, 0o755).unwrap();
        assert_eq!(fault(), "");
        set(&cache, 0o1777).unwrap();
        assert!(fault().contains("written by others"), "{}", fault());
        set(&cache, 0o700).unwrap();
        fs::create_dir(cache.join("blobs-v1")).unwrap();
        set(&cache.join("blobs-v1"), 0o757).unwrap();
        assert!(fault().contains("`blobs-v1`"), "{}", fault());
        set(&cache.join("blobs-v1"), 0o755).unwrap();
        if !geteuid().is_root() {
            return;
        }
        chown(&cache, None, Some(65534)).unwrap();
        set(&cache, 0o775).unwrap();
        assert!(fault().contains("written by others"), "{}", fault());
        set(&cache, 0o755).unwrap();
        assert_eq!(fault(), "");
        chown(&cache, Some(65534), None).unwrap();
        assert!(fault().contains("uid 65534"), "{}", fault());
    }
}
