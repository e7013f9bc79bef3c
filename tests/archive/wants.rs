//! What is selected, and where reading stops.

use super::bed::{Bed, Tar, all, deb, one, tree};

/// A stream whose end is broken: whoever reads that far fails.
fn broken(tar: Tar) -> Vec<u8> {
    let mut bytes = tar.0;
    bytes.extend_from_slice(&[b'x'; 512]);
    bytes
}

#[test]
fn a_path_names_one_file_and_nothing_behind_it_is_read_in_a_package() {
    let bed = Bed::new();
    let tar = Tar::new()
        .dir("./")
        .dir("./boot")
        .file("./boot/a[1]", b"1")
        .file("./b", b"2");
    let archive = broken(tar.clone());
    // In another archive the same name may come again.
    assert!(bed.told(&archive, &one("b")).contains("checksum is wrong"));
    let again = tar.file("b", b"3").end();
    assert_eq!(bed.told(&again, &one("b")), "b 644 0:0 file \"3\"\n");
    {
        let archive = deb(&archive);
        for path in ["b", "./b", "/b", "b/"] {
            assert_eq!(
                bed.told(&archive, &one(path)),
                "b 644 0:0 file \"2\"\n",
                "{path}"
            );
        }
        // Whoever reads on sees the broken header.
        assert!(bed.told(&archive, &all()).contains("checksum is wrong"));
        assert!(bed.told(&archive, &one("a")).contains("checksum is wrong"));
    }
}

#[test]
fn a_pattern_is_certain_when_a_package_leaves_its_directory_and_else_at_the_end() {
    let bed = Bed::new();
    let tar = Tar::new()
        .dir("boot")
        .file("boot/vmlinuz-1", b"1")
        .file("boot/z", b"")
        .dir("lib");
    let found = "boot/vmlinuz-1 644 0:0 file \"1\"\n";
    let archive = broken(tar.clone());
    assert_eq!(bed.told(&deb(&archive), &one("boot/vmlinuz-*")), found);
    for (archive, pattern) in [
        (archive.clone(), "boot/vmlinuz-*"),
        (deb(&archive), "*/vmlinuz-1"),
        (deb(&archive), "**/vmlinuz-1"),
        (deb(&archive), "bo?t/vmlinuz-1"),
    ] {
        let text = bed.told(&archive, &one(pattern));
        assert!(text.contains("checksum is wrong"), "{pattern}: {text}");
        // With a sound end they find the same.
        assert_eq!(
            bed.told(&deb(&tar.clone().end()), &one(pattern)),
            found,
            "{pattern}"
        );
        assert_eq!(
            bed.told(&tar.clone().end(), &one(pattern)),
            found,
            "{pattern}"
        );
    }
    // A directory whose name only begins alike is not the same directory.
    let archive = broken(Tar::new().file("boot/a", b"1").dir("boot-more"));
    assert_eq!(
        bed.told(&deb(&archive), &one("boot/?")),
        "boot/a 644 0:0 file \"1\"\n"
    );
}

#[test]
fn a_pattern_that_matches_several_files_or_none_says_which_there_are() {
    let bed = Bed::new();
    let mut tar = Tar::new()
        .dir("boot")
        .dir("lib")
        .link("bin", b'2', "usr/bin");
    for number in 10..22 {
        tar = tar.file(&format!("boot/vmlinuz-{number}"), b"");
    }
    let archive = tar
        .file("usr/bin/busybox", b"")
        .link("boot/link", b'2', "vmlinuz-10")
        .link("absolute", b'2', "/usr/bin/busybox")
        .link("outside", b'2', "../../x")
        .header(b"tty", b'3', b"", |_| {})
        .end();
    let cases = [
        (
            "boot/vmlinuz-*",
            "12 files in `it` match `boot/vmlinuz-*`, exactly one must: `boot/vmlinuz-10`, `boot/vmlinuz-11`, \
             `boot/vmlinuz-12`, `boot/vmlinuz-13`, `boot/vmlinuz-14`, `boot/vmlinuz-15`, `boot/vmlinuz-16`, \
             `boot/vmlinuz-17`, `boot/vmlinuz-18`, `boot/vmlinuz-19`, ..",
        ),
        (
            "boot/vmlinuz-1[01]",
            "2 files in `it` match `boot/vmlinuz-1[01]`, exactly one must: `boot/vmlinuz-10`, `boot/vmlinuz-11`",
        ),
        (
            "vmlinuz-10",
            "no file in `it` matches `vmlinuz-10`; did you mean `boot/vmlinuz-10`?",
        ),
        // `*` does not match a `/`.
        ("*-10", "no file in `it` matches `*-10`"),
        (
            "usr/bin/busibox",
            "no file in `it` matches `usr/bin/busibox`; did you mean `usr/bin/busybox`?",
        ),
        (
            "bin/busybox",
            "no file in `it` matches `bin/busybox`; `bin` is a symlink to `usr/bin`: name `usr/bin/busybox` instead",
        ),
        (
            "nothing like it",
            "no file in `it` matches `nothing like it`",
        ),
        (
            "boot/li*",
            "no file in `it` matches `boot/li*`; `boot/link` is a symlink to `vmlinuz-10`: name `boot/vmlinuz-10` instead",
        ),
        (
            "boot/link",
            "`boot/link` in `it` is a symlink to `vmlinuz-10`, not a file: name `boot/vmlinuz-10` instead",
        ),
        (
            "absolute",
            "`absolute` in `it` is a symlink to `/usr/bin/busybox`, not a file: name `usr/bin/busybox` instead",
        ),
        (
            "outside",
            "`outside` in `it` is a symlink to `../../x`, not a file: name what it points to instead",
        ),
        (
            "lib",
            "`lib` in `it` is a directory, not a file: `tree` takes directories",
        ),
        (
            "tty",
            "`tty` in `it` is a device, not a file: only files can be taken one by one",
        ),
        (
            "a[",
            "`a[` is no valid pattern: invalid range pattern (a `[` that stands for itself is written `[[]`)",
        ),
        (
            "",
            "`` is no valid pattern: it is empty (a `[` that stands for itself is written `[[]`)",
        ),
    ];
    for (pattern, expected) in cases {
        assert_eq!(bed.told(&archive, &one(pattern)), expected, "{pattern}");
    }
    assert_eq!(
        bed.told(&archive, &tree(&["boot/*", "nowhere/*"], &[])),
        "no member in `it` matches `nowhere/*`"
    );
    assert_eq!(bed.kept(), Vec::<String>::new());
}

#[test]
fn a_tree_has_what_is_selected_and_the_directories_above_it() {
    let bed = Bed::new();
    let archive = Tar::new()
        .dir("./")
        .file("a/deep/f", b"1")
        .file("a/deep/g", b"2")
        .link("a/deep/l", b'2', "f")
        // Directories may come late, and with modes of their own.
        .header(b"a/deep", b'5', b"", |header| {
            header[100..108].copy_from_slice(b"0001777\0")
        })
        .header(b"a", b'5', b"", |header| {
            header[100..108].copy_from_slice(b"0000700\0")
        })
        .dir("b")
        .file("b/f", b"3")
        .file("c/f", b"4")
        .end();
    let (a, deep) = ("a 700 0:0 dir\n", "a/deep 1777 0:0 dir\n");
    let (f, g, l) = (
        "a/deep/f 644 0:0 file \"1\"\n",
        "a/deep/g 644 0:0 file \"2\"\n",
        "a/deep/l 777 0:0 link \"f\"\n",
    );
    let (b, bf, cf) = (
        "b 755 0:0 dir\n",
        "b/f 644 0:0 file \"3\"\n",
        "c/f 644 0:0 file \"4\"\n",
    );
    let cases: [(&[&str], &[&str], String); 11] = [
        (&[], &[], [a, deep, f, g, l, b, bf, cf].concat()),
        (&["a"], &[], [a, deep, f, g, l].concat()),
        (&["./a/"], &[], [a, deep, f, g, l].concat()),
        (&["a/deep/f"], &[], [a, deep, f].concat()),
        (&["*"], &[], [a, deep, f, g, l, b, bf, cf].concat()),
        (&["**/f"], &[], [a, deep, f, b, bf, cf].concat()),
        (&["?/f"], &[], [b, bf, cf].concat()),
        (&["a", "b"], &["a/deep"], [a, b, bf].concat()),
        (&[], &["a", "c/*"], [b, bf].concat()),
        (&[], &["**/f"], [a, deep, g, l, b].concat()),
        (&[], &["*"], String::new()),
    ];
    for (include, exclude, expected) in cases {
        assert_eq!(
            bed.told(&archive, &tree(include, exclude)),
            expected,
            "{include:?} {exclude:?}"
        );
    }
}

#[test]
fn hard_links_are_files_of_their_own_even_where_the_other_name_is_not_wanted() {
    let bed = Bed::new();
    let archive = Tar::new()
        .header(b"first", b'0', b"bytes", |header| {
            header[100..108].copy_from_slice(b"0000755\0");
            header[108..116].copy_from_slice(b"0000007\0");
        })
        .file("other", b"not these")
        .dir("d")
        .link("d/second", b'1', "first")
        .link("d/third", b'1', "d/second")
        .end();
    let line = |name: &str| format!("{name} 755 7:0 file \"bytes\"\n");
    for archive in [archive.clone(), deb(&archive)] {
        for path in ["d/second", "d/third", "**/third"] {
            let name = path.replace("**", "d");
            assert_eq!(bed.told(&archive, &one(path)), line(&name), "{path}");
        }
        // pitfall 1
        assert_eq!(
            bed.told(&archive, &tree(&["d"], &[])),
            ["d 755 0:0 dir\n", &line("d/second"), &line("d/third")].concat()
        );
        assert_eq!(
            bed.told(&archive, &tree(&[], &["other", "d/second"])),
            ["d 755 0:0 dir\n", &line("d/third"), &line("first")].concat()
        );
    }
}
