//! What is kept, found again, and made again where it is damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use mkimg::progress::{Event, Progress, Silent, Stage};
use mkimg::source::{ArchiveError, Limits, Want, members};

use super::bed::{Bed, LIMITS, Tar, all, chain, deb, dump, one, tree};

fn archive() -> Vec<u8> {
    deb(&Tar::new()
        .dir("d")
        .file("d/a", b"aaa")
        .file("d/b", b"bb")
        .link("d/l", b'2', "a")
        .file("e", b"")
        .end())
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Progress for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[test]
fn members_once_read_are_found_without_the_archive() {
    let bed = Bed::new();
    let blob = bed.put(&archive());
    let wants = [
        one("d/a"),
        all(),
        one("d/?"),
        one("d/a"),
        tree(&["d"], &["d/b"]),
    ];
    let recorder = Recorder::default();
    let wants_good: Vec<Want> = wants
        .iter()
        .filter(|want| **want != one("d/?"))
        .cloned()
        .collect();
    let first = members(&bed.store, &blob, "it", &wants_good, &LIMITS, &recorder).unwrap();
    assert_eq!(
        recorder.0.into_inner().unwrap(),
        [
            Event::StageStarted {
                stage: Stage::Read,
                what: "it".to_owned(),
                size: Some(blob.size)
            },
            Event::StageFinished { stage: Stage::Read },
        ]
    );
    assert_eq!(dump(&first[0]), "d/a 644 0:0 file \"aaa\"\n");
    assert_eq!(first[0], first[2]);
    assert_eq!(
        dump(&first[3]),
        "d 755 0:0 dir\nd/a 644 0:0 file \"aaa\"\nd/l 777 0:0 link \"a\"\n"
    );
    // Three listings and two data files.
    assert_eq!(bed.kept().len(), 5);
    fs::remove_file(&blob.path).unwrap();
    let recorder = Recorder::default();
    let second = members(&bed.store, &blob, "it", &wants_good, &LIMITS, &recorder).unwrap();
    assert_eq!(second, first);
    assert_eq!(recorder.0.into_inner().unwrap(), []);
}

#[test]
fn what_is_missing_or_damaged_in_the_cache_is_made_again() {
    let bed = Bed::new();
    let blob = bed.put(&archive());
    let wants = [one("d/a"), all()];
    let read = || members(&bed.store, &blob, "it", &wants, &LIMITS, &Silent).unwrap();
    let first = read();
    let kept = bed.kept();
    let before: Vec<Vec<u8>> = kept.iter().map(|path| fs::read(path).unwrap()).collect();
    for path in &kept {
        let path = Path::new(path);
        let good = fs::read(path).unwrap();
        let (mut cut, mut long) = (good.clone(), good.clone());
        cut.pop();
        long.push(b'x');
        for damaged in [Vec::new(), cut, long] {
            overwrite(path, &damaged);
            assert_eq!(read(), first);
        }
        fs::remove_file(path).unwrap();
        assert_eq!(read(), first);
        // Something else than a file in its place.
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        assert_eq!(read(), first);
    }
    let after: Vec<Vec<u8>> = bed
        .kept()
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert_eq!((bed.kept(), after), (kept, before));
    // The single file's blob.
    let digest = mkimg::digest::Digest::of(b"aaa");
    bed.store.remove_blob(&digest).unwrap();
    assert_eq!(read(), first);
    overwrite(&bed.store.blob_path(&digest), b"longer");
    assert_eq!(read(), first);
    assert_eq!(dump(&first[0]), "d/a 644 0:0 file \"aaa\"\n");
    // Damage that keeps the size shows when the bytes are read; whoever sees it removes what there is of the archive.
    bed.store.remove_members(&blob.digest).unwrap();
    assert_eq!(bed.kept(), Vec::<String>::new());
    assert_eq!(read(), first);
}

#[test]
fn an_archive_that_was_damaged_on_disk_is_named_and_nothing_of_it_is_kept() {
    let bed = Bed::new();
    let good = archive();
    let blob = bed.put(&good);
    let place = good.windows(3).position(|bytes| bytes == b"aaa").unwrap();
    // In a file's bytes, in a header, in the outer shell, and cut off.
    let mut cases: Vec<Vec<u8>> = [place, place - 300, 70]
        .into_iter()
        .map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 1;
            bad
        })
        .collect();
    cases.push(good[..good.len() - 512].to_vec());
    for bad in cases {
        overwrite(&blob.path, &bad);
        for want in [one("d/a"), all()] {
            let error = members(&bed.store, &blob, "it", &[want], &LIMITS, &Silent).unwrap_err();
            assert!(
                matches!(&error, ArchiveError::Damaged { digest, .. } if *digest == blob.digest),
                "{}",
                chain(&error)
            );
        }
        assert_eq!(bed.kept(), Vec::<String>::new());
        assert_eq!(bed.store.blob(&mkimg::digest::Digest::of(b"aaa")), None);
    }
}

#[test]
fn a_lower_limit_fails_with_the_cache_as_it_fails_without() {
    let bed = Bed::new();
    // In another archive than a package one file is looked for up to the end.
    let archive = deb(&Tar::new().file("a", &[1; 1000]).file("b", &[2; 1000]).end());
    let limit = |max_unpacked| Limits {
        max_unpacked,
        jobs: 1,
    };
    let error = |limit: u64| {
        format!(
            "`it` has more than {limit} bytes when it is decompressed: raise the limit with `--max-unpacked` if you trust it"
        )
    };
    for _ in 0..2 {
        // Header and bytes of the first, and not a byte more; everything, and both.
        for (want, enough) in [(one("a"), 1512), (all(), 4096)] {
            let found = bed.read_limited(&archive, &want, &limit(enough));
            assert!(found.is_ok(), "{want:?}");
            let found = bed.read_limited(&archive, &want, &limit(enough - 1));
            assert_eq!(chain(&found.unwrap_err()), error(enough - 1), "{want:?}");
        }
    }
}

#[test]
fn several_wants_in_one_pass_find_what_each_finds_alone() {
    let archive = archive();
    let wants = [
        one("d/a"),
        one("d/b"),
        one("e"),
        one("e*"),
        all(),
        tree(&["d"], &[]),
    ];
    let bed = Bed::new();
    let together = members(
        &bed.store,
        &bed.put(&archive),
        "it",
        &wants,
        &LIMITS,
        &Silent,
    )
    .unwrap();
    let kept = bed.kept().into_iter().map(|path| fs::read(path).unwrap());
    let kept: Vec<Vec<u8>> = kept.collect();
    let alone = Bed::new();
    for (want, together) in wants.iter().zip(&together) {
        assert_eq!(dump(&alone.read(&archive, want).unwrap()), dump(together));
    }
    let kept_alone = alone.kept().into_iter().map(|path| fs::read(path).unwrap());
    assert_eq!(kept_alone.collect::<Vec<_>>(), kept);
}
