//! An image from one place to another: blobs first, then what names them, so that nothing there ever names what is missing.

use std::collections::BTreeSet;

use super::oci::{Descriptor, INDEX, Index, Manifest};
use super::{Destination, Origin, ShareError};
use crate::digest::Digest;
use crate::store::Store;

/// The annotation of a manifest with the plan of its image.
const PLAN: &str = "dev.mkimg.plan";

/// What was done to copy an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Blobs that were sent.
    pub sent: usize,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Blobs that were there.
    pub kept: usize,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// A copy under way.
struct Copy<'c> {
    from: &'c dyn Origin,
    to: &'c dyn Destination,
    store: &'c Store,
    seen: BTreeSet<Digest>,
    copied: Copied,
}

/// Copies what a descriptor names, an index or a manifest, with all that is below it and all that is said about it, and gives
/// it a tag. Each image gets the tag `plan-PLANID` too. Blobs come through the cache.
///
/// # Errors
/// [`ShareError`]; what was copied by then stays, without the tag.
pub fn copy(
    from: &dyn Origin,
    to: &dyn Destination,
    store: &Store,
    what: &Descriptor,
    tag: &str,
) -> Result<Copied, ShareError> {
    let mut copy = Copy {
        from,
        to,
        store,
        seen: BTreeSet::new(),
        copied: Copied::default(),
    };
    let bytes = from.manifest(what)?;
    if what.media_type == INDEX {
        let object = format!("the index `sha256:{}` of `{}`", what.digest, from.name());
        for manifest in Index::parse(&bytes, &object)?.manifests {
            copy.image(&manifest)?;
        }
    } else {
        copy.image(what)?;
    }
    to.put_manifest(what, &bytes, Some(tag))?;
    Ok(copy.copied)
}

/// Copies what is said about a manifest, which is in both places; returns how much that is.
///
/// # Errors
/// As [`copy`].
pub fn copy_referrers(
    from: &dyn Origin,
    to: &dyn Destination,
    store: &Store,
    subject: &Digest,
) -> Result<usize, ShareError> {
    let mut copy = Copy {
        from,
        to,
        store,
        seen: BTreeSet::new(),
        copied: Copied::default(),
    };
    copy.referrers(subject)
}

impl Copy<'_> {
    fn image(&mut self, descriptor: &Descriptor) -> Result<(), ShareError> {
        let (manifest, bytes) = self.blobs_of(descriptor)?;
        let plan = manifest
            .annotations
            .get(PLAN)
            .and_then(|text| text.parse::<Digest>().ok())
            .map(|plan| format!("plan-{plan}"));
        self.to.put_manifest(descriptor, &bytes, plan.as_deref())?;
        self.referrers(&descriptor.digest)?;
        Ok(())
    }

    /// Copies what is said about a manifest; returns how much that is.
    fn referrers(&mut self, subject: &Digest) -> Result<usize, ShareError> {
        let referrers = self.from.referrers(subject)?;
        for referrer in &referrers {
            let (_, bytes) = self.blobs_of(referrer)?;
            self.to.put_referrer(subject, referrer, &bytes)?;
        }
        Ok(referrers.len())
    }

    /// Copies the blobs of a manifest, each once.
    fn blobs_of(&mut self, descriptor: &Descriptor) -> Result<(Manifest, Vec<u8>), ShareError> {
        let bytes = self.from.manifest(descriptor)?;
        let object = format!(
            "the manifest `sha256:{}` of `{}`",
            descriptor.digest,
            self.from.name()
        );
        let manifest = Manifest::parse(&bytes, &object)?;
        for wanted in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if !self.seen.insert(wanted.digest) {
                continue;
            }
            let blob = self.from.blob(wanted, self.store)?;
            if self.to.put_blob(wanted, &blob)? {
                self.copied.sent += 1;
                self.copied.sent_bytes += wanted.size;
            } else {
                self.copied.kept += 1;
                self.copied.kept_bytes += wanted.size;
            }
        }
        Ok((manifest, bytes))
    }
}
