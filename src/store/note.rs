//! Notes: small texts about what was found out once and need not be found out again. `notes-v1/NAME`.
//!
//! A note decides no bytes; one that is missing or makes no sense is found out anew.

use std::io::Write as _;

use super::{Store, StoreError};
use crate::dir;

impl Store {
    /// Returns the text of a note.
    pub fn note(&self, name: &str) -> Option<String> {
        dir::read_to_string(&self.root.join("notes-v1").join(name)).ok()
    }

    /// Writes a note, in the place of an earlier one. `name` is a file name.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn set_note(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let mut scratch = self.scratch()?;
        let path = scratch.path().to_path_buf();
        scratch
            .write_all(text.as_bytes())
            .map_err(|error| StoreError::io("write", &path, error))?;
        scratch.publish(&self.root.join("notes-v1").join(name))
    }
}
