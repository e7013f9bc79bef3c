//! Members and tar streams that are refused, and odd ones that are not.

use super::bed::{Bed, Tar, all, one, tree};

/// Returns what reading everything says of an archive.
fn told(tar: Tar) -> String {
    Bed::new().told(&tar.end(), &all())
}

fn tar_error(offset: u64, problem: &str) -> String {
    format!("`it` is no valid tar archive: at byte {offset}: {problem}")
}

#[test]
fn a_member_that_cannot_be_in_an_image_is_refused_by_name() {
    let long = "n/".repeat(2100);
    let x = |records: &[(&str, &[u8])]| Tar::new().pax(b'x', records).file("f", b"");
    let cases = [
        // pitfall 47
        (Tar::new().file("../f", b"1"), "../f", "its name has a `..`"),
        (
            Tar::new().file("a/../f", b"1"),
            "a/../f",
            "its name has a `..`",
        ),
        (Tar::new().file("a/..", b"1"), "a/..", "its name has a `..`"),
        (
            Tar::new().file("/etc/x", b"1"),
            "/etc/x",
            "its name is absolute",
        ),
        (Tar::new().file("", b"1"), "", "its name is empty"),
        (Tar::new().file("./", b""), "./", ""),
        (Tar::new().file(".", b"1"), ".", "its name is empty"),
        (Tar::new().link("./", b'2', "x"), "./", "its name is empty"),
        (
            Tar::new().file("a\nb", b"1"),
            "a\\nb",
            "its name has a line break",
        ),
        (
            x(&[("path", b"a\nb")]),
            "a\\nb",
            "its name has a line break",
        ),
        (
            x(&[("path", b"a\0b")]),
            "a\\x00b",
            "its name has a NUL byte",
        ),
        (x(&[("path", b"")]), "", "its name is empty"),
        (x(&[("path", b"/abs")]), "/abs", "its name is absolute"),
        (
            Tar::new()
                .header(b"././@LongLink", b'L', b"../long\0", |_| {})
                .file("f", b""),
            "../long",
            "its name has a `..`",
        ),
        (
            x(&[("path", long.as_bytes())]),
            long.as_str(),
            "its name is longer than 4095 bytes",
        ),
        (
            x(&[("path", "x".repeat(256).as_bytes())]),
            &"x".repeat(256),
            "a component of its name is longer than 255 bytes",
        ),
        (
            Tar::new().link("l", b'2', "d").file("l/f", b"1"),
            "l/f",
            "`l` above it is a symlink that leads to no directory in the archive",
        ),
        (
            Tar::new().file("f", b"").dir("f/a/b"),
            "f/a/b",
            "`f` above it is a file, not a directory",
        ),
        (
            Tar::new().file("a/b/c", b"").link("a/b", b'2', "/"),
            "a/b",
            "it is a symlink, yet the archive has `a/b/c` below it",
        ),
        (
            x(&[("SCHILY.xattr.security.capability", b"\x01\0\0\x02\n")]),
            "f",
            "it has the extended attribute `SCHILY.xattr.security.capability`, which an initramfs cannot hold",
        ),
        (
            x(&[("LIBARCHIVE.xattr.user.a", b"YQ==")]),
            "f",
            "it has the extended attribute `LIBARCHIVE.xattr.user.a`, which an initramfs cannot hold",
        ),
        (
            x(&[("SCHILY.acl.access", b"user::rw-")]),
            "f",
            "it has the extended attribute `SCHILY.acl.access`, which an initramfs cannot hold",
        ),
        (
            x(&[("SCHILY.realsize", b"1")]),
            "f",
            "it is stored as a sparse file in a way that is not known: pack the archive without `-sparse`",
        ),
        (
            Tar::new().header(b"p", b'6', b"", |_| {}),
            "p",
            "it is a named pipe",
        ),
        (
            Tar::new().header(b"m", b'M', b"", |_| {}),
            "m",
            "it is the rest of a file that begins in another volume",
        ),
        (
            Tar::new().link("l", b'2', ""),
            "l",
            "its link target is empty, too long or has a NUL byte",
        ),
        (
            Tar::new().link("l", b'1', "gone"),
            "l",
            "it is a hard link to `gone`, which does not stand before it in the archive",
        ),
        (
            Tar::new().link("l", b'1', "later").file("later", b""),
            "l",
            "it is a hard link to `later`, which does not stand before it in the archive",
        ),
        (
            Tar::new().link("l", b'1', "l"),
            "l",
            "it is a hard link to `l`, which does not stand before it in the archive",
        ),
        (
            Tar::new().dir("d").link("l", b'1', "d"),
            "l",
            "it is a hard link to `d`, which is a directory, not a file",
        ),
        (
            Tar::new().link("l", b'1', "../f"),
            "l",
            "its name has a `..`",
        ),
        (
            Tar::new()
                .pax(b'x', &[("size", b"4294967296")])
                .file("f", b""),
            "f",
            "it has 4294967296 bytes, and an initramfs holds files below 4 GiB",
        ),
        (
            Tar::new().header(b"f", b'0', b"", |header| {
                header[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\x01\0\0\0\0");
            }),
            "f",
            "it has 4294967296 bytes, and an initramfs holds files below 4 GiB",
        ),
    ];
    for (archive, member, problem) in cases {
        let expected = match problem {
            // The root, by the type of a file and a slash, as the first tar wrote it: nothing to refuse.
            "" => String::new(),
            problem => format!("`{member}` in `it` is refused: {problem}"),
        };
        assert_eq!(told(archive), expected, "{member}");
    }
}

#[test]
fn a_broken_tar_stream_is_refused_with_the_place() {
    let f = || Tar::new().file("f", b"12345");
    let field = |at: usize, bytes: &'static [u8]| {
        Tar::new().header(b"f", b'0', b"", move |header| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
        })
    };
    let cases = [
        (
            field(124, b"00000000008\0"),
            tar_error(512, "the header's size is not a number"),
        ),
        (
            field(124, b"0000000001a\0"),
            tar_error(512, "the header's size is not a number"),
        ),
        (
            field(124, b"1\0 junk\0\0\0\0\0"),
            tar_error(512, "the header's size is not a number"),
        ),
        (
            field(124, b"+00000000000"),
            tar_error(512, "the header's size is not a number"),
        ),
        (
            field(124, &[0; 12]),
            tar_error(512, "the header's size is not a number"),
        ),
        // Negative, and one of more than 64 bits.
        (
            field(124, &[0xff; 12]),
            tar_error(512, "the header's size is not a number"),
        ),
        (
            field(124, b"\x80\0\x01\0\0\0\0\0\0\0\0\0"),
            tar_error(512, "the header's size is not a number"),
        ),
        (
            field(100, b"000064x\0"),
            tar_error(512, "the header's mode is not a number"),
        ),
        (
            field(108, b"12 34\0\0\0"),
            tar_error(512, "the header's user id is not a number"),
        ),
        (
            f().header(b"g", b'0', b"", |header| {
                header[148..156].copy_from_slice(b"0000000\0")
            }),
            tar_error(1536, "the header's checksum is wrong"),
        ),
        // What is no file has no bytes, so what follows must be a header.
        (
            f().header(b"d", b'5', b"body", |_| {}),
            tar_error(2048, "the header's checksum is wrong"),
        ),
        (
            f().header(b"d/", b'0', b"body", |_| {}),
            tar_error(1536, "`d/` is no file and yet has a size"),
        ),
        // In an archive with pax headers bsdtar goes by the size, GNU tar does not.
        (
            Tar::new()
                .pax(b'g', &[("comment", b"c")])
                .file("f", b"12345")
                .header(b"h", b'1', b"body", |header| header[157] = b'f'),
            tar_error(2560, "`h` is no file and yet has a size"),
        ),
        (
            f().header(b"l", b'L', b"name\0", |_| {})
                .header(b"l", b'L', b"name\0", |_| {}),
            tar_error(
                2560,
                "an extended header is not followed by the member that it describes",
            ),
        ),
        (
            f().pax(b'x', &[("path", b"name")]),
            tar_error(
                3072,
                "an extended header is not followed by the member that it describes",
            ),
        ),
        (
            Tar::new()
                .header(b"x", b'x', b"12 path=abc", |_| {})
                .file("f", b""),
            tar_error(1536, "a pax header is malformed"),
        ),
        (
            Tar::new()
                .header(b"x", b'x', b"99 path=abc\n", |_| {})
                .file("f", b""),
            tar_error(1536, "a pax header is malformed"),
        ),
        (
            Tar::new()
                .header(b"x", b'x', b"3 \n", |_| {})
                .file("f", b""),
            tar_error(1536, "a pax header is malformed"),
        ),
        (
            Tar::new().pax(b'x', &[("size", b"-1")]).file("f", b""),
            tar_error(1536, "a pax header is malformed"),
        ),
        (
            Tar::new().pax(b'g', &[("path", b"all")]).file("f", b""),
            tar_error(
                1024,
                "a global pax header sets `path`, which is not supported",
            ),
        ),
        (
            Tar::new()
                .pax(b'g', &[("SCHILY.xattr.user.a", b"b")])
                .file("f", b""),
            tar_error(
                1024,
                "a global pax header sets `SCHILY.xattr.user.a`, which is not supported",
            ),
        ),
        (
            Tar::new().header(b"x", b'x', &[b'1'; (1 << 20) + 1], |_| {}),
            tar_error(512, "an extended header of 1048577 bytes is too large"),
        ),
    ];
    for (archive, expected) in cases {
        assert_eq!(told(archive), expected);
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_or_goes_on_behind_its_end_is_refused() {
    let bed = Bed::new();
    let whole = Tar::new().file("f", b"12345").end();
    for (end, offset, problem) in [
        (1535, 1024, "it is truncated"),
        (1023, 512, "it is truncated"),
        (516, 512, "it is truncated"),
        (512, 512, "it is truncated"),
    ] {
        // What was decoded counts, down to the last byte that is there.
        let text = bed.told(&whole[..end], &all());
        assert!(text.ends_with(problem), "{end} {offset}: {text}");
    }
    // One zero block is what some writers leave it at, or none.
    for end in [1536, 1024] {
        assert_eq!(
            bed.told(&whole[..end], &all()),
            "f 644 0:0 file \"12345\"\n"
        );
    }
    let mut twice = whole.clone();
    twice.extend_from_slice(&whole);
    assert_eq!(
        bed.told(&twice, &all()),
        tar_error(2048, "something follows the end of the archive")
    );
    let mut lone = Tar::new().file("f", b"12345").0;
    lone.resize(lone.len() + 512, 0);
    lone.extend_from_slice(&Tar::new().file("g", b"").end());
    assert_eq!(
        bed.told(&lone, &all()),
        tar_error(1536, "something follows the end of the archive")
    );
}

#[test]
fn what_nobody_wants_may_have_flaws_but_never_a_bad_name() {
    let bed = Bed::new();
    let archive = Tar::new()
        .header(b"pipe", b'6', b"", |_| {})
        .pax(b'x', &[("SCHILY.xattr.user.a", b"b")])
        .file("attribute", b"")
        .link("broken", b'1', "gone")
        .file("good", b"1")
        .end();
    let good = "good 644 0:0 file \"1\"\n";
    assert_eq!(bed.told(&archive, &one("good")), good);
    assert_eq!(bed.told(&archive, &tree(&["goo*"], &[])), good);
    assert_eq!(
        bed.told(&archive, &tree(&[], &["pipe", "attribute", "broken"])),
        good
    );
    assert_eq!(
        bed.told(&archive, &one("attribute")),
        "`attribute` in `it` is refused: it has the extended attribute `SCHILY.xattr.user.a`, which an initramfs cannot hold"
    );
    assert_eq!(
        bed.told(&archive, &one("broken")),
        "`broken` in `it` is refused: it is a hard link to `gone`, which does not stand before it in the archive"
    );
    let archive = Tar::new().file("../evil", b"").file("good", b"1").end();
    assert_eq!(
        bed.told(&archive, &one("good")),
        "`../evil` in `it` is refused: its name has a `..`"
    );
    // A directory comes along with what is below it, and its attributes would be lost.
    let archive = Tar::new()
        .pax(b'x', &[("SCHILY.xattr.user.a", b"b")])
        .dir("d")
        .file("d/f", b"1")
        .end();
    assert_eq!(
        bed.told(&archive, &tree(&["d/f"], &[])),
        "`d` in `it` is refused: it has the extended attribute `SCHILY.xattr.user.a`, which an initramfs cannot hold"
    );
}

#[test]
fn an_archive_of_too_many_names_is_refused() {
    let mut archive = Tar::new();
    // Each of these has 2000 directories above it that are nowhere else.
    for number in 0..600 {
        let path = format!("{number}{}", "/a".repeat(2000));
        archive = archive
            .pax(b'x', &[("path", path.as_bytes())])
            .file("f", b"");
    }
    assert_eq!(
        told(archive),
        "`it` has more than 524288 members and directories above them"
    );
}
