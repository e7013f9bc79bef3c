//! Garbage collection: what no root and no lock needs is removed (`docs/cache.md` is for the user).
//!
//! ```text
//! roots/, leases, --keep --mention--> digests --reach--> needed objects
//! cache --inventory--> objects --choose(rules)--> what goes --rename--> tmp/N --remove--> nothing
//! ```
//!
//! An object is needed where something that is needed names its digest in its text: a lock names plans and sources, an image
//! its sources, a listing its blobs. Nothing is parsed, so nothing is lost since a text cannot be parsed.
//!
//! It is decided while nobody else is in the cache, and what goes loses its name there by a rename; the bytes are removed when
//! the others are let in again. Killed at any moment, gc leaves a working cache: each object is there whole or not at all, and
//! what lies in `tmp/N` is swept by the next process.

mod choose;
mod inventory;
mod mention;
mod removal;
mod root;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use choose::{Fate, Rules, Why};
pub use inventory::{Kind, Object};
pub use mention::mentions;
pub use root::{Root, RootState};

use super::StoreError;
use super::door::Alone;
use crate::digest::Digest;
use crate::dir;
use choose::choose;
use inventory::inventory;

/// How the line of CACHEDIR.TAG begins that says whose cache it is.
const OURS: &str = "# This directory is a cache of mkimg.";

/// What was found, and what became of it or would.
#[derive(Debug, Default)]
pub struct Collection {
    /// What goes, in the order in which it does.
    pub removed: Vec<Removed>,
    /// The objects of each kind: how many go and how many stay, with their bytes.
    pub kinds: BTreeMap<Kind, Count>,
    /// Why what stays does.
    pub kept: BTreeMap<Why, Count>,
    /// The bytes of the cache before.
    pub before: u64,
    /// The bytes of the cache after.
    pub after: u64,
    /// Roots, by path.
    pub roots: Vec<Root>,
    /// Things that were passed over.
    pub warnings: Vec<String>,
    /// Digests that must name something in the cache, and do not.
    pub unknown: BTreeSet<Digest>,
}

/// Something that goes.
#[derive(Debug, Clone)]
pub struct Removed {
    /// What it is.
    pub kind: Kind,
    /// Its path in the cache.
    pub name: PathBuf,
    /// The bytes that go with it.
    pub bytes: u64,
    /// When it was last used.
    pub used: SystemTime,
}

/// How many objects, and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Objects that go.
    pub removed: usize,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Objects that stay.
    pub kept: usize,
    /// Their bytes; a file with several names counts once.
    pub kept_bytes: u64,
}

/// Everything that was decided.
struct Decision {
    collection: Collection,
    /// The objects that go, in order.
    goes: Vec<Object>,
    /// Links in `roots/` that lead nowhere.
    links: Vec<PathBuf>,
}

/// Returns what [`collect`] would remove now, and removes nothing. An empty or missing directory is an empty cache.
///
/// # Errors
/// [`StoreError::NotACache`] for any other directory, [`StoreError`] where something cannot be read.
pub fn preview(root: &Path, rules: &Rules) -> Result<Collection, StoreError> {
    match cache(root)? {
        Some(root) => Ok(decide(&root, rules)?.collection),
        None => Ok(Collection::default()),
    }
}

/// Removes what the rules let go. Others that use the cache are waited for, where `wait` says so: `waiting` is told once how
/// many there are, 0 where that is not known.
///
/// # Errors
/// As [`preview`]; [`StoreError::InUse`] where others use the cache and `wait` does not say to wait for them;
/// [`StoreError::NotWritable`] where it is not this user's to write. Where [`Collection::unknown`] is not empty nothing was removed.
pub fn collect(
    root: &Path,
    rules: &Rules,
    wait: bool,
    waiting: &mut dyn FnMut(usize),
) -> Result<Collection, StoreError> {
    let Some(root) = &cache(root)? else {
        return Ok(Collection::default());
    };
    let before = decide(root, rules)?;
    if before.goes.is_empty() && before.links.is_empty() || !before.collection.unknown.is_empty() {
        return Ok(before.collection);
    }
    let trash = removal::Trash::new(root)?;
    let alone = Alone::take(root, wait, waiting)?.ok_or_else(|| StoreError::InUse {
        path: root.to_path_buf(),
    })?;
    // Once more: others may have made something, or have come to need it.
    let Decision {
        mut collection,
        goes,
        links,
    } = decide(root, rules)?;
    let own = trash.bytes();
    collection.before -= own;
    collection.after -= own;
    if collection.unknown.is_empty() {
        let (trash, taken) = trash.take(root, &goes, &links);
        drop(alone);
        taken.and(trash.empty())?;
    }
    // What was swept on the way in counts too: it is gone since the first look.
    let swept = before.goes.iter().filter(|object| {
        object.kind == Kind::Garbage && !goes.iter().any(|other| other.name == object.name)
    });
    for object in swept {
        collection.count_swept(&before.collection, object);
    }
    Ok(collection)
}

impl Collection {
    fn count_swept(&mut self, before: &Collection, object: &Object) {
        let listed = before.removed.iter().find(|gone| gone.name == object.name);
        if let Some(gone) = listed {
            let count = self.kinds.entry(gone.kind).or_default();
            count.removed += 1;
            count.removed_bytes += gone.bytes;
            self.before += gone.bytes;
            self.removed.insert(0, gone.clone());
        }
    }

    /// Returns the roots whose needs nobody knows.
    pub fn unreadable(&self) -> impl Iterator<Item = (&Root, &str)> {
        self.roots.iter().filter_map(|root| match &root.state {
            RootState::Unreadable(why) => Some((root, why.as_str())),
            _ => None,
        })
    }

    /// Returns the bytes that go.
    pub fn freed(&self) -> u64 {
        self.before - self.after
    }
}

fn decide(root: &Path, rules: &Rules) -> Result<Decision, StoreError> {
    let mut roots = root::roots(root)?;
    for root in &mut roots {
        if rules.forget.contains(&root.path) {
            root.state = RootState::Gone;
        }
    }
    let inventory = inventory(root)?;
    let mut kept: BTreeSet<Digest> = rules.keep.clone();
    kept.extend(&inventory.leased);
    for root in &roots {
        if let RootState::Keeps(digests) = &root.state {
            kept.extend(digests);
        }
    }
    let blind = roots
        .iter()
        .any(|root| matches!(root.state, RootState::Unreadable(_)));
    let chosen = choose(&inventory, kept, blind, rules);
    let named = inventory.by_digest();
    let mut collection = Collection {
        before: inventory.total,
        after: chosen.left,
        unknown: rules
            .certain
            .iter()
            .filter(|digest| !named.contains_key(digest))
            .copied()
            .collect(),
        warnings: inventory.warnings,
        ..Collection::default()
    };
    let mut goes = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, object) in inventory.objects.into_iter().enumerate() {
        let count = collection.kinds.entry(object.kind).or_default();
        if let Fate::Kept(why) = chosen.fates[index] {
            let own = object.extents.iter();
            let own = own.filter(|extent| seen.insert(extent.inode));
            let bytes = own.map(|extent| extent.bytes).sum::<u64>();
            for count in [count, collection.kept.entry(why).or_default()] {
                count.kept += 1;
                count.kept_bytes += bytes;
            }
            continue;
        }
        count.removed += 1;
        count.removed_bytes += chosen.freed[index];
        let gone = Removed {
            kind: object.kind,
            name: object.name.clone(),
            bytes: chosen.freed[index],
            used: chosen.used[index],
        };
        goes.push((gone, object));
    }
    goes.sort_by(|(a, _), (b, _)| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    let (removed, goes): (Vec<Removed>, Vec<Object>) = goes.into_iter().unzip();
    collection.removed = removed;
    let gone = roots.iter().filter(|root| root.state == RootState::Gone);
    let links = gone.map(|root| root.link.clone()).collect();
    collection.roots = roots;
    Ok(Decision {
        collection,
        goes,
        links,
    })
}

/// Holds a cache of mkimg, and returns where it really is: it may be named by a symlink, and no other is followed. `None` for
/// an empty one: nothing, or nothing in it.
pub(super) fn cache(root: &Path) -> Result<Option<PathBuf>, StoreError> {
    use io::ErrorKind::{InvalidData, NotADirectory, NotFound};
    let not = || StoreError::NotACache {
        path: root.to_path_buf(),
    };
    let held = match dir::hold(root) {
        Ok(held) => held,
        Err(error) if error.kind() == NotFound => return Ok(None),
        Err(error) if error.kind() == NotADirectory => return Err(not()),
        Err(error) => return Err(StoreError::io("open", root, error)),
    };
    let tag = held.join("CACHEDIR.TAG");
    match dir::read_to_string(&tag) {
        Ok(text) if text.lines().any(|line| line.starts_with(OURS)) => Ok(Some(held)),
        Ok(_) => Err(not()),
        Err(error) if error.kind() == NotFound => {
            let entries = dir::entries(&held);
            let entries = entries.map_err(|error| StoreError::io("read", root, error))?;
            let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
            // A project keeps its `cache/` in Git by such a file.
            let hidden = |path: &PathBuf| name(path).as_encoded_bytes().starts_with(b".");
            match entries.iter().all(hidden) {
                true => Ok(None),
                false => Err(not()),
            }
        }
        Err(error) if error.kind() == InvalidData => Err(not()),
        Err(error) => Err(StoreError::io("read", &tag, error)),
    }
}
