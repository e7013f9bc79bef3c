//! The entries of a plan, put into the tree one after the other.

use std::collections::BTreeMap;

use super::meta::{owner_of, with_modes};
use super::{AssembleError, applets};
use crate::digest::Digest;
use crate::plan::{FileOrigin, Plan, Planned, PlannedKind, StatementId, Word};
use crate::progress::{Event, Progress};
use crate::source::{Member, MemberKind};
use crate::store::{Blob, Store, StoreError};
use crate::text::shown;
use crate::tree::lookup::{Root, find};
use crate::tree::{Content, Entry, EntryPath, Kind, Place, Region, Tree};

/// The mode that Linux reports of every symlink.
const SYMLINK_MODE: u32 = 0o777;

/// Returns the bytes of what is no member of an archive: a source as a file of its own, a text, a file beside the recipe.
pub(super) fn content_of_origin(
    blobs: &BTreeMap<String, Blob>,
    origin: &FileOrigin,
    at: &StatementId,
) -> Result<Content, AssembleError> {
    let (digest, size, path) = match origin {
        FileOrigin::Text(text) => return Ok(Content::memory(text.as_bytes())),
        FileOrigin::Local { file, .. } => (file.digest, file.size, &file.path),
        FileOrigin::Source { from, .. } => {
            let blob = blobs.get(from).ok_or_else(|| missing(from, at.clone()))?;
            (blob.digest, blob.size, &blob.path)
        }
    };
    Ok(Content {
        digest,
        size,
        place: Place::File(Region {
            path: path.clone(),
            offset: 0,
        }),
    })
}

fn missing(name: &str, at: StatementId) -> AssembleError {
    let name = name.to_owned();
    AssembleError::Missing { name, at }
}

pub(super) fn content_of(member: &Member) -> Content {
    match &member.kind {
        MemberKind::File(file) => Content {
            digest: file.digest,
            size: file.size,
            place: Place::File(Region {
                path: file.path.clone(),
                offset: file.offset,
            }),
        },
        // `Want::One` gives regular files alone.
        _ => Content::memory(Vec::new()),
    }
}

pub(super) struct Builder<'a> {
    pub(super) plan: &'a Plan,
    pub(super) store: &'a Store,
    pub(super) blobs: &'a BTreeMap<String, Blob>,
    pub(super) tree: Tree,
    /// Entries of `tree` nodes that are not root's in their archive: their number, and the first of them with its owner.
    pub(super) other_owners: (usize, String),
    /// Who is told of what has no effect.
    pub(super) progress: &'a dyn Progress,
}

impl Builder<'_> {
    pub(super) fn add(
        &mut self,
        index: usize,
        planned: &Planned,
        members: Vec<Member>,
    ) -> Result<(), AssembleError> {
        let (kind, mode) = match &planned.kind {
            PlannedKind::File { origin, mode } => {
                let (content, executable) = self.content(index, origin, &members)?;
                (
                    Kind::File(content),
                    mode.unwrap_or(if executable { 0o755 } else { 0o644 }),
                )
            }
            PlannedKind::Dir { mode } => (Kind::Directory, *mode),
            PlannedKind::Symlink { target } => {
                (Kind::Symlink(target.clone().into_bytes()), SYMLINK_MODE)
            }
            PlannedKind::Device {
                class,
                major,
                minor,
                mode,
            } => (
                Kind::Device {
                    class: *class,
                    major: *major,
                    minor: *minor,
                },
                *mode,
            ),
            PlannedKind::Applets { of, except } => {
                return self.add_applets(index, planned, of, except);
            }
            PlannedKind::Init { from, busybox } => {
                return self.add_init(index, planned, from, busybox.is_some(), members);
            }
            PlannedKind::Tree {
                strip,
                modes,
                owners,
                ..
            } => {
                let members = with_modes(members, modes, index)?;
                return self.add_tree(index, planned, *strip, members, *owners);
            }
        };
        let path = entry_path(planned.path.as_bytes(), index)?;
        self.put(index, planned, path, kind, mode)
    }

    fn put(
        &mut self,
        index: usize,
        planned: &Planned,
        path: EntryPath,
        kind: Kind,
        mode: u32,
    ) -> Result<(), AssembleError> {
        let entry = Entry {
            kind,
            mode,
            uid: planned.uid,
            gid: planned.gid,
            origin: Some(index),
        };
        self.insert(index, path, entry, planned.replaces)
    }

    pub(super) fn insert(
        &mut self,
        index: usize,
        path: EntryPath,
        entry: Entry,
        replaces: bool,
    ) -> Result<(), AssembleError> {
        let put = if replaces {
            Tree::replace
        } else {
            Tree::insert
        };
        put(&mut self.tree, path, entry).map_err(|conflict| AssembleError::Conflict {
            conflict,
            entry: index,
        })
    }

    /// Returns the bytes of a file entry, and whether they are executable in their archive.
    fn content(
        &self,
        index: usize,
        origin: &FileOrigin,
        members: &[Member],
    ) -> Result<(Content, bool), AssembleError> {
        let at = StatementId::Entry(index, Word::Whole);
        let Some((from, _)) = origin.member() else {
            return Ok((content_of_origin(self.blobs, origin, &at)?, false));
        };
        let member = members.first().ok_or_else(|| missing(from, at))?;
        Ok((content_of(member), member.mode & 0o111 != 0))
    }

    fn add_tree(
        &mut self,
        index: usize,
        planned: &Planned,
        strip: u32,
        members: Vec<Member>,
        owners: bool,
    ) -> Result<(), AssembleError> {
        let mut placed_any = false;
        for member in members {
            let Some(path) = placed(&planned.path, strip, &member.path) else {
                continue;
            };
            placed_any = true;
            let path = EntryPath::new(&path).map_err(|error| AssembleError::Path {
                member: shown(&member.path),
                error,
                entry: index,
            })?;
            let owner = match owners {
                true => owner_of(&member, index)?,
                false => (planned.uid, planned.gid),
            };
            if !owners && (member.uid, member.gid) != (0, 0) {
                let (count, first) = &mut self.other_owners;
                if *count == 0 {
                    *first = format!("`{path}`, {}:{}", member.uid, member.gid);
                }
                *count += 1;
            }
            let Some(path) = self.landing(index, path, &member, planned.replaces) else {
                continue;
            };
            let (kind, mode) = match &member.kind {
                MemberKind::Directory => (Kind::Directory, member.mode),
                MemberKind::Symlink(target) => (Kind::Symlink(target.clone()), SYMLINK_MODE),
                MemberKind::File(_) => (Kind::File(content_of(&member)), member.mode),
                MemberKind::Flawed(problem) => {
                    return Err(AssembleError::Flawed {
                        member: shown(&member.path),
                        problem: problem.clone(),
                        entry: index,
                    });
                }
                MemberKind::Device {
                    class,
                    major,
                    minor,
                } => {
                    let (class, major, minor) = (*class, *major, *minor);
                    (
                        Kind::Device {
                            class,
                            major,
                            minor,
                        },
                        member.mode,
                    )
                }
            };
            let (uid, gid) = owner;
            let origin = Some(index);
            let entry = Entry {
                kind,
                mode,
                uid,
                gid,
                origin,
            };
            self.insert(index, path, entry, planned.replaces)?;
        }
        if !placed_any {
            self.progress.event(Event::Warning(format!(
                "`tree \"{}\"` puts nothing into the image: `exclude` or `strip` leaves nothing of its archive",
                planned.path
            )));
        }
        Ok(())
    }

    /// Returns where a member of an archive lands, as `dpkg` unpacks it: what is below a symlink to a directory goes into that
    /// directory, and a directory where such a symlink is leaves it alone; nothing then. A symlink of the same node is none of
    /// those, and with `override` the directory takes its place.
    fn landing(
        &self,
        index: usize,
        path: EntryPath,
        member: &Member,
        replaces: bool,
    ) -> Option<EntryPath> {
        let directory = |path: &EntryPath| {
            let (found, entry) = find(&self.tree, Root(b""), path.as_bytes()).ok()?;
            (entry.kind == Kind::Directory).then_some(found)
        };
        let there = self.tree.get(&path);
        let link = there
            .filter(|there| matches!(there.kind, Kind::Symlink(_)) && there.origin != Some(index));
        if link.is_some() && member.kind == MemberKind::Directory {
            if !replaces {
                return directory(&path).is_none().then_some(path);
            }
            self.progress.event(Event::Warning(format!(
                "`override` puts the directory `{path}` in the place of a symlink: what that led to is not reached by it any more"
            )));
        }
        let mut up = path.parent();
        while let Some(parent) = up {
            let above = self.tree.get(&parent);
            // Above a directory of the tree there are directories alone.
            if above
                .is_some_and(|above| above.kind == Kind::Directory || above.origin == Some(index))
            {
                break;
            }
            if let Some(real) = directory(&parent) {
                let rest = path.as_bytes().get(parent.as_bytes().len()..)?;
                let moved = [real.as_bytes(), rest].concat();
                return EntryPath::new(&moved).ok().or(Some(path));
            }
            up = parent.parent();
        }
        Some(path)
    }

    fn add_applets(
        &mut self,
        index: usize,
        planned: &Planned,
        of: &str,
        except: &[String],
    ) -> Result<(), AssembleError> {
        let content = self.busybox(of, index)?;
        let elf = read(&content)?;
        let names = applets::applets(&elf).map_err(|error| AssembleError::Applets {
            of: of.to_owned(),
            error,
            entry: index,
        })?;
        for name in except.iter().filter(|name| !names.contains(name)) {
            self.progress.event(Event::Warning(format!(
                "`except` names `{name}`, which is no applet of `{of}`"
            )));
        }
        let directory = planned.path.trim_end_matches('/');
        for name in names {
            let path = format!("{directory}/{name}");
            // The BusyBox itself has the name of one of its applets.
            if path == of || except.contains(&name) {
                continue;
            }
            let path = entry_path(path.as_bytes(), index)?;
            let link = Kind::Symlink(of.as_bytes().to_vec());
            self.put(index, planned, path, link, SYMLINK_MODE)?;
        }
        Ok(())
    }

    /// Returns the regular file at the path that an `applets` node names.
    pub(super) fn busybox(&self, of: &str, index: usize) -> Result<Content, AssembleError> {
        let found = match self
            .tree
            .get(&entry_path(of.as_bytes(), index)?)
            .map(|entry| &entry.kind)
        {
            Some(Kind::File(content)) => return Ok(content.clone()),
            Some(Kind::Directory) => "a directory",
            Some(Kind::Symlink(_)) => "a symlink",
            Some(Kind::Device { .. }) => "a device",
            None => "not in the image",
        };
        Err(AssembleError::NoBusyBox {
            of: of.to_owned(),
            found,
            entry: index,
        })
    }
}

/// Reads a whole content and compares it with its digest.
fn read(content: &Content) -> Result<Vec<u8>, AssembleError> {
    let path = match &content.place {
        Place::Memory(bytes) => return Ok(bytes.to_vec()),
        Place::File(region) => &region.path,
    };
    let bytes = content
        .head(content.size)
        .map_err(|error| StoreError::io("read", path, error))?;
    let actual = Digest::of(&bytes);
    if actual != content.digest {
        return Err(AssembleError::Store(StoreError::Damaged {
            path: path.clone(),
            expected: content.digest,
            actual,
        }));
    }
    Ok(bytes)
}

/// Returns the entry path of an absolute path of the recipe.
pub(super) fn entry_path(path: &[u8], entry: usize) -> Result<EntryPath, AssembleError> {
    EntryPath::new(path.strip_prefix(b"/").unwrap_or(path)).map_err(|error| AssembleError::Path {
        member: shown(path),
        error,
        entry,
    })
}

/// Returns where a member of an archive lands: below `directory`, without its first `strip` components. `None` where nothing
/// of it is left.
fn placed(directory: &str, strip: u32, member: &[u8]) -> Option<Vec<u8>> {
    let mut rest = member;
    for _ in 0..strip {
        let slash = rest.iter().position(|byte| *byte == b'/')?;
        rest = &rest[slash + 1..];
    }
    if rest.is_empty() {
        return None;
    }
    let mut path = directory.trim_matches('/').as_bytes().to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(rest);
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_lands_below_the_directory_without_its_stripped_components() {
        let cases: [(&str, u32, &str, Option<&str>); 6] = [
            ("/", 0, "usr/bin/x", Some("usr/bin/x")),
            ("/opt", 0, "usr/bin/x", Some("opt/usr/bin/x")),
            ("/opt", 1, "usr/bin/x", Some("opt/bin/x")),
            ("/", 2, "usr/bin/x", Some("x")),
            ("/", 3, "usr/bin/x", None),
            ("/", 1, "usr", None),
        ];
        for (directory, strip, member, path) in cases {
            let placed = placed(directory, strip, member.as_bytes());
            assert_eq!(
                placed.as_deref(),
                path.map(str::as_bytes),
                "{directory} {strip} {member}"
            );
        }
    }
}
