//! The members of an image: its layers unpacked on each other, kept in the cache as those of an archive are.

use std::io::{BufWriter, Write as _};
use std::thread::{self, ScopedJoinHandle};

use super::stack::{NAMES, Stack};
use super::{Found, Parts, archive_error, find};
use crate::arch::Arch;
use crate::digest::{Digest, Hasher};
use crate::progress::{Event, Progress, Stage};
use crate::source::archive::Archive;
use crate::source::archive_error::{ArchiveError, shown};
use crate::source::listing::{Listing, RecordKind, Span};
use crate::source::members::{Kept, Limits, Member, MemberKind, load, member};
use crate::source::pick::{refused, written};
use crate::source::select::{Selection, select};
use crate::source::want::{Glob, Want};
use crate::store::{Blob, Scratch, Store, StoreError, SyncBehind};

/// Changes when another set of members would come out of the same image.
const KEY: &str = "1 oci";

/// Returns what each of `wants` asks for out of an image in the cache, sorted by path. `name` is what messages call it.
///
/// # Errors
/// [`ArchiveError`].
pub fn members(
    store: &Store,
    image: &Digest,
    arch: Arch,
    name: &str,
    wants: &[Want],
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Vec<Vec<Member>>, ArchiveError> {
    let parts = match find(store, image, arch).map_err(|error| archive_error(name, error))? {
        Found::Whole(parts) => parts,
        Found::Missing(digest, _) => {
            let path = store.blob_path(&digest);
            let gone = std::io::ErrorKind::NotFound.into();
            return Err(ArchiveError::Store(StoreError::io("read", &path, gone)));
        }
    };
    let all = match load(store, &parts.digest, KEY, limits) {
        Kept::Whole(members) => members,
        kept => {
            if let Kept::Damaged(path) = kept {
                progress.event(Event::Warning(format!(
                    "damaged object `{}`: it is read out of `{name}` again",
                    path.display()
                )));
            }
            let reading = Reading {
                store,
                name,
                limits,
                progress,
            };
            reading.unpack(&parts)?
        }
    };
    let mut absent = Vec::new();
    let mut found = Vec::new();
    for want in wants {
        let taken = match want {
            Want::Tree { include, exclude } => {
                let selection = Selection {
                    include: include.clone(),
                    exclude: exclude.clone(),
                };
                select(all.clone(), &selection, name)
            }
            Want::One { path } => one(&all, path, name).map(|member| vec![member]),
        };
        match taken {
            Ok(members) => found.push(members),
            Err(error) if error.is_absence() => absent.extend(error.each()),
            Err(error) => return Err(error),
        }
    }
    ArchiveError::join(absent).map_or(Ok(found), Err)
}

/// Returns the one file that a path or pattern names; of a path symlinks on the way are followed.
fn one(all: &[Member], path: &str, name: &str) -> Result<Member, ArchiveError> {
    let glob = Glob::new(path)?;
    let at = |path: &[u8]| {
        let found = all.binary_search_by(|member| member.path.as_slice().cmp(path));
        found.ok().and_then(|index| all.get(index))
    };
    let is_file = |member: &&Member| matches!(member.kind, MemberKind::File(_));
    if glob.is_path() {
        let found = resolved(glob.text().as_bytes(), &at).and_then(|path| at(&path));
        return match found {
            Some(member) if is_file(&member) => Ok(member.clone()),
            Some(member) => Err(ArchiveError::NotAFile {
                archive: name.to_owned(),
                path: path.to_owned(),
                found: match member.kind {
                    MemberKind::Directory => "a directory".to_owned(),
                    _ => "no regular file".to_owned(),
                },
                help: "only files can be taken one by one".to_owned(),
            }),
            None => Err(no_match(name, path)),
        };
    }
    let matching = all
        .iter()
        .filter(is_file)
        .filter(|member| glob.matches(&member.path));
    let matching: Vec<&Member> = matching.collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(no_match(name, path)),
        several => {
            let names = several
                .iter()
                .take(6)
                .map(|member| format!("`{}`", shown(&member.path)));
            Err(ArchiveError::Several {
                archive: name.to_owned(),
                path: path.to_owned(),
                count: several.len(),
                members: names.collect::<Vec<_>>().join(", "),
            })
        }
    }
}

fn no_match(name: &str, path: &str) -> ArchiveError {
    ArchiveError::NoMatch {
        archive: name.to_owned(),
        what: "file",
        path: path.to_owned(),
        help: String::new(),
    }
}

/// Returns where a path leads through symlinks, inside of the image.
fn resolved<'m>(path: &[u8], at: &impl Fn(&[u8]) -> Option<&'m Member>) -> Option<Vec<u8>> {
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        let parts = path.split(|byte| *byte == b'/').rev();
        parts
            .filter(|part| !part.is_empty() && *part != b".")
            .map(<[u8]>::to_vec)
            .collect()
    };
    let mut waiting = parts(path);
    let (mut found, mut links): (Vec<Vec<u8>>, u32) = (Vec::new(), 0);
    while let Some(part) = waiting.pop() {
        if part == b".." {
            found.pop();
            continue;
        }
        found.push(part);
        if let MemberKind::Symlink(target) = &at(&found.join(&b'/'))?.kind {
            links += 1;
            found.pop();
            if links > 40 {
                return None;
            }
            if target.starts_with(b"/") {
                found.clear();
            }
            waiting.extend(parts(target));
        }
    }
    Some(found.join(&b'/'))
}

/// An image that is being read.
struct Reading<'a> {
    store: &'a Store,
    name: &'a str,
    limits: &'a Limits,
    progress: &'a dyn Progress,
}

/// Where the bytes of files go.
struct Data {
    file: BufWriter<Scratch>,
    behind: SyncBehind,
    size: u64,
}

impl Reading<'_> {
    fn unpack(&self, parts: &Parts) -> Result<Vec<Member>, ArchiveError> {
        let scratch = self.store.scratch()?;
        let mut data = Data {
            behind: SyncBehind::new(&scratch),
            file: BufWriter::with_capacity(128 * 1024, scratch),
            size: 0,
        };
        let mut stack = Stack::new();
        let mut unpacked = 0;
        for digest in &parts.layers {
            let blob = parts.blobs.iter().find(|blob| blob.digest == *digest);
            let blob = blob.ok_or_else(|| ArchiveError::NotAnArchive {
                archive: self.name.to_owned(),
            })?;
            unpacked += self.layer(blob, &mut stack, &mut data, unpacked)?;
        }
        let (size, file) = (data.size, data.file.into_inner());
        let file = file.map_err(|error| written(self.store, error.into_error()))?;
        let want = Digest::of(KEY.as_bytes());
        let path = self.store.members_data_path(&parts.digest, &want);
        file.publish(&path)?;
        let listing = Listing {
            archive: parts.digest,
            want: KEY.to_owned(),
            unpacked,
            data: Some(size),
            records: stack.records(),
        };
        let mut scratch = self.store.scratch()?;
        scratch
            .write_all(listing.encode().as_bytes())
            .map_err(|error| StoreError::io("write", scratch.path(), error))?;
        scratch.publish(&self.store.members_path(&parts.digest, &want))?;
        let members = listing.records.into_iter();
        Ok(members
            .map(|record| member(self.store, record, Some(&path)))
            .collect())
    }

    /// Puts a layer on the others; returns the plain bytes that it has. Its blob is hashed at the same time.
    fn layer(
        &self,
        blob: &Blob,
        stack: &mut Stack,
        data: &mut Data,
        before: u64,
    ) -> Result<u64, ArchiveError> {
        let name = format!("{}, layer {}", self.name, blob.digest.short());
        self.progress.event(Event::StageStarted {
            stage: Stage::Read,
            what: name.clone(),
            size: Some(blob.size),
        });
        let (read, verified) = thread::scope(|scope| {
            let verify = thread::Builder::new().spawn_scoped(scope, || blob.verify());
            let read = self.members(blob, &name, stack, data, before);
            let verified = match verify.map(ScopedJoinHandle::join) {
                Ok(Ok(verified)) => verified,
                Ok(Err(_)) | Err(_) => blob.verify(),
            };
            (read, verified)
        });
        self.progress
            .event(Event::StageFinished { stage: Stage::Read });
        match verified {
            Ok(()) => read,
            Err(source @ StoreError::Damaged { .. }) => Err(ArchiveError::Damaged {
                archive: name,
                digest: blob.digest,
                source: Box::new(source),
            }),
            Err(error) => Err(ArchiveError::Store(error)),
        }
    }

    fn members(
        &self,
        blob: &Blob,
        name: &str,
        stack: &mut Stack,
        data: &mut Data,
        before: u64,
    ) -> Result<u64, ArchiveError> {
        let archive = Archive::layer(blob, name)?;
        let left = self.limits.max_unpacked.saturating_sub(before);
        let mut walk = archive.walk(self.limits.jobs, left, self.progress)?;
        stack.next_layer();
        while let Some(entry) = walk.next()? {
            let file = stack
                .add(&entry)
                .map_err(|problem| refused(name, &entry.path, problem))?;
            if stack.is_full() {
                return Err(ArchiveError::TooMany {
                    archive: self.name.to_owned(),
                    limit: NAMES,
                });
            }
            let Some(file) = file else { continue };
            let (mut hasher, offset) = (Hasher::new(), data.size);
            walk.body(&mut |bytes| {
                hasher.update(bytes);
                data.file
                    .write_all(bytes)
                    .map_err(|error| written(self.store, error))?;
                data.size += bytes.len() as u64;
                data.behind.wrote(bytes.len() as u64);
                Ok(())
            })?;
            stack.set(
                file,
                RecordKind::File(Span {
                    digest: hasher.finish(),
                    size: data.size - offset,
                    offset,
                }),
            );
        }
        Ok(walk.position())
    }
}
