//! Sparse files: those of GNU tar and bsdtar in each of their forms, and maps that are about other bytes than there are.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::process::Command;

use mkimg::source::{Limits, Want};

use super::bed::{Bed, LIMITS, Tar, all, bytes, chain, deb, one};
use super::support::tool;

#[test]
fn a_sparse_file_in_each_form_is_the_whole_file() {
    let (Some(tar), Some(bsdtar)) = (tool("tar"), tool("bsdtar")) else {
        return;
    };
    let bed = Bed::new();
    let from = bed.directory.path().join("from");
    fs::create_dir(&from).unwrap();
    // More pieces than a header has room for, a hole at the end, and one file without any bytes.
    let mut file = fs::File::create(from.join("holes")).unwrap();
    for number in 0..40u8 {
        file.seek(SeekFrom::Start(u64::from(number) * 70_000 + 4096))
            .unwrap();
        file.write_all(&[number + 1; 5000]).unwrap();
    }
    file.set_len(5 << 20).unwrap();
    let empty = fs::File::create(from.join("nothing")).unwrap();
    empty.set_len(3 << 20).unwrap();
    let whole = ["holes", "nothing"].map(|name| fs::read(from.join(name)).unwrap());
    let forms: [(&std::path::Path, &[&str]); 6] = [
        (&tar, &["--format=gnu", "--sparse"]),
        (&tar, &["--format=oldgnu", "--sparse"]),
        (&tar, &["--format=pax", "--sparse-version=0.0", "--sparse"]),
        (&tar, &["--format=pax", "--sparse-version=0.1", "--sparse"]),
        (&tar, &["--format=pax", "--sparse-version=1.0", "--sparse"]),
        (&bsdtar, &["--format=pax"]),
    ];
    for (program, arguments) in forms {
        let archive = bed.directory.path().join("archive.tar");
        let mut command = Command::new(program);
        command.args(arguments).arg("-cf").arg(&archive);
        command.arg("-C").arg(&from).args(["holes", "nothing"]);
        assert!(command.status().unwrap().success());
        let archive = fs::read(&archive).unwrap();
        if archive.len() > 1 << 20 {
            // This file system keeps no holes.
            assert!(program == bsdtar.as_path(), "{arguments:?}");
        }
        for archive in [deb(&archive), archive] {
            let members = bed.read(&archive, &all()).unwrap();
            let found: Vec<Vec<u8>> = members.iter().map(bytes).collect();
            assert!(found == whole, "{arguments:?}");
            let lone = bed.read(&archive, &one("nothing")).unwrap();
            assert!(bytes(&lone[0]) == whole[1], "{arguments:?}");
        }
    }
}

/// A member of type S with the pieces, of a file of some size.
fn old(pieces: &[(u64, u64)], size: u64, body: &[u8]) -> Vec<u8> {
    let tar = Tar::new().header(b"f", b'S', body, |header| {
        for (number, (offset, count)) in pieces.iter().enumerate() {
            let at = 386 + 24 * number;
            header[at..at + 12].copy_from_slice(format!("{offset:011o}\0").as_bytes());
            header[at + 12..at + 24].copy_from_slice(format!("{count:011o}\0").as_bytes());
        }
        header[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
    });
    tar.file("g", b"1").end()
}

#[test]
fn a_map_that_is_not_about_the_bytes_that_are_there_is_refused() {
    let bed = Bed::new();
    let good = old(&[(1, 2), (5, 1)], 7, b"abc");
    assert_eq!(
        bed.told(&good, &all()),
        "f 644 0:0 file \"\\0ab\\0\\0c\\0\"\ng 644 0:0 file \"1\"\n"
    );
    let pax = |records: &[(&str, &[u8])], body: &[u8]| {
        Tar::new().pax(b'x', records).file("f", body).end()
    };
    let new = |map: &[u8]| {
        let body = [map, &vec![0; 512 - map.len()], b"abc"].concat();
        let records: [(&str, &[u8]); 4] = [
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"named"),
            ("GNU.sparse.realsize", b"5"),
        ];
        pax(&records, &body)
    };
    assert_eq!(
        bed.told(&new(b"1\n1\n3\n"), &all()),
        "named 644 0:0 file \"\\0abc\\0\"\n"
    );
    let map = |map: &[u8]| {
        pax(
            &[("GNU.sparse.map", map), ("GNU.sparse.size", b"5")],
            b"abc",
        )
    };
    assert_eq!(
        bed.told(&map(b"0,2,3,1"), &all()),
        "f 644 0:0 file \"ab\\0c\\0\"\n"
    );
    let bad = [
        old(&[(1, 2)], 7, b"abc"),
        old(&[(1, 4)], 7, b"abc"),
        old(&[(1, 3)], 3, b"abc"),
        old(&[(5, 1), (1, 2)], 7, b"abc"),
        old(&[(1, 2), (2, 1)], 7, b"abc"),
        old(&[(u64::MAX >> 31, 3)], 7, b"abc"),
        map(b"0,2,3"),
        map(b"0,2,-1,1"),
        pax(&[("GNU.sparse.map", b"0,3")], b"abc"),
        pax(&[("GNU.sparse.numbytes", b"3")], b"abc"),
        pax(
            &[("GNU.sparse.major", b"2"), ("GNU.sparse.size", b"3")],
            b"abc",
        ),
        new(b"1\n1\n2\n"),
        new(b"2\n0\n1\n"),
        new(b"99999999999999999999\n"),
        new(b"1048577\n"),
        new(b"1\n1\n3\n4\n"),
    ];
    for (number, archive) in bad.iter().enumerate() {
        let text = bed.told(archive, &all());
        assert!(
            text.ends_with("the map of the sparse file is malformed")
                || text.ends_with("a pax header is malformed"),
            "{number}: {text}"
        );
    }
}

#[test]
fn a_file_of_holes_is_held_to_the_limits_before_it_is_written() {
    let bed = Bed::new();
    let limits = Limits {
        max_unpacked: 1 << 20,
        ..LIMITS
    };
    let told = |size: u64, want: &Want| {
        let archive = old(&[(0, 1)], size, b"a");
        match bed.read_limited(&archive, want, &limits) {
            Ok(members) => members.len().to_string(),
            Err(error) => chain(&error),
        }
    };
    assert_eq!(told(1 << 19, &all()), "2");
    assert!(told(1 << 20, &all()).contains("more than 1048576 bytes when it is decompressed"));
    // 64 GiB can be in no image, and who wants the other file gets it.
    assert!(told((1 << 33) - 1, &all()).contains("an initramfs holds files below 4 GiB"));
    assert_eq!(told((1 << 33) - 1, &one("g")), "1");
}
