//! What was seen of an object's files when mkimg wrote or hashed them: `stamps-v1/NAME`, NAME being that of the object.
//!
//! ```text
//! mkimg-stamps 1 SHA256                                  of all lines below
//! at SECONDS.NANOS                                       when the files were looked at, by the file system's clock
//! SHA256 DEV INO SIZE SECONDS.NANOS SECONDS.NANOS NAME   bytes, identity, times of last modification and last change
//! ```
//!
//! A file whose stamp is the recorded one has the bytes that it had then: nobody can set the time of the last change. A file that
//! changed in the same tick of the clock in which it was looked at could have changed once more without a trace, so it counts for
//! nothing: it is hashed. What does not have this form, or another sum, is as good as none, and so is every record in a cache that
//! is not this user's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Metadata;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Store, StoreError};
use crate::digest::{self, Digest};
use crate::dir;

const BUCKET: &str = "stamps-v1";
const MAGIC: &str = "mkimg-stamps 1";

/// A file of an object, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Its path in the object's directory.
    pub name: String,
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

/// Seconds since 1970, and nanoseconds.
type Time = (i64, i64);

/// What the file system says of a file as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    modified: Time,
    changed: Time,
}

/// What was seen of the files of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    at: Time,
    files: BTreeMap<String, (Digest, Stamp)>,
}

impl Stamp {
    fn of(found: &Metadata) -> Stamp {
        Stamp {
            dev: found.dev(),
            ino: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Record {
    /// Returns the sha256 that a file had.
    pub fn digest(&self, name: &str) -> Option<&Digest> {
        self.files.get(name).map(|(digest, _)| digest)
    }

    fn holds(&self, sum: &Sum, now: &Stamp) -> bool {
        self.files
            .get(&sum.name)
            .is_some_and(|(digest, then)| (digest, then) == (&sum.digest, now))
            && now.changed < self.at
    }

    fn encode(&self) -> String {
        let mut body = format!("at {}.{}\n", self.at.0, self.at.1);
        for (name, (digest, stamp)) in &self.files {
            let Stamp {
                dev,
                ino,
                size,
                modified: (mtime, mtime_nanos),
                changed: (ctime, ctime_nanos),
            } = stamp;
            // Writing into a String cannot fail.
            let _ = writeln!(
                body,
                "{digest} {dev} {ino} {size} {mtime}.{mtime_nanos} {ctime}.{ctime_nanos} {name}"
            );
        }
        format!("{MAGIC} {}\n{body}", Digest::of(body.as_bytes()))
    }

    fn decode(text: &str) -> Option<Record> {
        let (head, body) = text.split_once('\n')?;
        let sum: Digest = head.strip_prefix(MAGIC)?.strip_prefix(' ')?.parse().ok()?;
        if Digest::of(body.as_bytes()) != sum {
            return None;
        }
        let mut lines = body.lines();
        let at = time(lines.next()?.strip_prefix("at ")?)?;
        let files = lines.map(file).collect::<Option<_>>()?;
        Some(Record { at, files })
    }
}

fn file(line: &str) -> Option<(String, (Digest, Stamp))> {
    let mut words = line.splitn(7, ' ');
    let digest = words.next()?.parse().ok()?;
    let stamp = Stamp {
        dev: words.next()?.parse().ok()?,
        ino: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
        modified: time(words.next()?)?,
        changed: time(words.next()?)?,
    };
    Some((words.next()?.to_owned(), (digest, stamp)))
}

fn time(text: &str) -> Option<Time> {
    let (seconds, nanos) = text.split_once('.')?;
    Some((seconds.parse().ok()?, nanos.parse().ok()?))
}

impl Store {
    /// Returns where the record of an object is, or would be.
    pub(super) fn record_path(&self, name: &str) -> PathBuf {
        self.root.join(BUCKET).join(name)
    }

    /// Returns what was recorded of an object's files; `None` where nothing was that can be believed.
    pub fn record(&self, name: &str) -> Option<Record> {
        if !self.is_own() {
            return None;
        }
        let text = dir::read_to_string(&self.record_path(name)).ok()?;
        Record::decode(&text)
    }

    /// Compares the files in `directory` with what they must be: by their stamps where `record`, which is the one of `name`, has
    /// them, else by their bytes. What had to be hashed and is right is recorded anew.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn check(
        &self,
        directory: &Path,
        name: &str,
        record: Option<&Record>,
        sums: &[Sum],
    ) -> Result<(), String> {
        let linked = |sum: &Sum| self.record(&linked_name(&sum.digest));
        let holds = |sum: &Sum, now: &Stamp| {
            record.is_some_and(|record| record.holds(sum, now))
                || linked(sum).is_some_and(|record| record.holds(sum, now))
        };
        let mut all = true;
        for sum in sums {
            let found = look(directory, sum)?;
            all &= holds(sum, &Stamp::of(&found));
        }
        if all {
            return Ok(());
        }
        // A cache that cannot be written costs time alone: they are hashed again the next time.
        let pending = match self.is_own() {
            true => self.begin_record().ok(),
            false => None,
        };
        let before = stamps(directory, sums)?;
        for sum in sums {
            let then = before.get(&sum.name);
            if !then.is_some_and(|(_, then)| holds(sum, then)) {
                hash(directory, sum)?;
            }
        }
        // What was written to meanwhile has another stamp than the one of the bytes that were hashed.
        if let Some(pending) = pending
            && stamps(directory, sums)? == before
        {
            let _ = pending.publish(name, before);
        }
        Ok(())
    }

    /// Records the files of an object that is being made, whose bytes this process has written or compared.
    pub(super) fn set_record(
        &self,
        directory: &Path,
        name: &str,
        sums: &[Sum],
    ) -> Result<(), StoreError> {
        if !self.is_own() {
            return Ok(());
        }
        let pending = self.begin_record()?;
        let files = stamps(directory, sums)
            .map_err(|what| StoreError::io("look at", directory, io::Error::other(what)))?;
        pending.publish(name, files)
    }

    /// Records a blob that got one more name, which is a change of it, so that what has it by another name need not hash it. Best
    /// effort: then it is hashed.
    pub(super) fn record_linked(&self, directory: &Path, sum: &Sum) {
        let name = linked_name(&sum.digest);
        let _ = self.set_record(directory, &name, std::slice::from_ref(sum));
    }

    /// Returns the time by the clock of the cache's file system, which is not the one of this machine everywhere: seconds since
    /// 1970, and nanoseconds. `None` where the cache cannot be written.
    pub fn clock(&self) -> Option<(i64, i64)> {
        self.begin_record().ok().map(|pending| pending.at)
    }

    fn begin_record(&self) -> Result<Pending<'_>, StoreError> {
        let file = self.scratch()?;
        let io = |error| StoreError::io("look at", file.path(), error);
        // The clock that counts is the file system's, which is not the one of this machine everywhere.
        let found = dir::metadata(file.path()).map_err(io)?;
        Ok(Pending {
            store: self,
            at: (found.mtime(), found.mtime_nsec()),
            file,
        })
    }
}

/// Returns the name of the record of a blob, whatever names it has.
fn linked_name(digest: &Digest) -> String {
    format!("blob-{digest}")
}

/// A record that is being made.
struct Pending<'s> {
    store: &'s Store,
    file: super::Scratch,
    at: Time,
}

impl Pending<'_> {
    fn publish(
        mut self,
        name: &str,
        files: BTreeMap<String, (Digest, Stamp)>,
    ) -> Result<(), StoreError> {
        let text = Record { at: self.at, files }.encode();
        let path = self.file.path().to_path_buf();
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| StoreError::io("write", &path, error))?;
        self.file.publish(&self.store.record_path(name))
    }
}

fn stamps(directory: &Path, sums: &[Sum]) -> Result<BTreeMap<String, (Digest, Stamp)>, String> {
    let stamp = |sum: &Sum| {
        let found = look(directory, sum)?;
        Ok((sum.name.clone(), (sum.digest, Stamp::of(&found))))
    };
    sums.iter().map(stamp).collect()
}

/// Returns what the file system says of a file, which must be one and have its size.
fn look(directory: &Path, sum: &Sum) -> Result<Metadata, String> {
    let found = dir::metadata(&directory.join(&sum.name))
        .map_err(|error| format!("`{}`: {error}", sum.name))?;
    if !found.is_file() {
        return Err(format!("`{}` is no file", sum.name));
    }
    if found.len() != sum.size {
        let (name, size, len) = (&sum.name, sum.size, found.len());
        return Err(format!("`{name}` has {len} bytes, expected {size}"));
    }
    Ok(found)
}

fn hash(directory: &Path, sum: &Sum) -> Result<(), String> {
    let hashed: io::Result<(Digest, u64)> =
        dir::open(&directory.join(&sum.name)).and_then(|mut file| digest::of_reader(&mut file));
    match hashed {
        Ok((digest, _)) if digest == sum.digest => Ok(()),
        Ok((digest, _)) => Err(format!(
            "`{}` has sha256 {digest}, expected {}",
            sum.name, sum.digest
        )),
        Err(error) => Err(format!("`{}`: {error}", sum.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread;
    use std::time::Duration;

    struct Bed {
        _root: tempfile::TempDir,
        store: Store,
        directory: PathBuf,
        sums: Vec<Sum>,
    }

    impl Bed {
        fn new() -> Bed {
            let root = tempfile::tempdir().unwrap();
            let store = Store::open(root.path()).unwrap();
            let directory = root.path().join("object");
            fs::create_dir(&directory).unwrap();
            let sums = ["a b", "c"].map(|name| {
                fs::write(directory.join(name), name).unwrap();
                Sum {
                    name: name.to_owned(),
                    digest: Digest::of(name.as_bytes()),
                    size: name.len() as u64,
                }
            });
            // A tick of the file system's clock, at 100 Hz and some.
            thread::sleep(Duration::from_millis(30));
            Bed {
                _root: root,
                store,
                directory,
                sums: sums.to_vec(),
            }
        }

        fn check(&self, sums: &[Sum]) -> Result<(), String> {
            let record = self.store.record("o");
            self.store
                .check(&self.directory, "o", record.as_ref(), sums)
        }

        /// Says whether a check would hash nothing: wrong digests that the record says too pass then.
        fn believes(&self) -> bool {
            let record = self.store.record("o");
            record.is_some_and(|record| {
                let mut sums = self.sums.iter();
                sums.all(|sum| {
                    let found = look(&self.directory, sum).unwrap();
                    record.holds(sum, &Stamp::of(&found))
                })
            })
        }
    }

    #[test]
    fn a_record_reads_as_it_was_written_and_not_when_any_byte_changed() {
        let bed = Bed::new();
        bed.store
            .set_record(&bed.directory, "o", &bed.sums)
            .unwrap();
        let path = bed.store.record_path("o");
        let text = fs::read(&path).unwrap();
        assert!(bed.store.record("o").is_some());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(bed.store.record("o"), None, "byte {at}");
            fs::write(&path, &text[..at]).unwrap();
            assert_eq!(bed.store.record("o"), None, "first {at} bytes");
        }
    }

    #[test]
    fn a_file_that_was_written_to_is_hashed_and_one_that_was_not_is_believed() {
        let bed = Bed::new();
        let at = bed.directory.join("c");
        assert_eq!(bed.check(&bed.sums), Ok(()));
        assert!(bed.believes());
        // Another name for the same file gives it another time of change alone: hashed, right, recorded anew.
        fs::hard_link(&at, bed.directory.join("link")).unwrap();
        assert!(!bed.believes());
        thread::sleep(Duration::from_millis(30));
        assert_eq!(bed.check(&bed.sums), Ok(()));
        assert!(bed.believes());
        // Where mkimg itself gave the name, it says so, and nothing is hashed; until there is one more change.
        fs::hard_link(&at, bed.directory.join("second")).unwrap();
        thread::sleep(Duration::from_millis(30));
        let sum = &bed.sums[1];
        bed.store.record_linked(&bed.directory, sum);
        let linked = bed.store.record(&linked_name(&sum.digest)).unwrap();
        let holds = || linked.holds(sum, &Stamp::of(&look(&bed.directory, sum).unwrap()));
        assert!(holds() && !bed.believes());
        let before = bed.store.record("o");
        assert_eq!(bed.check(&bed.sums), Ok(()));
        assert_eq!(bed.store.record("o"), before, "nothing was hashed");
        fs::hard_link(&at, bed.directory.join("third")).unwrap();
        assert!(!holds());
        assert_eq!(bed.check(&bed.sums), Ok(()));
        assert_ne!(bed.store.record("o"), before, "it was hashed");
        // Of the same size, with the old time of modification: the time of change tells.
        let modified = fs::metadata(&at).unwrap().modified().unwrap();
        fs::write(&at, "d").unwrap();
        let file = File::options().write(true).open(&at).unwrap();
        file.set_modified(modified).unwrap();
        let said = bed.check(&bed.sums).unwrap_err();
        assert!(said.starts_with("`c` has sha256 "), "{said}");
        fs::remove_file(&at).unwrap();
        let said = bed.check(&bed.sums).unwrap_err();
        assert!(said.starts_with("`c`: No such file"), "{said}");
        std::os::unix::fs::symlink("a b", &at).unwrap();
        assert_eq!(bed.check(&bed.sums), Err("`c` is no file".to_owned()));
    }

    #[test]
    fn a_file_that_changed_in_the_tick_in_which_it_was_recorded_is_not_believed() {
        let bed = Bed::new();
        bed.store
            .set_record(&bed.directory, "o", &bed.sums)
            .unwrap();
        let record = bed.store.record("o").unwrap();
        let sum = &bed.sums[1];
        let now = Stamp::of(&look(&bed.directory, sum).unwrap());
        assert!(record.holds(sum, &now));
        let same_tick = Record {
            at: now.changed,
            ..record
        };
        assert!(!same_tick.holds(sum, &now));
    }

    #[test]
    fn a_record_for_other_bytes_counts_for_nothing() {
        let bed = Bed::new();
        assert_eq!(bed.check(&bed.sums), Ok(()));
        let mut sums = bed.sums.clone();
        sums[0].digest = Digest::of(b"x");
        assert!(bed.check(&sums).is_err());
    }
}
