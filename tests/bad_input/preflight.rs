//! What would only show as a dead virtual machine, and entries that cannot live together: each message names the recipe's
//! line and the fix.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::cli::{fails, run, stdout};
use crate::says;
use crate::tiny::{AARCH64, Tar, Tiny, X86_64, arm64_kernel, assert_clean, elf, images, local};

/// A project with programs of all kinds beside the recipe, whose entries begin on line 11.
fn project(kernel: &[u8], entries: &[&str]) -> Tiny {
    let tiny = Tiny::new();
    let tree = Tar::default()
        .dir("etc")
        .file("etc/motd", b"hello")
        .link(b'2', "lib", "usr/lib")
        .end();
    tiny.write("images/kernel", kernel);
    tiny.write("images/tree.tar", &tree);
    tiny.write("images/static", &elf(X86_64, None));
    tiny.write("images/arm", &elf(AARCH64, None));
    tiny.write("images/dynamic", &elf(X86_64, Some("/lib/ld.so")));
    tiny.write("images/crlf", b"#!/bin/sh\r\necho\r\n");
    // No reading of it would ever end.
    let sparse = fs::File::create(tiny.path("images/sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let source = local("kernel", kernel).replace(" sha256", " arch=\"x86_64\" sha256");
    let tree = local("tree.tar", &tree).replacen("source \"tree.tar\"", "source \"tree\"", 1);
    let entries: Vec<String> = entries.iter().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "image \"tiny\"\n{source}kernel from=\"kernel\"\n{tree}initramfs {{\n\n{}}}\n",
        entries.concat()
    );
    // A source that nothing uses would be told, too.
    let text = match text.contains("from=\"tree\"") {
        true => text,
        false => text.replace(&tree, "\n\n\n"),
    };
    tiny.project.recipe("tiny", &text);
    tiny
}

struct Case {
    entries: &'static [&'static str],
    /// Line and column of the label, and pieces of what is said.
    at: &'static str,
    says: &'static [&'static str],
}

const SH: &str = "file \"/bin/sh\" local=\"static\" mode=0o755";
const INIT: &str = "file \"/init\" mode=0o755 text=\"#!/bin/sh\\n\"";

const CASES: &[Case] = &[
    Case {
        entries: &[SH],
        at: "9:1",
        says: &["`/init`", "file \"/init\" mode=0o755"],
    },
    Case {
        entries: &[SH, "file \"/init\" text=\"#!/bin/sh\\n\""],
        at: "12:5",
        says: &[
            "/init is not executable: its mode is 0o644",
            "add mode=0o755",
        ],
    },
    Case {
        entries: &["dir \"/init\""],
        at: "11:5",
        says: &["/init is a directory, not a file", "executable file"],
    },
    Case {
        entries: &[INIT],
        at: "11:5",
        says: &[
            "the interpreter of /init, `/bin/sh`, is not in the image",
            "put the interpreter into the image",
        ],
    },
    Case {
        entries: &[SH, "file \"/init\" mode=0o755 text=\"#!bin/sh\\n\""],
        at: "12:5",
        says: &["the interpreter of /init, `bin/sh`", "absolute path"],
    },
    Case {
        entries: &["file \"/bin/sh\" local=\"static\" mode=0o644", INIT],
        at: "11:5",
        says: &[
            "`/bin/sh`, the interpreter of /init, is not executable",
            "add mode=0o755",
        ],
    },
    Case {
        entries: &[
            SH,
            "file \"/init\" mode=0o755 text=\"#!/bin/sh\\r\\necho\\r\\n\"",
        ],
        at: "12:5",
        says: &[
            "ends with a carriage return: the kernel looks for `/bin/sh\\r`",
            "LF line ends",
        ],
    },
    Case {
        entries: &[SH, "file \"/init\" mode=0o755 local=\"crlf\""],
        at: "12:5",
        says: &["ends with a carriage return", "LF line ends"],
    },
    Case {
        entries: &[
            SH,
            "file \"/init\" mode=0o755 text=\"\\u{feff}#!/bin/sh\\n\"",
        ],
        at: "12:5",
        says: &[
            "neither a script nor an ELF program",
            "at the very first byte",
        ],
    },
    Case {
        entries: &["file \"/init\" mode=0o755 text=\"\""],
        at: "11:5",
        says: &["neither a script nor an ELF program", "it is empty"],
    },
    Case {
        entries: &["symlink \"/init\" target=\"/sbin/init\""],
        at: "5:1",
        says: &[
            "11 symlink \"/init\"",
            "this symlink leads to `/sbin`, which is not in the image",
            "declare one",
        ],
    },
    Case {
        entries: &[
            "symlink \"/init\" target=\"a\"",
            "symlink \"/a\" target=\"/init\"",
        ],
        at: "1", // either of the two
        says: &["symlinks lead in a circle", "let one of them name a file"],
    },
    Case {
        entries: &["file \"/init\" mode=0o755 local=\"arm\""],
        at: "11:5",
        says: &[
            "/init is a program for aarch64, the image is for x86_64",
            "arch=\"x86_64\"",
        ],
    },
    Case {
        entries: &["file \"/init\" mode=0o755 local=\"dynamic\""],
        at: "11:5",
        says: &[
            "/init is linked dynamically, and its loader `/lib/ld.so` is not in the image",
            "statically linked",
        ],
    },
    Case {
        entries: &[
            "file \"/init\" mode=0o755 local=\"dynamic\"",
            "file \"/lib/ld.so\" mode=0o755 local=\"arm\"",
        ],
        at: "12:5",
        says: &[
            "`/lib/ld.so`, the loader of /init, is no program for x86_64",
            "take the one of the same source",
        ],
    },
    Case {
        entries: &["file \"/bin/sh\" local=\"arm\" mode=0o755", INIT],
        at: "11:5",
        says: &[
            "`/bin/sh`, the interpreter of /init, is a program for aarch64",
            "arch=\"x86_64\"",
        ],
    },
    Case {
        entries: &[SH, INIT, "applets \"/bin\" of=\"/bin/sh\""],
        at: "13:23",
        says: &[
            "no applets can be read out of `/bin/sh`",
            "name the applets yourself",
            "symlink \"/bin/sh\"",
        ],
    },
    Case {
        entries: &[SH, INIT, "applets \"/bin\" of=\"/init\""],
        at: "13:23",
        says: &[
            "no applets can be read out of `/init`: it is no ELF file",
            "name the applets yourself",
        ],
    },
    Case {
        entries: &[SH, INIT, "applets \"/bin\" of=\"/bin/busybox\""],
        at: "13:23",
        says: &[
            "no entry puts `/bin/busybox` into the image",
            "file \"/bin/busybox\" from=",
        ],
    },
    // Entries that cannot live together.
    Case {
        entries: &[
            SH,
            INIT,
            "tree \"/\" from=\"tree\"",
            "file \"/etc/motd\" text=\"mine\"",
        ],
        at: "14:5",
        says: &["`/etc/motd`", "it came from here", "override=#true"],
    },
    Case {
        entries: &[
            SH,
            INIT,
            "file \"/etc/motd\" text=\"mine\"",
            "tree \"/\" from=\"tree\"",
        ],
        at: "14:5",
        says: &["`/etc/motd`", "it came from here", "override=#true"],
    },
    Case {
        entries: &[
            SH,
            INIT,
            "tree \"/\" from=\"tree\"",
            "dir \"/etc\" mode=0o700",
        ],
        at: "14:5",
        says: &[
            "the directory `/etc` is there already, as 0o755 0:0, not 0o700 0:0",
            "let them agree",
        ],
    },
    Case {
        entries: &[
            SH,
            INIT,
            "tree \"/\" from=\"tree\"",
            "file \"/lib/x\" text=\"\"",
        ],
        at: "14:5",
        says: &[
            "`/lib`",
            "symlink",
            "this put it there",
            "put the entry where that leads to",
        ],
    },
    Case {
        entries: &[SH, INIT, "file \"/a\" local=\"nowhere\""],
        at: "13:21",
        says: &[
            "the local file `nowhere` cannot be read: No such file or directory",
            "the recipe's own directory",
        ],
    },
    Case {
        entries: &[SH, INIT, "file \"/a\" local=\".\""],
        at: "13:21",
        says: &[
            "the local file `.` cannot be read: it is a directory",
            "take that in with a `tree` node",
        ],
    },
    // pitfall 24
    Case {
        entries: &[SH, INIT, "file \"/a\" local=\"sparse\""],
        at: "13:21",
        says: &[
            "the local file `sparse` cannot be taken: it has 1099511627776 bytes, an archive holds files below 4 GiB",
            "split it",
        ],
    },
];

#[test]
fn what_would_be_a_dead_machine_is_refused_at_its_line_with_the_fix() {
    for case in CASES {
        let tiny = project(&crate::tiny::kernel(), case.entries);
        let said = fails(&mut tiny.realize(&[]), 2);
        let at = format!("images/tiny.kdl:{}", case.at);
        says(&said, &[&at, "help: "]);
        says(&said, case.says);
        assert_clean(&tiny.path("cache"));
        assert_eq!(images(&tiny.path("cache")), 0, "{:?}", case.entries);
    }
}

#[test]
fn a_file_that_is_no_kernel_for_the_image_is_refused() {
    let cases = [
        (
            b"hello".to_vec(),
            "what `kernel` names is no kernel that x86_64 could start",
            "starts with `hello`",
        ),
        (Vec::new(), "no kernel", "it is empty"),
        (
            arm64_kernel(),
            "the kernel is for aarch64, the image for x86_64",
            "the source's location for x86_64",
        ),
        (
            elf(AARCH64, None),
            "no kernel that x86_64 could start",
            "bzImage",
        ),
        // A program of the right machine: BusyBox, say.
        (
            loaded(elf(X86_64, None), 0x40_0000, b""),
            "no kernel that x86_64 could start",
            "bzImage",
        ),
        (
            gzip(&[0; 128]),
            "no kernel that x86_64 could start",
            "starts with `\\x1f\\x8b",
        ),
        (
            gzip(&arm64_kernel()),
            "the kernel is for aarch64",
            "the source's location for x86_64",
        ),
    ];
    for (kernel, message, more) in cases {
        let tiny = project(&kernel, &[SH, INIT]);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(
            &said,
            &[
                "images/tiny.kdl:5:1",
                "help: expected a bzImage",
                message,
                more,
            ],
        );
        assert_clean(&tiny.path("cache"));
    }
}

#[test]
fn an_elf_kernel_is_told_from_a_program_by_its_addresses() {
    let kernel = loaded(elf(X86_64, None), 0xffff_ffff_8100_0000, b"");
    let tiny = project(&kernel, &[SH, INIT]);
    run(&mut tiny.realize(&[]));
}

#[test]
fn a_program_of_any_other_machine_is_named() {
    // Class, byte order, machine, and what is said.
    let cases: [(u8, u8, u16, &str); 9] = [
        (2, 2, 22, "is a program for s390x, the image is for x86_64"),
        (2, 2, 21, "is a program for ppc64, "),
        (1, 2, 8, "is a program for mips, "),
        (1, 1, 3, "is a program for i386, "),
        (1, 1, 40, "is a program for arm, "),
        (1, 1, 62, "is a program for x32, "),
        (2, 2, 183, "is a program for aarch64 (big-endian), "),
        (2, 1, 4242, "is a program for ELF machine 4242, "),
        (
            3,
            1,
            62,
            "is a broken ELF file: its header is cut off or unknown",
        ),
    ];
    for (class, order, machine, message) in cases {
        let tiny = project(
            &crate::tiny::kernel(),
            &["file \"/init\" mode=0o755 local=\"program\""],
        );
        let mut program = elf(0, None);
        (program[4], program[5]) = (class, order);
        let machine = if order == 2 {
            machine.to_be_bytes()
        } else {
            machine.to_le_bytes()
        };
        program[18..20].copy_from_slice(&machine);
        // No program headers, wherever the class has their number.
        program[20..].fill(0);
        tiny.write("images/program", &program);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(&said, &["images/tiny.kdl:11:5", message]);
    }
}

#[test]
fn a_busybox_of_another_machine_is_refused_where_applets_names_it() {
    // Not started by anything: only its machine is looked at, once its applets could be read.
    let table = b"[\0ash\0busybox\0cat\0echo\0init\0mount\0sh\0\0";
    let mut busybox = loaded(elf(AARCH64, None), 0, table);
    let entries = [
        SH,
        INIT,
        "file \"/bin/busybox\" local=\"busybox\" mode=0o755",
        "applets \"/sbin\" of=\"/bin/busybox\"",
    ];
    let tiny = project(&crate::tiny::kernel(), &entries);
    tiny.write("images/busybox", &busybox);
    let said = fails(&mut tiny.realize(&[]), 2);
    says(
        &said,
        &[
            "images/tiny.kdl:14:24",
            "`/bin/busybox` is a program for aarch64, the image is for x86_64",
            "arch=\"x86_64\"",
        ],
    );
    // The same for x86_64 is good.
    busybox[18..20].copy_from_slice(&X86_64.to_le_bytes());
    tiny.write("images/busybox", &busybox);
    run(&mut tiny.realize(&[]));
}

#[test]
fn what_the_kernel_can_start_by_detours_is_not_refused() {
    let good: &[&[&str]] = &[
        &[
            INIT,
            "symlink \"/bin\" target=\"usr/bin\"",
            "symlink \"/usr/bin/sh\" target=\"../../opt/./sh\"",
            "file \"/opt/sh\" local=\"static\" mode=0o755",
        ],
        &[
            "symlink \"/init\" target=\"sbin/init\"",
            "file \"/sbin/init\" mode=0o111 local=\"static\"",
        ],
        &[
            "file \"/init\" mode=0o755 text=\"#! \\t/bin/one two three\\n\"",
            "file \"/bin/one\" mode=0o755 text=\"#!/bin/sh\"",
            SH,
        ],
        &[
            "file \"/init\" mode=0o755 local=\"dynamic\"",
            "symlink \"/lib\" target=\"usr/lib\"",
            "file \"/usr/lib/ld.so\" mode=0o755 local=\"static\"",
        ],
        &[
            INIT,
            SH,
            "tree \"/\" from=\"tree\"",
            "file \"/etc/motd\" text=\"mine\" override=#true",
        ],
    ];
    for entries in good {
        let tiny = project(&crate::tiny::kernel(), entries);
        run(&mut tiny.realize(&[]));
        assert_clean(&tiny.path("cache"));
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let entries = [
        SH,
        INIT,
        "file \"/bin/busybox\" local=\"busybox\" mode=0o755",
        "applets \"/bin\" of=\"/bin/busybox\" except=\"sh inti\"",
        "tree \"/a\" from=\"tree\" strip=9",
        "tree \"/b\" from=\"tree\" { exclude \"*\"; }",
        "tree \"/c\" from=\"tree\"",
    ];
    let tiny = project(&crate::tiny::kernel(), &entries);
    let table = b"[\0ash\0busybox\0cat\0sh\0\0";
    tiny.write("images/busybox", &loaded(elf(X86_64, None), 0, table));
    let output = run(&mut tiny.realize(&[]));
    let said = String::from_utf8(output.stderr).unwrap();
    let warnings: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .collect();
    let nothing = "puts nothing into the image: `exclude` or `strip` leaves nothing of its archive";
    let expected = [
        "`except` names `inti`, which is no applet of `/bin/busybox`".to_owned(),
        format!("`tree \"/a\"` {nothing}"),
        format!("`tree \"/b\"` {nothing}"),
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn the_later_entry_wins_where_it_says_so() {
    let entries = [
        SH,
        INIT,
        "tree \"/\" from=\"tree\"",
        "file \"/etc/motd\" text=\"mine\" override=#true",
    ];
    let tiny = project(&crate::tiny::kernel(), &entries);
    let mut cat = tiny.project.mkimg(["cat", "images/tiny.kdl", "/etc/motd"]);
    assert_eq!(stdout(&run(&mut cat)), "mine");
}

#[test]
fn a_damaged_object_is_made_again_and_not_taken_for_a_mistake_of_the_recipe() {
    // The kernel and the interpreter come out of the cache with other first bytes than they had.
    let tiny = Tiny::new();
    let archive = Tar::default()
        .file("vmlinuz", &crate::tiny::kernel())
        .file("sh", &elf(X86_64, None))
        .end();
    tiny.write("images/thing", &archive);
    let thing = local("thing", &archive).replace(" sha256", " arch=\"x86_64\" sha256");
    let text = |epoch| {
        format!(
            "image \"tiny\" epoch={epoch}\n{thing}kernel from=\"thing\" path=\"vmlinuz\"\ninitramfs {{\n    {INIT}\n    \
             file \"/bin/sh\" from=\"thing\" path=\"sh\" mode=0o755\n}}\n"
        )
    };
    tiny.project.recipe("tiny", &text(0));
    run(&mut tiny.realize(&[]));
    let mut damaged = 0;
    for blob in crate::tiny::files(&tiny.path("cache/blobs-v1")) {
        let bytes = fs::read(&blob).unwrap();
        if bytes.len() == archive.len() {
            continue;
        }
        overwrite(&blob, &vec![b'x'; bytes.len()]);
        damaged += 1;
    }
    assert_eq!(damaged, 2);
    // Another plan of the same objects: the image that is there would not be looked at.
    tiny.project.recipe("tiny", &text(1));
    let output = run(&mut tiny.realize(&[]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("made again").count(), 2, "{said}");
    // The first image shares its kernel with the damaged blob.
    tiny.project.recipe("tiny", &text(0));
    let output = run(&mut tiny.realize(&["--verify"]));
    says(
        &String::from_utf8(output.stderr).unwrap(),
        &["warning: damaged image"],
    );
    assert_clean(&tiny.path("cache"));
}

/// Writes over a read-only file in place.
fn overwrite(path: &PathBuf, bytes: &[u8]) {
    run(Command::new("chmod").arg("u+w").arg(path));
    fs::write(path, bytes).unwrap();
}

/// Adds one loaded segment, the whole file at an address, to the headers of an ELF file, and data.
fn loaded(mut elf: Vec<u8>, address: u64, data: &[u8]) -> Vec<u8> {
    elf[56] = 1;
    elf.extend([1, 0, 0, 0, 4, 0, 0, 0]);
    let size = 120 + data.len() as u64;
    for field in [0, address, 0, size, size, 1] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(data);
    elf
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
