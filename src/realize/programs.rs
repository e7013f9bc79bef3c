//! The programs of a tree that would not start: what they need is not there, they are for another machine, or not executable.
//!
//! Every file with an execute bit is looked at, and whatever lies in a directory of PATH; of each the headers alone. What a
//! program needs is followed through its libraries as its loader would do. A library that nothing needs is left alone: it may be
//! one that a program opens if it is there (`dlopen`), and so is firmware, which is for other processors.

use std::collections::BTreeSet;

use super::elf::Elf;
use super::findings::{Fault, Findings};
use super::libraries::{Flavour, Libraries};
use super::script::{BINPRM_BUF_SIZE, Shebang};
use crate::plan::{Plan, Problem};
use crate::tree::lookup::{Root, find};
use crate::tree::{Content, Entry, EntryPath, Kind, Tree};

/// The directories that a shell searches for programs unless it is told otherwise.
const PATH: [&str; 6] = [
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];
/// What lies below these is no program of this system, whatever its mode is.
const NO_PROGRAMS: [&str; 5] = [
    "boot/",
    "lib/firmware/",
    "usr/lib/firmware/",
    "usr/share/doc/",
    "usr/lib/debug/",
];

/// Returns what is in a tree and would not work, as warnings.
pub(super) fn warnings(plan: &Plan, tree: &Tree) -> Vec<Problem> {
    let real = |directory: &&str| find(tree, Root(b""), directory.as_bytes()).ok();
    let path = PATH.iter().filter_map(real).map(|(path, _)| path);
    let mut survey = Survey {
        plan,
        tree,
        path: path.collect(),
        libraries: Libraries::new(tree),
        findings: Findings::default(),
    };
    for (path, entry) in tree {
        if let Kind::File(content) = &entry.kind {
            survey.file(path, entry, content);
        }
    }
    let Survey {
        findings,
        libraries,
        ..
    } = survey;
    findings.diagnostics(plan, tree, &libraries.sonames)
}

struct Survey<'a> {
    plan: &'a Plan,
    tree: &'a Tree,
    /// The directories of PATH that there are.
    path: BTreeSet<EntryPath>,
    libraries: Libraries<'a>,
    findings: Findings<'a>,
}

impl<'a> Survey<'a> {
    fn file(&mut self, path: &'a EntryPath, entry: &'a Entry, content: &'a Content) {
        let in_path = path.parent().is_some_and(|up| self.path.contains(&up));
        let executable = entry.mode & 0o111 != 0;
        let is_below = |place: &str| path.as_bytes().starts_with(place.as_bytes());
        if !(executable || in_path) || NO_PROGRAMS.iter().any(|place| is_below(place)) {
            return;
        }
        // What cannot be read is told when it is packed.
        let Ok(head) = content.head(BINPRM_BUF_SIZE as u64) else {
            return;
        };
        let would_run = if let Some(line) = Shebang::read(&head) {
            // Without an execute bit outside of PATH, a script may be one that others read.
            self.script(path, &line);
            true
        } else {
            head.starts_with(b"\x7fELF") && self.elf(path, content, in_path)
        };
        if would_run && !executable {
            self.findings.add(Fault::NotExecutable, path);
        }
    }

    /// Looks at an ELF file; says whether it is a program.
    fn elf(&mut self, path: &'a EntryPath, content: &'a Content, in_path: bool) -> bool {
        let Ok(elf) = Elf::read(content) else {
            return false;
        };
        if !elf.is_loadable() {
            return false;
        }
        let dynamic = elf.dynamic(content);
        let is_program = elf.is_fixed()
            || dynamic.is_pie
            || dynamic.soname.is_none() && (in_path || elf.loader.is_some());
        if !is_program {
            return false;
        }
        let arch = self.plan.arch;
        if !elf.is_for(arch) {
            let machine = elf.machine_name();
            let Some(option) = elf.compatible(arch) else {
                self.findings.add(Fault::Foreign { machine }, path);
                return true;
            };
            self.findings
                .add(Fault::Compatible { machine, option }, path);
        }
        if let Some(loader) = &elf.loader {
            let root = self.root(path, loader);
            // Libraries need it, too: told once.
            let name = loader.rsplit(|byte| *byte == b'/').next();
            self.libraries.loaded_by_itself(name.map(<[u8]>::to_vec));
            match self.loader(root, &elf, loader) {
                Ok(soname) => self.libraries.loaded_by_itself(soname),
                Err(why) => {
                    let name = loader.clone();
                    self.findings.add(Fault::Loader { name, why }, path);
                }
            }
            let flavour = Flavour::of(loader);
            for missing in self.libraries.missing(root, flavour, path, &elf, dynamic) {
                self.findings.add(
                    Fault::Library {
                        name: missing.name,
                        elsewhere: missing.elsewhere,
                    },
                    missing.needed_by,
                );
            }
        }
        true
    }

    /// Checks a loader; returns its name as a library where it has one, or what is wrong.
    fn loader(
        &self,
        root: Root<'_>,
        program: &Elf,
        loader: &[u8],
    ) -> Result<Option<Vec<u8>>, &'static str> {
        let missing = "is not in the image";
        let (_, entry) = find(self.tree, root, loader).map_err(|_| missing)?;
        let Kind::File(content) = &entry.kind else {
            return Err("is no file");
        };
        if entry.mode & 0o111 == 0 {
            return Err("is not executable");
        }
        match Elf::read(content) {
            Ok(elf) if elf.fits(program) => Ok(elf.dynamic(content).soname),
            _ => Err("is for another machine"),
        }
    }

    fn script(&mut self, path: &'a EntryPath, line: &Shebang<'_>) {
        let word = line.interpreter;
        if word.is_empty() {
            return;
        }
        let root = self.root(path, word);
        let why = match find(self.tree, root, word) {
            _ if !word.starts_with(b"/") => Some("is no absolute path"),
            Ok((_, entry)) if !matches!(entry.kind, Kind::File(_)) => Some("is no file"),
            Ok((_, entry)) if entry.mode & 0o111 == 0 => Some("is not executable"),
            Ok(_) => None,
            Err(_) => Some("is not in the image"),
        };
        if let Some(why) = why {
            let name = word.to_vec();
            self.findings.add(Fault::Interpreter { name, why }, path);
        } else if word.ends_with(b"/env")
            && let Some(name) = env_program(line.argument)
            && !self.is_in_path(root, name)
        {
            let name = name.to_vec();
            self.findings.add(Fault::Command { name }, path);
        }
    }

    /// Says whether `env` would find a program.
    fn is_in_path(&self, root: Root<'_>, name: &[u8]) -> bool {
        let is_there = |path: &[u8]| find(self.tree, root, path).is_ok();
        name.contains(&b'/') && is_there(name)
            || PATH
                .iter()
                .any(|directory| is_there(&[directory.as_bytes(), b"/", name].concat()))
    }

    /// Returns the directory that is the root for a program: the image's, or one above the program that has what it names, as
    /// a root file system inside of the image has.
    fn root(&self, path: &'a EntryPath, needed: &[u8]) -> Root<'a> {
        let bytes = path.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = std::iter::once(0).chain(slashes.map(|(at, _)| at));
        ends.map(|end| Root(&bytes[..end]))
            .find(|root| find(self.tree, *root, needed).is_ok())
            .unwrap_or(Root(b""))
    }
}

/// Returns the program that `env` starts for its argument on a script's first line; nothing where it starts none.
fn env_program(argument: &[u8]) -> Option<&[u8]> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    // Everything behind `env` is one argument, unless it begins with `-S`.
    let split = argument
        .strip_prefix(b"-S")
        .or_else(|| argument.strip_prefix(b"--split-string="));
    let Some(words) = split else {
        return Some(argument).filter(|word| !word.is_empty() && !word.starts_with(b"-"));
    };
    let mut words = words.split(is_blank).filter(|word| !word.is_empty());
    words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='))
}

#[cfg(test)]
mod tests;
