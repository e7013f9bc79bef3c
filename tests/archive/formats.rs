//! Compressed archives: sound, concatenated, cut, corrupt, with something behind, and bombs.

use mkimg::source::{ArchiveKind, Limits, archive_kind};

use super::bed::{Bed, LIMITS, Tar, all, chain, filter, one};

/// Bytes that do not compress well, so that every format has several blocks of them.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state % 64) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

const FORMATS: [(&str, &[&str]); 5] = [
    ("gzip", &["-c"]),
    ("xz", &["-c"]),
    // Several blocks, whose sizes stand in their headers: what several threads take at once.
    ("xz", &["-c", "-T2", "--block-size=64KiB"]),
    ("zstd", &["-c"]),
    ("zstd", &["-c", "-19"]),
];

fn tar() -> Vec<u8> {
    Tar::new().file("f", &noise(300_000)).file("g", b"g").end()
}

#[test]
fn each_format_is_known_by_its_bytes_and_read_by_any_number_of_threads() {
    let bed = Bed::new();
    let plain = bed.told(&tar(), &all());
    assert!(plain.len() > 300_000);
    for (program, arguments) in FORMATS {
        let Some(bytes) = filter(program, arguments, &tar()) else {
            return;
        };
        assert_eq!(archive_kind(&bytes), Some(ArchiveKind::Tar), "{program}");
        for jobs in [1, 2, 8] {
            let bed = Bed::new();
            let limits = Limits { jobs, ..LIMITS };
            let members = bed.read_limited(&bytes, &all(), &limits).unwrap();
            assert_eq!(
                super::bed::dump(&members),
                plain,
                "{program} {arguments:?} {jobs}"
            );
        }
        // Two streams one after the other are one, as the programs have it.
        let (one, other) = (&tar()[..100_000], &tar()[100_000..]);
        let mut two = filter(program, arguments, one).unwrap();
        if program == "xz" {
            two.extend_from_slice(&[0; 8]);
        }
        if program == "zstd" {
            two.extend_from_slice(b"\x50\x2a\x4d\x18\x03\0\0\0xyz");
        }
        two.extend_from_slice(&filter(program, arguments, other).unwrap());
        assert_eq!(bed.told(&two, &all()), plain, "{program} {arguments:?}");
    }
}

#[test]
fn compressed_bytes_that_are_cut_changed_or_followed_by_something_are_refused() {
    let bed = Bed::new();
    for (program, arguments) in FORMATS {
        let Some(good) = filter(program, arguments, &tar()) else {
            return;
        };
        let start = format!("could not decompress `it` ({program}): ");
        let refused = |bytes: &[u8], what: &str| {
            let text = bed.told(bytes, &all());
            assert!(
                text.starts_with(&start),
                "{program} {arguments:?} {what}: {text}"
            );
        };
        for end in [
            20,
            good.len() / 2,
            good.len() - 13,
            good.len() - 5,
            good.len() - 1,
        ] {
            refused(&good[..end], "cut");
        }
        for junk in [&b"junk"[..], b"\0", &good[..5]] {
            let mut bytes = good.clone();
            bytes.extend_from_slice(junk);
            refused(&bytes, "followed");
        }
        // The last bytes are sums in each format.
        let mut bytes = good.clone();
        let last = bytes.len() - if program == "xz" { 20 } else { 2 };
        bytes[last] ^= 0x10;
        refused(&bytes, "changed");
        // Who needs the first file alone does not read that far.
        assert!(
            bed.read(&bytes, &one("f")).is_ok(),
            "{program} {arguments:?}"
        );
    }
    assert_eq!(bed.kept().len(), FORMATS.len());
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let bed = Bed::new();
    let limits = Limits {
        max_unpacked: 50_000_000,
        jobs: 2,
    };
    let bomb = Tar::new().file("zeros", &vec![0; 60_000_000]).end();
    // Behind the end of the archive, where no size is declared.
    let hidden = [Tar::new().file("f", b"").end(), vec![0; 60_000_000]].concat();
    for bomb in [bomb, hidden] {
        for (program, arguments) in FORMATS {
            let Some(bytes) = filter(program, arguments, &bomb) else {
                return;
            };
            assert!(bytes.len() < 300_000, "{program}");
            let error = bed.read_limited(&bytes, &all(), &limits).unwrap_err();
            assert_eq!(
                chain(&error),
                "`it` has more than 50000000 bytes when it is decompressed: raise the limit with `--max-unpacked` if you trust it",
                "{program}"
            );
        }
    }
    assert_eq!(bed.kept(), Vec::<String>::new());
}

#[test]
fn what_is_no_archive_says_what_it_is_and_what_is_read() {
    let bed = Bed::new();
    let supported = "mkimg reads .deb, .tar, .tar.gz, .tar.xz and .tar.zst";
    let is = |what: &str| format!("`it` is {what}, which is not supported: {supported}");
    let none = format!("`it` is not an archive: {supported}");
    let mut elf = b"\x7fELF".to_vec();
    elf.resize(4096, 1);
    let mut almost = Tar::new().file("f", b"").end();
    almost[0] ^= 1;
    let mut disk = vec![0; 4096];
    disk[1080] = 0x53;
    let cases: [(&[u8], String); 13] = [
        (
            &disk,
            "`it` is no valid tar archive: at byte 512: what is inside is not tar".to_owned(),
        ),
        (b"", none.clone()),
        (b"!<arch>", none.clone()),
        (&[0; 511], none.clone()),
        (&elf, none.clone()),
        (&almost, none),
        (b"BZh91AY", is("compressed with bzip2")),
        (b"\x5d\0\0\x80\0\xff\xff", is("compressed with lzma")),
        (b"LZIP\x01", is("compressed with lzip")),
        (b"\x04\x22\x4d\x18", is("compressed with lz4")),
        (b"PK\x03\x04", is("a zip archive")),
        (b"070701", is("a cpio archive")),
        (&[0; 1024], String::new()),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            bed.told(bytes, &all()),
            expected,
            "{:?}",
            &bytes[..bytes.len().min(8)]
        );
    }
    for (program, arguments) in FORMATS {
        for inside in [&elf[..], b"short", b""] {
            let Some(bytes) = filter(program, arguments, inside) else {
                return;
            };
            let text = bed.told(&bytes, &all());
            assert!(
                text.starts_with("`it` is no valid tar archive: at byte "),
                "{program}: {text}"
            );
        }
    }
}
