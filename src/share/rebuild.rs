//! A shared image again, from its recipe and its sources: what came along is compared, and nothing of it is taken.

use std::path::PathBuf;

use super::import::{Part, keep_apart};
use super::project::Project;
use super::{Origin, ShareError};
use crate::dir;
use crate::realize::{Realized, Workshop};
use crate::store::{Store, StoreError};

/// An image that was made again, beside the shared one.
#[derive(Debug, Clone)]
pub struct Rebuilt {
    /// The shared one, as a directory.
    pub shared: PathBuf,
    /// The one that was made.
    pub made: Realized,
}

impl Rebuilt {
    /// Says whether they are the same: `image.json` names every byte of both.
    pub fn is_same(&self, part: &Part) -> bool {
        self.made.image.text() == part.shared.image.text()
    }
}

/// Realizes the recipe inside a shared image in a cache of its own, which is gone with the process. Sources that came along, and
/// those that the workshop's cache has, are hashed again and taken; no member, no image is.
///
/// # Errors
/// [`ShareError`].
pub fn rebuild(
    origin: &dyn Origin,
    part: &Part,
    project: &Project,
    workshop: &Workshop<'_>,
) -> Result<Rebuilt, ShareError> {
    let root = workshop.store.scratch_directory()?;
    let theirs = Store::open(&root.join("shared"))?;
    let shared = keep_apart(part, &theirs)?.path;
    let fresh = Store::open(&root.join("fresh"))?;
    part.shared.sources(origin, &part.plan, workshop.store)?;
    for source in part.plan.sources.values() {
        let Some(blob) = workshop.store.blob(&source.digest) else {
            continue;
        };
        let mut file =
            dir::open(&blob.path).map_err(|error| StoreError::io("open", &blob.path, error))?;
        let copied = fresh.blob_from(&mut file, &blob.path)?;
        if copied.digest != source.digest {
            // Damaged: it is fetched, as if it had not been there.
            fresh.remove_blob(&copied.digest)?;
        }
    }
    let recipe = project.unpack(&root.join("recipe"), workshop.store)?;
    let base = recipe.parent().unwrap_or(&root);
    let workshop = Workshop {
        store: &fresh,
        ..*workshop
    };
    let made = workshop.realize(&part.plan, base, false)?;
    Ok(Rebuilt { shared, made })
}
