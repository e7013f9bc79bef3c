//! The files beside a recipe: hashed for its plan, and the kernel among them taken into the cache.

use std::collections::BTreeMap;
use std::path::Path;

use super::{RealizeError, explain};
use crate::digest;
use crate::plan::{LocalFile, Problem, StatementId};
use crate::source::known::Known;
use crate::source::local::{LocalError, Reach, Regular, reading_error};
use crate::store::{Blob, Store};

/// Returns the files that a recipe in `base` names without their hash, each read once; one that is `known` need not be read.
/// `named` is what [`crate::plan::local_files`] lists.
///
/// # Errors
/// [`RealizeError::Recipe`] about each that cannot be taken.
pub fn local_files(
    named: Vec<(String, StatementId)>,
    base: &Path,
    reach: &Reach,
    known: Option<Known<'_>>,
) -> Result<BTreeMap<String, LocalFile>, RealizeError> {
    let mut files = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, at) in named {
        if files.contains_key(&name) {
            continue;
        }
        match local_file(base, &name, reach, known) {
            Ok(file) => drop(files.insert(name, file)),
            Err((reason, help)) => {
                let message = format!("the local file `{name}` cannot be {reason}");
                problems.push(Problem::error(message, at, "named here").help(help));
            }
        }
    }
    match problems.is_empty() {
        true => Ok(files),
        false => Err(RealizeError::Recipe(problems)),
    }
}

/// Reads a file beside a recipe; otherwise returns what cannot be, and what to do.
fn local_file(
    base: &Path,
    name: &str,
    reach: &Reach,
    known: Option<Known<'_>>,
) -> Result<LocalFile, (String, String)> {
    let refused = |error: LocalError| {
        let verb = match error {
            LocalError::Outside { .. } | LocalError::Kernel { .. } => "taken",
            _ => "read",
        };
        (format!("{verb}: {error}"), error.help())
    };
    let mut file = Regular::open(base, Path::new(name)).map_err(refused)?;
    reach.check(&file).map_err(refused)?;
    let size = file.size();
    // The archive's own limit, told before so much is read.
    if size > u64::from(u32::MAX) {
        let reason = format!("taken: it has {size} bytes, an archive holds files below 4 GiB");
        let help = "split it, or give it to the guest in another way than its initramfs";
        return Err((reason, help.to_owned()));
    }
    let hashed = match known {
        Some(known) => known.digest(&mut file),
        None => digest::of_reader(&mut file),
    };
    let (digest, size) = hashed.map_err(|error| refused(reading_error(error)))?;
    let path = file.path().to_path_buf();
    Ok(LocalFile { path, digest, size })
}

/// Copies a kernel beside the recipe into the cache: an image must not change with a file that is the user's.
pub(super) fn kernel(store: &Store, file: &LocalFile) -> Result<Blob, RealizeError> {
    let changed = |error: LocalError| explain::changed_kernel(&error);
    let mut from = Regular::open_own(&file.path).map_err(changed)?;
    let blob = store.blob_from(&mut from, &file.path)?;
    match blob.digest == file.digest {
        true => Ok(blob),
        false => Err(changed(LocalError::Changed)),
    }
}
