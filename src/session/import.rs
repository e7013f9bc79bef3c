//! From a bundle to images and a recipe in the cache.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::Path;

use super::error::Error;
use super::open::Session;
use super::places::base;
use crate::arch::Arch;
use crate::share::bundle::{Bundle, begins_bundle};
use crate::share::{Found, Imported, Selection, ShareError, find, import};
use crate::store::{Scratch, Store, StoreError};

impl Session<'_> {
    /// Verifies a bundle and fills the cache with it.
    ///
    /// # Errors
    /// [`Error`] where it is none, or where it has no image for the architecture.
    pub fn import(&self, path: &Path, arch: Option<Arch>) -> Result<Imported, Error> {
        // What is no bundle makes no cache.
        let (bundle, store, _spooled) = match streamed(path) {
            None => (Bundle::open(path)?, self.store(base())?, None),
            Some((from, name)) => {
                let from = bundle_from(from, name)?;
                let store = self.store(base())?;
                let spooled = spool(from, name, &store)?;
                (Bundle::open_as(spooled.path(), name)?, store, Some(spooled))
            }
        };
        let found = find(&bundle, &bundle.name)?;
        check_arch(&found, arch, &path.display().to_string())?;
        Ok(import(&bundle, &found, &self.selection(arch), &store)?)
    }
}

/// Refuses an architecture that `name` has no image for; where a manifest stands alone, only the image itself says its own.
pub(crate) fn check_arch(found: &Found, asked: Option<Arch>, name: &str) -> Result<(), Error> {
    let listed: Option<Vec<&str>> = found
        .images
        .iter()
        .map(|image| image.architecture.as_deref())
        .collect();
    let (Some(asked), Some(listed)) = (asked, listed) else {
        return Ok(());
    };
    let has = |arch: &Arch| listed.contains(&arch.facts().oci);
    if has(&asked) {
        return Ok(());
    }
    let known = Arch::ALL.into_iter().filter(has);
    let known: Vec<&str> = known.map(Arch::name).collect();
    Err(Error::usage(
        format!("`{name}` has no image for {asked}"),
        format!("it has one for {}", known.join(" and one for ")),
    ))
}

/// Returns what a path gives that can be read only once: standard input, a pipe.
fn streamed(path: &Path) -> Option<(Box<dyn Read>, &str)> {
    if path == Path::new("-") {
        return Some((Box::new(io::stdin().lock()), "standard input"));
    }
    let odd = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let file = File::open(path).ok().filter(|_| odd)?;
    Some((Box::new(file), path.to_str().unwrap_or("the pipe")))
}

/// Looks at how a stream begins, and returns the whole of it.
fn bundle_from(mut from: Box<dyn Read>, name: &str) -> Result<Box<dyn Read>, Error> {
    let unread = |error| Error::io("read", Path::new(name), error);
    let mut head = Vec::new();
    from.by_ref()
        .take(512)
        .read_to_end(&mut head)
        .map_err(unread)?;
    if !begins_bundle(&head) {
        let object = format!("the bundle `{name}`");
        return Err(ShareError::invalid(object, "it is none, or its beginning is damaged").into());
    }
    Ok(Box::new(io::Cursor::new(head).chain(from)))
}

/// Copies a stream into a file that is gone with the process: a bundle is not read from one end to the other.
fn spool(mut from: Box<dyn Read>, name: &str, store: &Store) -> Result<Scratch, Error> {
    let unread = |error| Error::io("read", Path::new(name), error);
    let mut file = store.scratch()?;
    let mut buffer = vec![0u8; 128 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unread(error)),
        };
        if let Err(error) = file.write_all(&buffer[..count]) {
            return Err(StoreError::io("write", file.path(), error).into());
        }
    }
}

impl Session<'_> {
    /// Returns what of a shared image is taken.
    pub(crate) fn selection(&self, arch: Option<Arch>) -> Selection {
        Selection {
            arch,
            sources: true,
            limit: self.options.max_unpacked,
        }
    }
}
