//! What one want takes out of an archive while it passes by.

use std::io;

use super::archive_error::{ArchiveError, MemberProblem, shown};
use super::entry::Entry;
use super::listing::Record;
use super::names::{Names, Place};
use super::pick_one::One;
use super::pick_tree::Tree;
use super::want::Plan;
use crate::store::{BlobWriter, Scratch, Store, StoreError};

/// Takes what one want asks for.
pub(super) enum Pick<'a> {
    One(Box<One<'a>>),
    Tree(Box<Tree<'a>>),
}

/// What a want came to, not yet in the cache.
pub(super) enum Taken<'a> {
    /// One file, whose bytes are to become a blob.
    One(Record, Box<BlobWriter<'a>>),
    /// Members whose bytes are in a file of the given size.
    Tree(Vec<Record>, Scratch, u64),
    /// The bytes that are wanted stood where nobody knew it yet, before a hard link to them, say: the archive has to be read
    /// again.
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
            Plan::One(glob) => Pick::One(Box::new(One::new(store, archive, glob, deb))),
            Plan::Tree { include, exclude } => {
                Pick::Tree(Box::new(Tree::new(store, archive, include, exclude)?))
            }
        })
    }

    /// Says whether everything is certain.
    pub(super) fn done(&self) -> bool {
        match self {
            Pick::One(one) => one.done(),
            Pick::Tree(_) => false,
        }
    }

    /// Looks at the next member; says whether its bytes are wanted.
    pub(super) fn offer(
        &mut self,
        entry: &Entry,
        place: &Place,
        names: &Names,
    ) -> Result<bool, ArchiveError> {
        match self {
            Pick::One(one) => one.offer(entry, place, names),
            Pick::Tree(tree) => tree.offer(entry, place, names),
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
            Pick::One(one) => one.passed(),
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

pub(super) fn refused(archive: &str, path: &[u8], problem: MemberProblem) -> ArchiveError {
    ArchiveError::Member {
        archive: archive.to_owned(),
        member: shown(path),
        problem,
    }
}

pub(super) fn written(store: &Store, error: io::Error) -> ArchiveError {
    ArchiveError::Store(StoreError::io("write into the cache", store.root(), error))
}
