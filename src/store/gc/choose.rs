//! What goes and what stays: a function of what is in the cache, what its roots name, and the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::SystemTime;

use super::inventory::{Inventory, Kind, Object};
use crate::digest::Digest;

/// What is to go, and what is to stay.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Digests to keep, beside what the roots name.
    pub keep: BTreeSet<Digest>,
    /// Those of them that must name something in the cache, else nothing is removed.
    pub certain: BTreeSet<Digest>,
    /// The tools that this program would use.
    pub tools: BTreeSet<Digest>,
    /// Roots that keep nothing any more: users' paths.
    pub forget: BTreeSet<PathBuf>,
    /// Only what was not used since then goes.
    pub older: Option<SystemTime>,
    /// Without an age or a size, what was used since then stays.
    pub recent: SystemTime,
    /// All goes that is not needed, what was added too.
    pub all: bool,
    /// The least recently used goes until the cache has no more bytes than this.
    pub max: Option<u64>,
    /// What was found out about this machine before then is found out again.
    pub stale: SystemTime,
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Kept(Why),
    /// It goes.
    Removed,
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A root, a running process or the user needs it.
    Needed,
    /// The user put it in.
    Added,
    /// It was used not long ago, or the rules let as much stay.
    Recent,
    /// It was imported, or is the pinned QEMU.
    Spared,
}

/// What was decided, object by object in the order of the inventory.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) fates: Vec<Fate>,
    /// The bytes that go with each.
    pub(super) freed: Vec<u64>,
    /// When each was last used, itself or by what needs it.
    pub(super) used: Vec<SystemTime>,
    /// The bytes that the cache has then.
    pub(super) left: u64,
}

/// Decides. `blind` says that some root's needs are not known: then nothing goes that anybody could need.
pub(super) fn choose(
    inventory: &Inventory,
    kept: BTreeSet<Digest>,
    blind: bool,
    rules: &Rules,
) -> Chosen {
    let objects = &inventory.objects;
    let by_digest = inventory.by_digest();
    let needed = reach(inventory, &by_digest, &kept);
    let used = last_uses(inventory, &by_digest);
    let mut soft: BTreeSet<Digest> = rules.tools.clone();
    for import in objects.iter().filter(|object| object.kind == Kind::Import) {
        soft.extend(import.digest);
    }
    let spared = reach(inventory, &by_digest, &soft);
    let mut chosen = Chosen {
        fates: vec![Fate::Kept(Why::Recent); objects.len()],
        freed: vec![0; objects.len()],
        used,
        left: inventory.total,
    };
    let mut names = Names::new(inventory);
    let added = match rules.all {
        true => BTreeSet::new(),
        false => reach(inventory, &by_digest, &inventory.added),
    };
    let plain = rules.older.is_none() && rules.max.is_none();
    let (mut goes, mut candidates) = (Vec::new(), Vec::new());
    for (index, object) in objects.iter().enumerate() {
        let (is_needed, is_spared) = (needed.contains(&index), spared.contains(&index));
        let is_going = match object.kind {
            Kind::Garbage => true,
            _ if is_needed || blind => {
                chosen.fates[index] = Fate::Kept(Why::Needed);
                continue;
            }
            _ if rules.all => true,
            _ if added.contains(&index) => {
                chosen.fates[index] = Fate::Kept(Why::Added);
                continue;
            }
            // What is found out about this machine is nobody's: it goes with time.
            Kind::Note if object.digest.is_none() => chosen.used[index] < rules.stale,
            _ if plain && is_spared => {
                chosen.fates[index] = Fate::Kept(Why::Spared);
                continue;
            }
            _ if plain => chosen.used[index] < rules.recent,
            _ => rules.older.is_some_and(|older| chosen.used[index] < older),
        };
        match is_going {
            true => goes.push(index),
            false => candidates.push(index),
        }
    }
    // In this order the bytes of an image's kernel, which is a blob too, are the blob's.
    goes.sort_by_key(|index| objects[*index].kind);
    for index in goes {
        chosen.remove(inventory, index, &mut names);
    }
    let Some(max) = rules.max else {
        return chosen;
    };
    candidates.sort_by_key(|index| {
        let object = &objects[*index];
        (chosen.used[*index], object.kind, &object.name)
    });
    for index in candidates {
        if chosen.left <= max {
            break;
        }
        chosen.remove(inventory, index, &mut names);
    }
    chosen
}

impl Chosen {
    fn remove(&mut self, inventory: &Inventory, index: usize, names: &mut Names) {
        let freed = names.without(inventory, index);
        self.fates[index] = Fate::Removed;
        self.freed[index] = freed;
        self.left = self.left.saturating_sub(freed);
    }
}

/// How many names of each file are left: its bytes go with the last.
struct Names(BTreeMap<(u64, u64), u64>);

impl Names {
    fn new(inventory: &Inventory) -> Names {
        let extents = inventory.objects.iter().flat_map(|object| &object.extents);
        Names(extents.map(|extent| (extent.inode, extent.names)).collect())
    }

    /// Takes the names of an object away, and returns the bytes that go with them.
    fn without(&mut self, inventory: &Inventory, index: usize) -> u64 {
        let mut freed = 0;
        for extent in &inventory.objects[index].extents {
            if let Some(names) = self.0.get_mut(&extent.inode) {
                *names = names.saturating_sub(1);
                if *names == 0 {
                    freed += extent.bytes;
                }
            }
        }
        freed
    }
}

/// Returns every object that is named, or needed by one that is.
fn reach(
    inventory: &Inventory,
    by_digest: &BTreeMap<Digest, Vec<usize>>,
    from: &BTreeSet<Digest>,
) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut seen = from.clone();
    let mut open: Vec<Digest> = from.iter().copied().collect();
    while let Some(digest) = open.pop() {
        for index in by_digest.get(&digest).into_iter().flatten() {
            if reached.insert(*index) {
                let needs = inventory.objects[*index].needs.iter();
                open.extend(needs.filter(|need| seen.insert(**need)));
            }
        }
    }
    reached
}

/// Returns when each object was last used: an import when one of its images was, and everything when what needs it was. Only
/// images, tools and imports are stamped when they are used; a source is used by every image that is made of it.
fn last_uses(inventory: &Inventory, by_digest: &BTreeMap<Digest, Vec<usize>>) -> Vec<SystemTime> {
    let objects = &inventory.objects;
    let own = |object: &Object| object.used.unwrap_or(SystemTime::UNIX_EPOCH);
    let mut used: Vec<SystemTime> = objects.iter().map(own).collect();
    let named = |index: usize| {
        let needs = objects[index].needs.iter();
        needs.flat_map(|need| by_digest.get(need).into_iter().flatten().copied())
    };
    for (index, object) in objects.iter().enumerate() {
        if object.kind == Kind::Import {
            let images = named(index).filter(|other| objects[*other].kind == Kind::Image);
            if let Some(last) = images.map(|image| used[image]).max() {
                used[index] = used[index].max(last);
            }
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for index in 0..objects.len() {
            for other in named(index) {
                if used[other] < used[index] {
                    used[other] = used[index];
                    changed = true;
                }
            }
        }
    }
    used
}
