//! Builds that are broken on purpose, in one way each: what `check` must catch, and `diff` explain.
//!
//! Compiled with the feature `broken` alone, which only `tests/check/broken.rs` asks for. The image's name says how it is
//! broken: `broken-umask` lets the umask into the bytes, and so on. Any other image is made as ever.

use std::cell::Cell;
use std::env;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;

use crate::dir;
use crate::tree::{Content, Entry, EntryPath, Kind, Place, Tree};

/// What reaches the bytes although it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// The order in which a process happens to take the entries.
    Order,
    /// The time of the host's files.
    Mtime,
    /// The umask.
    Umask,
    /// The user.
    Uid,
    /// The number of threads.
    Blocks,
    /// The path of the temporary directory.
    Path,
    /// The environment.
    Env,
}

const NAMES: [(&str, Broken); 7] = [
    ("broken-order", Broken::Order),
    ("broken-mtime", Broken::Mtime),
    ("broken-umask", Broken::Umask),
    ("broken-uid", Broken::Uid),
    ("broken-blocks", Broken::Blocks),
    ("broken-path", Broken::Path),
    ("broken-env", Broken::Env),
];

thread_local! {
    /// How the image that this thread packs is broken.
    static BROKEN: Cell<Option<Broken>> = const { Cell::new(None) };
    /// The size of its blocks.
    static BLOCK: Cell<usize> = const { Cell::new(super::blocks::BLOCK) };
}

/// Returns the tree as the image of this name has it, and remembers how it is to be packed.
#[allow(
    clippy::disallowed_methods,
    reason = "what no build may read is what a broken one reads"
)]
pub fn disturbed(name: &str, tree: &Tree) -> Tree {
    let found = NAMES.iter().find(|(known, _)| *known == name);
    let broken = found.map(|(_, broken)| *broken);
    BROKEN.set(broken);
    let mut new = Tree::new(tree.epoch);
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    let mut put = |path: &EntryPath, entry: Entry| {
        // The tree was free of conflicts, and what is put in beside it has a path of its own.
        let _ = new.insert(path.clone(), entry);
    };
    for (path, entry) in tree.iter() {
        let mut entry = entry.clone();
        match broken {
            Some(Broken::Umask) => entry.mode &= !mask.bits(),
            Some(Broken::Uid) => entry.uid = rustix::process::geteuid().as_raw(),
            _ => {}
        }
        put(path, entry);
    }
    let text = match broken {
        Some(Broken::Path) => format!("made in\n{}/build.0\n", env::temp_dir().display()),
        Some(Broken::Env) => ["LANG", "TZ", "USER"]
            .map(|name| format!("{name}={}\n", env::var(name).unwrap_or_default()))
            .concat(),
        _ => return new,
    };
    if let Ok(path) = EntryPath::new(b"note".as_slice()) {
        let kind = Kind::File(Content::memory(text.into_bytes()));
        put(
            &path,
            Entry {
                kind,
                mode: 0o644,
                uid: 0,
                gid: 0,
                origin: None,
            },
        );
    }
    new
}

/// Remembers how many threads there are.
pub(super) fn threads(jobs: NonZeroUsize) {
    BLOCK.set(match BROKEN.get() {
        Some(Broken::Blocks) => 4096 * jobs.get(),
        _ => super::blocks::BLOCK,
    });
}

/// Returns the size of a block.
pub(super) fn block() -> usize {
    BLOCK.get()
}

/// Returns the entries in the order in which they are packed: parents before their children, and otherwise as the number
/// of the process has it.
pub(super) fn ordered<'t>(
    entries: impl Iterator<Item = (&'t EntryPath, &'t Entry)>,
) -> impl Iterator<Item = (&'t EntryPath, &'t Entry)> {
    let mut entries: Vec<_> = entries.collect();
    if BROKEN.get() == Some(Broken::Order) {
        let mixed = |path: &EntryPath| {
            let seed = u64::from(std::process::id()) | 1;
            let mix =
                |mixed: u64, byte: &u8| (mixed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            path.as_bytes()
                .iter()
                .fold(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), mix)
                >> 7
        };
        let depth = |path: &EntryPath| path.as_bytes().iter().filter(|byte| **byte == b'/').count();
        entries.sort_by_key(|(path, _)| (depth(path), mixed(path)));
    }
    entries.into_iter()
}

/// Returns the modification time of an entry.
pub(super) fn mtime(epoch: u32, entry: &Entry) -> u32 {
    let region = match (BROKEN.get(), &entry.kind) {
        (Some(Broken::Mtime), Kind::File(content)) => match &content.place {
            Place::File(region) => region,
            Place::Memory(_) => return epoch,
        },
        _ => return epoch,
    };
    let found = dir::metadata(&region.path).ok();
    let time = found.and_then(|found| u32::try_from(found.mtime()).ok());
    time.unwrap_or(epoch)
}
