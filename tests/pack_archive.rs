//! The archive is the one of GNU cpio, byte for byte.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/tree.rs"]
mod from;
#[path = "support/gnu_cpio.rs"]
mod gnu_cpio;
#[path = "support/packing.rs"]
mod packing;
mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use mkimg::pack::{Compression, archive_size};
use packing::{BLOCK, mixture, packed, run};
use support::{is_root, skip, tool};

/// Fills a directory with what may go wrong in an archive.
fn fill(top: &Path) {
    let put = |name: &[u8], bytes: &[u8], mode: u32| {
        let path = top.join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // pitfall 21: every padding of data and of names
    for size in (0..=9)
        .chain(508..=516)
        .chain([BLOCK - 1, BLOCK, 1_000_003])
    {
        put(format!("size/{size}").as_bytes(), &mixture(size), 0o644);
    }
    for length in (1..=9).chain([100, 254, 255]) {
        put("n".repeat(length).as_bytes(), b"x", 0o600);
    }
    // pitfalls 5 and 10: byte order, not that of components or of a locale; names of all kinds
    for name in [
        &b"order/a/b"[..],
        b"order/a-b",
        b"order/a.b",
        b"order/Z",
        b"order/\xc3\xa4",
        b"order/\xff\xfe",
        b"name with spaces",
        b"-dash",
        b"qu'o\"te\\*?[a]$",
    ] {
        put(name, name, 0o644);
    }
    let deep = vec!["d".repeat(200); 15].join("/");
    put(deep.as_bytes(), b"deep", 0o644);
    for number in 0..3000 {
        put(
            format!("many/{number}").as_bytes(),
            number.to_string().as_bytes(),
            0o444,
        );
    }
    for (number, mode) in [0o4755, 0o2755, 0o6711, 0o1644, 0o400, 0o7777]
        .into_iter()
        .enumerate()
    {
        put(format!("mode/{number}").as_bytes(), b"", mode);
    }
    fs::create_dir(top.join("empty")).unwrap();
    fs::create_dir(top.join("tmp")).unwrap();
    fs::set_permissions(top.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    for target in ["x", "ab", "/a/b/c", "../up", &"t".repeat(4000)] {
        symlink(target, top.join(format!("link{}", target.len()))).unwrap();
    }
    if is_root() {
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
        let nodes = [
            ("console", FileType::CharacterDevice, 5, 1),
            ("disk", FileType::BlockDevice, 259, 300),
            ("largest", FileType::CharacterDevice, 4095, 1_048_575),
        ];
        for (name, class, major, minor) in nodes {
            let mode = Mode::from_raw_mode(0o600);
            mknodat(CWD, top.join(name), class, mode, makedev(major, minor)).unwrap();
        }
    } else {
        skip("only root can make device nodes");
    }
}

/// Sets the modification time of everything in a directory, of symlinks too (pitfall 7).
fn touch(directory: &Path, epoch: i64) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    for found in fs::read_dir(directory).unwrap() {
        let path = found.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            touch(&path, epoch);
        }
        let time = Timespec {
            tv_sec: epoch,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// What GNU cpio writes for a directory, and whether it counted the links of directories.
fn gnu(cpio: &Path, top: &Path) -> (Vec<u8>, bool) {
    let script = "find . -mindepth 1 -printf '%P\\0' | LC_ALL=C sort -z | \"$0\" --quiet --null -o -H newc --reproducible --owner=0:0";
    let archive = run(
        Command::new("sh")
            .arg("-c")
            .arg(script)
            .arg(cpio)
            .current_dir(top),
        b"",
    );
    (archive, gnu_cpio::counts_links(cpio))
}

// pitfalls 3, 4, 5, 6, 7, 10, 15, 17, 18, 20, 21, 22 and 23
#[test]
fn the_archive_is_byte_for_byte_the_one_of_gnu_cpio_and_of_the_second_implementation() {
    let Some(cpio) = tool("cpio") else { return };
    let top = tempfile::tempdir().unwrap();
    let data = tempfile::NamedTempFile::new().unwrap();
    fill(top.path());
    for epoch in [0, 1_700_000_000u32] {
        touch(top.path(), epoch.into());
        let mut tree = from::from_directory(top.path(), data.path());
        tree.epoch = epoch;
        let (ours, packed) = packed(&tree, Compression::None, 1);
        assert_eq!(packed.tree, packed.output);
        assert_eq!(packed.archive_size, archive_size(&tree).unwrap());
        let (mut theirs, counted) = gnu(&cpio, top.path());
        if counted {
            // pitfall 16: before 2.14 GNU cpio copies what the file system counts, and that differs between file systems
            assert!(
                gnu_cpio::two_links(&mut theirs) > 0,
                "the directories have subdirectories"
            );
        }
        assert!(
            ours == theirs,
            "{epoch}: {} and {} bytes",
            ours.len(),
            theirs.len()
        );
        let Some(python) = tool("python3") else {
            continue;
        };
        let second = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second/canonical.py");
        let mut command = Command::new(python);
        command.arg(second).arg("archive").arg(top.path());
        assert!(run(command.arg(epoch.to_string()), b"") == ours);
    }
}

#[test]
fn without_subdirectories_not_a_byte_differs_from_any_gnu_cpio() {
    let Some(cpio) = tool("cpio") else { return };
    let top = tempfile::tempdir().unwrap();
    for directory in ["bin", "dev", "proc", "sys", "tmp"] {
        fs::create_dir(top.path().join(directory)).unwrap();
    }
    fs::write(top.path().join("bin/busybox"), mixture(100_001)).unwrap();
    symlink("busybox", top.path().join("bin/sh")).unwrap();
    fs::write(top.path().join("init"), "#!/bin/sh\n").unwrap();
    touch(top.path(), 0);
    let data = tempfile::NamedTempFile::new().unwrap();
    let tree = from::from_directory(top.path(), data.path());
    let (theirs, _) = gnu(&cpio, top.path());
    assert!(packed(&tree, Compression::None, 1).0 == theirs);
}
