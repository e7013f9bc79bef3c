//! A layout to a bundle: one tar file, the same bytes whenever and wherever it is written.

use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use super::super::ShareError;
use super::header::{BLOCK, MAX_SIZE, header};
use super::layout::{Body, Layout};
use crate::digest::{Digest, Hasher};
use crate::dir;
use crate::store::{There, replace};

/// The text of `oci-layout`.
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Writes a layout to `path`, where it appears when it is whole, and replaces the file that was there; returns its size. A
/// symlink leads to the file to replace; a pipe or a device stays one, and is written into.
///
/// # Errors
/// [`ShareError`] where it cannot be written, or a blob is not what its digest says.
pub fn write(layout: &Layout, path: &Path) -> Result<u64, ShareError> {
    let io = |error| ShareError::io("write", path, error);
    replace(path, There::Follow, io, |out| write_to(layout, out, path))
}

/// Writes a layout and returns its size; `path` names the output in errors.
///
/// # Errors
/// As [`write`].
pub fn write_to(layout: &Layout, out: &mut dyn Write, path: &Path) -> Result<u64, ShareError> {
    let io = |error| ShareError::io("write", path, error);
    let mut out = Counted {
        out: BufWriter::with_capacity(256 * 1024, out),
        count: 0,
    };
    entries(layout, &mut out, path)?;
    out.flush().map_err(io)?;
    Ok(out.count)
}

/// Counts what goes through.
struct Counted<W> {
    out: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn entries(layout: &Layout, out: &mut dyn Write, path: &Path) -> Result<(), ShareError> {
    let io = |error| ShareError::io("write", path, error);
    let inner = layout.inner().clone();
    // `blobs/..` sorts before `index.json`, and that before `oci-layout`.
    for (digest, body) in &inner.blobs {
        let name = format!("blobs/sha256/{digest}");
        if body.size() > MAX_SIZE {
            let problem = "a bundle holds blobs below 8 GiB";
            return Err(ShareError::invalid(
                format!("the blob `sha256:{digest}`"),
                problem,
            ));
        }
        out.write_all(&header(&name, body.size())).map_err(io)?;
        copy(body, digest, out, path)?;
        pad(body.size(), out).map_err(io)?;
    }
    for (name, bytes) in [
        ("index.json", inner.index().bytes()),
        ("oci-layout", LAYOUT.to_vec()),
    ] {
        out.write_all(&header(name, bytes.len() as u64))
            .map_err(io)?;
        out.write_all(&bytes).map_err(io)?;
        pad(bytes.len() as u64, out).map_err(io)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(io)
}

fn copy(body: &Body, digest: &Digest, out: &mut dyn Write, path: &Path) -> Result<(), ShareError> {
    let io = |error| ShareError::io("write", path, error);
    let (region, size) = match body {
        Body::Bytes(bytes) => return out.write_all(bytes).map_err(io),
        Body::File { region, size } => (region, *size),
    };
    let unread = |error| ShareError::io("read", &region.path, error);
    let mut file = dir::open(&region.path).map_err(unread)?;
    file.seek(SeekFrom::Start(region.offset)).map_err(unread)?;
    let mut from = file.take(size);
    let mut hasher = Hasher::new();
    let mut buffer = vec![0u8; 128 * 1024];
    let mut copied = 0u64;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unread(error)),
        };
        hasher.update(&buffer[..count]);
        out.write_all(&buffer[..count]).map_err(io)?;
        copied += count as u64;
    }
    let found = hasher.finish();
    if found == *digest && copied == size {
        return Ok(());
    }
    Err(ShareError::Mismatch {
        object: format!("`{}`", region.path.display()),
        expected: format!("sha256:{digest} in {size} bytes"),
        found: format!("sha256:{found} in {copied} bytes"),
    })
}

/// Writes zeros up to a whole block.
fn pad(size: u64, out: &mut dyn Write) -> io::Result<()> {
    let missing = (size.next_multiple_of(BLOCK as u64) - size) as usize;
    out.write_all(&[0; BLOCK][..missing])
}
