//! The file of a lock, and what is asked of it before the recipe is read.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use super::error::Error;
use crate::dir;
use crate::lock::Lock;
use crate::recipe::MAX_BYTES;

/// Reads a lock's file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let io = |error| Error::io("read the lock", path, error);
    let found = match dir::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // The recipe came through a pipe.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if !found.is_file() || found.len() > MAX_BYTES as u64 {
        return Err(Error::usage(
            format!(
                "`{}` is where the recipe's lock would be, and is none",
                path.display()
            ),
            "move it away, or give the recipe another name",
        ));
    }
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let file = dir::open(path).map_err(io)?;
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

/// Returns the values of parameters that the lock at `path` was made with, where there is one that can be read.
pub(super) fn values(path: &Path) -> Option<BTreeMap<String, String>> {
    let bytes = read(path).ok().flatten()?;
    let lock = Lock::parse(&path.display().to_string(), &bytes).ok()?;
    Some(lock.values)
}
