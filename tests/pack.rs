//! The bytes of an image: gzip, other readers and a second implementation say whether they are right.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "support/packing.rs"]
mod packing;
mod support;

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::Command;

use mkimg::digest::Digest;
use mkimg::pack::{Compression, PackError, archive_size, pack};
use mkimg::tree::{Content, DeviceClass, Entry, EntryPath, Kind, Place, Region, Tree};
use packing::{BLOCK, entry, file, jobs, mixture, packed, random, run, tree};
use support::tool;

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
