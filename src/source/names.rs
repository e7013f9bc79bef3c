//! All names that an archive had so far, and what stands there.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::archive_error::{ArchiveError, MemberProblem, shown};
use super::entry::{Entry, EntryKind};

/// The most names that are kept track of, directories above members included.
const NAMES: usize = 1 << 19;

/// What stands at a name.
#[derive(Debug)]
enum Seen {
    /// Nothing itself, but something is below it.
    Implied,
    /// A member, by its number in `Names::members`. The names of one file share it.
    Member(usize),
    /// A hard link to nothing that could be linked.
    Broken(MemberProblem),
}

/// What a member is.
#[derive(Debug)]
pub(super) enum What {
    Directory,
    File,
    Symlink(Vec<u8>),
    Device,
    Fifo,
}

impl What {
    /// Returns what it is, with an article.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            What::Directory => "a directory",
            What::File => "a file",
            What::Symlink(_) => "a symlink",
            What::Device => "a device",
            What::Fifo => "a named pipe",
        }
    }
}

/// Permission bits and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meta {
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
}

#[derive(Debug)]
struct Node {
    parent: usize,
    name: Rc<[u8]>,
    children: BTreeMap<Rc<[u8]>, usize>,
    seen: Seen,
}

#[derive(Debug)]
struct Standing {
    what: What,
    meta: Meta,
    /// Which member of the archive gave it, counted from 1.
    content: usize,
}

/// Where a member of an archive was put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The number of its name.
    pub(super) number: usize,
    /// What stands there by now; `None` is a broken hard link.
    pub(super) content: Option<usize>,
    /// It came with this member, and its bytes with it; else it is another name of what came before.
    pub(super) fresh: bool,
}

/// All names of an archive so far, as a tree of components: the memory is bounded by the number of them, however deep the
/// names are. Names have numbers; a directory's is smaller than those of what is below it.
///
/// What comes later takes the place of what stands there, as when GNU tar unpacks: but for a directory that is not empty, where
/// it fails. A name below a symlink of the same archive is one below the directory that the symlink leads to.
#[derive(Debug)]
pub(super) struct Names {
    nodes: Vec<Node>,
    members: Vec<Standing>,
    inodes: BTreeMap<(u64, u64), usize>,
    /// How many members were added.
    added: usize,
}

/// The number of the root.
const ROOT: usize = 0;

/// The most symlinks that are followed for one name (`MAXSYMLINKS` of the kernel), and the most components on the way.
const LINKS: u32 = 40;
const STEPS: u32 = 4096;

impl Names {
    pub(super) fn new() -> Names {
        Names {
            nodes: vec![Node {
                parent: ROOT,
                name: Rc::from(&b""[..]),
                children: BTreeMap::new(),
                seen: Seen::Implied,
            }],
            members: Vec::new(),
            inodes: BTreeMap::new(),
            added: 0,
        }
    }

    /// Returns how many names there are; they are numbered from 0.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a member, whose path becomes the one without symlinks above it; returns where it is.
    pub(super) fn add(&mut self, archive: &str, entry: &mut Entry) -> Result<Place, ArchiveError> {
        let number = self.number(archive, entry)?;
        entry.path = self.path(number);
        let what = match &entry.kind {
            EntryKind::File => What::File,
            EntryKind::Directory => What::Directory,
            EntryKind::Symlink(target) => What::Symlink(target.clone()),
            EntryKind::Device { .. } => What::Device,
            EntryKind::Fifo => What::Fifo,
            EntryKind::HardLink(target) => {
                self.nodes[number].seen = self.linked(target);
                return Ok(self.at(number, false));
            }
        };
        let standing = Standing {
            what,
            meta: Meta {
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
            },
            content: self.added,
        };
        let before = entry
            .inode
            .and_then(|inode| self.inodes.get(&inode).copied());
        let (member, fresh) = match before {
            // One of the names has the bytes, the first or the last.
            Some(member) if entry.size == 0 => (member, false),
            Some(member) => {
                self.members[member] = standing;
                (member, true)
            }
            None => {
                self.members.push(standing);
                (self.members.len() - 1, true)
            }
        };
        if let Some(inode) = entry.inode {
            self.inodes.insert(inode, member);
        }
        self.nodes[number].seen = Seen::Member(member);
        Ok(self.at(number, fresh))
    }

    fn at(&self, number: usize, fresh: bool) -> Place {
        Place {
            number,
            content: self.content(number),
            fresh,
        }
    }

    /// Returns the number of a member's name, which may be new, where the member may stand there.
    fn number(&mut self, archive: &str, entry: &Entry) -> Result<usize, ArchiveError> {
        let refused = |problem| ArchiveError::Member {
            archive: archive.to_owned(),
            member: match entry.path.is_empty() {
                true => "./".to_owned(),
                false => shown(&entry.path),
            },
            problem,
        };
        self.added += 1;
        let mut at = ROOT;
        let mut steps = Steps::new();
        let parts = entry.path.split(|byte| *byte == b'/');
        for part in parts.filter(|part| !part.is_empty()) {
            let directory = self
                .directory(at, &mut steps)
                .ok_or_else(|| refused(self.no_directory(at)))?;
            at = match self.nodes[directory].children.get(part) {
                Some(child) => *child,
                None => self.child(directory, part),
            };
            if self.nodes.len().max(self.added) > NAMES + 1 {
                return Err(ArchiveError::TooMany {
                    archive: archive.to_owned(),
                    limit: NAMES,
                });
            }
        }
        match self.nodes[at].children.values().next() {
            Some(child) if !matches!(entry.kind, EntryKind::Directory) => {
                let below = shown(&self.path(*child));
                Err(refused(MemberProblem::Above(entry.kind.noun(), below)))
            }
            _ => Ok(at),
        }
    }

    /// Returns why nothing can be below a name.
    fn no_directory(&self, at: usize) -> MemberProblem {
        let path = shown(&self.path(at));
        match self.what(at) {
            Some(What::Symlink(_)) => MemberProblem::BelowLink(path),
            Some(what) => MemberProblem::Below(path, what.noun()),
            None => MemberProblem::Below(path, "a hard link"),
        }
    }

    /// Returns what stands at the name of a hard link to `target`.
    fn linked(&self, target: &[u8]) -> Seen {
        let absent = || Seen::Broken(MemberProblem::LinkAbsent(shown(target)));
        let directory = || {
            let noun = What::Directory.noun();
            Seen::Broken(MemberProblem::LinkKind(shown(target), noun))
        };
        let Some(found) = self.resolved(target) else {
            return absent();
        };
        match &self.nodes[found].seen {
            // The name of the link itself is there by now, as a place without anything.
            Seen::Implied if self.nodes[found].children.is_empty() => absent(),
            Seen::Implied => directory(),
            Seen::Broken(problem) => Seen::Broken(problem.clone()),
            Seen::Member(member) => match self.members[*member].what {
                What::Directory => directory(),
                _ => Seen::Member(*member),
            },
        }
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
        });
        number
    }

    /// Returns the directory at a number, or the one that a symlink there leads to. `None` where that is none, or where the
    /// way there leaves the archive: an absolute target, since nobody knows where the root will be, or too many `..`.
    fn directory(&self, at: usize, steps: &mut Steps) -> Option<usize> {
        let target = match (&self.nodes[at].seen, self.what(at)) {
            (Seen::Implied, _) | (_, Some(What::Directory)) => return Some(at),
            (_, Some(What::Symlink(target))) if !target.starts_with(b"/") => target,
            _ => return None,
        };
        steps.links = steps.links.checked_sub(1)?;
        let mut to = self.nodes[at].parent;
        for part in target.split(|byte| *byte == b'/') {
            steps.parts = steps.parts.checked_sub(1)?;
            to = match part {
                b"" | b"." => to,
                b".." => self.parent(to)?,
                part => self.directory(*self.nodes[to].children.get(part)?, steps)?,
            };
        }
        Some(to)
    }

    /// Returns the number of a normal path, following the symlinks above it.
    fn resolved(&self, path: &[u8]) -> Option<usize> {
        let mut steps = Steps::new();
        path.split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
            .try_fold(ROOT, |at, part| {
                let directory = self.directory(at, &mut steps)?;
                self.nodes[directory].children.get(part).copied()
            })
    }

    /// Returns the number of a normal path.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        path.split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
            .try_fold(ROOT, |at, part| self.nodes[at].children.get(part).copied())
    }

    /// Returns what stands at a number; `None` where it is a directory that only is above something, or a broken link.
    pub(super) fn what(&self, number: usize) -> Option<&What> {
        self.standing(number).map(|standing| &standing.what)
    }

    /// Returns which member gave what stands at a number. Equal numbers are names of one file.
    pub(super) fn content(&self, number: usize) -> Option<usize> {
        self.standing(number).map(|standing| standing.content)
    }

    /// Returns the permission bits and owner of what stands at a number.
    pub(super) fn meta(&self, number: usize) -> Meta {
        self.standing(number)
            .map_or_else(Meta::default, |standing| standing.meta)
    }

    /// Returns why the hard link at a number is broken, if it is one.
    pub(super) fn broken(&self, number: usize) -> Option<&MemberProblem> {
        match &self.nodes[number].seen {
            Seen::Broken(problem) => Some(problem),
            _ => None,
        }
    }

    fn standing(&self, number: usize) -> Option<&Standing> {
        match &self.nodes[number].seen {
            Seen::Member(member) => Some(&self.members[*member]),
            _ => None,
        }
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

/// What is left to follow symlinks with.
struct Steps {
    links: u32,
    parts: u32,
}

impl Steps {
    fn new() -> Steps {
        Steps {
            links: LINKS,
            parts: STEPS,
        }
    }
}
