//! The bytes of an image: GNU cpio, gzip, other readers and a second implementation say whether they are right.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "support/tree.rs"]
mod from;
mod support;

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use mkimg::digest::Digest;
use mkimg::pack::{Compression, PackError, Packed, archive_size, pack};
use mkimg::tree::{Content, DeviceClass, Entry, EntryPath, Kind, Place, Region, Tree};
use support::tool;

const BLOCK: usize = 512 * 1024;

fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn packed(tree: &Tree, compression: Compression, count: usize) -> (Vec<u8>, Packed) {
    let mut out = Vec::new();
    let packed = pack(tree, compression, jobs(count), &mut out, &mut |_| {}).unwrap();
    assert_eq!(packed.output, Digest::of(&out));
    assert_eq!(packed.output_size, out.len() as u64);
    (out, packed)
}

fn failure(tree: &Tree) -> PackError {
    let gzip = Compression::Gzip { level: 1 };
    pack(tree, gzip, jobs(2), &mut io::sink(), &mut |_| {}).unwrap_err()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::bufread::GzDecoder::new(bytes)
        .read_to_end(&mut plain)
        .unwrap();
    plain
}

fn entry(kind: Kind) -> Entry {
    Entry {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        origin: Some(0),
    }
}

fn tree(entries: impl IntoIterator<Item = (&'static str, Kind)>) -> Tree {
    let mut tree = Tree::new(0);
    for (path, kind) in entries {
        let path = EntryPath::new(path.as_bytes()).unwrap();
        tree.insert(path, entry(kind)).unwrap();
    }
    tree
}

fn file(bytes: Vec<u8>) -> Kind {
    Kind::File(Content::memory(bytes))
}

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Words, runs, numbers and noise in turns, as an image has them.
fn mixture(size: usize) -> Vec<u8> {
    let mut next = random(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(size + 4096);
    while bytes.len() < size {
        let value = next();
        match value % 5 {
            0 => bytes.extend((0..300).map(|_| next() as u8)),
            1 => bytes.resize(bytes.len() + value as usize % 3000, 0),
            2 => (0..400).for_each(|n: u32| bytes.extend((value as u32 + 24 * n).to_le_bytes())),
            _ => (0..200).for_each(|_| {
                let words = ["kernel ", "module ", "symbol\0", "return ", "struct ", "0x"];
                bytes.extend(words[next() as usize % words.len()].as_bytes());
            }),
        }
    }
    bytes.truncate(size);
    bytes
}

/// Runs a program with some input; returns its output. It must succeed and say nothing on standard error.
fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.is_empty(),
        "{command:?}: {said}"
    );
    output.stdout
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

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
        eprintln!("skipped: device nodes, which only root can make");
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
    let help = run(Command::new(cpio).arg("--help"), b"");
    let counts = !String::from_utf8_lossy(&help).contains("--ignore-dirnlink");
    (archive, counts)
}

/// Writes 2 into the nlink field of every directory.
fn two_links(archive: &mut [u8]) -> usize {
    let (mut at, mut changed) = (0, 0);
    loop {
        let field = |archive: &[u8], index: usize| {
            let start = at + 6 + 8 * index;
            let digits = std::str::from_utf8(&archive[start..start + 8]).unwrap();
            usize::from_str_radix(digits, 16).unwrap()
        };
        let (mode, size, name) = (field(archive, 1), field(archive, 6), field(archive, 11));
        if mode == 0 {
            return changed;
        }
        if mode & 0o170000 == 0o040000 && field(archive, 4) != 2 {
            archive[at + 38..at + 46].copy_from_slice(b"00000002");
            changed += 1;
        }
        at = (at + 110 + name).next_multiple_of(4) + size.next_multiple_of(4);
    }
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
                two_links(&mut theirs) > 0,
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

#[test]
fn other_programs_read_the_image() {
    let top = tempfile::tempdir().unwrap();
    let image = top.path().join("initramfs.cpio.gz");
    let tree = tree([
        ("bin/busybox", file(mixture(3 * BLOCK))),
        ("bin/sh", Kind::Symlink(b"busybox".to_vec())),
        ("dev/console", console(5, 1)),
        ("init", file(b"#!/bin/sh\n".to_vec())),
    ]);
    let (bytes, packed) = packed(&tree, Compression::Gzip { level: 7 }, 2);
    fs::write(&image, &bytes).unwrap();
    let names = "bin\nbin/busybox\nbin/sh\ndev\ndev/console\ninit\n";
    if let Some(gzip) = tool("gzip") {
        run(Command::new(&gzip).arg("-t"), &bytes);
        let plain = run(Command::new(&gzip).arg("-dc"), &bytes);
        assert_eq!(Digest::of(&plain), packed.tree);
        for (name, list) in [("cpio", "-itv"), ("bsdcpio", "-itv")] {
            let Some(program) = tool(name) else { continue };
            let listing = run(Command::new(program).args([list, "--quiet"]), &plain);
            let listing = String::from_utf8(listing).unwrap();
            let found: Vec<&str> = listing.lines().filter_map(listed).collect();
            assert_eq!(found.join("\n") + "\n", names, "{name}");
            assert!(
                listing.replace(' ', "").contains("5,1"),
                "{name}: {listing}"
            );
            assert!(listing.contains("1970"), "{name}: {listing}");
            assert!(listing.contains("bin/sh -> busybox"), "{name}: {listing}");
        }
    }
    if let Some(lsinitramfs) = tool("lsinitramfs") {
        let listing = run(Command::new(lsinitramfs).arg(&image), b"");
        assert_eq!(String::from_utf8(listing).unwrap(), names);
    }
}

/// The name in a line of `cpio -itv`: its ninth column.
fn listed(line: &str) -> Option<&str> {
    let line = line.split(" -> ").next()?;
    line.rsplit(' ').next()
}

fn console(major: u32, minor: u32) -> Kind {
    Kind::Device {
        class: DeviceClass::Char,
        major,
        minor,
    }
}

// pitfalls 35 and 37
#[test]
fn any_number_of_threads_gives_the_same_bytes_at_every_level() {
    let tree = tree([
        ("a", file(mixture(5 * BLOCK + 12345))),
        ("b", file(vec![0; BLOCK])),
    ]);
    let (plain, _) = packed(&tree, Compression::None, 1);
    assert!(
        plain.len() > 6 * BLOCK,
        "several blocks for each of several threads"
    );
    for level in [1, 6, 7, 9, 12] {
        let gzip = Compression::Gzip { level };
        let (one, first) = packed(&tree, gzip, 1);
        assert!(gunzip(&one) == plain, "level {level}");
        assert_eq!(first.tree, Digest::of(&plain));
        for count in [2, 3, 8] {
            let (bytes, packed) = packed(&tree, gzip, count);
            assert!(bytes == one, "level {level}, {count} threads");
            assert_eq!(packed, first);
        }
    }
}

// pitfalls 33 and 34
#[test]
fn the_member_has_the_header_and_the_blocks_of_the_specification() {
    let noise: Vec<u8> = {
        let mut next = random(7);
        (0..3 * BLOCK).map(|_| next() as u8).collect()
    };
    // The header of `f` has 112 bytes, the trailer 124.
    let exactly = |archive: usize| mixture(archive - 112 - 124);
    let cases = [
        ("one block", mixture(1000), 1),
        ("a whole block", exactly(BLOCK), 1),
        ("a record less", exactly(BLOCK - 512), 1),
        ("a record more", exactly(BLOCK + 512), 2),
        ("three blocks", exactly(3 * BLOCK), 3),
        (
            "three blocks and a record less",
            exactly(3 * BLOCK - 512),
            3,
        ),
        (
            "three blocks and a record more",
            exactly(3 * BLOCK + 512),
            4,
        ),
        ("noise, which is stored", noise, 4),
        ("zeros", vec![0; 3 * BLOCK], 4),
        ("nothing", Vec::new(), 1),
    ];
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let (gzip, python) = (tool("gzip"), tool("python3"));
    let second = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second/canonical.py");
    for (name, bytes, blocks) in cases {
        let tree = tree([("f", file(bytes))]);
        let (plain, _) = packed(&tree, Compression::None, 1);
        assert_eq!(plain.len().div_ceil(BLOCK), blocks, "{name}");
        for level in [1, 7, 12] {
            let (image, packed) = packed(&tree, Compression::Gzip { level }, 3);
            assert_eq!(
                image[..10],
                [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255],
                "{name}"
            );
            assert!(gunzip(&image) == plain, "{name}, level {level}");
            if let Some(gzip) = &gzip {
                assert!(
                    run(Command::new(gzip).arg("-dc"), &image) == plain,
                    "{name}"
                );
            }
            if let Some(python) = &python {
                fs::write(scratch.path(), &image).unwrap();
                let mut check = Command::new(python);
                check.arg(&second).arg("check").arg(scratch.path());
                let said = String::from_utf8(run(&mut check, b"")).unwrap();
                let expected = format!("{blocks} {} {}\n", packed.tree, packed.output);
                assert_eq!(said, expected, "{name}, level {level}");
            }
        }
    }
}

// pitfall 36
#[test]
fn where_and_in_what_pieces_the_bytes_are_read_does_not_matter() {
    let bytes = mixture(2 * BLOCK + 77);
    let memory = tree([
        ("a", file(bytes[..BLOCK].to_vec())),
        ("b", file(bytes[BLOCK..].to_vec())),
    ]);
    let data = tempfile::NamedTempFile::new().unwrap();
    fs::write(data.path(), [&b"before"[..], &bytes, b"behind"].concat()).unwrap();
    let part = |from: usize, to: usize| region(data.path(), 6 + from as u64, &bytes[from..to]);
    let disk = tree([("a", part(0, BLOCK)), ("b", part(BLOCK, bytes.len()))]);
    for compression in [Compression::None, Compression::Gzip { level: 7 }] {
        assert!(packed(&memory, compression, 2) == packed(&disk, compression, 2));
    }
}

fn region(path: &Path, offset: u64, bytes: &[u8]) -> Kind {
    Kind::File(Content {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        place: Place::File(Region {
            path: path.to_path_buf(),
            offset,
        }),
    })
}

// pitfalls 35 and 39: another compressor changes the second digest, another archive both
#[test]
fn three_megabytes_have_the_digests_they_always_had() {
    let mut tree = tree([
        ("bin/busybox", file(mixture(2_000_000))),
        ("bin/sh", Kind::Symlink(b"busybox".to_vec())),
        ("dev/console", console(5, 1)),
        ("init", file(b"#!/bin/sh\nexec sh\n".to_vec())),
        ("lib/small", file(mixture(200))),
        ("lib/zeros", file(vec![0; 1_000_000])),
    ]);
    tree.epoch = 1_600_000_000;
    let (_, packed) = packed(&tree, Compression::Gzip { level: 7 }, 2);
    assert_eq!(
        (packed.archive_size, packed.tree.to_string().as_str()),
        (GOLDEN_ARCHIVE_SIZE, GOLDEN_TREE)
    );
    assert_eq!(packed.output.to_string(), GOLDEN_GZIP_7);
}

const GOLDEN_ARCHIVE_SIZE: u64 = 3_001_856;
const GOLDEN_TREE: &str = "40aa4e7e87f72cc7778d0e177a84eb3fd722da7a376ad20ceaa657c5feb7b16a";
const GOLDEN_GZIP_7: &str = "d59cf831ac2fc8d6c45133bd19c7a79f2c273de8fe5da6f4ef50cc614e5f9325";

#[test]
fn progress_counts_up_to_the_size_of_the_archive() {
    let tree = tree([("f", file(mixture(3 * BLOCK)))]);
    let size = archive_size(&tree).unwrap();
    for compression in [Compression::None, Compression::Gzip { level: 1 }] {
        let mut heard = Vec::new();
        let mut advanced = |done| heard.push(done);
        pack(&tree, compression, jobs(2), &mut io::sink(), &mut advanced).unwrap();
        let block = BLOCK as u64;
        assert_eq!(
            heard,
            [block, 2 * block, 3 * block, size],
            "{compression:?}"
        );
    }
}

// pitfall 41
#[test]
fn bytes_that_are_not_the_promised_ones_are_noticed_and_their_place_named() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let good = mixture(2 * BLOCK);
    let whole = tree([("a", file(vec![1])), ("lib/f", region(&data, 0, &good))]);

    let mut bad = good.clone();
    bad[BLOCK + 3] ^= 1;
    fs::write(&data, &bad).unwrap();
    let error = failure(&whole);
    let expected = format!(
        "`/lib/f` is damaged in `{}`: expected sha256 {}, found {}",
        data.display(),
        Digest::of(&good),
        Digest::of(&bad)
    );
    assert_eq!(
        (error.to_string(), error.place()),
        (expected, Some(data.as_path()))
    );

    fs::write(&data, &good[..good.len() - 1]).unwrap();
    let error = failure(&whole);
    let (size, short, place) = (good.len(), good.len() - 1, data.display());
    let expected = format!("`/lib/f` should have {size} bytes, `{place}` has {short}");
    assert_eq!(
        (error.to_string(), error.place()),
        (expected, Some(data.as_path()))
    );

    fs::remove_file(&data).unwrap();
    let error = failure(&whole);
    let expected = format!("the bytes of `/lib/f` cannot be read from `{place}`");
    assert_eq!(
        (error.to_string(), error.place()),
        (expected, Some(data.as_path()))
    );

    for (size, bytes) in [(4, "abc"), (2, "abc")] {
        let content = Content {
            digest: Digest::of(b"abc"),
            size,
            place: Place::Memory(bytes.as_bytes().into()),
        };
        let error = failure(&tree([("f", Kind::File(content))]));
        assert_eq!(
            (error.to_string(), error.place()),
            (format!("`/f` should have {size} bytes, memory has 3"), None)
        );
    }
}

// pitfalls 24, 27 and 12
#[test]
fn what_no_archive_can_hold_is_refused_before_a_byte_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("sparse");
    File::create(&data).unwrap().set_len(1 << 32).unwrap();
    let huge = Kind::File(Content {
        digest: Digest::of(b""),
        size: 1 << 32,
        place: Place::File(Region {
            path: data,
            offset: 0,
        }),
    });
    let target = |bytes: &[u8]| Kind::Symlink(bytes.to_vec());
    let mut cases = vec![
        (
            tree([("f", huge)]),
            "`/f` has 4294967296 bytes: an archive holds files below 4 GiB, which is 4294967296",
        ),
        (
            tree([("d", console(4096, 0))]),
            "`/d` is the device 4096:0, but the kernel's numbers end at 4095:1048575",
        ),
        (
            tree([("d", console(0, 1 << 20))]),
            "`/d` is the device 0:1048576, but the kernel's numbers end at 4095:1048575",
        ),
        (
            tree([("l", target(b""))]),
            "the target of the symlink `/l` is empty, which the kernel would skip",
        ),
        (
            tree([("l", target(b"a\0b"))]),
            "the target of the symlink `/l` is not free of NUL bytes, which the kernel would skip",
        ),
        (
            tree([("l", target(&[b'x'; 4096]))]),
            "the target of the symlink `/l` is longer than 4095 bytes, which the kernel would skip",
        ),
    ];
    let mut odd = tree([]);
    let path = EntryPath::new(b"f").unwrap();
    odd.insert(
        path,
        Entry {
            mode: 0o10644,
            ..entry(file(vec![]))
        },
    )
    .unwrap();
    cases.push((odd, "`/f` has the mode 0o10644, at most 0o7777 is possible"));
    for (tree, message) in cases {
        for compression in [Compression::None, Compression::Gzip { level: 1 }] {
            let mut out = Vec::new();
            let error = pack(&tree, compression, jobs(1), &mut out, &mut |_| {}).unwrap_err();
            assert_eq!((error.to_string().as_str(), out.len()), (message, 0));
        }
    }
    for level in [0, 13, 255] {
        let gzip = Compression::Gzip { level };
        let error = pack(&tree([]), gzip, jobs(1), &mut io::sink(), &mut |_| {}).unwrap_err();
        let expected = format!("gzip has the levels 1 to 12, not {level}");
        assert_eq!(error.to_string(), expected);
    }
}

/// Takes some bytes, then has no space left.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.min(bytes.len()) {
            0 => Err(io::ErrorKind::StorageFull.into()),
            count => {
                self.0 -= count;
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// pitfall 56
#[test]
fn a_full_disk_ends_the_work_wherever_it_is_met() {
    let tree = tree([("f", file(mixture(8 * BLOCK)))]);
    for count in [1, 3] {
        let gzip = Compression::Gzip { level: 1 };
        let size = packed(&tree, gzip, count).1.output_size as usize;
        for room in [0, 9, 10, 100_000, size - 9, size - 8, size - 1] {
            let result = pack(&tree, gzip, jobs(count), &mut Full(room), &mut |_| {});
            let Err(PackError::Write(error)) = result else {
                panic!("{room}: {result:?}");
            };
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
        pack(&tree, gzip, jobs(count), &mut Full(size), &mut |_| {}).unwrap();
    }
}

#[test]
fn a_panic_of_the_caller_is_passed_on_and_nobody_waits() {
    let tree = tree([("f", file(mixture(8 * BLOCK)))]);
    for count in [1, 3] {
        let work = || {
            let gzip = Compression::Gzip { level: 1 };
            pack(&tree, gzip, jobs(count), &mut io::sink(), &mut |_| {
                panic!("on purpose")
            })
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
    }
}

#[test]
fn an_empty_tree_is_a_trailer() {
    let (bytes, packed) = packed(&tree([]), Compression::None, 1);
    assert_eq!((bytes.len(), packed.archive_size), (512, 512));
    let mut trailer = b"070701".to_vec();
    for value in [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0] {
        trailer.extend(format!("{value:08X}").bytes());
    }
    trailer.extend(b"TRAILER!!!");
    trailer.resize(512, 0);
    assert_eq!(bytes, trailer);
}
