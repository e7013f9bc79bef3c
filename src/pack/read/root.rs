//! What the kernel has in its root file system once it has unpacked an archive: entry by entry as `init/initramfs.c` does it.
//!
//! A later entry takes the place of an earlier one: a file writes over a file and removes a symlink, a directory that has
//! something in it stays, a device that is there keeps its number. A path is looked up as any other, so a symlink before it leads
//! elsewhere. What has no directory is dropped without a word.

use std::collections::{BTreeMap, VecDeque};

use super::Record;

/// As many symlinks the kernel follows on its way to one file (`MAXSYMLINKS`).
const FOLLOWED: usize = 40;
/// The longest name in a directory.
const NAME_MAX: usize = 255;
/// The bits of a mode with the kind.
const KIND: u32 = 0o170000;
const DIRECTORY: u32 = 0o040000;
const FILE: u32 = 0o100000;
const SYMLINK: u32 = 0o120000;

/// The root file system so far.
#[derive(Debug)]
pub struct Root {
    nodes: Vec<Node>,
    /// The first name of each file with hard links, by device, inode number and kind.
    links: BTreeMap<((u32, u32), u32, u32), Vec<u8>>,
    /// The archive that the last entry was in.
    segment: usize,
}

/// A file of the root, or the root itself.
#[derive(Debug, Default)]
struct Node {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u32,
    rdev: (u32, u32),
    size: u32,
    /// The entry whose body its bytes are.
    data: usize,
    target: Vec<u8>,
    /// Of a directory: where it is, and what is in it.
    parent: usize,
    names: BTreeMap<Vec<u8>, Name>,
}

/// A name in a directory.
#[derive(Debug, Clone, Copy)]
struct Name {
    node: usize,
    /// The entry that gave it, the last one where there were several; nothing where no entry did.
    entry: Option<usize>,
}

/// Where a path leads.
struct At {
    parent: usize,
    /// Empty where the path ends at a directory by itself, as `/` does.
    name: Vec<u8>,
    node: Option<usize>,
}

/// A file that the kernel has in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The number of the entry that gave it its name.
    pub entry: usize,
    /// The number of the entry whose body its bytes are.
    pub data: usize,
    /// Its header: the path, and the fields as they are in the end.
    pub record: Record,
    /// The body of a symlink, up to its first NUL.
    pub target: Option<Vec<u8>>,
}

impl Default for Root {
    fn default() -> Root {
        let directory = |parent| Node {
            mode: DIRECTORY | 0o755,
            parent,
            ..Node::default()
        };
        let mut root = Root {
            nodes: vec![directory(0), directory(0), directory(0)],
            links: BTreeMap::new(),
            segment: 0,
        };
        // What the kernel's own archive has (`usr/default_cpio_list`).
        for (name, node) in [("dev", 1), ("root", 2)] {
            let name = name.as_bytes().to_vec();
            root.nodes[0].names.insert(name, Name { node, entry: None });
        }
        root
    }
}

impl Root {
    /// Unpacks the entry of a number. `segment` is the number of the archive that it is in: hard links end with theirs.
    /// Says whether something has its name from the entry now.
    pub fn unpack(
        &mut self,
        entry: usize,
        segment: usize,
        record: &Record,
        target: Option<&[u8]>,
    ) -> bool {
        if segment != self.segment {
            self.links.clear();
            self.segment = segment;
        }
        let path = record.name.as_slice();
        let kind = record.mode & KIND;
        // A path that ends with `/`, `.` or `..` names a directory, or nothing.
        let last = path.rsplit(|byte| *byte == b'/').next();
        let ended = matches!(last, Some(b"" | b"." | b".."));
        if ended && kind != DIRECTORY {
            return false;
        }
        let is_new_link = self.link(record);
        if is_new_link == Some(false) {
            return false;
        }
        // A symlink replaces whatever it finds.
        let wanted = if kind == SYMLINK { 0 } else { kind };
        if is_new_link.is_none() {
            self.clear(path, wanted, ended);
        }
        let Some(at) = self.walk(path, ended) else {
            return false;
        };
        let target = target.unwrap_or_default();
        let target = target.split(|byte| *byte == 0).next().unwrap_or_default();
        let node = match at.node {
            Some(node) => node,
            None if kind == SYMLINK && target.is_empty() => return false,
            None if !is_known(kind) => return false,
            None => self.make(&at, record, target),
        };
        let has = self.nodes[node].mode & KIND;
        if kind == SYMLINK && has != SYMLINK {
            // A directory that is not empty: its owner alone changes.
            (self.nodes[node].uid, self.nodes[node].gid) = (record.uid, record.gid);
            return false;
        }
        if has != kind {
            return false;
        }
        let found = &mut self.nodes[node];
        // A device that is linked keeps what it has.
        if kind == FILE || is_new_link.is_none() {
            (found.uid, found.gid, found.mtime) = (record.uid, record.gid, record.mtime);
            found.mode = record.mode;
        }
        // A hard link without data leaves what there is.
        if kind == FILE && (record.size > 0 || is_new_link.is_none()) {
            (found.size, found.data) = (record.size, entry);
        }
        let name = self.nodes[at.parent].names.get_mut(&at.name);
        let Some(name) = name else { return false };
        name.entry = Some(entry);
        true
    }

    /// Makes a hard link where the entry is one to a file that came before; says whether it could be made, nothing where the
    /// entry is none.
    fn link(&mut self, record: &Record) -> Option<bool> {
        let kind = record.mode & KIND;
        if record.nlink < 2 || matches!(kind, DIRECTORY | SYMLINK) || !is_known(kind) {
            return None;
        }
        let key = (record.dev, record.ino, kind);
        let Some(first) = self.links.get(&key).cloned() else {
            self.links.insert(key, record.name.clone());
            return None;
        };
        self.clear(&record.name, 0, false);
        let old = self.walk(&first, false).and_then(|at| at.node);
        let old = old.filter(|node| self.nodes[*node].mode & KIND == kind);
        let at = self.walk(&record.name, false);
        match (old, at) {
            (Some(node), Some(at)) if at.node.is_none() => {
                let name = Name { node, entry: None };
                self.nodes[at.parent].names.insert(at.name, name);
                Some(true)
            }
            _ => Some(false),
        }
    }

    fn make(&mut self, at: &At, record: &Record, target: &[u8]) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node {
            mode: record.mode,
            rdev: record.rdev,
            target: target.to_vec(),
            size: u32::try_from(target.len()).unwrap_or_default(),
            parent: at.parent,
            ..Node::default()
        });
        let name = Name { node, entry: None };
        self.nodes[at.parent].names.insert(at.name.clone(), name);
        node
    }

    /// Removes what is at a path and of another kind (`clean_path`); a directory that is not empty stays.
    fn clear(&mut self, path: &[u8], kind: u32, follow: bool) {
        let Some(At {
            parent,
            name,
            node: Some(node),
        }) = self.walk(path, follow)
        else {
            return;
        };
        let found = &self.nodes[node];
        let full = found.mode & KIND == DIRECTORY && !found.names.is_empty();
        if found.mode & KIND != kind && !full && !name.is_empty() {
            self.nodes[parent].names.remove(&name);
        }
    }

    /// Returns where a path leads; nothing where a directory before its last name is missing.
    fn walk(&self, path: &[u8], follow: bool) -> Option<At> {
        let mut left: VecDeque<&[u8]> = parts(path).collect();
        let mut at = 0;
        let mut followed = 0;
        while let Some(part) = left.pop_front() {
            if self.nodes[at].mode & KIND != DIRECTORY || part.len() > NAME_MAX {
                return None;
            }
            if part == b".." {
                at = self.nodes[at].parent;
                continue;
            }
            let found = self.nodes[at].names.get(part).map(|name| name.node);
            let is_last = left.is_empty();
            let symlink = found.filter(|node| self.nodes[*node].mode & KIND == SYMLINK);
            match (symlink, found) {
                (Some(node), _) if !is_last || follow => {
                    followed += 1;
                    if followed > FOLLOWED {
                        return None;
                    }
                    let target = self.nodes[node].target.as_slice();
                    if target.starts_with(b"/") {
                        at = 0;
                    }
                    parts(target).rev().for_each(|part| left.push_front(part));
                }
                (_, node) if is_last => {
                    return Some(At {
                        parent: at,
                        name: part.to_vec(),
                        node,
                    });
                }
                (_, node) => at = node?,
            }
        }
        Some(At {
            parent: self.nodes[at].parent,
            name: Vec::new(),
            node: Some(at),
        })
    }

    /// Returns what a path leads to, symlinks followed: never out of the root, and no more of them than the kernel would.
    pub fn find(&self, path: &[u8]) -> Option<Seen> {
        let at = self.walk(path, true)?;
        let node = at.node?;
        let name = self.nodes[at.parent].names.get(&at.name);
        let entry = name.and_then(|name| name.entry)?;
        Some(self.seen(at.name, node, entry))
    }

    /// Returns the files that the kernel has in the end, in the order of the entries that gave them their names.
    pub fn files(&self) -> Vec<Seen> {
        let mut files = Vec::new();
        let mut open = vec![(Vec::new(), 0)];
        while let Some((path, directory)) = open.pop() {
            for (name, Name { node, entry }) in &self.nodes[directory].names {
                let mut path: Vec<u8> = path.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend(name);
                if let Some(entry) = entry {
                    files.push(self.seen(path.clone(), *node, *entry));
                }
                if self.nodes[*node].mode & KIND == DIRECTORY {
                    open.push((path, *node));
                }
            }
        }
        files.sort_by_key(|seen| seen.entry);
        files
    }

    fn seen(&self, name: Vec<u8>, node: usize, entry: usize) -> Seen {
        let found = &self.nodes[node];
        Seen {
            entry,
            data: found.data,
            record: Record {
                name,
                mode: found.mode,
                uid: found.uid,
                gid: found.gid,
                mtime: found.mtime,
                size: found.size,
                rdev: found.rdev,
                ..Record::default()
            },
            target: (found.mode & KIND == SYMLINK).then(|| found.target.clone()),
        }
    }
}

/// Returns the names of a path; `.` and what is empty between two `/` lead nowhere.
fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
}

/// Says whether the kernel makes anything of a kind.
fn is_known(kind: u32) -> bool {
    matches!(
        kind,
        0o040000 | 0o100000 | 0o120000 | 0o020000 | 0o060000 | 0o010000 | 0o140000
    )
}

#[cfg(test)]
mod tests;
