//! One file out of an archive.

use std::io::Write as _;

use super::archive_error::{ArchiveError, shown};
use super::listing::{Record, RecordKind, Span};
use super::name::{Names, Seen};
use super::pick::{Pick, Taken, refused, written};
use super::suggest;
use super::tar::{Entry, EntryKind};
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
    /// In the second pass: the member that matched, a hard link, and the file that it names.
    link: Option<(Vec<u8>, Vec<u8>)>,
    /// The first few that match.
    matches: Vec<Vec<u8>>,
    count: usize,
    found: Option<Found<'a>>,
    /// The first symlink that matches, for the error.
    symlink: Option<usize>,
    done: bool,
}

enum Found<'a> {
    File(Record, Box<BlobWriter<'a>>),
    /// A hard link to the file of this number.
    Link(usize),
}

impl<'a> One<'a> {
    pub(super) fn new(store: &'a Store, archive: &'a str, glob: &'a Glob, deb: bool) -> One<'a> {
        One {
            store,
            archive,
            glob,
            stop: glob.stop(deb),
            link: None,
            matches: Vec::new(),
            count: 0,
            found: None,
            symlink: None,
            done: false,
        }
    }

    pub(super) fn done(&self) -> bool {
        self.done
    }

    pub(super) fn passed(&mut self) {
        self.done |= self.stop == Stop::First && self.count > 0;
    }

    pub(super) fn offer(
        &mut self,
        entry: &Entry,
        number: usize,
        names: &Names,
    ) -> Result<bool, ArchiveError> {
        if let Some((link, file)) = &self.link {
            if entry.path != *file {
                return Ok(false);
            }
            let path = link.clone();
            return self.take(entry, path);
        }
        if let Stop::Leaving(directory) = &self.stop
            && self.count > 0
            && !is_in(&entry.path, directory)
        {
            self.done = true;
            return Ok(false);
        }
        if !self.glob.matches(&entry.path) {
            return Ok(false);
        }
        match &entry.kind {
            EntryKind::File | EntryKind::HardLink(_) => {}
            // A pattern may well match other things beside the file.
            _ if !self.glob.is_path() => {
                if matches!(entry.kind, EntryKind::Symlink(_)) {
                    self.symlink.get_or_insert(number);
                }
                return Ok(false);
            }
            kind => {
                let (found, help) = suggest::not_a_file(names, number, kind);
                return Err(ArchiveError::NotAFile {
                    archive: self.archive.to_owned(),
                    path: shown(&entry.path),
                    found,
                    help,
                });
            }
        }
        self.count += 1;
        if self.matches.len() < LISTED {
            self.matches.push(entry.path.clone());
        }
        if self.count > 1 {
            // An error from here on, but the others are worth naming.
            self.found = None;
            return Ok(false);
        }
        if let Some(flaw) = &entry.flaw {
            return Err(refused(self.archive, &entry.path, flaw.clone()));
        }
        match names.seen(number) {
            Seen::HardLink(root) => {
                self.found = Some(Found::Link(*root));
                Ok(false)
            }
            Seen::BrokenLink(problem) => Err(refused(self.archive, &entry.path, problem.clone())),
            _ => self.take(entry, entry.path.clone()),
        }
    }

    fn take(&mut self, entry: &Entry, path: Vec<u8>) -> Result<bool, ArchiveError> {
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
        self.found = Some(Found::File(record, writer));
        self.count = 1;
        Ok(true)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match &mut self.found {
            Some(Found::File(_, writer)) => writer
                .write_all(bytes)
                .map_err(|error| written(self.store, error)),
            _ => Ok(()),
        }
    }

    pub(super) fn finish(mut self: Box<Self>, names: &Names) -> Result<Taken<'a>, ArchiveError> {
        let archive = self.archive.to_owned();
        let path = self.glob.text().to_owned();
        if self.count > 1 {
            let mut members: Vec<String> = self
                .matches
                .iter()
                .map(|path| format!("`{}`", shown(path)))
                .collect();
            if self.count > members.len() {
                members.push("..".to_owned());
            }
            return Err(ArchiveError::Several {
                archive,
                path,
                count: self.count,
                members: members.join(", "),
            });
        }
        match self.found.take() {
            Some(Found::File(record, writer)) => Ok(Taken::One(record, writer)),
            Some(Found::Link(root)) => {
                let link = self.matches.pop().unwrap_or_default();
                self.link = Some((link, names.path(root)));
                self.stop = Stop::First;
                self.count = 0;
                self.done = false;
                Ok(Taken::Again(Pick::One(self)))
            }
            None => Err(ArchiveError::NoMatch {
                archive,
                what: "file",
                help: suggest::instead(names, &path, self.symlink),
                path,
            }),
        }
    }
}
