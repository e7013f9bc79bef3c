//! Documents about an image, attached to its manifest: the contents, the provenance.

use super::oci::{Descriptor, EMPTY, Manifest, TITLE};
use super::{Destination, ShareError};
use crate::digest::Digest;
use crate::store::Store;

/// A document about an image.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// What kind of artifact it makes, and its media type.
    pub media_type: &'a str,
    /// Its file name.
    pub title: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Puts a document beside the image manifest `subject`: a manifest with that subject, listed among its referrers.
///
/// # Errors
/// [`ShareError`].
pub fn attach(
    to: &dyn Destination,
    subject: &Descriptor,
    document: Document<'_>,
    store: &Store,
) -> Result<(), ShareError> {
    let blob = |mut bytes: &[u8]| store.blob_from(&mut bytes, store.root());
    let config = Descriptor::of(EMPTY, b"{}");
    to.put_blob(&config, &blob(b"{}")?)?;
    let layer = Descriptor::of(document.media_type, document.bytes).with(TITLE, document.title);
    to.put_blob(&layer, &blob(document.bytes)?)?;
    let digest: Digest = subject.digest;
    let manifest = Manifest {
        artifact_type: Some(document.media_type.to_owned()),
        config,
        layers: vec![layer],
        subject: Some(Descriptor::new(&subject.media_type, digest, subject.size)),
        annotations: Default::default(),
    };
    to.put_referrer(&digest, &manifest.descriptor(), &manifest.bytes())
}
