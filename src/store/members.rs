//! What was read out of archives: `members-v1/ab/cdef..-WANT` and `members-v1/ab/cdef..-WANT.data`, by the archive's sha256
//! and the sha256 of what was wanted. The texts are the business of `source::members`.

use std::path::PathBuf;

use super::{Store, StoreError, remove};
use crate::digest::Digest;
use crate::dir;

const BUCKET: &str = "members-v1";

impl Store {
    /// Returns where the listing for an archive and a want is, or would be.
    pub fn members_path(&self, archive: &Digest, want: &Digest) -> PathBuf {
        let mut path = self.object_path(BUCKET, archive).into_os_string();
        path.push(format!("-{}", &want.to_string()[..32]));
        path.into()
    }

    /// Returns where the data file of that listing is, or would be.
    pub fn members_data_path(&self, archive: &Digest, want: &Digest) -> PathBuf {
        let mut path = self.members_path(archive, want).into_os_string();
        path.push(".data");
        path.into()
    }

    /// Removes everything that was read out of an archive, since some of it turned out to be damaged. Blobs stay.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be removed.
    pub fn remove_members(&self, archive: &Digest) -> Result<(), StoreError> {
        let object = self.object_path(BUCKET, archive);
        let (Some(directory), Some(stem)) = (object.parent(), object.file_name()) else {
            return Ok(());
        };
        let stem = stem.as_encoded_bytes();
        for path in dir::entries(directory).unwrap_or_default() {
            let name = path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(stem) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}
