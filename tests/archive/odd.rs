//! Members that are odd, and sound.

use super::bed::{Bed, Tar, all, one, tree};

#[test]
fn odd_but_sound_members_are_read() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let archive = Tar::new()
        .pax(b'g', &[("comment", b"0123456789abcdef")])
        .dir("./")
        .dir("./")
        .dir("d/")
        .dir("./d")
        // pitfall 62: by name and mode as they are
        .header(b"d//x/./y", b'0', b"y", |header| {
            header[100..108].copy_from_slice(b"104755 \0")
        })
        .header(b"old/", 0, b"", |_| {})
        .header(b"contiguous", b'7', b"c", |_| {})
        .header(b"dev", b'3', b"", |header| {
            header[329..337].copy_from_slice(b"0000005\0");
            header[337..345].copy_from_slice(b"0000001\0");
        })
        .header(b"disk", b'4', b"", |header| {
            header[329..337].copy_from_slice(b"0000010\0");
        })
        .header(b"256", b'0', b"abc", |header| {
            header[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x03");
        })
        .header(b"blank", b'0', b"", |header| header[108..124].fill(0))
        .link("s", b'2', "../../out of here")
        .link("h1", b'1', "./d//x/y")
        .link("h2", b'1', "h1")
        .header(b"L", b'L', format!("{long}\0").as_bytes(), |_| {})
        .file("short", b"long")
        .pax(
            b'x',
            &[
                ("linkpath", long.as_bytes()),
                ("path", b"p"),
                ("mtime", b"1.5"),
            ],
        )
        .link("short", b'2', "short")
        .pax(
            b'x',
            &[
                ("size", b"3"),
                ("uid", b"3000000"),
                ("gid", b"7"),
                ("unknown", b""),
            ],
        )
        .header(b"sized", b'0', b"abc", |header| {
            header[124..136].copy_from_slice(b"00000000000\0");
        })
        .header(b"\xff\xfe", b'0', b"", |_| {})
        .end();
    let expected = format!(
        "256 644 0:0 file \"abc\"\n\
         blank 644 0:0 file \"\"\n\
         contiguous 644 0:0 file \"c\"\n\
         d 755 0:0 dir\n\
         d/x/y 4755 0:0 file \"y\"\n\
         {long} 644 0:0 file \"long\"\n\
         dev 644 0:0 Char 5:1\n\
         disk 644 0:0 Block 8:0\n\
         h1 4755 0:0 file \"y\"\n\
         h2 4755 0:0 file \"y\"\n\
         old 644 0:0 dir\n\
         p 777 0:0 link \"{long}\"\n\
         s 777 0:0 link \"../../out of here\"\n\
         sized 644 3000000:7 file \"abc\"\n\
         \u{fffd}\u{fffd} 644 0:0 file \"\"\n"
    );
    assert_eq!(Bed::new().told(&archive, &all()), expected);
}

#[test]
fn what_comes_later_takes_the_place_of_what_was_there_as_gnu_tar_and_bsdtar_have_it() {
    let with_mode = |tar: Tar, name: &[u8], mode: &[u8]| {
        tar.header(name, b'5', b"", |header| {
            header[100..107].copy_from_slice(mode);
        })
    };
    let cases = [
        (
            Tar::new().file("a", b"1").file("./a", b"22"),
            "a 644 0:0 file \"22\"\n",
        ),
        // What was linked keeps what it was linked to.
        (
            Tar::new()
                .file("a", b"1")
                .link("h", b'1', "a")
                .file("a", b"22"),
            "a 644 0:0 file \"22\"\nh 644 0:0 file \"1\"\n",
        ),
        (
            Tar::new()
                .file("a", b"1")
                .link("s", b'2', "a")
                .file("s", b"22"),
            "a 644 0:0 file \"1\"\ns 644 0:0 file \"22\"\n",
        ),
        (
            Tar::new().file("a", b"1").link("a", b'2', "x"),
            "a 777 0:0 link \"x\"\n",
        ),
        (
            Tar::new().file("a", b"1").dir("a/").file("a/f", b""),
            "a 755 0:0 dir\na/f 644 0:0 file \"\"\n",
        ),
        (
            Tar::new().dir("a").file("a", b"1"),
            "a 644 0:0 file \"1\"\n",
        ),
        (
            with_mode(Tar::new().dir("a"), b"a", b"0000700"),
            "a 700 0:0 dir\n",
        ),
        (
            Tar::new().file("a", b"1").link("a", b'1', "a"),
            "a 644 0:0 file \"1\"\n",
        ),
        // A symlink in the place of a directory is followed, a directory in the place of a symlink replaces it.
        (
            Tar::new()
                .dir("usr/bin")
                .link("bin", b'2', "usr/bin")
                .file("bin/x", b"1")
                .link("y", b'1', "bin/x"),
            "bin 777 0:0 link \"usr/bin\"\nusr/bin 755 0:0 dir\nusr/bin/x 644 0:0 file \"1\"\ny 644 0:0 file \"1\"\n",
        ),
        (
            Tar::new()
                .dir("lib")
                .link("usr/lib", b'2', "../lib")
                .link("deep", b'2', "usr/./lib//")
                .file("deep/x", b"1"),
            "deep 777 0:0 link \"usr/./lib//\"\nlib 755 0:0 dir\nlib/x 644 0:0 file \"1\"\nusr/lib 777 0:0 link \"../lib\"\n",
        ),
        (
            Tar::new()
                .dir("usr/bin")
                .link("bin", b'2', "usr/bin")
                .dir("bin")
                .file("bin/x", b"1"),
            "bin 755 0:0 dir\nbin/x 644 0:0 file \"1\"\nusr/bin 755 0:0 dir\n",
        ),
    ];
    for (archive, expected) in cases {
        let bed = Bed::new();
        assert_eq!(bed.told(&archive.end(), &all()), expected);
    }
}

#[test]
fn a_symlink_that_leads_out_of_the_archive_or_nowhere_is_never_followed() {
    let below = |target: &str| Tar::new().dir("d").link("d/l", b'2', target);
    for target in [
        "/d",
        "/",
        "..//../d",
        "../../etc",
        "../nowhere",
        "l",
        "../d/l/l",
        "../f",
    ] {
        let archive = below(target).file("f", b"").file("d/l/x", b"1");
        assert_eq!(
            Bed::new().told(&archive.end(), &all()),
            "`d/l/x` in `it` is refused: `d/l` above it is a symlink that leads to no directory in the archive",
            "{target}"
        );
    }
    // Long chains end at the kernel's bound.
    for (length, good) in [(40, true), (41, false)] {
        let mut archive = Tar::new().dir("d").link("l0", b'2', "d");
        for number in 1..length {
            archive = archive.link(&format!("l{number}"), b'2', &format!("l{}", number - 1));
        }
        let archive = archive.file(&format!("l{}/x", length - 1), b"1");
        let text = Bed::new().told(&archive.end(), &all());
        assert_eq!(text.contains("d/x 644"), good, "{length}: {text}");
    }
}

#[test]
fn one_file_out_of_many_is_what_stands_there_in_the_end() {
    let bed = Bed::new();
    let archive = Tar::new()
        .dir("usr")
        .link("bin", b'2', "usr")
        .file("a", b"1")
        .link("h", b'1', "a")
        .file("bin/x", b"2")
        .file("a", b"3")
        .file("gone", b"4")
        .link("gone", b'2', "a")
        .file("kept", b"5")
        .end();
    let line = |name: &str, text: &str| format!("{name} 644 0:0 file \"{text}\"\n");
    for (pattern, expected) in [
        ("a", line("a", "3")),
        ("h", line("h", "1")),
        ("[h]", line("h", "1")),
        ("usr/x", line("usr/x", "2")),
        // Two matched, and one of them is a symlink by now.
        ("[gk]*", line("kept", "5")),
        (
            "gone",
            "`gone` in `it` is a symlink to `a`, not a file: name `a` instead".to_owned(),
        ),
        (
            "bin/x",
            "no file in `it` matches `bin/x`; `bin` is a symlink to `usr`: name `usr/x` instead"
                .to_owned(),
        ),
    ] {
        assert_eq!(bed.told(&archive, &one(pattern)), expected, "{pattern}");
    }
    assert_eq!(bed.told(&archive, &tree(&["h"], &[])), line("h", "1"));
}

#[test]
fn what_other_machines_write_is_read() {
    let x = |key: &str, value: &[u8]| Tar::new().pax(b'x', &[(key, value)]).file("f", b"1");
    let field = |at: usize, bytes: &'static [u8]| {
        Tar::new().header(b"f", b'0', b"1", move |header| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
        })
    };
    // SunOS summed signed bytes.
    let signed = Tar::new().header(b"\xfff", b'0', b"1", |header| {
        header[148..156].fill(b' ');
        let sum: i32 = header.iter().map(|byte| i32::from(*byte as i8)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    });
    let file = "f 644 0:0 file \"1\"\n";
    let cases = [
        (signed, "\u{fffd}f 644 0:0 file \"1\"\n"),
        (x("RHT.security.selinux", b"u:r:t:s0\0"), file),
        (x("SCHILY.xattr.security.selinux", b"u:r:t:s0"), file),
        (x("SCHILY.xattr.com.apple.quarantine", b"0"), file),
        (x("LIBARCHIVE.xattr.com.apple.provenance", b"AQ"), file),
        (x("SCHILY.acl.ace", b"group:everyone:..:deny"), file),
        (x("SCHILY.fflags", b"nodump"), file),
        (x("uid", b""), file),
        (x("uid", b"-2"), "f 644 4294967294:0 file \"1\"\n"),
        (
            Tar::new()
                .pax(b'g', &[("uid", b"7"), ("gid", b"8"), ("VENDOR.x", b"y")])
                .file("f", b"1"),
            "f 644 7:8 file \"1\"\n",
        ),
        (
            Tar::new().pax(b'X', &[("mtime", b"1")]).file("f", b"1"),
            file,
        ),
        (
            Tar::new()
                .header(b"label", b'V', b"", |_| {})
                .file("f", b"1"),
            file,
        ),
        (Tar::new().header(b"f", b'Z', b"1", |_| {}), file),
        (
            Tar::new()
                .header(b"d", b'D', b"Yf\0\0", |_| {})
                .file("f", b"1"),
            "d 644 0:0 dir\nf 644 0:0 file \"1\"\n",
        ),
        (field(108, b"\0     0\0"), file),
        (
            field(108, b"\xff\xff\xff\xff\xff\xff\xff\xfe"),
            "f 644 4294967294:0 file \"1\"\n",
        ),
        (
            Tar::new()
                .file("f", b"1")
                .header(b"d", b'5', b"", |header| {
                    header[124..136].copy_from_slice(b"00000010000\0");
                }),
            "d 755 0:0 dir\nf 644 0:0 file \"1\"\n",
        ),
        (
            Tar::new()
                .file("f", b"1")
                .header(b"h", b'1', b"", |header| {
                    header[124..136].copy_from_slice(b"00000000001\0");
                    header[157] = b'f';
                }),
            "f 644 0:0 file \"1\"\nh 644 0:0 file \"1\"\n",
        ),
        (
            Tar::new()
                .header(b"n", b'3', b"", |header| {
                    header[329..337].copy_from_slice(b"0000001\0");
                })
                .link("m", b'1', "n")
                .link("s", b'2', "x")
                .link("t", b'1', "s"),
            "m 644 0:0 Char 1:0\nn 644 0:0 Char 1:0\ns 777 0:0 link \"x\"\nt 777 0:0 link \"x\"\n",
        ),
        // What macOS keeps beside a file is a file.
        (
            Tar::new().file("._f", b"m").file("f", b"1"),
            "._f 644 0:0 file \"m\"\nf 644 0:0 file \"1\"\n",
        ),
    ];
    for (archive, expected) in cases {
        assert_eq!(Bed::new().told(&archive.end(), &all()), expected);
    }
    // The size says where the next header is, so readers have to agree on it.
    assert_eq!(
        Bed::new().told(&field(124, b"\0        01\0").end(), &all()),
        "`it` is no valid tar archive: at byte 512: the header's size is not a number"
    );
}
