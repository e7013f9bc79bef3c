//! Where shared images are: a bundle, or a repository of a registry.

use super::ShareError;
use super::oci::Descriptor;
use crate::store::{Blob, Store};

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
}
