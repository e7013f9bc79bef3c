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
use crate::plan::Plan;
use crate::recipe::Diagnostic;
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
pub(super) fn warnings(plan: &Plan, tree: &Tree) -> Vec<Diagnostic> {
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::arch::Arch;
    use crate::recipe::{Mode, parse};

    const EXEC: u16 = 2;
    const DYN: u16 = 3;
    const LD: &str = "/lib64/ld-linux-x86-64.so.2";
    const NEEDED: u64 = 1;
    const SONAME: u64 = 14;
    const RPATH: u64 = 15;
    const RUNPATH: u64 = 29;

    /// Returns an ELF file for x86_64 that is loaded at 0, with a loader and a dynamic section.
    fn elf(kind: u16, loader: &str, tags: &[(u64, &str)]) -> Vec<u8> {
        let (mut strings, mut dynamic) = (vec![0u8], Vec::new());
        for (tag, text) in tags {
            dynamic.push((*tag, strings.len() as u64));
            strings.extend(text.as_bytes());
            strings.push(0);
        }
        let start = 64 + 3 * 56;
        let (names, size) = (start + loader.len() as u64 + 1, strings.len() as u64);
        dynamic.extend([(5, names), (10, size), (0, 0)]);
        let at = (names + size).next_multiple_of(8);
        let end = at + 16 * dynamic.len() as u64;
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(kind.to_le_bytes());
        file.extend(62u16.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend([0u64, 64, 0].map(u64::to_le_bytes).concat());
        file.extend(0u32.to_le_bytes());
        let has_loader = u16::from(!loader.is_empty());
        file.extend(
            [64u16, 56, 2 + has_loader, 64, 0, 0]
                .map(u16::to_le_bytes)
                .concat(),
        );
        let rows = [
            (1u32, 0, end),
            (2, at, end - at),
            (3, start, loader.len() as u64 + 1),
        ];
        for (kind, offset, size) in rows {
            file.extend([kind, 7].map(u32::to_le_bytes).concat());
            file.extend(
                [offset, offset, offset, size, size, 8]
                    .map(u64::to_le_bytes)
                    .concat(),
            );
        }
        file.extend(loader.as_bytes());
        file.push(0);
        file.extend(strings);
        file.resize(at as usize, 0);
        for (tag, value) in dynamic {
            file.extend([tag, value].map(u64::to_le_bytes).concat());
        }
        file
    }

    fn program(tags: &[(u64, &str)]) -> Vec<u8> {
        elf(EXEC, LD, tags)
    }

    fn library(tags: &[(u64, &str)]) -> Vec<u8> {
        elf(DYN, "", tags)
    }

    /// Returns what is told of a tree: messages with their labels, a line each.
    fn told(tree: &Tree) -> Vec<String> {
        let digest = "0".repeat(64);
        let text = format!(
            "image \"x\"\nsource \"k\" {{\n url \"https://a/k\" sha256=\"{digest}\"\n}}\nkernel from=\"k\"\ninitramfs {{\n dir \"/a\"\n}}\n"
        );
        let parsed = parse("x.kdl", text.as_bytes(), Mode::Strict).unwrap();
        let plan = Plan::resolve(&parsed.recipe, Arch::X86_64, &BTreeMap::new()).unwrap();
        let warnings = warnings(&plan, tree).into_iter();
        warnings
            .map(|warning| format!("{} | {}", warning.message, warning.labels[0].1))
            .collect()
    }

    fn tree(entries: &[(&str, u32, Vec<u8>)], links: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new(0);
        let mut put = |path: &str, kind, mode| {
            let entry = Entry {
                kind,
                mode,
                uid: 0,
                gid: 0,
                origin: None,
            };
            tree.insert(EntryPath::new(path.as_bytes()).unwrap(), entry)
                .unwrap();
        };
        for (path, mode, bytes) in entries {
            put(path, Kind::File(Content::memory(bytes.clone())), *mode);
        }
        for (path, target) in links {
            put(path, Kind::Symlink(target.as_bytes().to_vec()), 0o777);
        }
        tree
    }

    fn loader() -> (&'static str, u32, Vec<u8>) {
        (
            &LD[1..],
            0o755,
            library(&[(SONAME, "ld-linux-x86-64.so.2")]),
        )
    }

    #[test]
    fn a_library_is_looked_for_where_the_loader_would_look() {
        let needs = |name| program(&[(NEEDED, name)]);
        let lib = |path| (path, 0o644, library(&[]));
        let bin = |bytes| ("usr/bin/x", 0o755, bytes);
        let conf = |text: &str| text.as_bytes().to_vec();
        // Each of these is complete.
        let good: Vec<(Vec<(&str, u32, Vec<u8>)>, Vec<(&str, &str)>)> = vec![
            (vec![bin(needs("a.so")), lib("usr/lib/a.so")], vec![]),
            (
                vec![bin(needs("a.so")), lib("usr/lib/x86_64-linux-gnu/b.so")],
                vec![
                    ("lib", "usr/lib"),
                    ("usr/lib/x86_64-linux-gnu/a.so", "b.so"),
                ],
            ),
            (vec![bin(needs("/opt/a.so")), lib("opt/a.so")], vec![]),
            // The loader itself is a library that others need.
            (vec![bin(needs("ld-linux-x86-64.so.2"))], vec![]),
            (
                vec![
                    bin(program(&[
                        (NEEDED, "a.so"),
                        (RUNPATH, "/no:$ORIGIN/../own"),
                    ])),
                    lib("usr/own/a.so"),
                ],
                vec![],
            ),
            // RPATH goes to what is loaded, too.
            (
                vec![
                    bin(program(&[(NEEDED, "a.so"), (RPATH, "${ORIGIN}/../own")])),
                    ("usr/own/a.so", 0o644, library(&[(NEEDED, "b.so")])),
                    lib("usr/own/b.so"),
                ],
                vec![],
            ),
            (
                vec![
                    bin(needs("a.so")),
                    (
                        "etc/ld.so.conf",
                        0o644,
                        conf("include /etc/ld.so.conf.d/*.conf\n"),
                    ),
                    ("etc/ld.so.conf.d/x.conf", 0o644, conf("# mine\n/opt/x\n")),
                    lib("opt/x/a.so"),
                ],
                vec![],
            ),
            (
                vec![
                    (
                        "usr/bin/x",
                        0o755,
                        elf(
                            EXEC,
                            "/lib/ld-musl-x86_64.so.1",
                            &[(NEEDED, "libc.musl-x86_64.so.1"), (NEEDED, "a.so")],
                        ),
                    ),
                    ("lib/ld-musl-x86_64.so.1", 0o755, library(&[])),
                    ("etc/ld-musl-x86_64.path", 0o644, conf("/opt/x:/opt/y\n")),
                    lib("opt/y/a.so"),
                ],
                vec![],
            ),
            // A root file system inside of the image.
            (
                vec![
                    (
                        "srv/root/bin/x",
                        0o755,
                        elf(EXEC, "/ld.so", &[(NEEDED, "a.so")]),
                    ),
                    ("srv/root/ld.so", 0o755, library(&[])),
                    lib("srv/root/opt/a.so"),
                ],
                vec![("srv/root/lib", "/opt")],
            ),
            // What nobody loads, what is no program, what is for other processors.
            (
                vec![
                    ("usr/lib/plugin.so", 0o755, library(&[(NEEDED, "no.so")])),
                    ("usr/lib/module.ko", 0o755, elf(1, "", &[(NEEDED, "no.so")])),
                    ("core", 0o755, elf(4, "", &[(NEEDED, "no.so")])),
                    (
                        "lib/firmware/x",
                        0o755,
                        b"\x7fELF\x01\x02\x01 other".to_vec(),
                    ),
                    ("usr/bin/empty", 0o755, Vec::new()),
                    ("usr/bin/note", 0o644, b"text".to_vec()),
                ],
                vec![],
            ),
        ];
        for (mut entries, links) in good {
            entries.push(loader());
            assert_eq!(
                told(&tree(&entries, &links)),
                Vec::<String>::new(),
                "{links:?}"
            );
        }
        let missing = "the library `a.so` is not in the image | needed by `/usr/bin/x`";
        let bad: Vec<(Vec<(&str, u32, Vec<u8>)>, &str)> = vec![
            (vec![bin(needs("a.so"))], missing),
            (vec![bin(needs("a.so")), lib("opt/a.so")], missing),
            // RUNPATH is for the file's own needs alone.
            (
                vec![
                    bin(program(&[(NEEDED, "a.so"), (RUNPATH, "$ORIGIN/../own")])),
                    ("usr/own/a.so", 0o644, library(&[(NEEDED, "b.so")])),
                    lib("usr/own/b.so"),
                ],
                "the library `b.so` is not in the image | needed by `/usr/own/a.so`",
            ),
            (
                vec![
                    bin(needs("a.so")),
                    ("usr/lib/a.so", 0o644, {
                        let mut other = library(&[]);
                        other[18] = 183;
                        other
                    }),
                ],
                "the library `a.so` (there is one for aarch64) is not in the image | needed by `/usr/bin/x`",
            ),
        ];
        for (mut entries, expected) in bad {
            entries.push(loader());
            assert_eq!(told(&tree(&entries, &[])), [expected]);
        }
    }

    #[test]
    fn an_interpreter_is_looked_for_as_the_kernel_and_env_do() {
        let script = |text: &str| ("usr/bin/x", 0o755, text.as_bytes().to_vec());
        let env = || ("usr/bin/env", 0o755, elf(EXEC, "", &[]));
        let python = || ("usr/local/bin/python3", 0o755, elf(EXEC, "", &[]));
        for text in [
            "#!/usr/bin/env python3\n",
            "#! /usr/bin/env -S A=b python3 -u\n",
            "#!/usr/local/bin/python3",
        ] {
            assert_eq!(
                told(&tree(&[script(text), env(), python()], &[])),
                Vec::<String>::new()
            );
        }
        let cases = [
            (
                "#!/usr/bin/env perl\n",
                "`perl` is in no directory of PATH: 1 script begins with `env`, which looks for it | `/usr/bin/x`",
            ),
            (
                "#!/usr/bin/env python3 -u\n",
                "`python3 -u` is in no directory of PATH: 1 script begins with `env`, which looks for it | `/usr/bin/x`",
            ),
            (
                "#!/bin/bash\n",
                "`/bin/bash` is not in the image: 1 script begins with it | `/usr/bin/x`",
            ),
            (
                "#!/usr/local\n",
                "`/usr/local` is no file: 1 script begins with it | `/usr/bin/x`",
            ),
            (
                "#!/bin/bash\r\n",
                "`/bin/bash\\r` is not in the image: 1 script begins with it | `/usr/bin/x`",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(
                told(&tree(&[script(text), env(), python()], &[])),
                [expected]
            );
        }
        // A link that leads out of nothing.
        let links = [("bin/bash", "/etc/alternatives/bash")];
        assert_eq!(told(&tree(&[script("#!/bin/bash\n")], &links)).len(), 1);
    }

    #[test]
    fn thousands_of_programs_give_a_few_lines() {
        let mut entries = vec![loader()];
        let names: Vec<String> = (0..2000)
            .map(|index| format!("usr/bin/x{index:04}"))
            .collect();
        let needs = |index: usize| format!("lib{}.so", index % 40);
        for (index, name) in names.iter().enumerate() {
            entries.push((
                name,
                0o755,
                program(&[(NEEDED, "libc.so"), (NEEDED, &needs(index))]),
            ));
        }
        let told = told(&tree(&entries, &[]));
        assert_eq!(told.len(), 6, "{told:#?}");
        assert!(
            told.iter().any(|line| line.contains("`libc.so`")),
            "{told:#?}"
        );
        assert!(told.iter().all(|line| line.len() < 250), "{told:#?}");
    }

    #[test]
    fn env_starts_the_first_word_that_is_no_option_and_no_variable() {
        let cases: [(&[u8], Option<&[u8]>); 7] = [
            (b"python3", Some(b"python3")),
            // One argument for the kernel: `env` looks for a program of this name.
            (b"python3 -u", Some(b"python3 -u")),
            (b"-S python3 -u", Some(b"python3")),
            (b"-S LANG=C python3 -u", Some(b"python3")),
            (b"-S -i python3", Some(b"python3")),
            (b"-i", None),
            (b"", None),
        ];
        for (argument, program) in cases {
            assert_eq!(
                env_program(argument),
                program,
                "{}",
                argument.escape_ascii()
            );
        }
    }
}
