//! What a tool's directory holds, as a text in it: `manifest`.
//!
//! ```text
//! mkimg-tool 1 SHA256                      of all lines below
//! file MODE SIZE SHA256 SECONDS.NANOS PATH
//! ```
//!
//! In the order of the paths; the mode is octal, the time is the file's modification time. Sizes and times are compared at
//! every start, which costs one system call for each file; a file whose time differs is hashed. So a file that was cut short
//! or overwritten is found, and a cache that was copied, which gives every file a new time, still counts.

use std::fmt::Write as _;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::digest::{self, Digest};
use crate::dir;

/// The name of the text in a tool's directory.
pub(super) const FILE: &str = "manifest";

const MAGIC: &str = "mkimg-tool 1";

/// What a tool's directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Manifest {
    pub(super) files: Vec<Listed>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Relative to the directory.
    pub(super) path: String,
    /// The permission bits that its owner must have.
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// When it was last modified: seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, i64),
}

impl Listed {
    /// Returns the entry of a file that was written just now.
    pub(super) fn new(path: &str, digest: Digest, found: &Metadata) -> Listed {
        Listed {
            path: path.to_owned(),
            mode: found.permissions().mode() & 0o777,
            size: found.len(),
            digest,
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }

    /// Returns what is wrong with the file.
    fn fault(&self, directory: &Path) -> Option<String> {
        let path = directory.join(&self.path);
        let found = match dir::metadata(&path) {
            Ok(found) if found.is_file() => found,
            Ok(_) => return Some(format!("`{}` is no file", self.path)),
            Err(error) => return Some(format!("`{}`: {error}", self.path)),
        };
        if found.len() != self.size {
            let (path, size, len) = (&self.path, self.size, found.len());
            return Some(format!("`{path}` has {len} bytes, expected {size}"));
        }
        let wanted = self.mode & 0o500;
        if found.permissions().mode() & wanted != wanted {
            return Some(format!("`{}` lost its mode {:o}", self.path, self.mode));
        }
        if (found.mtime(), found.mtime_nsec()) == self.modified {
            return None;
        }
        match dir::open(&path).and_then(|mut file| digest::of_reader(&mut file)) {
            Ok((digest, _)) if digest == self.digest => None,
            Ok((digest, _)) => Some(format!(
                "`{}` has sha256 {digest}, expected {}",
                self.path, self.digest
            )),
            Err(error) => Some(format!("`{}`: {error}", self.path)),
        }
    }
}

impl Manifest {
    /// Returns the text.
    pub(super) fn encode(&self) -> String {
        let mut body = String::new();
        for file in &self.files {
            let (seconds, nanos) = file.modified;
            // Writing into a String cannot fail.
            let _ = writeln!(
                body,
                "file {:o} {} {} {seconds}.{nanos} {}",
                file.mode, file.size, file.digest, file.path
            );
        }
        format!("{MAGIC} {}\n{body}", Digest::of(body.as_bytes()))
    }

    /// Reads the text; `None` where it is damaged, or of another version.
    pub(super) fn decode(text: &str) -> Option<Manifest> {
        let (head, body) = text.split_once('\n')?;
        let sum: Digest = head.strip_prefix(MAGIC)?.strip_prefix(' ')?.parse().ok()?;
        if Digest::of(body.as_bytes()) != sum {
            return None;
        }
        let files = body.lines().map(listed).collect::<Option<_>>()?;
        Some(Manifest { files })
    }

    /// Returns what is wrong with a directory that should hold these files.
    pub(super) fn fault(&self, directory: &Path) -> Option<String> {
        self.files.iter().find_map(|file| file.fault(directory))
    }
}

fn listed(line: &str) -> Option<Listed> {
    let mut words = line.strip_prefix("file ")?.splitn(5, ' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let size = words.next()?.parse().ok()?;
    let digest = words.next()?.parse().ok()?;
    let (seconds, nanos) = words.next()?.split_once('.')?;
    Some(Listed {
        path: words.next()?.to_owned(),
        mode,
        size,
        digest,
        modified: (seconds.parse().ok()?, nanos.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::time::{Duration, UNIX_EPOCH};

    fn manifest() -> Manifest {
        let file = |path: &str, mode| Listed {
            path: path.to_owned(),
            mode,
            size: 3,
            digest: Digest::of(b"abc"),
            modified: (1_000_000_000, 7),
        };
        Manifest {
            files: vec![file("a b", 0o444), file("lib/ld.so", 0o755)],
        }
    }

    #[test]
    fn a_manifest_reads_as_it_was_written_and_not_when_anything_changed() {
        let text = manifest().encode();
        assert_eq!(Manifest::decode(&text), Some(manifest()));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(Manifest::decode(&damaged), None, "byte {at}");
        }
        for end in 0..text.len() {
            assert_eq!(Manifest::decode(&text[..end]), None, "first {end} bytes");
        }
    }

    #[test]
    fn a_directory_is_at_fault_when_a_file_changed_and_not_when_only_times_did() {
        let abc = |at: &Path| fs::write(at, "abc").unwrap();
        let write = |at: &Path, bytes: &str| {
            fs::remove_file(at).unwrap();
            fs::write(at, bytes).unwrap();
        };
        type Harm<'a> = &'a dyn Fn(&Path);
        let cases: [(&str, Harm, Option<&str>); 7] = [
            ("nothing", &|_| {}, None),
            ("a new time", &|at| abc(at), None),
            (
                "a shorter file",
                &|at| write(at, "ab"),
                Some("`a b` has 2 bytes, expected 3"),
            ),
            (
                "other bytes",
                &|at| write(at, "abd"),
                Some("`a b` has sha256 a52d159f"),
            ),
            (
                "no file",
                &|at| fs::remove_file(at).unwrap(),
                Some("`a b`: No such file"),
            ),
            (
                "a directory",
                &|at| {
                    fs::remove_file(at).unwrap();
                    fs::create_dir(at).unwrap();
                },
                Some("`a b` is no file"),
            ),
            (
                "a mode",
                &|at| {
                    let loader = at.with_file_name("lib").join("ld.so");
                    fs::set_permissions(loader, fs::Permissions::from_mode(0o644)).unwrap();
                },
                Some("`lib/ld.so` lost its mode 755"),
            ),
        ];
        for (name, harm, fault) in cases {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir(directory.path().join("lib")).unwrap();
            for file in manifest().files {
                let path = directory.path().join(&file.path);
                fs::write(&path, "abc").unwrap();
                let time = UNIX_EPOCH + Duration::new(1_000_000_000, 7);
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_modified(time)
                    .unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(file.mode | 0o200)).unwrap();
            }
            harm(&directory.path().join("a b"));
            let found = manifest().fault(directory.path());
            match fault {
                None => assert_eq!(found, None, "{name}"),
                Some(start) => {
                    let found = found.unwrap_or_default();
                    assert!(found.starts_with(start), "{name}: {found}");
                }
            }
        }
    }
}
