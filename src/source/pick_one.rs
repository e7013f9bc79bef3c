//! One file out of an archive.

use std::collections::BTreeSet;
use std::io::Write as _;

use super::archive_error::{ArchiveError, shown};
use super::entry::{Entry, EntryKind};
use super::listing::{Record, RecordKind, Span};
use super::names::{Names, Place, What};
use super::pick::{Pick, Taken, refused, written};
use super::suggest;
use super::want::{Glob, Stop, is_in};
use crate::digest::Digest;
use crate::store::{BlobWriter, Store};

/// Matches that an error lists.
const LISTED: usize = 10;

/// Takes one file.
pub(super) struct One<'a> {
    store: &'a Store,
    archive: &'a str,
    glob: &'a Glob,
    stop: Stop,
    /// In the second pass: the name that matched, and the member whose bytes it has.
    wanted: Option<(Vec<u8>, usize)>,
    /// The names that match, whatever stands there in the end, and the first at which a file stood.
    matches: BTreeSet<usize>,
    first: Option<usize>,
    /// The member that was taken last.
    found: Option<(usize, Record, Box<BlobWriter<'a>>)>,
    done: bool,
}

impl<'a> One<'a> {
    pub(super) fn new(store: &'a Store, archive: &'a str, glob: &'a Glob, deb: bool) -> One<'a> {
        One {
            store,
            archive,
            glob,
            stop: glob.stop(deb),
            wanted: None,
            matches: BTreeSet::new(),
            first: None,
            found: None,
            done: false,
        }
    }

    pub(super) fn done(&self) -> bool {
        self.done
    }

    pub(super) fn passed(&mut self) {
        self.done |= match &self.wanted {
            Some(_) => self.found.is_some(),
            None => self.stop == Stop::First && !self.matches.is_empty(),
        };
    }

    pub(super) fn offer(
        &mut self,
        entry: &Entry,
        place: &Place,
        names: &Names,
    ) -> Result<bool, ArchiveError> {
        if let Some((path, content)) = &self.wanted {
            return match place.fresh && place.content == Some(*content) {
                true => self.take(entry, *content, path.clone()),
                false => Ok(false),
            };
        }
        if let Stop::Leaving(directory) = &self.stop
            && !is_in(&entry.path, directory)
            && self.first.is_some()
        {
            self.done = true;
            return Ok(false);
        }
        if !self.glob.matches(&entry.path) {
            return Ok(false);
        }
        self.matches.insert(place.number);
        if !matches!(entry.kind, EntryKind::File | EntryKind::HardLink(_))
            || *self.first.get_or_insert(place.number) != place.number
        {
            return Ok(false);
        }
        if let Some(problem) = entry.flaw.as_ref().or(names.broken(place.number)) {
            return Err(refused(self.archive, &entry.path, problem.clone()));
        }
        match place.content.filter(|_| place.fresh) {
            Some(content) => self.take(entry, content, entry.path.clone()),
            None => Ok(false),
        }
    }

    fn take(&mut self, entry: &Entry, content: usize, path: Vec<u8>) -> Result<bool, ArchiveError> {
        if let Some(flaw) = &entry.flaw {
            return Err(refused(self.archive, &entry.path, flaw.clone()));
        }
        let span = Span {
            // The blob's writer knows it in the end.
            digest: Digest::of(b""),
            size: entry.size,
            offset: 0,
        };
        let record = Record {
            path,
            kind: RecordKind::File(span),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
        };
        let writer = Box::new(self.store.blob_writer()?);
        self.found = Some((content, record, writer));
        Ok(true)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match &mut self.found {
            Some((_, _, writer)) => writer
                .write_all(bytes)
                .map_err(|error| written(self.store, error)),
            _ => Ok(()),
        }
    }

    pub(super) fn finish(mut self: Box<Self>, names: &Names) -> Result<Taken<'a>, ArchiveError> {
        let (path, content) = match self.wanted.take() {
            Some(wanted) => wanted,
            None => {
                let number = self.only(names)?;
                // A file has one.
                (
                    names.path(number),
                    names.content(number).unwrap_or_default(),
                )
            }
        };
        match self.found.take() {
            Some((found, record, writer)) if found == content => {
                let record = Record { path, ..record };
                Ok(Taken::One(record, writer))
            }
            _ => {
                self.wanted = Some((path, content));
                self.done = false;
                Ok(Taken::Again(Pick::One(self)))
            }
        }
    }

    /// Returns the number of the one file that matches.
    fn only(&self, names: &Names) -> Result<usize, ArchiveError> {
        let archive = self.archive.to_owned();
        let path = self.glob.text().to_owned();
        let what = |number: &&usize| names.what(**number);
        let mut files = (self.matches.iter()).filter(|at| matches!(what(at), Some(What::File)));
        let count = files.clone().count();
        match files.next() {
            Some(number) if count == 1 => return Ok(*number),
            None => {}
            Some(first) => {
                let listed = std::iter::once(first).chain(files).take(LISTED);
                let mut members: Vec<String> = listed
                    .map(|number| format!("`{}`", shown(&names.path(*number))))
                    .collect();
                if count > members.len() {
                    members.push("..".to_owned());
                }
                return Err(ArchiveError::Several {
                    archive,
                    path,
                    count,
                    members: members.join(", "),
                });
            }
        }
        if let Some(number) = self.matches.first().filter(|_| self.glob.is_path()) {
            let (found, help) = suggest::not_a_file(names, *number);
            return Err(ArchiveError::NotAFile {
                archive,
                path: shown(&names.path(*number)),
                found,
                help,
            });
        }
        // A pattern may well match other things beside the file.
        let link = (self.matches.iter()).find(|at| matches!(what(at), Some(What::Symlink(_))));
        Err(ArchiveError::NoMatch {
            archive,
            what: "file",
            help: suggest::instead(names, &path, link.copied()),
            path,
        })
    }
}
