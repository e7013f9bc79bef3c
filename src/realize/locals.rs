//! The files beside a recipe: hashed for its plan, and the kernel among them taken into the cache.

use std::collections::BTreeMap;
use std::path::Path;

use super::{RealizeError, explain};
use crate::arch::Arch;
use crate::digest;
use crate::plan::{self, LocalFile, Plan};
use crate::recipe::{Diagnostic, Recipe};
use crate::source::local::{LocalError, Reach, Regular, reading_error};
use crate::store::{Blob, Store};

/// Returns the plan of a recipe that lies in `base`, for an architecture. Files beside it that have no hash come from its own
/// project alone.
///
/// # Errors
/// [`RealizeError::Recipe`] where a source cannot serve the architecture or a local file cannot be taken.
pub fn plan(recipe: &Recipe, base: &Path, arch: Arch) -> Result<Plan, RealizeError> {
    plan_within(recipe, base, arch, &Reach::of(base, None))
}

/// Returns the plan of a recipe as [`plan`] does; files beside it that have no hash come from what is within reach.
///
/// # Errors
/// Those of [`plan`].
pub fn plan_within(
    recipe: &Recipe,
    base: &Path,
    arch: Arch,
    reach: &Reach,
) -> Result<Plan, RealizeError> {
    let mut locals = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, span) in plan::local_files(recipe) {
        match local_file(base, name, reach) {
            Ok(file) => {
                locals.insert(name.to_owned(), file);
            }
            Err((reason, help)) => {
                let message = format!("the local file `{name}` cannot be {reason}");
                problems.push(Diagnostic::error(message, span, "named here").help(help));
            }
        }
    }
    if !problems.is_empty() {
        return Err(RealizeError::Recipe(problems));
    }
    Plan::resolve(recipe, arch, &locals).map_err(RealizeError::Recipe)
}

/// Reads a file beside a recipe; otherwise returns what cannot be, and what to do.
fn local_file(base: &Path, name: &str, reach: &Reach) -> Result<LocalFile, (String, String)> {
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
    let hashed = digest::of_reader(&mut file);
    let (digest, size) = hashed.map_err(|error| refused(reading_error(error)))?;
    let path = file.path().to_path_buf();
    Ok(LocalFile { path, digest, size })
}

/// Copies a kernel beside the recipe into the cache: an image must not change with a file that is the user's.
pub(super) fn kernel(store: &Store, plan: &Plan, file: &LocalFile) -> Result<Blob, RealizeError> {
    let changed = |error: LocalError| explain::changed_kernel(plan, &error);
    let mut from = Regular::open_own(&file.path).map_err(changed)?;
    let blob = store.blob_from(&mut from, &file.path)?;
    match blob.digest == file.digest {
        true => Ok(blob),
        false => Err(changed(LocalError::Changed)),
    }
}
