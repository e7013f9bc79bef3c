//! Standard output: results. Whoever reads it may go away, which is no error.

use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{Access, access};
use serde_json::Value;

use super::failure::{Code, Failure};
use crate::text;

/// Writes text to standard output, with nothing in it that could steer a terminal.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    write(|out| out.write_all(text::safe(text).as_bytes()))
}

/// Writes JSON to standard output, indented, with a line feed.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    write(|out| out.write_all(text::json(&format!("{value:#}\n")).as_bytes()))
}

/// Hands standard output to a writer and flushes it: what goes there is data, byte by byte.
pub(super) fn write(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).map_err(failure)
}

/// Returns the failure of a write to standard output.
pub(super) fn failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::Silent;
    }
    Failure::Plain {
        error: Box::new(error),
        help: Some("standard output cannot be written".to_owned()),
        code: Code::Failed,
    }
}

/// Finds out, before the work for it is done, whether a file can be written, new or in the place of the one that is there; `what`
/// completes "could not ..".
pub(super) fn check_place(what: &'static str, path: &Path) -> Result<(), Failure> {
    match std::fs::metadata(path) {
        // Files are replaced; pipes and devices are written into.
        Ok(found) if !found.is_file() => {
            may(path, Access::WRITE_OK).map_err(|error| Failure::io(what, path, error))
        }
        _ => check_directory(what, path),
    }
}

/// Finds out whether the directory that `path` is in takes a new file.
pub(super) fn check_directory(what: &'static str, path: &Path) -> Result<(), Failure> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    may(
        parent.unwrap_or(Path::new(".")),
        Access::WRITE_OK | Access::EXEC_OK,
    )
    .map_err(|error| Failure::io(what, path, error))
}

fn may(path: &Path, how: Access) -> io::Result<()> {
    Ok(access(path, how)?)
}
