//! Trees of hand-made programs, and what is told of them.

use super::*;
use crate::arch::Arch;

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
    let plan = Plan::of_text("x.kdl", &text, Arch::X86_64).unwrap();
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
    type Files<'f> = Vec<(&'f str, u32, Vec<u8>)>;
    let good: Vec<(Files, Vec<(&str, &str)>)> = vec![
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
