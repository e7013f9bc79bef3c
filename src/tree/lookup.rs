//! Paths of an image, found as the running system would find them: symlinks are followed within the tree.

use super::{Entry, EntryPath, Kind, Tree};

/// How many symlinks the kernel follows (`MAXSYMLINKS`, `include/linux/namei.h`).
const MAXSYMLINKS: usize = 40;

/// Why a path leads to nothing.
#[derive(Debug)]
pub enum Lost<'a> {
    /// Nothing is there.
    Missing {
        /// The last symlink that led away from the path, and where it led to.
        link: Option<(&'a Entry, EntryPath)>,
    },
    /// Symlinks lead in a circle; one of them.
    Circle(&'a Entry),
}

/// A directory of a tree that is taken for the root; the tree's own is the empty path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root<'a>(pub &'a [u8]);

/// Returns the entry that opening a path gives.
///
/// # Errors
/// [`Lost`] where nothing is there.
pub fn find<'a>(
    tree: &'a Tree,
    root: Root<'_>,
    path: &[u8],
) -> Result<(EntryPath, &'a Entry), Lost<'a>> {
    let floor: Vec<Vec<u8>> = parts(root.0).into_iter().rev().collect();
    let mut pending = parts(path);
    let mut at = floor.clone();
    let mut links = 0;
    let mut last: Option<&Entry> = None;
    let mut found = None;
    while let Some(part) = pending.pop() {
        found = None;
        if part == b".." {
            at.truncate(at.len().saturating_sub(1).max(floor.len()));
            continue;
        }
        at.push(part);
        let Ok(here) = EntryPath::new(&at.join(&b'/')) else {
            return Err(Lost::Missing { link: None });
        };
        let Some(entry) = tree.get(&here) else {
            let link = last.map(|link| (link, here));
            return Err(Lost::Missing { link });
        };
        if let Kind::Symlink(target) = &entry.kind {
            links += 1;
            if links > MAXSYMLINKS {
                return Err(Lost::Circle(entry));
            }
            last = Some(entry);
            at.pop();
            if target.starts_with(b"/") {
                at.clone_from(&floor);
            }
            pending.extend(parts(target));
            continue;
        }
        found = Some((here, entry));
    }
    // A path that ends with `..`: a directory.
    found
        .or_else(|| {
            let here = EntryPath::new(&at.join(&b'/')).ok()?;
            tree.get(&here).map(|entry| (here, entry))
        })
        .ok_or(Lost::Missing { link: None })
}

/// Returns the parts of a path, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_symlinks_are_followed_as_the_kernel_follows() {
        let mut tree = Tree::new(0);
        let mut insert = |path: &str, kind| {
            let entry = Entry {
                kind,
                mode: 0o777,
                uid: 0,
                gid: 0,
                origin: None,
            };
            tree.insert(EntryPath::new(path.as_bytes()).unwrap(), entry)
                .unwrap();
        };
        insert("l0", Kind::Directory);
        for number in 1..=MAXSYMLINKS + 1 {
            let target = format!("l{}", number - 1);
            insert(&format!("l{number}"), Kind::Symlink(target.into_bytes()));
        }
        let at = |number: usize| find(&tree, Root(b""), format!("/l{number}").as_bytes());
        assert_eq!(MAXSYMLINKS, 40);
        assert!(matches!(at(MAXSYMLINKS), Ok((path, _)) if path.as_bytes() == b"l0"));
        assert!(matches!(at(MAXSYMLINKS + 1), Err(Lost::Circle(_))));
    }
}
