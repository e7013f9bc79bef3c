//! Compressed archives: sound, concatenated, cut, corrupt, with something behind, and bombs.

use mkimg::source::Limits;

use super::bed::{Bed, LIMITS, Tar, all, chain, filter};

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

const FORMATS: [(&str, &[&str]); 8] = [
    ("gzip", &["-c"]),
    ("bzip2", &["-c"]),
    ("lzip", &["-c"]),
    ("lzma", &["-c"]),
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
        if program == "lzma" {
            // It has no magic bytes that a second stream could be known by.
            continue;
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
        // Zeros pad a file to the blocks of a tape.
        let zeros = [&good[..], &[0; 512]].concat();
        let padded = bed.told(&zeros, &all());
        assert_eq!(!padded.starts_with(&start), program != "zstd", "{program}");
        for junk in [&b"junk"[..], b"\0", b"\0junk", &good[..5]] {
            let padding = junk == b"\0" && !["xz", "zstd"].contains(&program);
            let bytes = [&good[..], junk].concat();
            if padding {
                assert_eq!(bed.told(&bytes, &all()), padded, "{program}");
            } else {
                refused(&bytes, "followed");
            }
        }
        // The last bytes are sums in each format but lzma.
        let mut bytes = good.clone();
        let last = match program {
            "xz" | "lzip" => 20,
            "lzma" => good.len() - 9000,
            _ => 4,
        };
        let last = bytes.len() - last;
        bytes[last] ^= 0x10;
        refused(&bytes, "changed");
    }
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let bed = Bed::new();
    let limits = Limits {
        max_unpacked: 1_000_000,
        jobs: 2,
    };
    let bomb = Tar::new().file("zeros", &vec![0; 1_200_000]).end();
    // Behind the end of the archive, where no size is declared.
    let hidden = [Tar::new().file("f", b"").end(), vec![0; 1_200_000]].concat();
    for bomb in [bomb, hidden] {
        for (program, arguments) in FORMATS {
            let Some(bytes) = filter(program, arguments, &bomb) else {
                return;
            };
            assert!(bytes.len() < 30_000, "{program}");
            let error = bed.read_limited(&bytes, &all(), &limits).unwrap_err();
            assert_eq!(
                chain(&error),
                "`it` has more than 1000000 bytes when it is decompressed: raise the limit with `--max-unpacked` if you trust it",
                "{program}"
            );
        }
    }
    assert_eq!(bed.kept(), Vec::<String>::new());
}

#[test]
fn what_is_no_archive_says_what_it_is_and_what_is_read() {
    let bed = Bed::new();
    let supported = "mkimg reads .deb, .rpm, .apk, .zip, .whl, .tar and .cpio, these two also compressed with gzip, xz, zstd, bzip2, lzma or lzip";
    let is = |what: &str| format!("`it` is {what}, which is not supported: {supported}");
    let none = format!("`it` is not an archive: {supported}");
    let mut elf = b"\x7fELF".to_vec();
    elf.resize(4096, 1);
    let mut almost = Tar::new().file("f", b"").end();
    almost[0] ^= 1;
    let mut disk = vec![0; 4096];
    disk[1080] = 0x53;
    let cases: [(&[u8], String); 11] = [
        (
            &disk,
            "`it` is no valid tar archive: at byte 512: what is inside is not tar".to_owned(),
        ),
        (b"", none.clone()),
        (b"!<arch>", none.clone()),
        (&[0; 511], none.clone()),
        (&elf, none.clone()),
        (&almost, none),
        (b"\x04\x22\x4d\x18", is("compressed with lz4")),
        (b"7z\xbc\xaf\x27\x1c", is("a 7z archive")),
        (
            b"PK\x03\x04",
            "`it` is no valid zip archive: at byte 4: its central directory is missing or damaged: is it truncated?".to_owned(),
        ),
        (
            b"070701",
            "`it` is no valid cpio archive: at byte 6: it is truncated".to_owned(),
        ),
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
