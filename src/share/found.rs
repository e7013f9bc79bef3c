//! What a tag or a digest names: an index over architectures, or one manifest, to the image of each architecture.

use std::collections::BTreeMap;

use super::oci::{Descriptor, INDEX, Index, MANIFEST};
use super::text::fit;
use super::{Origin, ShareError};
use crate::arch::Arch;

/// What a tag or a digest names.
#[derive(Debug, Clone)]
pub struct Found {
    /// The index, or the one manifest.
    pub root: Descriptor,
    /// The manifest of each architecture, sorted by architecture where the index says them.
    pub images: Vec<Descriptor>,
    /// How many more an index has, for architectures that mkimg does not know: nothing of them is looked at.
    pub others: usize,
}

/// Returns what a tag, or `sha256:HEX`, names.
///
/// # Errors
/// [`ShareError`], also where it is no image of mkimg.
pub fn find(origin: &dyn Origin, wanted: &str) -> Result<Found, ShareError> {
    let root = origin.resolve(wanted)?.ok_or_else(|| ShareError::Missing {
        object: format!("`{wanted}`"),
        place: format!("`{}`", origin.name()),
    })?;
    list(origin, root)
}

/// Returns the images of what a descriptor stands for: an index, or one manifest.
///
/// # Errors
/// [`ShareError`], also where it is no image of mkimg.
pub fn list(origin: &dyn Origin, root: Descriptor) -> Result<Found, ShareError> {
    let object = format!("`sha256:{}` of `{}`", root.digest, origin.name());
    if root.media_type == MANIFEST {
        let images = vec![root.clone()];
        return Ok(Found {
            root,
            images,
            others: 0,
        });
    }
    if root.media_type.is_empty() {
        // Nobody says what it is: what is wrong with it as an index is what there is to tell.
        Index::parse(&origin.manifest(&root)?, &object)?;
    }
    if root.media_type != INDEX {
        let problem = format!("it is a `{}`, not an image", fit(&root.media_type));
        return Err(ShareError::invalid(object, problem));
    }
    let index = Index::parse(&origin.manifest(&root)?, &object)?;
    let mut images: BTreeMap<Arch, Descriptor> = BTreeMap::new();
    let mut others = 0;
    for entry in index.manifests {
        let named = entry.architecture.as_deref();
        let known = Arch::ALL
            .into_iter()
            .find(|arch| Some(arch.facts().oci) == named);
        // Another architecture is one that a later mkimg knows.
        let Some(arch) = known else {
            others += 1;
            continue;
        };
        if entry.media_type != MANIFEST {
            let problem = format!("its entry for {arch} is no image manifest");
            return Err(ShareError::invalid(object, problem));
        }
        if images.insert(arch, entry).is_some() {
            return Err(ShareError::invalid(
                object,
                format!("it has two images for {arch}"),
            ));
        }
    }
    if images.is_empty() {
        let problem = "it has no image for an architecture that mkimg knows";
        return Err(ShareError::invalid(object, problem));
    }
    Ok(Found {
        root,
        images: images.into_values().collect(),
        others,
    })
}
