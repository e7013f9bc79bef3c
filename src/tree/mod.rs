//! The root file system in memory: sorted paths to entries, complete (every parent is there) and free of conflicts.
//!
//! A tree is built with [`Tree::insert`] and [`Tree::replace`], which refuse what no archive should hold: two entries at one
//! path, an entry below something that is no directory. Parents are made as needed. The bytes of files are not in the tree:
//! a [`Content`] says where they are and what they must hash to.

mod dump;
mod entry;
pub mod lookup;
mod path;

use std::collections::BTreeMap;
use std::collections::btree_map;

pub use dump::permissions;
pub use entry::{Content, DeviceClass, Entry, Kind, Place, Region};
pub use path::{EntryPath, PATH_MAX, PathError};

/// A root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The modification time of every entry, in seconds since 1970.
    pub epoch: u32,
    entries: BTreeMap<EntryPath, Entry>,
}

/// Why an entry cannot be put at its path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Something else is there.
    #[error("`{path}` is there already")]
    Taken {
        /// The path.
        path: EntryPath,
        /// The origin of what is there.
        origin: Option<usize>,
    },
    /// A directory is there whose mode or owner is another one.
    #[error("the directory `{path}` is there already, as {there}, not {wanted}")]
    Differs {
        /// The path.
        path: EntryPath,
        /// Mode and owner of what is there.
        there: String,
        /// Mode and owner of what should be there.
        wanted: String,
        /// The origin of what is there.
        origin: Option<usize>,
    },
    /// A parent is no directory: the kernel would follow a symlink out of the place that is meant, or drop the entry.
    #[error("`{parent}`, which should hold `{path}`, is a {kind}, not a directory")]
    Parent {
        /// The path of the entry.
        path: EntryPath,
        /// The parent that is no directory.
        parent: EntryPath,
        /// What it is.
        kind: &'static str,
        /// The origin of the parent.
        origin: Option<usize>,
    },
    /// A directory with entries in it cannot become something else.
    #[error("`{path}` holds `{child}` and can be nothing but a directory")]
    Occupied {
        /// The path.
        path: EntryPath,
        /// An entry below it.
        child: EntryPath,
        /// The origin of that entry.
        origin: Option<usize>,
    },
}

impl Tree {
    /// Returns a tree without entries.
    pub fn new(epoch: u32) -> Tree {
        Tree {
            epoch,
            entries: BTreeMap::new(),
        }
    }

    /// Puts an entry at a path where nothing is, and its missing parents (mode 0o755, owner 0:0, no origin). A parent that
    /// was made so gives way to an entry of its own; so does a directory to an equal one.
    ///
    /// # Errors
    /// [`Conflict`]; the tree is unchanged then.
    pub fn insert(&mut self, path: EntryPath, entry: Entry) -> Result<(), Conflict> {
        if let Some(there) = self.entries.get(&path) {
            let both_directories = there.kind == Kind::Directory && entry.kind == Kind::Directory;
            let equal = (there.mode, there.uid, there.gid) == (entry.mode, entry.uid, entry.gid);
            let made_as_parent = there.origin.is_none();
            if both_directories && equal && !made_as_parent {
                return Ok(());
            }
            if !(both_directories && made_as_parent) {
                let origin = there.origin;
                if both_directories {
                    let told =
                        |entry: &Entry| format!("0o{:03o} {}:{}", entry.mode, entry.uid, entry.gid);
                    let (there, wanted) = (told(there), told(&entry));
                    return Err(Conflict::Differs {
                        path,
                        there,
                        wanted,
                        origin,
                    });
                }
                return match (made_as_parent, self.child(&path)) {
                    (true, Some((child, below))) => Err(Conflict::Occupied {
                        child: child.clone(),
                        origin: below.origin,
                        path,
                    }),
                    _ => Err(Conflict::Taken { path, origin }),
                };
            }
        }
        self.put(path, entry)
    }

    /// Puts an entry at a path in the place of whatever is there.
    ///
    /// # Errors
    /// [`Conflict`] where a parent is no directory, or a directory with entries in it would become something else.
    pub fn replace(&mut self, path: EntryPath, entry: Entry) -> Result<(), Conflict> {
        if entry.kind != Kind::Directory
            && let Some((child, below)) = self.child(&path)
        {
            return Err(Conflict::Occupied {
                child: child.clone(),
                origin: below.origin,
                path,
            });
        }
        self.put(path, entry)
    }

    fn put(&mut self, path: EntryPath, entry: Entry) -> Result<(), Conflict> {
        let mut missing = Vec::new();
        let mut up = path.parent();
        while let Some(parent) = up {
            match self.entries.get(&parent) {
                Some(found) if found.kind == Kind::Directory => break,
                Some(found) => {
                    return Err(Conflict::Parent {
                        path,
                        kind: found.kind.name(),
                        origin: found.origin,
                        parent,
                    });
                }
                None => {
                    up = parent.parent();
                    missing.push(parent);
                }
            }
        }
        for parent in missing {
            self.entries.insert(parent, Entry::parent());
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Returns the first entry below a path.
    fn child(&self, path: &EntryPath) -> Option<(&EntryPath, &Entry)> {
        let mut prefix = path.as_bytes().to_vec();
        prefix.push(b'/');
        let from = self.entries.range(EntryPath::lower_bound(&prefix)..);
        from.take(1)
            .find(|(below, _)| below.as_bytes().starts_with(&prefix))
    }

    /// Returns the entry at a path.
    pub fn get(&self, path: &EntryPath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Returns the entry at a path, with the path as the tree has it.
    pub fn get_key_value(&self, path: &EntryPath) -> Option<(&EntryPath, &Entry)> {
        self.entries.get_key_value(path)
    }

    /// Returns all entries, ordered by the bytes of their paths: parents before children.
    pub fn iter(&self) -> btree_map::Iter<'_, EntryPath, Entry> {
        self.entries.iter()
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> IntoIterator for &'a Tree {
    type Item = (&'a EntryPath, &'a Entry);
    type IntoIter = btree_map::Iter<'a, EntryPath, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.as_bytes()).unwrap()
    }

    fn entry(kind: Kind, origin: usize) -> Entry {
        Entry {
            kind,
            mode: 0o755,
            uid: 0,
            gid: 0,
            origin: Some(origin),
        }
    }

    fn link(origin: usize) -> Entry {
        entry(Kind::Symlink(b"x".to_vec()), origin)
    }

    #[test]
    fn parents_are_made_and_stand_before_their_children_in_byte_order() {
        let mut tree = Tree::new(0);
        for name in ["a/b/c", "a-b", "a/b-c", "Z"] {
            tree.insert(path(name), link(1)).unwrap();
        }
        let order: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(order, ["/Z", "/a", "/a-b", "/a/b", "/a/b-c", "/a/b/c"]);
    }

    // pitfall 11
    #[test]
    fn two_entries_at_one_path_are_refused_unless_one_replaces_the_other() {
        let mut tree = Tree::new(0);
        tree.insert(path("a"), link(1)).unwrap();
        let taken = Conflict::Taken {
            path: path("a"),
            origin: Some(1),
        };
        assert_eq!(tree.insert(path("a"), link(2)), Err(taken));
        tree.replace(path("a"), link(2)).unwrap();
        assert_eq!(tree.get(&path("a")).unwrap().origin, Some(2));
    }

    // pitfall 12
    #[test]
    fn an_entry_below_a_symlink_or_file_is_refused() {
        let mut tree = Tree::new(0);
        tree.insert(path("a"), link(1)).unwrap();
        let error = tree.insert(path("a/b/c"), link(2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/a`, which should hold `/a/b/c`, is a symlink, not a directory"
        );
        assert_eq!(tree.len(), 1);
    }

    #[test]
    fn a_directory_that_holds_something_stays_a_directory() {
        let mut tree = Tree::new(0);
        tree.insert(path("a/b"), link(1)).unwrap();
        for change in [Tree::insert, Tree::replace] {
            let error = change(&mut tree, path("a"), link(2)).unwrap_err();
            assert!(matches!(error, Conflict::Occupied { .. }), "{error}");
        }
        let mut private = entry(Kind::Directory, 3);
        private.mode = 0o700;
        tree.insert(path("a"), private.clone()).unwrap();
        assert_eq!(tree.get(&path("a")), Some(&private));
        tree.insert(path("a"), private.clone()).unwrap();
        let error = tree
            .insert(path("a"), entry(Kind::Directory, 4))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the directory `/a` is there already, as 0o700 0:0, not 0o755 0:0"
        );
    }
}
