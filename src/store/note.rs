//! Notes: small texts about what was found out once and need not be found out again. `notes-v1/NAME`.
//!
//! ```text
//! mkimg-note 1 SHA256      of what follows
//! TEXT
//! ```
//!
//! A note decides no bytes; one that is missing or damaged, or lies in a cache that is not this user's own, is found out anew.

use std::io::Write as _;

use super::{Store, StoreError};
use crate::digest::Digest;
use crate::dir;

const MAGIC: &str = "mkimg-note 1";

impl Store {
    /// Returns the text of a note.
    pub fn note(&self, name: &str) -> Option<String> {
        if !self.is_own() {
            return None;
        }
        let whole = dir::read_to_string(&self.root.join("notes-v1").join(name)).ok()?;
        let (head, text) = whole.split_once('\n')?;
        let sum: Digest = head.strip_prefix(MAGIC)?.strip_prefix(' ')?.parse().ok()?;
        (Digest::of(text.as_bytes()) == sum).then(|| text.to_owned())
    }

    /// Writes a note, in the place of an earlier one. `name` is a file name.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn set_note(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let mut scratch = self.scratch()?;
        let path = scratch.path().to_path_buf();
        let whole = format!("{MAGIC} {}\n{text}", Digest::of(text.as_bytes()));
        scratch
            .write_all(whole.as_bytes())
            .map_err(|error| StoreError::io("write", &path, error))?;
        scratch.publish(&self.root.join("notes-v1").join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_note_reads_as_it_was_written_and_not_when_any_byte_changed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        store.set_note("n", "two\nlines\n").unwrap();
        assert_eq!(store.note("n").as_deref(), Some("two\nlines\n"));
        let path = root.path().join("notes-v1/n");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::remove_file(&path).unwrap();
            fs::write(&path, damaged).unwrap();
            assert_eq!(store.note("n"), None, "byte {at}");
        }
    }
}
