//! Names of members, and all that an archive had so far.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::archive_error::{ArchiveError, MemberProblem, shown};
use super::tar::{Entry, EntryKind};

/// The longest name of a member, in bytes.
pub(super) const PATH_MAX: usize = 4095;

/// The longest component of a name: `NAME_MAX` of `linux/limits.h`. No file system of the kernel takes a longer one.
const NAME_MAX: usize = 255;

/// The most names that are kept track of, directories above members included.
const NAMES: usize = 1 << 19;

/// Returns a name without `./`, `//` and a `/` at the end; the root becomes empty.
pub(super) fn normal(raw: &[u8]) -> Result<Vec<u8>, MemberProblem> {
    match raw {
        b"" => return Err(MemberProblem::Empty),
        [b'/', ..] => return Err(MemberProblem::Absolute),
        _ if raw.contains(&0) => return Err(MemberProblem::Nul),
        _ if raw.contains(&b'\n') => return Err(MemberProblem::LineBreak),
        _ => {}
    }
    let mut path = Vec::with_capacity(raw.len());
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(MemberProblem::Parent),
            _ if part.len() > NAME_MAX => return Err(MemberProblem::LongComponent),
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    if path.len() > PATH_MAX {
        return Err(MemberProblem::Long);
    }
    Ok(path)
}

/// What stands at a name.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing itself, but something is below it.
    Implied,
    Directory,
    File,
    /// To the file of this number.
    HardLink(usize),
    /// To something that is no file standing before it.
    BrokenLink(MemberProblem),
    Symlink(Vec<u8>),
    Device,
    Fifo,
}

/// Permission bits and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meta {
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
}

impl Seen {
    /// Returns what it is, with an article.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Seen::Implied | Seen::Directory => "a directory",
            Seen::File => "a file",
            Seen::HardLink(_) | Seen::BrokenLink(_) => "a hard link",
            Seen::Symlink(_) => "a symlink",
            Seen::Device => "a device",
            Seen::Fifo => "a named pipe",
        }
    }

    fn is_directory(&self) -> bool {
        matches!(self, Seen::Implied | Seen::Directory)
    }
}

#[derive(Debug)]
struct Node {
    parent: usize,
    name: Rc<[u8]>,
    children: BTreeMap<Rc<[u8]>, usize>,
    seen: Seen,
    meta: Meta,
}

/// All names of an archive so far, as a tree of components: the memory is bounded by the number of them, however deep the
/// names are. Names have numbers; a directory's is smaller than those of what is below it.
#[derive(Debug)]
pub(super) struct Names {
    nodes: Vec<Node>,
}

/// The number of the root.
const ROOT: usize = 0;

impl Names {
    pub(super) fn new() -> Names {
        Names {
            nodes: vec![Node {
                parent: ROOT,
                name: Rc::from(&b""[..]),
                children: BTreeMap::new(),
                seen: Seen::Implied,
                meta: Meta::default(),
            }],
        }
    }

    /// Returns how many names there are; they are numbered from 0.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a member; returns its number. Only a directory may come again, with the same mode and owner.
    pub(super) fn add(&mut self, archive: &str, entry: &Entry) -> Result<usize, ArchiveError> {
        let refused = |problem| ArchiveError::Member {
            archive: archive.to_owned(),
            member: match entry.path.is_empty() {
                true => "./".to_owned(),
                false => shown(&entry.path),
            },
            problem,
        };
        let mut at = ROOT;
        let parts = entry.path.split(|byte| *byte == b'/');
        for part in parts.filter(|part| !part.is_empty()) {
            let seen = &self.nodes[at].seen;
            if !seen.is_directory() {
                let noun = seen.noun();
                return Err(refused(MemberProblem::Below(shown(&self.path(at)), noun)));
            }
            at = match self.nodes[at].children.get(part) {
                Some(child) => *child,
                None => {
                    if self.nodes.len() > NAMES {
                        return Err(ArchiveError::TooMany {
                            archive: archive.to_owned(),
                            limit: NAMES,
                        });
                    }
                    self.child(at, part)
                }
            };
        }
        let meta = Meta {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
        };
        match (&self.nodes[at].seen, &entry.kind) {
            (Seen::Implied, EntryKind::Directory) => {}
            (Seen::Implied, kind) => {
                if let Some(child) = self.nodes[at].children.values().next() {
                    let below = shown(&self.path(*child));
                    return Err(refused(MemberProblem::Above(kind.noun(), below)));
                }
            }
            (Seen::Directory, EntryKind::Directory) if self.nodes[at].meta == meta => {
                return Ok(at);
            }
            _ => return Err(refused(MemberProblem::Duplicate)),
        }
        let seen = match &entry.kind {
            EntryKind::File => Seen::File,
            EntryKind::Directory => Seen::Directory,
            EntryKind::Symlink(target) => Seen::Symlink(target.clone()),
            EntryKind::Device { .. } => Seen::Device,
            EntryKind::Fifo => Seen::Fifo,
            EntryKind::HardLink(target) => match self.find(target) {
                // The name itself is there by now, as a place without anything.
                Some(found) => match &self.nodes[found].seen {
                    Seen::File => Seen::HardLink(found),
                    Seen::HardLink(root) => Seen::HardLink(*root),
                    Seen::Implied => Seen::BrokenLink(MemberProblem::LinkAbsent(shown(target))),
                    other => Seen::BrokenLink(MemberProblem::LinkKind(shown(target), other.noun())),
                },
                None => Seen::BrokenLink(MemberProblem::LinkAbsent(shown(target))),
            },
        };
        (self.nodes[at].seen, self.nodes[at].meta) = (seen, meta);
        Ok(at)
    }

    fn child(&mut self, parent: usize, part: &[u8]) -> usize {
        let number = self.nodes.len();
        let name: Rc<[u8]> = Rc::from(part);
        self.nodes[parent].children.insert(Rc::clone(&name), number);
        self.nodes.push(Node {
            parent,
            name,
            children: BTreeMap::new(),
            seen: Seen::Implied,
            meta: Meta::default(),
        });
        number
    }

    /// Returns the number of a normal path.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        path.split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
            .try_fold(ROOT, |at, part| self.nodes[at].children.get(part).copied())
    }

    /// Returns what stands at a number that [`Names::add`] or [`Names::find`] gave.
    pub(super) fn seen(&self, number: usize) -> &Seen {
        &self.nodes[number].seen
    }

    /// Returns the permission bits and owner at a number where a member stands.
    pub(super) fn meta(&self, number: usize) -> Meta {
        self.nodes[number].meta
    }

    /// Returns the number of the directory above.
    pub(super) fn parent(&self, number: usize) -> Option<usize> {
        (number != ROOT).then(|| self.nodes[number].parent)
    }

    /// Returns the path of a number.
    pub(super) fn path(&self, number: usize) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut at = number;
        while at != ROOT {
            parts.push(Rc::clone(&self.nodes[at].name));
            at = self.nodes[at].parent;
        }
        parts.reverse();
        parts.join(&b'/')
    }
}
