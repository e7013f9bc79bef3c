//! Files outside of the cache that appear whole: written beside their name, synced, renamed.
//!
//! A file under way is `.NAME.mkimg-PID.N`, and its process holds a lock on it. What a killed process left is swept by the next one
//! that writes a file of that name there.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::OFlags;
use rustix::process::{Pid, test_kill_process};

use super::scratch::{Unfinished, is_file_at};

/// The mode of a file that was not there.
const MODE: u32 = 0o644;
/// The most bytes of a file's name in that of the file beside it: a name has at most 255.
const MAX_NAME: usize = 200;
/// What stands between the name and the process.
const MARK: &[u8] = b".mkimg-";

/// What becomes of what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    /// A file is replaced and keeps its mode. A symlink leads to it; a pipe or a device is written into.
    Follow,
    /// A file is replaced, and so is a symlink.
    Replace,
    /// It stays: [`io::ErrorKind::AlreadyExists`].
    Keep,
}

/// Writes a file with `write`; it appears under its name when it is whole. `failed` makes an error of what the system says.
///
/// # Errors
/// Those of `write` and `failed`. What is there is as it was then.
pub fn replace<T, E>(
    path: &Path,
    there: There,
    failed: impl Fn(io::Error) -> E,
    write: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let mut path = path.to_path_buf();
    let mut mode = MODE;
    if there == There::Follow
        && let Ok(found) = fs::metadata(&path)
    {
        if !found.is_file() || is_stream(&path) {
            let mut out = File::options().append(true).open(&path).map_err(&failed)?;
            return write(&mut out);
        }
        path = fs::canonicalize(&path).unwrap_or(path);
        mode = found.permissions().mode() & 0o777;
    }
    let mut beside = Beside::create(&path).map_err(&failed)?;
    let written = write(&mut beside.file)?;
    beside.publish(&path, mode, there).map_err(failed)?;
    Ok(written)
}

/// Says whether a path is another name of a file that is open already: whoever reads it there would not see a new one.
fn is_stream(path: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd"];
    names.iter().any(|name| path.starts_with(name))
}

/// Makes `link` a symlink to `target`, at once, whatever is there but a directory.
///
/// # Errors
/// What the system says.
pub fn replace_link(target: &Path, link: &Path) -> io::Result<()> {
    sweep(link);
    let beside = beside_of(link, 0);
    symlink(target, &beside)?;
    fs::rename(&beside, link).inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// The file under way. Dropped without [`Beside::publish`] it is removed.
struct Beside {
    file: File,
    path: PathBuf,
    /// A signal removes it.
    _unfinished: Unfinished,
}

impl Beside {
    fn create(path: &Path) -> io::Result<Beside> {
        sweep(path);
        for number in 0u32..1000 {
            let beside = beside_of(path, number);
            let create = |path: &Path| {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o600).open(path)
            };
            let (file, unfinished) = match Unfinished::make(&beside, create) {
                Ok(made) => made,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            // Without locks, as on some network file systems, nothing can be swept there either.
            let _ = file.try_lock();
            // Before the lock was there, another process may have swept it.
            if is_file_at(&file, &beside) {
                return Ok(Beside {
                    file,
                    path: beside,
                    _unfinished: unfinished,
                });
            }
        }
        Err(io::Error::other("every name beside it is taken"))
    }

    fn publish(self, path: &Path, mode: u32, there: There) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))?;
        self.file.sync_all()?;
        if there != There::Keep {
            return fs::rename(&self.path, path);
        }
        match fs::hard_link(&self.path, path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // A file system without hard links.
            Err(_) if fs::symlink_metadata(path).is_err() => fs::rename(&self.path, path),
            Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After a rename nothing of ours is at this path.
        if is_file_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns what the names beside a path begin with.
fn prefix(path: &Path) -> Vec<u8> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let name = name.get(..MAX_NAME).unwrap_or(name);
    [b".", name, MARK].concat()
}

fn beside_of(path: &Path, number: u32) -> PathBuf {
    let mut name = prefix(path);
    name.extend(format!("{}.{number}", process::id()).bytes());
    path.with_file_name(OsString::from_vec(name))
}

/// Returns the process in a name beside a path.
fn writer(name: &OsStr, prefix: &[u8]) -> Option<i32> {
    let rest = name.as_bytes().strip_prefix(prefix)?;
    let (process, number) = std::str::from_utf8(rest).ok()?.split_once('.')?;
    number.parse::<u32>().ok()?;
    process.parse().ok()
}

/// Removes what processes left beside a path that are no longer there: a file whose lock can be had, a symlink of no process.
fn sweep(path: &Path) {
    let prefix = prefix(path);
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Some(writer) = writer(&entry.file_name(), &prefix) else {
            continue;
        };
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let path = entry.path();
        let gone = if kind.is_file() {
            is_unlocked(&path)
        } else {
            kind.is_symlink() && !is_running(writer)
        };
        if gone {
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_unlocked(path: &Path) -> bool {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path);
    opened.is_ok_and(|file| file.try_lock().is_ok() && is_file_at(&file, path))
}

fn is_running(process: i32) -> bool {
    Pid::from_raw(process).is_some_and(|pid| {
        // Not ours to signal is there, too.
        !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn put(path: &Path, there: There, text: &str) -> io::Result<()> {
        replace(
            path,
            there,
            |error| error,
            |file| file.write_all(text.as_bytes()),
        )
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.lock");
        put(&path, There::Replace, "one").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            MODE
        );
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let broken = replace(
            &path,
            There::Follow,
            |error| error,
            |file| {
                file.write_all(b"half")?;
                // The name says what it is and whose.
                let under_way = names(directory.path());
                assert_eq!(under_way[0], format!(".x.lock.mkimg-{}.0", process::id()));
                Err::<(), _>(io::Error::other("broken"))
            },
        );
        assert!(broken.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        put(&path, There::Follow, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let kept = put(&path, There::Keep, "three").unwrap_err();
        assert_eq!(kept.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(directory.path()), ["x.lock"]);
        put(&directory.path().join("new"), There::Keep, "new").unwrap();
        assert_eq!(names(directory.path()), ["new", "x.lock"]);
    }

    #[test]
    fn a_symlink_leads_to_its_file_or_is_replaced_and_a_device_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        put(&link, There::Follow, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        put(&link, There::Replace, "own").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(!link.is_symlink());
        put(Path::new("/dev/null"), There::Follow, "nothing").unwrap();
        replace_link(&file, &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), file);
        assert_eq!(names(directory.path()), ["file", "link"]);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        // No process has this number: the kernel's are below 2^22.
        let dead = i32::MAX;
        let left = [format!(".x.mkimg-{dead}.0"), format!(".x.mkimg-{dead}.7")];
        let stay = [
            ".x.mkimg-1".to_owned(),
            ".x.mkimg-a.0".to_owned(),
            format!(".x.mkimg-{dead}.0.bak"),
            format!(".xy.mkimg-{dead}.0"),
            format!("x.mkimg-{dead}.0"),
        ];
        for name in left.iter().chain(&stay) {
            fs::write(at(name), "left").unwrap();
        }
        symlink("/nowhere", at(&format!(".x.mkimg-{dead}.1"))).unwrap();
        symlink("/nowhere", at(&format!(".x.mkimg-{}.9", process::id()))).unwrap();
        fs::write(at(&format!(".x.mkimg-{dead}.2")), "running").unwrap();
        let running = File::open(at(&format!(".x.mkimg-{dead}.2"))).unwrap();
        running.try_lock().unwrap();
        put(&at("x"), There::Follow, "whole").unwrap();
        let mut expected: Vec<String> = stay.to_vec();
        expected.extend([
            format!(".x.mkimg-{dead}.2"),
            format!(".x.mkimg-{}.9", process::id()),
            "x".to_owned(),
        ]);
        expected.sort();
        assert_eq!(names(directory.path()), expected);
    }

    #[test]
    fn a_name_of_255_bytes_has_room_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n".repeat(255));
        put(&path, There::Follow, "whole").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
    }
}
