//! Archives and packages, through the function that assembles images.

use super::bed::with_bed;
use crate::progress::Silent;
use crate::source::{Control, Limits, Member, Want, control, is_archive, members};
use crate::store::{Blob, Store};

/// The most plain bytes that are read out of one input.
const UNPACKED: u64 = 16 << 20;

/// Reads every member, those that patterns select, and single files.
pub(super) fn run(data: &[u8]) {
    let one = |path: &str| Want::One { path: path.into() };
    let tree = |include: &[&str], exclude: &[&str]| Want::Tree {
        include: include.iter().map(|text| (*text).into()).collect(),
        exclude: exclude.iter().map(|text| (*text).into()).collect(),
    };
    let wants = [
        vec![tree(&[], &[])],
        vec![
            tree(&["a", "**/*b*"], &["a/c/**"]),
            one("a/b"),
            one("**/?"),
            one("link"),
        ],
    ];
    is_archive(data);
    with_bed(|bed| {
        let blob = bed.blob(data);
        for wants in &wants {
            let first = read(&bed.store, &blob, wants, 1);
            // Now from what is kept of it.
            let again = read(&bed.store, &blob, wants, 1);
            assert_eq!(first, again);
            bed.store.remove_members(&blob.digest).unwrap();
        }
        if let Ok(Some(found)) = control(&blob, "input") {
            let _: (Option<&str>, Control) = (found.get("package"), found.clone());
        }
    });
}

/// Reads compressed data with one thread and with several: the result is the same.
pub(super) fn packed(data: &[u8]) {
    let wants = [Want::Tree {
        include: Vec::new(),
        exclude: Vec::new(),
    }];
    with_bed(|bed| {
        let blob = bed.blob(data);
        let one = read(&bed.store, &blob, &wants, 1);
        bed.store.remove_members(&blob.digest).unwrap();
        let many = read(&bed.store, &blob, &wants, 3);
        bed.store.remove_members(&blob.digest).unwrap();
        assert_eq!(one.is_ok(), many.is_ok(), "{one:?} {many:?}");
        if one.is_ok() {
            assert_eq!(one, many);
        }
    });
}

fn read(
    store: &Store,
    blob: &Blob,
    wants: &[Want],
    jobs: usize,
) -> Result<Vec<Vec<Member>>, String> {
    let limits = Limits {
        max_unpacked: UNPACKED,
        jobs,
    };
    members(store, blob, "input", wants, &limits, &Silent).map_err(|error| error.to_string())
}
