//! Standard output: results. Whoever reads it may go away, which is no error.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::failure::Failure;
use crate::fault::Outcome;
use crate::plan::LocalFile;
use crate::session::Error;
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
    let help = "standard output cannot be written".to_owned();
    Error::new(Outcome::Failed, error, Some(help)).into()
}

/// Returns the files of this machine that went in, as JSON.
pub(super) fn local_files(files: &BTreeMap<String, LocalFile>) -> Value {
    let one = |(name, file): (&String, &LocalFile)| {
        json!({
            "path": name,
            "sha256": file.digest.to_string(),
            "size": file.size,
        })
    };
    files.iter().map(one).collect()
}
