//! Reading archives: what others write, what hostile people write, and what we write read by others.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod support;

use std::error::Error as _;
use std::io::{BufReader, Read, Write as _};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};

use flate2::write::GzEncoder;
use mkimg::digest::Digest;
use mkimg::pack::read::{ReadError, Reader, Record, Sole, sole};
use mkimg::pack::{Compression, pack};
use mkimg::tree::{Content, DeviceClass, Entry, EntryPath, Kind, Tree};
use support::tool;

/// A tree with one entry of each kind.
fn tree() -> Tree {
    let mut tree = Tree::new(1_600_000_000);
    let console = Kind::Device {
        class: DeviceClass::Char,
        major: 5,
        minor: 1,
    };
    let entries = [
        ("bin/sh", Kind::Symlink(b"busybox".to_vec()), 0o777),
        ("dev/console", console, 0o600),
        ("etc/motd", Kind::File(Content::memory(*b"hello\n")), 0o4755),
    ];
    for (path, kind, mode) in entries {
        let entry = Entry {
            kind,
            mode,
            uid: 3,
            gid: 4,
            origin: None,
        };
        let path = EntryPath::new(path.as_bytes()).unwrap();
        tree.insert(path, entry).unwrap();
    }
    tree
}

fn packed(compression: Compression) -> Vec<u8> {
    let mut out = Vec::new();
    let one = NonZeroUsize::MIN;
    pack(&tree(), compression, one, &mut out, &mut |_| {}).unwrap();
    out
}

fn archive() -> Vec<u8> {
    packed(Compression::None)
}

/// All entries with their bodies, through a buffer of a few bytes.
fn read(bytes: &[u8]) -> Result<Vec<(Record, Vec<u8>)>, ReadError> {
    let mut reader = Reader::new(BufReader::with_capacity(7, bytes));
    let mut entries = Vec::new();
    while let Some(record) = reader.next_record()? {
        let mut body = Vec::new();
        if let Err(error) = reader.body().read_to_end(&mut body) {
            // The error of a body carries the reader's own.
            let inner = error.into_inner().unwrap();
            return Err(*inner.downcast::<ReadError>().unwrap());
        }
        entries.push((record, body));
    }
    Ok(entries)
}

/// The names alone; bodies are passed over.
fn names(bytes: &[u8]) -> Result<Vec<String>, ReadError> {
    let mut reader = Reader::new(bytes);
    let mut names = Vec::new();
    while let Some(record) = reader.next_record()? {
        names.push(String::from_utf8_lossy(record.path()).into_owned());
    }
    Ok(names)
}

const NAMES: [&str; 6] = ["bin", "bin/sh", "dev", "dev/console", "etc", "etc/motd"];

fn twice() -> Vec<&'static str> {
    NAMES.iter().chain(&NAMES).copied().collect()
}

fn run(program: &str, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(tool(program)?)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(output.stdout)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_packed_is_read_back_field_by_field() {
    for compression in [Compression::None, Compression::Gzip { level: 7 }] {
        let entries = read(&packed(compression)).unwrap();
        let all: Vec<String> = entries
            .iter()
            .map(|(record, body)| {
                let Record {
                    offset,
                    ino,
                    mode,
                    uid,
                    gid,
                    nlink,
                    mtime,
                    size,
                    dev,
                    rdev,
                    check,
                    ..
                } = record;
                assert_eq!((*mtime, *dev, *check), (1_600_000_000, (0, 0), 0));
                assert_eq!(*size as usize, body.len());
                let (path, body) = (record.path().escape_ascii(), body.escape_ascii());
                format!("{offset} {ino} {mode:o} {uid}:{gid} {nlink} {rdev:?} {path} {body}")
            })
            .collect();
        let expected = [
            "0 0 40755 0:0 2 (0, 0) bin ",
            "116 1 120777 3:4 1 (0, 0) bin/sh busybox",
            "244 2 40755 0:0 2 (0, 0) dev ",
            "360 3 20600 3:4 1 (5, 1) dev/console ",
            "484 4 40755 0:0 2 (0, 0) etc ",
            "600 5 104755 3:4 1 (0, 0) etc/motd hello\\n",
        ];
        assert_eq!(all, expected);
    }
}

#[test]
fn an_independent_reader_finds_the_same() {
    let bytes = archive();
    let mut rest = &bytes[..];
    for (record, body) in read(&bytes).unwrap() {
        let mut theirs = cpio::NewcReader::new(rest).unwrap();
        let entry = theirs.entry();
        assert_eq!(
            (
                entry.name().as_bytes(),
                entry.ino(),
                entry.mode(),
                entry.uid(),
                entry.gid()
            ),
            (
                &record.name[..],
                record.ino,
                record.mode,
                record.uid,
                record.gid
            )
        );
        assert_eq!(
            (
                entry.nlink(),
                entry.mtime(),
                entry.rdev_major(),
                entry.rdev_minor()
            ),
            (record.nlink, record.mtime, record.rdev.0, record.rdev.1)
        );
        let mut data = Vec::new();
        theirs.read_to_end(&mut data).unwrap();
        assert_eq!(data, body);
        rest = theirs.finish().unwrap();
    }
    assert!(cpio::NewcReader::new(rest).unwrap().entry().is_trailer());
}

#[test]
fn every_compression_is_recognised_by_its_bytes() {
    let plain = archive();
    assert_eq!(names(&plain).unwrap(), NAMES);
    assert_eq!(names(&gzip(&plain)).unwrap(), NAMES);
    let programs = [
        ("xz", vec!["-c", "--check=crc32"]),
        ("xz", vec!["-9ec"]),
        ("zstd", vec!["-qc"]),
        ("zstd", vec!["-qc", "-19", "--check"]),
        ("gzip", vec!["-9c"]),
    ];
    for (program, args) in programs {
        let Some(bytes) = run(program, &args, &plain) else {
            continue;
        };
        assert_ne!(bytes, plain);
        assert_eq!(names(&bytes).unwrap(), NAMES, "{program}");
        // Cut short, whatever the length, it is an error and never fewer entries.
        for length in (1..bytes.len()).step_by(3) {
            names(&bytes[..length]).unwrap_err();
        }
    }
}

#[test]
fn names_of_gnu_cpio_with_their_dots_and_slashes_are_the_same_paths() {
    let Some(cpio) = tool("cpio") else { return };
    let top = tempfile::tempdir().unwrap();
    std::fs::create_dir(top.path().join("a")).unwrap();
    std::fs::write(top.path().join("a/b"), "c").unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            "printf '.\\n./a\\n././a/b\\n' | \"$0\" --quiet -o -H newc",
        ])
        .arg(cpio)
        .current_dir(top.path())
        .output()
        .unwrap();
    assert_eq!(names(&output.stdout).unwrap(), ["", "a", "a/b"]);
}

// pitfalls 22 and 28
#[test]
fn archives_follow_each_other_as_the_kernel_takes_them() {
    let plain = archive();
    let zeros = |count: usize| vec![0u8; count];
    let half = plain.len() / 2;
    let accepted = [
        (
            "one behind the other",
            [plain.clone(), plain.clone()].concat(),
        ),
        (
            "zeros between",
            [plain.clone(), zeros(1024), plain.clone(), zeros(3)].concat(),
        ),
        (
            "zeros first",
            [zeros(512), plain.clone(), plain.clone()].concat(),
        ),
        (
            "compressed behind plain",
            [plain.clone(), gzip(&plain)].concat(),
        ),
        (
            "compressed behind compressed",
            [gzip(&plain), gzip(&plain)].concat(),
        ),
        (
            "zeros between compressed",
            [gzip(&plain), zeros(5), gzip(&plain)].concat(),
        ),
        (
            "both in one member",
            gzip(&[plain.clone(), zeros(8), plain.clone()].concat()),
        ),
        (
            "one in two members",
            [
                gzip(&plain[..half]),
                gzip(&plain[half..]),
                plain_at_4(gzip(&plain)),
            ]
            .concat(),
        ),
    ];
    for (name, bytes) in accepted {
        assert_eq!(names(&bytes).unwrap(), twice(), "{name}");
    }
    let refused = [
        (
            [plain.clone(), zeros(2), plain.clone()].concat(),
            "at byte 1026: an archive must begin at a multiple of 4 bytes",
        ),
        (
            [plain.clone(), zeros(1), gzip(&plain)].concat(),
            "at byte 1025: an archive must begin at a multiple of 4 bytes",
        ),
        (
            gzip(&[plain.clone(), zeros(1), plain.clone()].concat()),
            "at byte 1025: an archive must begin at a multiple of 4 bytes",
        ),
        (
            [plain.clone(), b"junk".to_vec()].concat(),
            "at byte 1024: `junk` begins neither a newc archive nor gzip, xz or zstd data",
        ),
        (
            gzip(&[plain.clone(), gzip(&plain)].concat()),
            "at byte 1024: `\\x1f\\x8b\\x08\\x00\\x00\\x00` begins neither a newc archive nor gzip, xz or zstd data",
        ),
        (
            [gzip(&plain), b"junk".to_vec()].concat(),
            "at byte 1024: `junk` begins neither a newc archive nor gzip, xz or zstd data",
        ),
        (
            zeros(700),
            "no archive: the input is empty or has only zeros",
        ),
        (
            Vec::new(),
            "no archive: the input is empty or has only zeros",
        ),
        (
            gzip(&[]),
            "no archive: the input is empty or has only zeros",
        ),
    ];
    for (bytes, message) in refused {
        let error = names(&bytes).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(message), "{text}");
    }
}

/// Puts zeros before compressed data: nobody minds.
fn plain_at_4(bytes: Vec<u8>) -> Vec<u8> {
    [vec![0; 4], bytes].concat()
}

#[test]
fn a_damaged_field_is_named_with_its_offset() {
    // `bin/sh` begins at 116: its fields at 122 and every 8 behind that, its name at 226, its target at 236.
    let field = |index: usize| 122 + 8 * index;
    let cases: [(usize, &[u8], &str); 13] = [
        (
            116,
            b"070703",
            "at byte 116: expected a header that begins with `070701`, found `070703`",
        ),
        (
            116,
            b"\0",
            "at byte 116: expected a header that begins with `070701`, found `\\x0070701`",
        ),
        (
            field(1),
            b"+000001F",
            "at byte 130: the mode is `+000001F`, not 8 hexadecimal digits",
        ),
        (
            field(6),
            b"       7",
            "at byte 170: the size is `       7`, not 8 hexadecimal digits",
        ),
        (
            field(6),
            b"0x000007",
            "at byte 170: the size is `0x000007`, not 8 hexadecimal digits",
        ),
        (
            field(12),
            b"-0000000",
            "at byte 218: the check field is `-0000000`, not 8 hexadecimal digits",
        ),
        (
            field(11),
            b"00000000",
            "at byte 116: the name has 0 bytes, 1 to 4096 are possible",
        ),
        (
            field(11),
            b"00001001",
            "at byte 116: the name has 4097 bytes, 1 to 4096 are possible",
        ),
        (
            field(11),
            b"FFFFFFFF",
            "at byte 116: the name has 4294967295 bytes, 1 to 4096 are possible",
        ),
        (
            field(11),
            b"00000006",
            "at byte 116: the name `bin/sh` does not end at a NUL, or goes on behind it",
        ),
        (
            229,
            b"\0",
            "at byte 116: the name `bin\\x00sh\\x00` does not end at a NUL, or goes on behind it",
        ),
        (235, b"!", "at byte 235: padding that is not zero"),
        (243, b"!", "at byte 243: padding that is not zero"),
    ];
    for (at, bytes, message) in cases {
        let mut archive = archive();
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(read(&archive).unwrap_err().to_string(), message);
    }
    // pitfall 23
    let mut archive = archive();
    archive[54..62].copy_from_slice(b"00000004");
    let message = "at byte 0: `bin` has 4 bytes of data but can have none";
    assert_eq!(names(&archive).unwrap_err().to_string(), message);
}

#[test]
fn sizes_are_not_believed() {
    // The last file says 4 GiB less one byte; nothing of that size is reserved or waited for.
    let mut bytes = archive();
    bytes[600 + 54..600 + 62].copy_from_slice(b"FFFFFFFF");
    let message = "at byte 1024: the archive ends inside the data of an entry";
    assert_eq!(names(&bytes).unwrap_err().to_string(), message);
    assert_eq!(read(&bytes).unwrap_err().to_string(), message);

    let mut bytes = archive();
    bytes[170..178].copy_from_slice(b"00001000");
    let mut reader = Reader::new(&bytes[..]);
    reader.next_record().unwrap();
    reader.next_record().unwrap();
    let message = "at byte 236: the target of a symlink has 4096 bytes, at most 4095 are possible";
    assert_eq!(reader.target().unwrap_err().to_string(), message);
    let good = archive();
    let mut reader = Reader::new(&good[..]);
    reader.next_record().unwrap();
    reader.next_record().unwrap();
    assert_eq!(reader.target().unwrap(), b"busybox");
    assert_eq!(reader.next_record().unwrap().unwrap().path(), b"dev");
}

#[test]
fn an_archive_that_ends_early_is_an_error_at_every_length() {
    let bytes = archive();
    let end = 600 + 120 + 8 + 124;
    for length in 1..end {
        let error = read(&bytes[..length]).unwrap_err();
        assert!(
            matches!(error, ReadError::Truncated { .. }),
            "{length}: {error}"
        );
    }
    for length in end..=bytes.len() {
        assert_eq!(read(&bytes[..length]).unwrap().len(), 6, "{length}");
    }
    let message = "at byte 728: the archive ends inside a header";
    assert_eq!(names(&bytes[..728]).unwrap_err().to_string(), message);
}

#[test]
fn compressed_data_that_is_damaged_is_an_error_with_its_cause() {
    let mut bytes = gzip(&archive());
    let crc = bytes.len() - 8;
    bytes[crc] ^= 1;
    let error = names(&bytes).unwrap_err();
    assert!(
        matches!(error, ReadError::Io { .. }) && error.source().is_some(),
        "{error:?}"
    );
}

#[test]
fn no_noise_makes_the_reader_panic_or_run_on() {
    let mut state = 0x5eed_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let plain = archive();
    let seeds = [gzip(&plain), packed(Compression::Gzip { level: 1 }), plain];
    let mut outcomes = [0, 0];
    for turn in 0..6000 {
        let mut bytes = seeds[turn % 3].clone();
        for _ in 0..1 + next() % 4 {
            let at = next() % bytes.len();
            match next() % 3 {
                0 => bytes[at] ^= 1 << (next() % 8),
                1 => bytes[at] = b"0F+\0\xff\x1f"[next() % 6],
                _ => bytes.truncate(at.max(1)),
            }
        }
        outcomes[usize::from(read(&bytes).is_ok())] += 1;
    }
    assert!(outcomes[0] > 3000 && outcomes[1] > 50, "{outcomes:?}");
    assert_eq!(Digest::of(&seeds[2]), Digest::of(&archive()));
}

/// One file, the only one of an archive, of the form that `magic` says, with NULs behind its name and a sum.
fn of_form(magic: &str, nuls: usize, sum: u32) -> Vec<u8> {
    let mut archive = Vec::new();
    let entries = [
        ("f", 0o100644, &b"\xff1234"[..], nuls, sum),
        ("TRAILER!!!", 0, b"", 0, 0),
    ];
    for (name, mode, body, nuls, sum) in entries {
        let size = name.len() + 1 + nuls;
        let fields = [
            0,
            mode,
            0,
            0,
            1,
            0,
            body.len(),
            0,
            0,
            0,
            0,
            size,
            sum as usize,
        ];
        archive.extend_from_slice(magic.as_bytes());
        for field in fields {
            archive.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        archive.extend_from_slice(name.as_bytes());
        archive.resize((archive.len() + 1 + nuls).next_multiple_of(4), 0);
        archive.extend_from_slice(body);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

#[test]
fn names_padded_with_nuls_and_archives_with_sums_are_read_as_the_kernel_reads_them() {
    const SUM: u32 = 0xff + 0x31 + 0x32 + 0x33 + 0x34;
    for (magic, nuls, sum) in [("070701", 0, 0), ("070701", 401, 0), ("070702", 3, SUM)] {
        let archive = of_form(magic, nuls, sum);
        let mut reader = Reader::new(&archive[..]);
        let record = reader.next_record().unwrap().unwrap();
        assert_eq!(
            (&record.name[..], record.nuls as usize, record.check),
            (&b"f"[..], nuls, sum)
        );
        assert!(reader.next_record().unwrap().is_none(), "{magic} {nuls}");
    }
    let wrong = of_form("070702", 0, SUM + 1);
    assert_eq!(
        names(&wrong).unwrap_err().to_string(),
        "at byte 117: the data before it has another sum than its header says"
    );
}

/// The initramfs of an image, read to its end.
fn read_sole(bytes: &[u8], compressed: bool) -> std::io::Result<Sole> {
    sole(BufReader::with_capacity(7, bytes), compressed, u64::MAX)
}

#[test]
fn an_image_has_one_archive_and_ends_there() {
    let (plain, packed) = (archive(), packed(Compression::Gzip { level: 7 }));
    let tree = Digest::of(&plain);
    for (bytes, compressed) in [(&plain, false), (&packed, true)] {
        let found = read_sole(bytes, compressed).unwrap();
        let expected = Sole {
            tree,
            size: plain.len() as u64,
            odd: None,
        };
        assert_eq!(found, expected);
        let found = sole(&bytes[..], compressed, 100).unwrap();
        assert_eq!(found.size, 100, "no more than was asked for is unpacked");
    }
    // What stands in a header and who reads it differs: the kernel takes the name alone for one.
    let header = |flags: u8, more: &[u8]| {
        let mut bytes = packed[..10].to_vec();
        bytes[3] = flags;
        [&bytes, more, &packed[10..]].concat()
    };
    let behind = |more: &[u8]| [&packed[..], more].concat();
    let hidden = gzip(&plain);
    let behind_of_gzip: [Vec<u8>; 8] = [
        behind(&hidden),
        behind(&plain),
        behind(&[0]),
        behind(&[0; 512]),
        behind(b"x"),
        header(0x08, b"name\0"),
        header(0x04, b"\x05\0extra"),
        [&packed[..4], b"time", &packed[8..]].concat(),
    ];
    for (number, bytes) in behind_of_gzip.iter().enumerate() {
        let found = read_sole(bytes, true).unwrap();
        assert_eq!(
            found.tree, tree,
            "{number}: the disturbance is not in what is unpacked"
        );
        assert!(found.odd.is_some(), "{number}");
    }
    let ours = |bytes: &[u8]| {
        let mut out = behind_of_header();
        let mut encoder = flate2::write::DeflateEncoder::new(&mut out, flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap();
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        out.extend(sum.sum().to_le_bytes());
        out.extend((bytes.len() as u32).to_le_bytes());
        out
    };
    assert_eq!(read_sole(&ours(&plain), true).unwrap().odd, None);
    let cut = plain.len() - 512;
    let odd = [
        [&plain[..], &plain[..]].concat(),
        [&plain[..], &[0; 512]].concat(),
        [&plain[..], &hidden].concat(),
        [&[0; 512][..], &plain[..]].concat(),
        plain.to_ascii_lowercase(),
        plain[..cut].to_vec(),
        twice_in_it(&plain),
        b"".to_vec(),
        hidden.clone(),
    ];
    for (number, bytes) in odd.iter().enumerate() {
        for found in [read_sole(bytes, false), read_sole(&ours(bytes), true)] {
            let found = found.unwrap();
            assert_eq!(found.tree, Digest::of(bytes), "{number}: all of it counts");
            assert!(found.odd.is_some(), "{number}");
        }
    }
    for at in 10..packed.len() {
        let mut bytes = packed.clone();
        bytes[at] ^= 1;
        let right =
            read_sole(&bytes, true).is_ok_and(|found| found.tree == tree && found.odd.is_none());
        assert!(!right, "a bit of byte {at} is another one");
        assert!(read_sole(&packed[..at], true).is_err(), "cut at {at}");
    }
}

fn behind_of_header() -> Vec<u8> {
    vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]
}

/// An archive whose first entry comes once more before the trailer.
fn twice_in_it(plain: &[u8]) -> Vec<u8> {
    let next = plain[6..]
        .windows(6)
        .position(|part| part == b"070701")
        .unwrap();
    [&plain[..6 + next], plain].concat()
}

#[test]
fn the_sum_of_zstd_data_is_compared() {
    let Some(mut packed) = run("zstd", &["-q", "--check", "-c"], &archive()) else {
        return;
    };
    assert!(names(&packed).is_ok());
    // The last four bytes of a frame are its sum.
    *packed.last_mut().unwrap() ^= 1;
    let error = names(&packed).unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("checksum"), "{error}: {cause}");
}
