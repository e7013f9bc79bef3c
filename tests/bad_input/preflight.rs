//! What would only show as a dead virtual machine, and entries that cannot live together: each message names the recipe's
//! line and the fix.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::cli::{fails, run, stdout};
use crate::says;
use crate::tiny::{AARCH64, Tar, Tiny, X86_64, assert_clean, elf, images, local};

/// A project with programs of all kinds beside the recipe, whose entries begin on line 11.
pub fn project(kernel: &[u8], entries: &[&str]) -> Tiny {
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

pub const SH: &str = "file \"/bin/sh\" local=\"static\" mode=0o755";
pub const INIT: &str = "file \"/init\" mode=0o755 text=\"#!/bin/sh\\n\"";

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
    Case {
        entries: &[
            "file \"/init\" mode=0o755 local=\"dynamic\"",
            "file \"/lib/ld.so\" local=\"static\"",
        ],
        at: "12:5",
        says: &[
            "`/lib/ld.so`, the loader of /init, is not executable: its mode is 0o644",
            "add mode=0o755",
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
            "a whole directory is taken with `tree",
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
fn what_would_not_work_in_the_image_is_a_warning_at_its_line() {
    let entries = [
        SH,
        INIT,
        "file \"/bin/forgotten\" local=\"static\"",
        "file \"/bin/foreign\" local=\"arm\" mode=0o755",
        "file \"/bin/dynamic\" local=\"dynamic\" mode=0o755",
        "file \"/opt/script\" text=\"#!/usr/bin/python3\\n\" mode=0o755",
        "file \"/opt/read\" text=\"#!/usr/bin/perl\\n\"",
    ];
    let tiny = project(&crate::tiny::kernel(), &entries);
    let said = String::from_utf8(run(&mut tiny.realize(&[])).stderr).unwrap();
    says(
        &said,
        &[
            "images/tiny.kdl:13:5",
            "1 program without an execute bit in a directory of PATH",
            "images/tiny.kdl:14:5",
            "1 program for aarch64 in an image for x86_64",
            "images/tiny.kdl:15:5",
            "`/lib/ld.so` is not in the image: the loader of 1 program",
            "images/tiny.kdl:16:5",
            "`/usr/bin/python3` is not in the image: 1 script begins with it",
        ],
    );
    assert!(!said.contains("`/usr/bin/perl`"), "{said}");
    // Told when the image is made, and not where it is found; not at all where all is to be quiet.
    let again = run(&mut tiny.realize(&[])).stderr;
    assert!(!String::from_utf8(again).unwrap().contains("python3"));
    let tiny = project(&crate::tiny::kernel(), &entries);
    assert_eq!(run(&mut tiny.realize(&["-q"])).stderr, b"");
}

#[test]
fn what_the_loader_of_this_machine_finds_is_what_is_found() {
    let Ok(told) = Command::new("ldd").arg("/bin/bash").output() else {
        return crate::support::skip("ldd");
    };
    let told = String::from_utf8(told.stdout).unwrap();
    let files: Vec<&str> = told
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .collect();
    let real = cfg!(all(target_arch = "x86_64", target_os = "linux"));
    if !real || files.len() < 3 {
        return crate::support::skip("a /bin/bash with shared libraries for x86_64");
    }
    let realize = |without: &str| {
        let mut entries = vec![SH.to_owned(), INIT.to_owned()];
        let all = files.iter().chain([&"/bin/bash"]);
        for (index, path) in all.filter(|path| **path != without).enumerate() {
            entries.push(format!("file \"{path}\" local=\"real{index}\" mode=0o755"));
        }
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let tiny = project(&crate::tiny::kernel(), &entries);
        let all = files.iter().chain([&"/bin/bash"]);
        for (index, path) in all.filter(|path| **path != without).enumerate() {
            tiny.write(&format!("images/real{index}"), &fs::read(path).unwrap());
        }
        String::from_utf8(run(&mut tiny.realize(&[])).stderr).unwrap()
    };
    assert!(!realize("").contains("not in the image"));
    for without in &files {
        let said = realize(without);
        let name = without.rsplit('/').next().unwrap();
        assert_eq!(said.matches("is not in the image").count(), 1, "{said}");
        says(&said, &[name, "`/bin/bash`"]);
    }
}

/// Returns a project whose tree is put into the image after `links`.
fn unpacked(tar: Tar, links: &[&str], word: &str) -> Tiny {
    let tree = format!("tree \"/\" from=\"tree\" {word}");
    let mut entries = vec![SH, INIT];
    entries.extend(links);
    entries.push(&tree);
    let tiny = project(&crate::tiny::kernel(), &entries);
    packed(&tiny, &tar.end());
    tiny
}

/// Puts another archive in the place of the project's.
fn packed(tiny: &Tiny, tar: &[u8]) {
    let digest = |bytes: &[u8]| {
        let source = local("tree.tar", bytes);
        source.split("sha256=\"").nth(1).unwrap()[..64].to_owned()
    };
    let old = fs::read(tiny.path("images/tree.tar")).unwrap();
    let text = fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
    tiny.project
        .recipe("tiny", &text.replace(&digest(&old), &digest(tar)));
    tiny.write("images/tree.tar", tar);
}

#[test]
fn a_package_over_a_symlink_to_a_directory_goes_through_it() {
    let links = ["dir \"/usr/sbin\"", "symlink \"/sbin\" target=\"usr/sbin\""];
    let package = || {
        Tar::default()
            .dir("sbin")
            .file("sbin/x", b"one")
            .dir("sbin/sub")
            .file("sbin/sub/y", b"two")
    };
    let tiny = unpacked(package(), &links, "");
    run(&mut tiny.realize(&[]));
    let listed = stdout(&run(&mut tiny.project.mkimg(["ls", "images/tiny.kdl"])));
    for path in ["/usr/sbin/x", "/usr/sbin/sub/y"] {
        assert!(listed.contains(path), "{listed}");
    }
    assert!(!listed.contains(" /sbin/"), "{listed}");
    // An archive that lacks the directories, too.
    let tiny = unpacked(Tar::default().file("sbin/sub/y", b"two"), &links, "");
    run(&mut tiny.realize(&[]));
    // A symlink that leads nowhere, or to a file, is no such directory.
    let tiny = unpacked(package(), &["symlink \"/sbin\" target=\"nowhere\""], "");
    says(
        &fails(&mut tiny.realize(&[]), 2),
        &["`/sbin` is there already"],
    );
    // With `override` the directory wins, as it always did, and that is told.
    let tiny = unpacked(package(), &links, "override=#true");
    let said = String::from_utf8(run(&mut tiny.realize(&[])).stderr).unwrap();
    says(
        &said,
        &["warning: `override` puts the directory `/sbin` in the place of a symlink"],
    );
}

#[test]
fn everything_that_is_not_in_the_sources_is_told_at_once() {
    let entries = [
        INIT,
        "file \"/bin/sh\" from=\"tree\" path=\"no/sh\"",
        "tree \"/\" from=\"tree\" { include \"etc\"; include \"no/one\"; include \"no/two\"; }",
    ];
    let tiny = project(&crate::tiny::kernel(), &entries);
    let said = fails(&mut tiny.realize(&[]), 2);
    for name in ["`no/sh`", "`no/one`", "`no/two`"] {
        says(&said, &[&format!("in `tree` matches {name}")]);
    }
    assert_eq!(said.matches("matches").count(), 3, "{said}");
}

#[test]
fn other_owners_are_told_with_the_first_of_them() {
    let mut tar = Tar::default().file("spool", b"");
    tar = tar.file("etc/mine", b"");
    let mut bytes = tar.end();
    // The header's sum of the second file, too.
    bytes[512 + 108..512 + 116].copy_from_slice(b"0001750\0");
    bytes[512 + 148..512 + 156].fill(b' ');
    let sum: u32 = bytes[512..1024].iter().map(|byte| u32::from(*byte)).sum();
    bytes[512 + 148..512 + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let tiny = project(
        &crate::tiny::kernel(),
        &[SH, INIT, "tree \"/x\" from=\"tree\""],
    );
    packed(&tiny, &bytes);
    let said = String::from_utf8(run(&mut tiny.realize(&[])).stderr).unwrap();
    says(&said, &["1 in all, the first is `/x/etc/mine`, 1000:0"]);
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
