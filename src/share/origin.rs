//! Where shared images are: a bundle, or a repository of a registry.

use super::ShareError;
use super::oci::{Descriptor, Index};
use crate::digest::Digest;
use crate::store::{Blob, Store, StoreError};

/// A place that images come from. Whatever it gives for a descriptor has that descriptor's size and digest.
pub trait Origin {
    /// Returns the place for people.
    fn name(&self) -> String;

    /// Returns the descriptor of the manifest or index that a tag names; `None` where there is no such tag.
    ///
    /// # Errors
    /// [`ShareError`].
    fn resolve(&self, tag: &str) -> Result<Option<Descriptor>, ShareError>;

    /// Returns the bytes of a manifest or an index.
    ///
    /// # Errors
    /// [`ShareError`], also where the bytes are not those of the descriptor.
    fn manifest(&self, wanted: &Descriptor) -> Result<Vec<u8>, ShareError>;

    /// Brings a blob into the cache; nothing is read where the cache has it.
    ///
    /// # Errors
    /// [`ShareError`], also where the bytes are not those of the descriptor.
    fn blob(&self, wanted: &Descriptor, store: &Store) -> Result<Blob, ShareError>;

    /// Returns what is said about a manifest: the descriptors of its referrers, sorted by digest. By the tag schema of the
    /// distribution specification where the place knows no better.
    ///
    /// # Errors
    /// [`ShareError`].
    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ShareError> {
        let tag = format!("sha256-{subject}");
        let Some(descriptor) = self.resolve(&tag)? else {
            return Ok(Vec::new());
        };
        let object = format!("the tag `{tag}` of `{}`", self.name());
        let mut found = Index::parse(&self.manifest(&descriptor)?, &object)?.manifests;
        found.sort_by_key(|entry| entry.digest);
        Ok(found)
    }
}

/// Brings a blob into the cache and hashes it, also where it was there: a damaged one is fetched again.
pub(super) fn fetch(
    origin: &dyn Origin,
    layer: &Descriptor,
    store: &Store,
) -> Result<Blob, ShareError> {
    let blob = origin.blob(layer, store)?;
    match blob.verify() {
        Ok(()) => return Ok(blob),
        Err(StoreError::Damaged { .. }) => store.remove_blob(&layer.digest)?,
        Err(error) => return Err(error.into()),
    }
    let blob = origin.blob(layer, store)?;
    blob.verify()?;
    Ok(blob)
}

/// A place that images go to.
pub trait Destination {
    /// Sends a blob unless it is there; returns whether it was sent.
    ///
    /// # Errors
    /// [`ShareError`].
    fn put_blob(&self, descriptor: &Descriptor, blob: &Blob) -> Result<bool, ShareError>;

    /// Sends a manifest or an index, whose blobs and manifests are there, and gives it a tag where one is named.
    ///
    /// # Errors
    /// [`ShareError`].
    fn put_manifest(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        tag: Option<&str>,
    ) -> Result<(), ShareError>;

    /// Sends a manifest that says something about another one, its blobs being there, and lists it under that subject.
    ///
    /// # Errors
    /// [`ShareError`].
    fn put_referrer(
        &self,
        subject: &Digest,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), ShareError>;
}
