//! A whole tree out of an archive, or what is selected of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write as _};

use super::archive_error::{ArchiveError, MemberProblem};
use super::entry::{Entry, EntryKind};
use super::listing::{Record, RecordKind, Span};
use super::names::{Names, Place, What};
use super::pick::{Pick, Taken, refused, written};
use super::suggest;
use super::want::Glob;
use crate::digest::Hasher;
use crate::store::{Scratch, Store, SyncBehind};

/// Takes a whole tree, or what is selected of it.
pub(super) struct Tree<'a> {
    store: &'a Store,
    archive: &'a str,
    include: &'a [Glob],
    exclude: &'a [Glob],
    /// Which of `include` matched something.
    used: Vec<bool>,
    /// By the number of a name: is it selected?
    verdicts: Vec<Verdict>,
    /// Members that are needed for the hard links to them alone, found out in the first pass.
    extra: BTreeSet<usize>,
    /// By member: links and devices, and where the bytes of files are.
    kinds: BTreeMap<usize, RecordKind>,
    /// Directories that are refused if something below them is selected.
    flawed: BTreeMap<usize, MemberProblem>,
    data: BufWriter<Scratch>,
    behind: SyncBehind,
    size: u64,
    /// The file that is being written.
    current: Option<(usize, Hasher, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    In,
    Out,
    Excluded,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        store: &'a Store,
        archive: &'a str,
        include: &'a [Glob],
        exclude: &'a [Glob],
    ) -> Result<Tree<'a>, ArchiveError> {
        let scratch = store.scratch()?;
        Ok(Tree {
            behind: SyncBehind::new(&scratch),
            store,
            archive,
            include,
            exclude,
            used: vec![false; include.len()],
            verdicts: Vec::new(),
            extra: BTreeSet::new(),
            kinds: BTreeMap::new(),
            flawed: BTreeMap::new(),
            // Larger writes, which most are, pass through without a copy.
            data: BufWriter::with_capacity(128 * 1024, scratch),
            size: 0,
            current: None,
        })
    }

    /// Decides about all names that are new.
    fn judge(&mut self, names: &Names) {
        for number in self.verdicts.len()..names.len() {
            let Some(parent) = names.parent(number) else {
                // The root has no name that a pattern could match.
                self.verdicts.push(Verdict::Out);
                continue;
            };
            let above = self.verdict(parent);
            let verdict = if above == Verdict::Excluded {
                above
            } else {
                let path = match self.include.len() + self.exclude.len() {
                    0 => Vec::new(),
                    _ => names.path(number),
                };
                let mut selected = above == Verdict::In || self.include.is_empty();
                for (glob, used) in self.include.iter().zip(&mut self.used) {
                    // Below what is selected, patterns are only tried to see whether they match anything at all.
                    if (!selected || !*used) && glob.matches(&path) {
                        (selected, *used) = (true, true);
                    }
                }
                match selected {
                    _ if self.exclude.iter().any(|glob| glob.matches(&path)) => Verdict::Excluded,
                    true => Verdict::In,
                    false => Verdict::Out,
                }
            };
            self.verdicts.push(verdict);
        }
    }

    fn verdict(&self, number: usize) -> Verdict {
        self.verdicts.get(number).copied().unwrap_or(Verdict::Out)
    }

    pub(super) fn offer(
        &mut self,
        entry: &Entry,
        place: &Place,
        names: &Names,
    ) -> Result<bool, ArchiveError> {
        self.judge(names);
        let number = place.number;
        let extra = place
            .content
            .is_some_and(|content| self.extra.contains(&content));
        if self.verdict(number) != Verdict::In && !extra {
            if matches!(entry.kind, EntryKind::Directory) {
                match &entry.flaw {
                    Some(flaw) => self.flawed.insert(number, flaw.clone()),
                    None => self.flawed.remove(&number),
                };
            }
            return Ok(false);
        }
        let refuse = |problem| Err(refused(self.archive, &entry.path, problem));
        if let Some(flaw) = &entry.flaw {
            return refuse(flaw.clone());
        }
        if let Some(problem) = names.broken(number) {
            return refuse(problem.clone());
        }
        let Some(content) = place.content.filter(|_| place.fresh) else {
            // Known when all bytes are.
            return Ok(false);
        };
        let kind = match &entry.kind {
            EntryKind::File => {
                self.current = Some((content, Hasher::new(), self.size));
                return Ok(true);
            }
            EntryKind::HardLink(_) => return Ok(false),
            EntryKind::Fifo => return refuse(MemberProblem::Fifo),
            EntryKind::Directory => RecordKind::Directory,
            EntryKind::Symlink(target) => RecordKind::Symlink(target.clone()),
            EntryKind::Device {
                block,
                major,
                minor,
            } => RecordKind::Device {
                block: *block,
                major: *major,
                minor: *minor,
            },
        };
        self.kinds.insert(content, kind);
        Ok(false)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let Some((_, hasher, _)) = &mut self.current else {
            return Ok(());
        };
        hasher.update(bytes);
        self.data
            .write_all(bytes)
            .map_err(|error| written(self.store, error))?;
        self.size += bytes.len() as u64;
        self.behind.wrote(bytes.len() as u64);
        Ok(())
    }

    pub(super) fn passed(&mut self) {
        if let Some((content, hasher, offset)) = self.current.take() {
            let span = Span {
                digest: hasher.finish(),
                size: self.size - offset,
                offset,
            };
            self.kinds.insert(content, RecordKind::File(span));
        }
    }

    pub(super) fn finish(mut self: Box<Self>, names: &Names) -> Result<Taken<'a>, ArchiveError> {
        self.judge(names);
        let unused = self.include.iter().zip(&self.used);
        let unused = unused
            .filter(|(_, used)| !**used)
            .map(|(glob, _)| ArchiveError::NoMatch {
                archive: self.archive.to_owned(),
                what: "member",
                path: glob.text().to_owned(),
                help: suggest::instead(names, glob.text(), None),
            });
        if let Some(error) = ArchiveError::join(unused.collect()) {
            return Err(error);
        }
        let mut records = BTreeMap::new();
        let mut parents = BTreeSet::new();
        let mut missing = BTreeSet::new();
        for number in 0..names.len() {
            if self.verdict(number) != Verdict::In {
                continue;
            }
            // Nothing but a directory that the archive does not have itself.
            let Some(content) = names.content(number) else {
                continue;
            };
            match self.kinds.get(&content) {
                Some(kind) => {
                    let path = names.path(number);
                    records.insert(path.clone(), record(path, kind.clone(), names, number));
                }
                // The names of one file are one with it: bytes, mode and owner.
                None => {
                    missing.insert(content);
                }
            }
            let mut at = number;
            while let Some(parent) = names.parent(at) {
                if self.verdict(parent) == Verdict::In || !parents.insert(parent) {
                    break;
                }
                at = parent;
            }
        }
        if !missing.is_empty() {
            let mut again = Tree::new(self.store, self.archive, self.include, self.exclude)?;
            again.extra = missing;
            return Ok(Taken::Again(Pick::Tree(Box::new(again))));
        }
        for number in parents {
            let path = names.path(number);
            // The root has no entry of its own.
            if path.is_empty() || !matches!(names.what(number), Some(What::Directory)) {
                continue;
            }
            if let Some(flaw) = self.flawed.remove(&number) {
                return Err(refused(self.archive, &path, flaw));
            }
            let kind = RecordKind::Directory;
            records.insert(path.clone(), record(path, kind, names, number));
        }
        let data = self
            .data
            .into_inner()
            .map_err(|error| written(self.store, error.into_error()))?;
        Ok(Taken::Tree(
            records.into_values().collect(),
            data,
            self.size,
        ))
    }
}

fn record(path: Vec<u8>, kind: RecordKind, names: &Names, number: usize) -> Record {
    let meta = names.meta(number);
    Record {
        path,
        kind,
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
    }
}
