//! The libraries of a program, looked for as its loader would do it (`ld.so(8)`; `ldso/dynlink.c` of musl).
//!
//! Each file is followed once, whatever number of programs need it. Where the real search depends on what only a running system
//! knows, as `LD_LIBRARY_PATH` or a cache that was never made, a library counts as found if it could be.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use glob::{MatchOptions, Pattern};

use super::elf::{Dynamic, Elf};
use crate::tree::lookup::{Root, find};
use crate::tree::{Content, EntryPath, Kind, Tree};

/// The most bytes of a file that names directories.
const CONFIGURATION: u64 = 64 * 1024;
/// How deep such files may include others.
const INCLUDES: usize = 4;

/// Whose rules a loader follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flavour {
    /// glibc's, and those of every loader that is not known.
    Glibc,
    /// musl's, for the machine by the name that musl has for it.
    Musl(Vec<u8>),
}

impl Flavour {
    /// Returns the rules of a loader by its name: `ld-musl-x86_64.so.1`, say.
    pub(super) fn of(loader: &[u8]) -> Flavour {
        let name = loader.rsplit(|byte| *byte == b'/').next();
        match name.and_then(|name| name.strip_prefix(b"ld-musl-")) {
            Some(rest) => {
                let end = rest.iter().position(|byte| *byte == b'.');
                Flavour::Musl(rest[..end.unwrap_or(rest.len())].to_vec())
            }
            None => Flavour::Glibc,
        }
    }
}

/// A library that is not found.
pub(super) struct MissingLibrary<'a> {
    /// Its name, as the file that needs it has it.
    pub(super) name: Vec<u8>,
    /// The machine for which a file of this name is there.
    pub(super) elsewhere: Option<String>,
    /// The file that needs it.
    pub(super) needed_by: &'a EntryPath,
}

/// The libraries of a tree.
pub(super) struct Libraries<'a> {
    tree: &'a Tree,
    /// Names that what was followed has as a library: a loader takes these for what is needed, whatever the file's name is.
    pub(super) sonames: BTreeSet<Vec<u8>>,
    followed: BTreeSet<(EntryPath, Vec<u8>, Vec<Vec<u8>>)>,
    standard: BTreeMap<(Vec<u8>, Flavour, String), Rc<Vec<Vec<u8>>>>,
}

/// A file whose needs are to be followed.
struct Object<'a> {
    path: &'a EntryPath,
    dynamic: Dynamic,
    /// Directories of those that loaded it (`DT_RPATH`).
    inherited: Vec<Vec<u8>>,
}

/// What a search has in common.
struct Search<'s> {
    root: Root<'s>,
    musl: bool,
    program: &'s Elf,
    standard: Rc<Vec<Vec<u8>>>,
}

impl<'a> Libraries<'a> {
    /// Returns the libraries of a tree, of which nothing is known yet.
    pub(super) fn new(tree: &'a Tree) -> Libraries<'a> {
        Libraries {
            tree,
            sonames: BTreeSet::new(),
            followed: BTreeSet::new(),
            standard: BTreeMap::new(),
        }
    }

    /// Takes a name that a loader has for itself.
    pub(super) fn loaded_by_itself(&mut self, name: Option<Vec<u8>>) {
        self.sonames.extend(name);
    }

    /// Returns what a program and its libraries need and is not there, apart from what was told for another program.
    pub(super) fn missing(
        &mut self,
        root: Root<'_>,
        flavour: Flavour,
        path: &'a EntryPath,
        program: &Elf,
        dynamic: Dynamic,
    ) -> Vec<MissingLibrary<'a>> {
        let search = Search {
            root,
            musl: flavour != Flavour::Glibc,
            program,
            standard: self.standard(root, flavour, program),
        };
        let mut missing = Vec::new();
        let mut pending = vec![Object {
            path,
            dynamic,
            inherited: Vec::new(),
        }];
        while let Some(object) = pending.pop() {
            let (own, inherited) = search.directories(&object);
            let Object { path, dynamic, .. } = object;
            self.sonames.extend(dynamic.soname);
            for name in dynamic.needed {
                if search.musl && is_musl_itself(&name) {
                    continue;
                }
                match self.library(&search, &own, path, &name) {
                    Err(elsewhere) => missing.push(MissingLibrary {
                        name,
                        elsewhere,
                        needed_by: path,
                    }),
                    Ok((found, elf, content)) => {
                        let key = (found.clone(), root.0.to_vec(), inherited.clone());
                        if self.followed.insert(key) {
                            pending.push(Object {
                                path: found,
                                dynamic: elf.dynamic(content),
                                inherited: inherited.clone(),
                            });
                        }
                    }
                }
            }
        }
        missing
    }

    /// Returns the file of a library that would be loaded, or for what machine there is one.
    fn library(
        &self,
        search: &Search<'_>,
        own: &[Vec<u8>],
        from: &EntryPath,
        name: &[u8],
    ) -> Result<(&'a EntryPath, Elf, &'a Content), Option<String>> {
        let mut elsewhere = None;
        let candidates: Vec<Vec<u8>> = match name.contains(&b'/') {
            true => vec![expanded(name, from, search.root)],
            false => own
                .iter()
                .chain(search.standard.iter())
                .map(|directory| [directory, &b"/"[..], name].concat())
                .collect(),
        };
        for path in candidates {
            let Ok((path, _)) = find(self.tree, search.root, &path) else {
                continue;
            };
            let Some((path, entry)) = self.tree.get_key_value(&path) else {
                continue;
            };
            if let Kind::File(content) = &entry.kind
                && let Ok(elf) = Elf::read(content)
            {
                if elf.fits(search.program) {
                    return Ok((path, elf, content));
                }
                elsewhere = elsewhere.or(Some(elf.machine_name()));
            }
        }
        Err(elsewhere)
    }

    /// Returns the directories that a loader searches last.
    fn standard(&mut self, root: Root<'_>, flavour: Flavour, program: &Elf) -> Rc<Vec<Vec<u8>>> {
        let key = (root.0.to_vec(), flavour, program.machine_name());
        if let Some(known) = self.standard.get(&key) {
            return Rc::clone(known);
        }
        let mut all: Vec<Vec<u8>> = Vec::new();
        let words = |words: &[&str]| -> Vec<Vec<u8>> {
            words.iter().map(|word| word.as_bytes().to_vec()).collect()
        };
        match &key.1 {
            Flavour::Glibc => {
                self.configured(root, b"etc/ld.so.conf", INCLUDES, &mut all);
                all.extend(words(program.library_directories()));
            }
            Flavour::Musl(machine) => {
                let path = [b"etc/ld-musl-", &machine[..], b".path"].concat();
                match self.text(root, &path) {
                    Some(text) => {
                        let split = text.split(|byte| matches!(byte, b'\n' | b':'));
                        all.extend(split.map(<[u8]>::to_vec));
                    }
                    None => all.extend(words(&["lib", "usr/local/lib", "usr/lib"])),
                }
            }
        }
        let all = Rc::new(all);
        self.standard.insert(key, Rc::clone(&all));
        all
    }

    /// Adds the directories that a file as `/etc/ld.so.conf` names.
    fn configured(&self, root: Root<'_>, path: &[u8], depth: usize, all: &mut Vec<Vec<u8>>) {
        let Some(text) = self.text(root, path) else {
            return;
        };
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let words = line.split(|byte| matches!(byte, b' ' | b'\t' | b',' | b':' | b'\r'));
            let mut words = words.filter(|word| !word.is_empty());
            match words.next() {
                Some(b"include") if depth > 0 => {
                    for pattern in words {
                        for path in self.matching(root, pattern) {
                            self.configured(root, &path, depth - 1, all);
                        }
                    }
                }
                Some(first) => all.extend(std::iter::once(first).chain(words).map(<[u8]>::to_vec)),
                None => {}
            }
        }
    }

    /// Returns the paths below a root that a pattern matches, which starts in `/etc` where it is relative.
    fn matching(&self, root: Root<'_>, pattern: &[u8]) -> Vec<Vec<u8>> {
        let absolute = match pattern.strip_prefix(b"/") {
            Some(rest) => rest.to_vec(),
            None => [b"etc/", pattern].concat(),
        };
        let Some(pattern) = String::from_utf8(absolute)
            .ok()
            .and_then(|text| Pattern::new(&text).ok())
        else {
            return Vec::new();
        };
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::new()
        };
        let below = |path: &'a EntryPath| {
            let rest = path.as_bytes().strip_prefix(root.0)?;
            let rest = if root.0.is_empty() {
                rest
            } else {
                rest.strip_prefix(b"/")?
            };
            Some(rest).filter(|rest| {
                std::str::from_utf8(rest).is_ok_and(|rest| pattern.matches_with(rest, options))
            })
        };
        let found = self.tree.iter().filter_map(|(path, _)| below(path));
        found.map(<[u8]>::to_vec).collect()
    }

    fn text(&self, root: Root<'_>, path: &[u8]) -> Option<Vec<u8>> {
        let (_, entry) = find(self.tree, root, path).ok()?;
        match &entry.kind {
            Kind::File(content) => content.head(CONFIGURATION).ok(),
            _ => None,
        }
    }
}

impl Search<'_> {
    /// Returns the directories in which an object's own needs are looked for before the standard ones, and those that what it
    /// loads inherits.
    fn directories(&self, object: &Object<'_>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let list = |text: &Option<Vec<u8>>| -> Vec<Vec<u8>> {
            let text = text.as_deref().unwrap_or_default();
            let parts = text.split(|byte| *byte == b':');
            let parts = parts.filter(|part| !part.is_empty());
            parts
                .map(|part| expanded(part, object.path, self.root))
                .collect()
        };
        let (rpath, runpath) = (list(&object.dynamic.rpath), list(&object.dynamic.runpath));
        if self.musl {
            // Both are the same, and both are inherited.
            let own = [rpath, runpath, object.inherited.clone()].concat();
            return (own.clone(), own);
        }
        if object.dynamic.runpath.is_some() {
            return (runpath, object.inherited.clone());
        }
        let own = [rpath, object.inherited.clone()].concat();
        (own.clone(), own)
    }
}

/// Returns a path with what a loader replaces in it: `$ORIGIN` is the directory of the file that names it, `$LIB` and
/// `$PLATFORM` are what they usually are.
fn expanded(path: &[u8], from: &EntryPath, root: Root<'_>) -> Vec<u8> {
    let origin = from.parent().map(|up| up.as_bytes().to_vec());
    let origin = origin.unwrap_or_default();
    let origin = origin.strip_prefix(root.0).unwrap_or_default();
    let mut path = path.to_vec();
    for (word, value) in [
        (&b"${ORIGIN}"[..], origin),
        (b"$ORIGIN", origin),
        (b"${LIB}", b"lib"),
        (b"$LIB", b"lib"),
    ] {
        while let Some(at) = path.windows(word.len()).position(|window| window == word) {
            path.splice(at..at + word.len(), value.iter().copied());
        }
    }
    path
}

/// Says whether musl's loader is this library itself (`load_library` in `ldso/dynlink.c`).
fn is_musl_itself(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"lib") else {
        return false;
    };
    let stem = rest.split(|byte| *byte == b'.').next().unwrap_or_default();
    stem.len() < rest.len()
        && [&b"c"[..], b"pthread", b"rt", b"m", b"dl", b"util", b"xnet"].contains(&stem)
}
