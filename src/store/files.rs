//! Files and directories of the cache, with the errors of the cache.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::StoreError;
use crate::dir;

/// Makes a directory of the cache and those above it.
pub(super) fn make_dir(path: &Path) -> Result<(), StoreError> {
    dir::create_dirs(path).map_err(|error| StoreError::io("create the directory", path, error))
}

/// Removes a directory that is where a file is to be.
pub(super) fn make_way(path: &Path) -> Result<(), StoreError> {
    match dir::metadata(path).is_ok_and(|found| found.is_dir()) {
        true => remove(path),
        false => Ok(()),
    }
}

pub(super) fn set_mode(file: &File, path: &Path, mode: u32) -> Result<(), StoreError> {
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(|error| StoreError::io("set the mode of", path, error))
}

/// Says whether an error means that this user cannot write there, as opposed to a broken disk.
pub(super) fn unwritable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Removes a file or a whole directory; one that is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match dir::remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
