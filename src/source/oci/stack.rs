//! Layers put on each other in memory, as a runtime unpacks them one after the other.
//!
//! `.wh.NAME` takes away NAME of the layers below, `.wh..wh..opq` all that they have in that directory. A member takes the place of
//! what has its name, and of all below it, but for a directory in the place of a directory. Names are inside of the root whatever
//! they say: `..` stops there, and a symlink on the way is followed as if it were read there. Hard links share what they name at
//! that moment, in whatever layer that is.

use std::collections::BTreeMap;

use crate::source::archive_error::MemberProblem;
use crate::source::entry::{Entry, EntryKind};
use crate::source::listing::{Record, RecordKind};
use crate::text::shown;

/// The most names that are kept track of.
pub(super) const NAMES: usize = 1 << 19;
/// The most symlinks that are followed for one name.
const LINKS: usize = 255;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Aufs' own files, which are in no image.
const AUFS: &[u8] = b".wh..wh.";

const ROOT: usize = 0;

/// What is at a name.
#[derive(Debug)]
enum What {
    Directory(BTreeMap<Vec<u8>, usize>),
    /// One of the files, symlinks and devices, which several names may share.
    Shared(usize),
}

#[derive(Debug)]
struct Node {
    parent: usize,
    what: What,
    mode: u32,
    uid: u64,
    gid: u64,
    /// The layer that had it last.
    layer: usize,
}

/// A file, symlink or device.
#[derive(Debug, Clone)]
struct Inode {
    kind: Body,
    mode: u32,
    uid: u64,
    gid: u64,
}

#[derive(Debug, Clone)]
enum Body {
    /// Its bytes come next.
    Awaited,
    Is(RecordKind),
}

/// The tree that layers come to.
#[derive(Debug)]
pub(super) struct Stack {
    nodes: Vec<Node>,
    inodes: Vec<Inode>,
    layer: usize,
}

impl Stack {
    pub(super) fn new() -> Stack {
        Stack {
            nodes: vec![Node {
                parent: ROOT,
                what: What::Directory(BTreeMap::new()),
                mode: 0o755,
                uid: 0,
                gid: 0,
                layer: 0,
            }],
            inodes: Vec::new(),
            layer: 0,
        }
    }

    /// Says whether there are more names than are kept track of.
    pub(super) fn is_full(&self) -> bool {
        self.nodes.len() > NAMES
    }

    /// Begins the next layer.
    pub(super) fn next_layer(&mut self) {
        self.layer += 1;
    }

    /// Puts a member there; returns the number of the file whose bytes follow, where some do.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<Option<usize>, MemberProblem> {
        let Some((directory, name)) = self.place(&entry.path)? else {
            return match entry.kind {
                EntryKind::Directory => Ok(None),
                _ => Err(MemberProblem::Empty),
            };
        };
        if name == OPAQUE {
            self.empty(directory);
            return Ok(None);
        }
        if name.starts_with(AUFS) {
            return Ok(None);
        }
        if let Some(gone) = name.strip_prefix(WHITEOUT) {
            match self.child(directory, gone) {
                Some(node) if self.is_lower(node) => self.unlink(directory, gone),
                // What this layer itself has stays.
                Some(node) => self.empty(node),
                None => {}
            }
            return Ok(None);
        }
        let (mode, uid, gid) = (entry.mode, entry.uid, entry.gid);
        let kind = match &entry.kind {
            EntryKind::Directory => {
                let there = self.child(directory, &name);
                let node = match there.filter(|there| self.is_directory(*there)) {
                    Some(there) => there,
                    None => self.link(directory, name, What::Directory(BTreeMap::new())),
                };
                let layer = self.layer;
                if let Some(node) = self.nodes.get_mut(node) {
                    (node.mode, node.uid, node.gid, node.layer) = (mode, uid, gid, layer);
                }
                self.touch(directory);
                return Ok(None);
            }
            EntryKind::HardLink(target) => {
                let inode = self.linked(target)?;
                self.link(directory, name, What::Shared(inode));
                self.touch(directory);
                return Ok(None);
            }
            EntryKind::File => Body::Awaited,
            EntryKind::Fifo => Body::Is(RecordKind::Flawed(MemberProblem::Fifo.to_string())),
            EntryKind::Symlink(target) => Body::Is(RecordKind::Symlink(target.clone())),
            EntryKind::Device {
                block,
                major,
                minor,
            } => Body::Is(RecordKind::Device {
                block: *block,
                major: *major,
                minor: *minor,
            }),
        };
        let awaited = matches!(kind, Body::Awaited) && entry.flaw.is_none();
        let kind = match &entry.flaw {
            Some(flaw) => Body::Is(RecordKind::Flawed(flaw.to_string())),
            None => kind,
        };
        self.inodes.push(Inode {
            kind,
            mode,
            uid,
            gid,
        });
        let inode = self.inodes.len() - 1;
        self.link(directory, name, What::Shared(inode));
        self.touch(directory);
        Ok(awaited.then_some(inode))
    }

    /// Says what the bytes of a file are.
    pub(super) fn set(&mut self, file: usize, kind: RecordKind) {
        if let Some(inode) = self.inodes.get_mut(file) {
            inode.kind = Body::Is(kind);
        }
    }

    /// Returns what stands in the end, sorted by path.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut waiting = vec![(ROOT, Vec::new())];
        while let Some((at, path)) = waiting.pop() {
            let Some(What::Directory(children)) = self.nodes.get(at).map(|node| &node.what) else {
                continue;
            };
            for (name, child) in children {
                let Some(node) = self.nodes.get(*child) else {
                    continue;
                };
                let mut path: Vec<u8> = path.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                let (kind, mode, uid, gid) = match &node.what {
                    What::Directory(_) => {
                        waiting.push((*child, path.clone()));
                        (RecordKind::Directory, node.mode, node.uid, node.gid)
                    }
                    What::Shared(inode) => match self.inodes.get(*inode) {
                        Some(Inode {
                            kind: Body::Is(kind),
                            mode,
                            uid,
                            gid,
                        }) => (kind.clone(), *mode, *uid, *gid),
                        _ => continue,
                    },
                };
                let mode = if matches!(kind, RecordKind::Symlink(_)) {
                    0o777
                } else {
                    mode
                };
                records.push(Record {
                    path,
                    kind,
                    mode,
                    uid,
                    gid,
                });
            }
        }
        records.sort_by(|one, other| one.path.cmp(&other.path));
        records
    }

    /// Returns the directory that a path is in, which is made where it is missing, and the name in it; nothing for the root.
    fn place(&mut self, path: &[u8]) -> Result<Option<(usize, Vec<u8>)>, MemberProblem> {
        let (above, name) = split(path);
        if name.is_empty() {
            return Ok(None);
        }
        let directory = self.resolve(above, true)?;
        Ok(directory.map(|directory| (directory, name.to_vec())))
    }

    /// Returns the file that a hard link's target is; a symlink at its end is the file itself.
    fn linked(&mut self, target: &[u8]) -> Result<usize, MemberProblem> {
        let absent = || MemberProblem::LinkAbsent(shown(target));
        let (above, name) = split(target);
        let directory = self.resolve(above, false)?.ok_or_else(absent)?;
        let node = self.child(directory, name).ok_or_else(absent)?;
        match self.nodes.get(node).map(|node| &node.what) {
            Some(What::Shared(inode)) => Ok(*inode),
            _ => Err(MemberProblem::LinkKind(shown(target), "a directory")),
        }
    }

    /// Returns the directory at a path, following symlinks inside of the root.
    fn resolve(&mut self, path: &[u8], make: bool) -> Result<Option<usize>, MemberProblem> {
        let mut parts: Vec<Vec<u8>> = parts(path);
        let (mut at, mut links) = (ROOT, 0);
        while let Some(part) = parts.pop() {
            if part == b".." {
                at = self.nodes.get(at).map_or(ROOT, |node| node.parent);
                continue;
            }
            let Some(child) = self.child(at, &part) else {
                if !make {
                    return Ok(None);
                }
                at = self.link(at, part, What::Directory(BTreeMap::new()));
                continue;
            };
            let target = match self.nodes.get(child).map(|node| &node.what) {
                Some(What::Shared(inode)) => match self.inodes.get(*inode).map(|inode| &inode.kind)
                {
                    Some(Body::Is(RecordKind::Symlink(target))) => target.clone(),
                    _ => return Err(MemberProblem::Below(shown(&part), "no directory")),
                },
                _ => {
                    at = child;
                    continue;
                }
            };
            links += 1;
            if links > LINKS || parts.len() > NAMES {
                return Err(MemberProblem::BelowLink(shown(&part)));
            }
            if target.starts_with(b"/") {
                at = ROOT;
            }
            parts.extend(self::parts(&target));
        }
        Ok(Some(at))
    }

    fn child(&self, directory: usize, name: &[u8]) -> Option<usize> {
        match self.nodes.get(directory).map(|node| &node.what) {
            Some(What::Directory(children)) => children.get(name).copied(),
            _ => None,
        }
    }

    fn is_directory(&self, node: usize) -> bool {
        let node = self.nodes.get(node);
        node.is_some_and(|node| matches!(node.what, What::Directory(_)))
    }

    /// Says whether a node, with all below it, is of the layers below.
    fn is_lower(&self, node: usize) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|node| node.layer < self.layer)
    }

    /// Puts something at a name, in the place of what is there.
    fn link(&mut self, directory: usize, name: Vec<u8>, what: What) -> usize {
        self.nodes.push(Node {
            parent: directory,
            what,
            mode: 0o755,
            uid: 0,
            gid: 0,
            layer: self.layer,
        });
        let number = self.nodes.len() - 1;
        if let Some(Node {
            what: What::Directory(children),
            ..
        }) = self.nodes.get_mut(directory)
        {
            children.insert(name, number);
        }
        number
    }

    fn unlink(&mut self, directory: usize, name: &[u8]) {
        if let Some(Node {
            what: What::Directory(children),
            ..
        }) = self.nodes.get_mut(directory)
        {
            children.remove(name);
        }
    }

    /// Marks a directory and those above it as this layer's: something of the layer is in them.
    fn touch(&mut self, directory: usize) {
        let mut at = directory;
        while let Some(node) = self.nodes.get_mut(at) {
            node.layer = self.layer;
            if at == ROOT {
                return;
            }
            at = node.parent;
        }
    }

    /// Takes away what the layers below have in a directory, however deep.
    fn empty(&mut self, directory: usize) {
        let mut waiting = vec![directory];
        while let Some(at) = waiting.pop() {
            let Some(What::Directory(children)) = self.nodes.get(at).map(|node| &node.what) else {
                continue;
            };
            let own: BTreeMap<Vec<u8>, usize> = children
                .iter()
                .filter(|(_, child)| !self.is_lower(**child))
                .map(|(name, child)| (name.clone(), *child))
                .collect();
            waiting.extend(own.values());
            if let Some(node) = self.nodes.get_mut(at) {
                node.what = What::Directory(own);
            }
        }
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (b"", path),
    }
}

/// Returns the components of a path, the last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').rev();
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    parts.map(<[u8]>::to_vec).collect()
}
