//! Members of archives, read once and kept.
//!
//! What was read for one want out of one archive is kept in the cache as a listing (`source::listing`), by the archive's
//! sha256 and the want's:
//!
//! ```text
//! members-v1/ab/cdef..-WANT        the listing
//! members-v1/ab/cdef..-WANT.data   the bytes of a tree's files, end to end
//! blobs-v1/..                      a single file's bytes: a blob as any other
//! ```
//!
//! Bytes are published first and the listing last, so that a listing never stands for bytes that are not there; one that does
//! since somebody removed them, or that is damaged, is made again. Nothing is published before the archive's own bytes were
//! hashed once more: its file may have been damaged since it was fetched. Whether and what is found is a function of archive
//! and want alone, whatever the cache has, however many threads work, and whatever else is read in the same pass.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread::{self, ScopedJoinHandle};

use super::archive::Archive;
use super::archive_error::ArchiveError;
use super::entry::Walk;
use super::listing::{Listing, Record, RecordKind, Span};
use super::names::Names;
use super::pick::{Pick, Taken};
use super::want::{Plan, Want};
use crate::digest::Digest;
use crate::dir;
use crate::progress::{Event, Progress, Stage};
use crate::store::{Blob, Store, StoreError};
use crate::tree::DeviceClass;

/// Wants that are read in one pass: each file of its own needs an open file.
const AT_ONCE: usize = 128;

/// Bounds of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most decompressed bytes that are read out of one archive.
    pub max_unpacked: u64,
    /// The most threads that decompress at once.
    pub jobs: usize,
}

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path: relative, without `.`, `..` and empty components, at most 4095 bytes.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// The permission bits, at most 0o7777; 0o777 of a symlink.
    pub mode: u32,
    /// User id in the archive.
    pub uid: u64,
    /// Group id in the archive.
    pub gid: u64,
}

/// What a member is. A hard link is a file with the bytes, mode and owner of the file that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File(Content),
    /// A directory.
    Directory,
    /// A symbolic link with its body, which is not interpreted.
    Symlink(Vec<u8>),
    /// What no image can have, and why. Only container images give it: archives refuse it where it is selected.
    Flawed(String),
    /// A device node.
    Device {
        /// Character or block.
        class: DeviceClass,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// The bytes of a file, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The sha256 of the bytes. Whoever reads them compares; on a difference [`Store::remove_members`] of the archive, and
    /// [`Store::remove_blob`] of this digest, make that they are read out of the archive again.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// The file that they are in.
    pub path: PathBuf,
    /// Where they begin in it.
    pub offset: u64,
}

/// Returns what each of `wants` asks for out of `archive`, sorted by path. `name` is what messages call the archive.
///
/// What is in the cache already costs one small file for each want, and the archive is not opened.
///
/// # Errors
/// [`ArchiveError`]; of an archive that is damaged or refused nothing is kept.
pub fn members(
    store: &Store,
    archive: &Blob,
    name: &str,
    wants: &[Want],
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Vec<Vec<Member>>, ArchiveError> {
    let plans = wants
        .iter()
        .map(Plan::new)
        .collect::<Result<Vec<Plan>, _>>()?;
    let mut known: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    let mut missing: BTreeMap<String, &Plan> = BTreeMap::new();
    for plan in &plans {
        let key = plan.key();
        match load(store, &archive.digest, &key, limits) {
            Kept::Whole(members) => {
                known.insert(key, members);
                continue;
            }
            Kept::Damaged(path) => progress.event(Event::Warning(format!(
                "damaged object `{}`: it is read out of `{name}` again",
                path.display()
            ))),
            Kept::Nothing => {}
        }
        missing.insert(key, plan);
    }
    let missing: Vec<&Plan> = missing.into_values().collect();
    for plans in missing.chunks(AT_ONCE) {
        let shelf = Shelf {
            store,
            archive,
            name,
            limits,
            progress,
        };
        for (plan, members) in plans.iter().zip(shelf.read(plans)?) {
            known.insert(plan.key(), members);
        }
    }
    let list = |plan: &Plan| known.get(&plan.key()).cloned().unwrap_or_default();
    Ok(plans.iter().map(list).collect())
}

/// What the cache has for a want.
pub(super) enum Kept {
    Whole(Vec<Member>),
    /// The file that is not what it was.
    Damaged(PathBuf),
    Nothing,
}

/// Returns what the cache has, as far as names, sizes and the listing itself tell.
pub(super) fn load(store: &Store, archive: &Digest, key: &str, limits: &Limits) -> Kept {
    if !store.is_own() {
        return Kept::Nothing;
    }
    let want = Digest::of(key.as_bytes());
    let path = store.members_path(archive, &want);
    let text = match dir::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Kept::Nothing,
        Err(_) => return Kept::Damaged(path),
    };
    let Some(listing) =
        Listing::decode(&text).filter(|listing| listing.archive == *archive && listing.want == key)
    else {
        return Kept::Damaged(path);
    };
    // A lower limit than the one it was made under must fail as it would without a cache.
    if listing.unpacked > limits.max_unpacked {
        return Kept::Nothing;
    }
    let data = store.members_data_path(archive, &want);
    match listing.data {
        Some(size) => match dir::metadata(&data) {
            Ok(found) if found.is_file() && found.len() == size => {}
            Ok(_) => return Kept::Damaged(data),
            Err(_) => return Kept::Nothing,
        },
        None => {
            for record in &listing.records {
                if let RecordKind::File(span) = &record.kind {
                    match store.blob(&span.digest) {
                        Some(blob) if blob.size == span.size => {}
                        Some(blob) => return Kept::Damaged(blob.path),
                        None => return Kept::Nothing,
                    }
                }
            }
        }
    }
    let place = listing.data.map(|_| data);
    let members = listing.records.into_iter();
    Kept::Whole(
        members
            .map(|record| member(store, record, place.as_ref()))
            .collect(),
    )
}

/// Returns the member of a record; `data` is the data file, `None` where file bytes are blobs.
pub(super) fn member(store: &Store, record: Record, data: Option<&PathBuf>) -> Member {
    let kind = match record.kind {
        RecordKind::File(span) => MemberKind::File(Content {
            digest: span.digest,
            size: span.size,
            path: match data {
                Some(data) => data.clone(),
                None => store.blob_path(&span.digest),
            },
            offset: span.offset,
        }),
        RecordKind::Directory => MemberKind::Directory,
        RecordKind::Flawed(reason) => MemberKind::Flawed(reason),
        RecordKind::Symlink(target) => MemberKind::Symlink(target),
        RecordKind::Device {
            block,
            major,
            minor,
        } => MemberKind::Device {
            class: match block {
                true => DeviceClass::Block,
                false => DeviceClass::Char,
            },
            major,
            minor,
        },
    };
    Member {
        path: record.path,
        kind,
        mode: record.mode,
        uid: record.uid,
        gid: record.gid,
    }
}

/// An archive that is to be read.
struct Shelf<'a> {
    store: &'a Store,
    archive: &'a Blob,
    name: &'a str,
    limits: &'a Limits,
    progress: &'a dyn Progress,
}

impl<'a> Shelf<'a> {
    /// Reads and keeps what the plans ask for. The archive's bytes are hashed at the same time by a thread of its own.
    fn read(&self, plans: &[&'a Plan]) -> Result<Vec<Vec<Member>>, ArchiveError> {
        self.progress.event(Event::StageStarted {
            stage: Stage::Read,
            what: self.name.to_owned(),
            size: Some(self.archive.size),
        });
        let (taken, verified) = thread::scope(|scope| {
            let verify = thread::Builder::new().spawn_scoped(scope, || self.archive.verify());
            let taken = self.take(plans);
            let verified = match verify.map(ScopedJoinHandle::join) {
                Ok(Ok(verified)) => verified,
                // No thread to be had, or lost: then one after the other.
                Ok(Err(_)) | Err(_) => self.archive.verify(),
            };
            (taken, verified)
        });
        let kept = self.judged(verified, taken);
        let members = kept.and_then(|kept| {
            let kept = kept.into_iter().zip(plans);
            kept.map(|((taken, unpacked), plan)| self.keep(taken, unpacked, plan))
                .collect()
        });
        self.progress
            .event(Event::StageFinished { stage: Stage::Read });
        members
    }

    /// Returns what was taken, where the archive's bytes are the right ones: if not, whatever went wrong came from that.
    fn judged<T>(
        &self,
        verified: Result<(), StoreError>,
        taken: Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        match verified {
            Ok(()) => taken,
            Err(source @ StoreError::Damaged { .. }) => Err(ArchiveError::Damaged {
                archive: self.name.to_owned(),
                digest: self.archive.digest,
                source: Box::new(source),
            }),
            Err(error) => Err(ArchiveError::Store(error)),
        }
    }

    /// Reads everything, in one pass or, for the sake of hard links, in two; nothing reaches the cache yet. With each result
    /// comes the number of plain bytes that had to be read for it.
    fn take(&self, plans: &[&'a Plan]) -> Result<Vec<(Taken<'a>, u64)>, ArchiveError> {
        let archive = Archive::open(self.archive, self.name)?;
        let all = plans.iter().any(|plan| plan.reads_all(archive.is_deb()));
        // Several threads decode whole blocks ahead, which is lost work where reading stops early.
        let threads = if all { self.limits.jobs } else { 1 };
        let mut results: Vec<Option<(Taken<'a>, u64)>> = plans.iter().map(|_| None).collect();
        let mut picks = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            let pick = Pick::new(self.store, self.name, plan, archive.is_deb())?;
            picks.push((index, pick, 0));
        }
        for _ in 0..PASSES {
            if picks.is_empty() {
                break;
            }
            let walk = archive.walk(threads, self.limits.max_unpacked, self.progress)?;
            let mut again = Vec::new();
            for (index, taken, unpacked) in pass(walk, self.name, picks)? {
                match taken {
                    Taken::Again(pick) => again.push((index, pick, unpacked)),
                    done => results[index] = Some((done, unpacked)),
                }
            }
            picks = again;
        }
        for (taken, _) in results.iter_mut().flatten() {
            if let Taken::One(_, writer) = taken {
                // The other thread is still at the archive's bytes.
                writer.sync()?;
            }
        }
        let whole: Option<Vec<_>> = results.into_iter().collect();
        whole.ok_or_else(|| ArchiveError::Read {
            archive: self.name.to_owned(),
            path: self.archive.path.clone(),
            source: io::Error::other("it changed while it was read"),
        })
    }

    /// Puts what was taken into the cache.
    fn keep(
        &self,
        taken: Taken<'a>,
        unpacked: u64,
        plan: &Plan,
    ) -> Result<Vec<Member>, ArchiveError> {
        let want = plan.digest();
        let mut listing = Listing {
            archive: self.archive.digest,
            want: plan.key(),
            unpacked,
            data: None,
            records: Vec::new(),
        };
        let data = self.store.members_data_path(&self.archive.digest, &want);
        let place = match taken {
            Taken::One(mut record, writer) => {
                let blob = writer.commit()?;
                record.kind = RecordKind::File(Span {
                    digest: blob.digest,
                    size: blob.size,
                    offset: 0,
                });
                listing.records.push(record);
                None
            }
            Taken::Tree(records, scratch, size) => {
                scratch.publish(&data)?;
                listing.data = Some(size);
                listing.records = records;
                Some(&data)
            }
            // Was read again.
            Taken::Again(_) => None,
        };
        let mut scratch = self.store.scratch()?;
        scratch
            .write_all(listing.encode().as_bytes())
            .map_err(|error| StoreError::io("write", scratch.path(), error))?;
        scratch.publish(&self.store.members_path(&self.archive.digest, &want))?;
        let members = listing.records.into_iter();
        Ok(members
            .map(|record| member(self.store, record, place))
            .collect())
    }
}

/// Passes over an archive: the second one is for the bytes of files that stood before it was known that they are wanted.
const PASSES: usize = 2;

/// A want's place in the list, what takes for it, and the plain bytes that had to be read for it before.
type Taker<'a> = (usize, Pick<'a>, u64);

/// Reads an archive once, until every pick has what it wants.
fn pass<'a>(
    mut walk: Box<dyn Walk + '_>,
    name: &str,
    mut picks: Vec<Taker<'a>>,
) -> Result<Vec<(usize, Taken<'a>, u64)>, ArchiveError> {
    let mut names = Names::new();
    let mut done = Vec::new();
    while !picks.is_empty() {
        let Some(mut entry) = walk.next()? else {
            break;
        };
        let place = names.add(name, &mut entry)?;
        let mut takers = Vec::new();
        for (_, pick, _) in &mut picks {
            if pick.offer(&entry, &place, &names)? {
                takers.push(pick);
            }
        }
        if !takers.is_empty() {
            walk.body(&mut |bytes| takers.iter_mut().try_for_each(|pick| pick.bytes(bytes)))?;
        }
        for (_, pick, _) in &mut picks {
            pick.passed();
        }
        for (index, pick, before) in picks.extract_if(.., |(_, pick, _)| pick.done()) {
            done.push((index, pick, before.max(walk.position())));
        }
    }
    let end = walk.position();
    done.extend(
        picks
            .into_iter()
            .map(|(index, pick, before)| (index, pick, before.max(end))),
    );
    let (mut finished, mut absent) = (Vec::new(), Vec::new());
    for (index, pick, unpacked) in done {
        match pick.finish(&names) {
            Ok(taken) => finished.push((index, taken, unpacked)),
            Err(error) if error.is_absence() => absent.extend(error.each()),
            Err(error) => return Err(error),
        }
    }
    ArchiveError::join(absent).map_or(Ok(finished), Err)
}
