//! The outer shell of packages.

use super::bed::{Bed, Tar, all, ar, ar_member, deb, filter, one};

fn data() -> Vec<u8> {
    Tar::new()
        .dir("./")
        .dir("./etc/")
        .file("./etc/motd", b"hello")
        .end()
}

const FOUND: &str = "etc 755 0:0 dir\netc/motd 644 0:0 file \"hello\"\n";

#[test]
fn a_package_is_read_whatever_its_data_is_compressed_with() {
    let bed = Bed::new();
    assert_eq!(bed.told(&deb(&data()), &all()), FOUND);
    for (suffix, program) in [
        ("gz", "gzip"),
        ("xz", "xz"),
        ("zst", "zstd"),
        ("bz2", "bzip2"),
        ("lzma", "lzma"),
    ] {
        let Some(data) = filter(program, &["-c"], &data()) else {
            return;
        };
        let package = ar(&[
            ("debian-binary/", b"2.0\n"),
            ("_extra", b"odd"),
            (&format!("control.tar.{suffix}"), b""),
            ("_more", b""),
            (&format!("data.tar.{suffix}"), &data),
            ("_gpgorigin", b"signature"),
        ]);
        assert_eq!(bed.told(&package, &all()), FOUND, "{suffix}");
        assert_eq!(
            bed.told(&package, &one("etc/motd")),
            "etc/motd 644 0:0 file \"hello\"\n",
            "{suffix}"
        );
    }
}

#[test]
fn a_file_that_is_no_package_is_refused_with_the_reason() {
    let data = data();
    let version: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let control: (&str, &[u8]) = ("control.tar", b"");
    let members: (&str, &[u8]) = ("data.tar", &data);
    let good = ar(&[version, control, members]);
    let patched = |at: usize, bytes: &[u8]| {
        let mut package = good.clone();
        package[at..at + bytes.len()].copy_from_slice(bytes);
        package
    };
    let mut junk = good.clone();
    junk.extend_from_slice(b"junk");
    let mut header_junk = good.clone();
    header_junk.extend_from_slice(&[b'x'; 60]);
    let mut padding = ar(&[version, control]);
    ar_member(&mut padding, "_odd", b"odd");
    *padding.last_mut().unwrap() = 0;
    let cases: [(&str, Vec<u8>, &str); 22] = [
        ("nothing", b"!<arch>\n".to_vec(), "it has no members"),
        (
            "another first member",
            ar(&[control, version, members]),
            "its first member is `control.tar`, not `debian-binary`",
        ),
        (
            "an underscore first",
            ar(&[("_a", b""), version, control, members]),
            "its first member is `_a`, not `debian-binary`",
        ),
        (
            "another version",
            ar(&[("debian-binary", b"3.0\n"), control, members]),
            "its format version is `3.0\\n`, not `2.` and a number",
        ),
        (
            "a version without a number",
            ar(&[("debian-binary", b"2.\n"), control, members]),
            "its format version is `2.\\n`, not `2.` and a number",
        ),
        (
            "no control member",
            ar(&[version, members]),
            "its second member is `data.tar`, not `control.tar`",
        ),
        (
            "the version alone",
            ar(&[version]),
            "its second member is missing, `control.tar` must be there",
        ),
        (
            "no data member",
            ar(&[version, control]),
            "it has no data member (`data.tar`, `data.tar.xz` or the like)",
        ),
        (
            "two data members",
            ar(&[version, control, members, ("data.tar.xz", b"\xfd7zXZ\0")]),
            "it has two data members, the second is `data.tar.xz`",
        ),
        (
            "a member of another name before the data",
            ar(&[version, control, ("extra", b""), members]),
            "the member `extra` does not belong there: only names that start with `_` may be added",
        ),
        (
            "a member of another name behind the data",
            ar(&[version, control, members, ("extra", b"")]),
            "the member `extra` does not belong there: only names that start with `_` may be added",
        ),
        (
            "lz4",
            ar(&[version, control, ("data.tar.lz4", b"\x04\x22\x4d\x18")]),
            "`data.tar.lz4` is compressed in a way that is not supported: .gz, .xz, .zst, .bz2, .lzma, .lz or nothing is",
        ),
        (
            "bytes that are not what the name says",
            ar(&[version, control, ("data.tar.xz", b"\x1f\x8b\x08\0")]),
            "the bytes of `data.tar.xz` are not what its name says",
        ),
        (
            "junk behind the data",
            junk,
            "it is truncated: a member header at byte 3264 needs 60 bytes, 4 are there",
        ),
        (
            "60 bytes of junk behind the data",
            header_junk,
            "the member header at byte 3264 has a bad end mark",
        ),
        (
            "data cut off",
            good[..good.len() - 1].to_vec(),
            "it is truncated: `data.tar` at byte 192 needs 3072 bytes, 3071 are there",
        ),
        (
            "a header cut off",
            good[..100].to_vec(),
            "it is truncated: a member header at byte 72 needs 60 bytes, 28 are there",
        ),
        (
            "padding that is none",
            padding,
            "the padding at byte 195 is not a line feed",
        ),
        (
            "a size that is no number",
            patched(72 + 48, b"0x10"),
            "the member header at byte 72 has a bad size",
        ),
        (
            "a negative size",
            patched(72 + 48, b"-1"),
            "the member header at byte 72 has a bad size",
        ),
        (
            "a size beyond all bounds",
            patched(72 + 48, b"9999999999"),
            "it is truncated: `control.tar` at byte 132 needs 9999999999 bytes, 3132 are there",
        ),
        (
            "a name with a control character",
            patched(72, b"\x01"),
            "the member header at byte 72 has a bad name",
        ),
    ];
    let bed = Bed::new();
    for (what, package, reason) in cases {
        for want in [all(), one("etc/motd")] {
            assert_eq!(
                bed.told(&package, &want),
                format!("`it` is no valid .deb: {reason}"),
                "{what}"
            );
        }
    }
    assert_eq!(bed.kept(), Vec::<String>::new());
}

#[test]
fn a_package_that_dpkg_deb_reads_is_read() {
    let bed = Bed::new();
    let data = data();
    let control: (&str, &[u8]) = ("control.tar", b"");
    for version in [&b"2.1\n"[..], b"2.0\nmore\n", b"2.17\n\n"] {
        let package = ar(&[("debian-binary", version), control, ("data.tar", &data)]);
        assert_eq!(bed.told(&package, &all()), FOUND, "{version:?}");
    }
    let Some(gz) = filter("gzip", &["-nc"], &data) else {
        return;
    };
    // Times, owners and modes go nowhere, and behind the last member nothing need be padded.
    for more in [0, 1] {
        let member = [&gz[..], &vec![0; more]].concat();
        let mut package = ar(&[
            ("debian-binary", b"2.0\n"),
            control,
            ("data.tar.gz", &member),
        ]);
        let header = 72 + 60;
        package[header + 16..header + 18].copy_from_slice(b"-1");
        package[header + 40] = b'?';
        if member.len() % 2 == 1 {
            package.pop();
        }
        assert_eq!(bed.told(&package, &all()), FOUND, "{more}");
    }
}
