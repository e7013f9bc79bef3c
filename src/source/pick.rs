//! What one want takes out of an archive while it passes by.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::archive_error::{ArchiveError, MemberProblem, shown};
use super::listing::{Record, RecordKind, Span};
use super::name::{Names, Seen};
use super::suggest;
use super::tar::{Entry, EntryKind};
use super::want::{Glob, Plan, Stop, is_in};
use crate::digest::Hasher;
use crate::store::{BlobWriter, Scratch, Store, StoreError};

/// Matches that an error lists.
const LISTED: usize = 10;

/// Takes what one want asks for.
pub(super) enum Pick<'a> {
    One(Box<One<'a>>),
    Tree(Box<Tree<'a>>),
}

/// What a want came to, not yet in the cache.
pub(super) enum Taken<'a> {
    /// One file, whose bytes are to become a blob.
    One(Record, BlobWriter<'a>),
    /// Members whose bytes are in a file of the given size.
    Tree(Vec<Record>, Scratch, u64),
    /// The bytes behind hard links stood before the links: the archive has to be read again.
    Again(Pick<'a>),
}

impl<'a> Pick<'a> {
    pub(super) fn new(
        store: &'a Store,
        archive: &'a str,
        plan: &'a Plan,
        deb: bool,
    ) -> Result<Pick<'a>, ArchiveError> {
        Ok(match plan {
            Plan::One(glob) => Pick::One(Box::new(One {
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
            })),
            Plan::Tree { include, exclude } => Pick::Tree(Box::new(Tree::new(
                store,
                archive,
                include,
                exclude,
                BTreeSet::new(),
            )?)),
        })
    }

    /// Says whether everything is certain.
    pub(super) fn done(&self) -> bool {
        match self {
            Pick::One(one) => one.done,
            Pick::Tree(_) => false,
        }
    }

    /// Looks at the next member; says whether its bytes are wanted.
    pub(super) fn offer(
        &mut self,
        entry: &Entry,
        number: usize,
        names: &Names,
    ) -> Result<bool, ArchiveError> {
        match self {
            Pick::One(one) => one.offer(entry, number, names),
            Pick::Tree(tree) => tree.offer(entry, number, names),
        }
    }

    /// Takes the next bytes of the member that was offered last.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match self {
            Pick::One(one) => one.bytes(bytes),
            Pick::Tree(tree) => tree.bytes(bytes),
        }
    }

    /// Is told that the bytes of the member that was offered last, if any, were all passed.
    pub(super) fn passed(&mut self) {
        match self {
            Pick::One(one) => one.done |= one.stop == Stop::First && one.count > 0,
            Pick::Tree(tree) => tree.passed(),
        }
    }

    /// Returns what came of it, when no more members follow or none needs to.
    pub(super) fn finish(self, names: &Names) -> Result<Taken<'a>, ArchiveError> {
        match self {
            Pick::One(one) => one.finish(names),
            Pick::Tree(tree) => tree.finish(names),
        }
    }
}

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
    File(Record, BlobWriter<'a>),
    /// A hard link to the file of this number.
    Link(usize),
}

impl<'a> One<'a> {
    fn offer(&mut self, entry: &Entry, number: usize, names: &Names) -> Result<bool, ArchiveError> {
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
            digest: crate::digest::Digest::of(b""),
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
        self.found = Some(Found::File(record, self.store.blob_writer()?));
        self.count = 1;
        Ok(true)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match &mut self.found {
            Some(Found::File(_, writer)) => writer
                .write_all(bytes)
                .map_err(|error| written(self.store.root(), error)),
            _ => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, names: &Names) -> Result<Taken<'a>, ArchiveError> {
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
    /// Files whose bytes are needed for the hard links to them alone, found out in the first pass.
    extra: BTreeSet<Vec<u8>>,
    /// Links and devices, and where the bytes of files are.
    kinds: BTreeMap<usize, RecordKind>,
    /// Directories that are refused if something below them is selected.
    flawed: BTreeMap<usize, MemberProblem>,
    data: BufWriter<Scratch>,
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
    fn new(
        store: &'a Store,
        archive: &'a str,
        include: &'a [Glob],
        exclude: &'a [Glob],
        extra: BTreeSet<Vec<u8>>,
    ) -> Result<Tree<'a>, ArchiveError> {
        Ok(Tree {
            store,
            archive,
            include,
            exclude,
            used: vec![false; include.len()],
            verdicts: Vec::new(),
            extra,
            kinds: BTreeMap::new(),
            flawed: BTreeMap::new(),
            // Larger writes, which most are, pass through without a copy.
            data: BufWriter::with_capacity(128 * 1024, store.scratch()?),
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
                let path = names.path(number);
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

    fn offer(&mut self, entry: &Entry, number: usize, names: &Names) -> Result<bool, ArchiveError> {
        self.judge(names);
        if self.verdict(number) != Verdict::In && !self.extra.contains(&entry.path) {
            if let (EntryKind::Directory, Some(flaw)) = (&entry.kind, &entry.flaw) {
                self.flawed.insert(number, flaw.clone());
            }
            return Ok(false);
        }
        let refuse = |problem| Err(refused(self.archive, &entry.path, problem));
        if let Some(flaw) = &entry.flaw {
            return refuse(flaw.clone());
        }
        let kind = match &entry.kind {
            EntryKind::File => {
                self.current = Some((number, Hasher::new(), self.size));
                return Ok(true);
            }
            EntryKind::HardLink(_) => match names.seen(number) {
                Seen::BrokenLink(problem) => return refuse(problem.clone()),
                // Known when all bytes are.
                _ => return Ok(false),
            },
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
        self.kinds.insert(number, kind);
        Ok(false)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let Some((_, hasher, _)) = &mut self.current else {
            return Ok(());
        };
        hasher.update(bytes);
        self.data
            .write_all(bytes)
            .map_err(|error| written(self.store.root(), error))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn passed(&mut self) {
        if let Some((number, hasher, offset)) = self.current.take() {
            let span = Span {
                digest: hasher.finish(),
                size: self.size - offset,
                offset,
            };
            self.kinds.insert(number, RecordKind::File(span));
        }
    }

    fn finish(mut self: Box<Self>, names: &Names) -> Result<Taken<'a>, ArchiveError> {
        self.judge(names);
        if let Some((glob, _)) = self
            .include
            .iter()
            .zip(&self.used)
            .find(|(_, used)| !**used)
        {
            return Err(ArchiveError::NoMatch {
                archive: self.archive.to_owned(),
                what: "member",
                path: glob.text().to_owned(),
                help: suggest::instead(names, glob.text(), None),
            });
        }
        let mut records = BTreeMap::new();
        let mut parents = BTreeSet::new();
        let mut missing = BTreeSet::new();
        for number in 0..names.len() {
            if self.verdict(number) != Verdict::In {
                continue;
            }
            // The file behind a hard link is one file with it: bytes, mode and owner.
            let root = match names.seen(number) {
                Seen::HardLink(root) => *root,
                _ => number,
            };
            match self.kinds.get(&root) {
                Some(kind) => {
                    let path = names.path(number);
                    records.insert(path.clone(), record(path, kind.clone(), names, root));
                }
                None if root != number => {
                    missing.insert(names.path(root));
                }
                // Nothing but a directory that the archive does not have itself.
                None => continue,
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
            let again = Tree::new(
                self.store,
                self.archive,
                self.include,
                self.exclude,
                missing,
            )?;
            return Ok(Taken::Again(Pick::Tree(Box::new(again))));
        }
        for number in parents {
            let path = names.path(number);
            if let Some(flaw) = self.flawed.remove(&number) {
                return Err(refused(self.archive, &path, flaw));
            }
            // The root has no entry of its own.
            if !path.is_empty() && matches!(names.seen(number), Seen::Directory) {
                let kind = RecordKind::Directory;
                records.insert(path.clone(), record(path, kind, names, number));
            }
        }
        let data = self
            .data
            .into_inner()
            .map_err(|error| written(self.store.root(), error.into_error()))?;
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

fn refused(archive: &str, path: &[u8], problem: MemberProblem) -> ArchiveError {
    ArchiveError::Member {
        archive: archive.to_owned(),
        member: shown(path),
        problem,
    }
}

fn written(cache: &Path, error: std::io::Error) -> ArchiveError {
    ArchiveError::Store(StoreError::io("write into the cache", cache, error))
}
