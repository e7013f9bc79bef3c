//! Which digests a text names.
//!
//! Locks, `image.json`, listings of members and links to images all name objects by 64 hexadecimal digits. Whatever a text
//! names is taken for something that it needs: a lock that has merge markers, or is of another version, still keeps what both
//! its sides are about.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use crate::digest::Digest;
use crate::dir;

/// The most bytes of a text that are read: a lock or an image has some thousand.
const LIMIT: u64 = 64 << 20;

/// The most bytes of a document of a container image.
const DOCUMENT: u64 = 4 << 20;

/// Returns each run of exactly 64 lower-case hexadecimal digits.
pub fn mentions(text: &[u8]) -> BTreeSet<Digest> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.split(|byte| !is_digit(byte))
        .filter(|run| run.len() == 64)
        .filter_map(|run| std::str::from_utf8(run).ok()?.parse().ok())
        .collect()
}

/// Returns what a blob names that may be a document of a container image: its config and layers stay with it.
pub(super) fn of_document(path: &Path) -> BTreeSet<Digest> {
    let mut text = Vec::new();
    let read = dir::open(path).and_then(|file| {
        let small = file.metadata()?.len() <= DOCUMENT;
        file.take(if small { 1 } else { 0 }).read_to_end(&mut text)
    });
    match (read, text.as_slice()) {
        (Ok(1), b"{") => of_file(path),
        _ => BTreeSet::new(),
    }
}

/// Returns what a regular file names; nothing where there is none.
pub(super) fn of_file(path: &Path) -> BTreeSet<Digest> {
    let mut text = Vec::new();
    if let Ok(file) = dir::open(path) {
        // What could be read counts.
        let _ = file.take(LIMIT).read_to_end(&mut text);
    }
    mentions(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_each_run_of_64_digits_and_no_other() {
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        let text = format!(
            "plan \"{one}\"\n<<<<<<< HEAD\n/cache/images-v1/{other}-minimal f{one} {}",
            other.short()
        );
        assert_eq!(mentions(text.as_bytes()), BTreeSet::from([one, other]));
        let upper = one.to_string().to_uppercase();
        assert_eq!(mentions(upper.as_bytes()), BTreeSet::new());
    }
}
