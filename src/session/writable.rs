//! Whether something can be written, found out before the work for it is done.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use super::error::Error;

/// Finds out whether a file can be written, new or in the place of the one that is there; `what` completes "could not ..".
pub(crate) fn check_file(what: &'static str, path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        // Files are replaced; pipes and devices are written into.
        Ok(found) if !found.is_file() => {
            may(path, Access::WRITE_OK).map_err(|error| Error::io(what, path, error))
        }
        _ => check_directory(what, path),
    }
}

/// Finds out whether the directory that `path` is in takes a new file.
pub(crate) fn check_directory(what: &'static str, path: &Path) -> Result<(), Error> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    may(
        parent.unwrap_or(Path::new(".")),
        Access::WRITE_OK | Access::EXEC_OK,
    )
    .map_err(|error| Error::io(what, path, error))
}

fn may(path: &Path, how: Access) -> io::Result<()> {
    Ok(access(path, how)?)
}
