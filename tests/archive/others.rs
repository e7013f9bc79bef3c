//! Archives of other kinds than tar: the same as the program that made them unpacks.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::bed::{Bed, Tar, all, bytes, filter, one, tree};
use super::packages::{of_members, on_disk};
use super::support::tool;

/// Makes a tree with what an archive may hold, below the bed's directory.
fn some_tree(bed: &Bed) -> PathBuf {
    let from = bed.directory.path().join("from");
    fs::create_dir_all(from.join("usr/bin")).unwrap();
    fs::write(from.join("usr/bin/x"), "x".repeat(70_000)).unwrap();
    fs::write(from.join("usr/ünï"), "text").unwrap();
    fs::write(from.join("usr/empty"), "").unwrap();
    let mode = |path: &str, mode| {
        fs::set_permissions(from.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("usr/bin/x", 0o755);
    mode("usr/empty", 0o640);
    mode("usr/ünï", 0o644);
    mode("usr", 0o755);
    mode("usr/bin", 0o750);
    symlink("usr/bin", from.join("bin")).unwrap();
    from
}

/// Runs a shell's line in a directory, and returns what it writes.
fn shell(directory: &Path, line: &str) -> Vec<u8> {
    let output = Command::new("sh")
        .args(["-ec", line])
        .current_dir(directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {said}");
    output.stdout
}

#[test]
fn what_cpio_and_bsdtar_pack_is_what_was_packed() {
    if tool("cpio").is_none() || tool("bsdtar").is_none() {
        return;
    }
    let bed = Bed::new();
    let from = some_tree(&bed);
    fs::hard_link(from.join("usr/bin/x"), from.join("again")).unwrap();
    fs::hard_link(from.join("usr/bin/x"), from.join("usr/zwei")).unwrap();
    let expected = on_disk(&from);
    assert_eq!(expected.len(), 8);
    for line in [
        "find . | cpio -o -H newc",
        "find . | sort -r | cpio -o -H newc",
        "find . | cpio -o -H crc",
        "find . | cpio -o -H odc",
        "bsdtar --format=newc -cf - .",
        "bsdtar --format=odc -cf - .",
        "find . | cpio -o -H newc | gzip",
        "find . | cpio -o -H newc | xz",
    ] {
        let archive = shell(&from, line);
        let members = bed.read(&archive, &all()).unwrap();
        assert_eq!(of_members(&members), expected, "{line}");
        // The bytes are with another name than the one that is wanted, the first or the last.
        for name in ["again", "usr/zwei", "usr/bin/x"] {
            let found = bed.read(&archive, &one(name)).unwrap();
            assert_eq!(bytes(&found[0]).len(), 70_000, "{line} {name}");
            let found = bed.read(&archive, &tree(&[name], &[])).unwrap();
            assert_eq!(bytes(found.last().unwrap()).len(), 70_000, "{line} {name}");
        }
    }
}

#[test]
fn a_broken_cpio_archive_is_refused_with_the_place() {
    if tool("cpio").is_none() {
        return;
    }
    let bed = Bed::new();
    let from = bed.directory.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("f"), "12345").unwrap();
    let good = shell(&from, "echo f | cpio -o -H crc");
    let changed = |at: usize, bytes: &[u8]| {
        let mut archive = good.clone();
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    assert_eq!(bed.told(&good, &one("f")).lines().count(), 1);
    // The header is 110 bytes, the name 2, the data begins at 112, the trailer at 120.
    let name = [
        &good[..94],
        b"00000006",
        &good[102..112],
        b"\0\0\0\0",
        &good[112..],
    ]
    .concat();
    assert!(bed.told(&name, &all()).starts_with("f 6"));
    for (archive, problem) in [
        (changed(113, b"!"), "their sum is wrong"),
        (
            changed(120, b"070709"),
            "`070709` stands where a header must",
        ),
        (changed(54, b"x"), "a field of the header is malformed"),
        (changed(94, b"00000000"), "a name is malformed"),
        (changed(111, b"!"), "a name is malformed"),
        (good[..115].to_vec(), "it is truncated"),
        (good[..120].to_vec(), "it is truncated"),
        (
            [&good[..], b"more"].concat(),
            "something follows the end of the archive",
        ),
    ] {
        for want in [all(), one("g")] {
            let text = bed.told(&archive, &want);
            assert!(
                text.contains("is no valid cpio archive: at byte "),
                "{text}"
            );
            assert!(text.ends_with(problem), "{text}");
        }
    }
    let outside = shell(&from, "echo ../from/f | cpio -o -H newc");
    assert!(bed.told(&outside, &all()).contains("its name has a `..`"));
}

#[test]
fn what_zip_python_and_bsdtar_pack_is_what_was_packed() {
    if tool("zip").is_none() || tool("bsdtar").is_none() || tool("python3").is_none() {
        return;
    }
    let bed = Bed::new();
    let from = some_tree(&bed);
    let expected = on_disk(&from);
    let python = "import os, sys, zipfile\nwith zipfile.ZipFile(sys.stdout.buffer, 'w', zipfile.ZIP_DEFLATED) as z:\n \
                  for root, dirs, files in os.walk('.'):\n  [z.write(os.path.join(root, n)) for n in dirs + files if not os.path.islink(os.path.join(root, n))]\n \
                  i = zipfile.ZipInfo('bin'); i.create_system = 3; i.external_attr = 0o120777 << 16; z.writestr(i, 'usr/bin')";
    fs::write(bed.directory.path().join("pack.py"), python).unwrap();
    for line in [
        "zip -qry ../1.zip . && cat ../1.zip",
        "zip -qry0 ../2.zip . && cat ../2.zip",
        "zip -qry -Z bzip2 ../3.zip . && cat ../3.zip",
        "zip -qry -fz ../4.zip . && cat ../4.zip",
        "find . | zip -qy - -@",
        "bsdtar --format=zip -cf - .",
        "python3 ../pack.py",
    ] {
        let archive = shell(&from, line);
        let members = bed.read(&archive, &all()).unwrap();
        assert_eq!(of_members(&members), expected, "{line}");
        let found = bed.read(&archive, &one("usr/bin/?")).unwrap();
        assert_eq!(bytes(&found[0]).len(), 70_000, "{line}");
    }
}

#[test]
fn a_zip_archive_that_readers_may_understand_in_two_ways_is_refused() {
    let Some(_) = tool("zip") else {
        return;
    };
    let bed = Bed::new();
    let from = bed.directory.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("abc"), "12345").unwrap();
    let good = shell(&from, "zip -qX0 ../1.zip abc && cat ../1.zip");
    assert_eq!(bed.told(&good, &all()).lines().count(), 1);
    let central = good.len() - 22 - 46 - 3;
    let changed = |at: usize, bytes: &[u8]| {
        let mut archive = good.clone();
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    for (archive, problem) in [
        (
            changed(30, b"x"),
            "a member's own header is not what the directory says",
        ),
        (changed(33, b"x"), "the checksum of a member is wrong"),
        (
            changed(central + 24, b"\x04"),
            "a member has more bytes than the directory says",
        ),
        (changed(central + 24, b"\x06"), "a member is truncated"),
        (
            changed(central + 10, b"\x63"),
            "it is compressed with method 99, which is not supported",
        ),
        (changed(central + 8, b"\x01"), "it is encrypted"),
        (changed(central, b"x"), "stands where a header must"),
        (changed(good.len() - 22 + 16, b"\x01"), "is it truncated?"),
        (changed(good.len() - 22 + 10, b"\x00"), "is it truncated?"),
        (good[..good.len() - 1].to_vec(), "is it truncated?"),
        ([&good[..], b"more"].concat(), "is it truncated?"),
    ] {
        let text = bed.told(&archive, &all());
        assert!(text.ends_with(problem), "{text}, not {problem}");
    }
    assert!(
        bed.told(&changed(central + 46, b"../"), &all())
            .contains("its name has a `..`")
    );
}

#[test]
fn the_files_of_an_apk_are_those_that_apk_would_unpack() {
    let bed = Bed::new();
    // Neither the signature nor the control part ends as a tar archive does.
    let parts = [
        Tar::new().file(".SIGN.RSA.key.pub", b"s").0,
        Tar::new()
            .file(".PKGINFO", b"pkgname = x\n")
            .file(".pre-install", b"#!/bin/sh\n")
            .0,
        Tar::new()
            .pax(b'x', &[("APK-TOOLS.checksum.SHA1", b"00")])
            .dir("usr/bin/")
            .file("usr/bin/x", b"1")
            .end(),
    ];
    let mut package = Vec::new();
    for part in &parts {
        let Some(bytes) = filter("gzip", &["-nc"], part) else {
            return;
        };
        package.extend_from_slice(&bytes);
    }
    let expected = "usr/bin 755 0:0 dir\nusr/bin/x 644 0:0 file \"1\"\n";
    assert_eq!(bed.told(&package, &all()), expected);
    assert_eq!(bed.told(&parts[1..].concat(), &all()), expected);
    // Without a package's members in front a dot is nothing.
    let other = Tar::new().file("x", b"").file(".PKGINFO", b"").end();
    assert!(bed.told(&other, &all()).contains(".PKGINFO"));
}

#[test]
fn the_files_of_an_rpm_are_those_that_rpm2cpio_unpacks() {
    if tool("rpmbuild").is_none() {
        return;
    }
    let bed = Bed::new();
    let directory = bed.directory.path();
    let spec = "Name: x\nVersion: 1\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%install\n\
                mkdir -p %{buildroot}/usr/bin\necho hello > %{buildroot}/usr/bin/x\nchmod 755 %{buildroot}/usr/bin/x\n\
                ln %{buildroot}/usr/bin/x %{buildroot}/usr/bin/y\nln -s x %{buildroot}/usr/bin/z\n\
                echo p > %{buildroot}/usr/ping\n%files\n%dir /usr/bin\n%caps(cap_net_raw=ep) /usr/ping\n/usr/bin/x\n/usr/bin/y\n/usr/bin/z\n";
    fs::write(directory.join("x.spec"), spec).unwrap();
    for payload in [
        "w9.gzdio",
        "w9.bzdio",
        "w7.xzdio",
        "w3.zstdio",
        "w7.lzdio",
        "w.ufdio",
    ] {
        let line = format!(
            "rpmbuild -bb --define \"_topdir $PWD/b\" --define '_binary_payload {payload}' x.spec >&2; cat b/RPMS/noarch/*.rpm"
        );
        let package = shell(directory, &line);
        // The payload does not say it.
        assert_eq!(
            bed.told(&package, &all()),
            "`usr/ping` in `it` is refused: it has the extended attribute `security.capability`, which an initramfs cannot hold"
        );
        assert_eq!(
            bed.told(&package, &tree(&[], &["usr/ping"])),
            "usr/bin 755 0:0 dir\nusr/bin/x 755 0:0 file \"hello\\n\"\nusr/bin/y 755 0:0 file \"hello\\n\"\nusr/bin/z 777 0:0 link \"x\"\n",
            "{payload}"
        );
        for end in [90, 97, 200, package.len() / 2, package.len() - 1] {
            let text = bed.told(&package[..end], &all());
            assert!(text.contains("`it`"), "{payload} {end}: {text}");
        }
    }
}
