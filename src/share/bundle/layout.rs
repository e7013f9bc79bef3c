//! An OCI image layout in memory: tags, manifests, and where the blobs are. What a bundle is read to, and written from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::oci::{Descriptor, INDEX, Index, REF_NAME};
use super::super::{Destination, ShareError};
use crate::digest::Digest;
use crate::store::Blob;
use crate::tree::Region;

/// The prefix of the tags that only a registry needs.
const PLAN: &str = "plan-";

/// What a blob of a layout is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// Manifests and indexes.
    Bytes(Vec<u8>),
    /// A part of a file.
    File { region: Region, size: u64 },
}

impl Body {
    pub(super) fn size(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { size, .. } => *size,
        }
    }
}

/// An OCI image layout. Others put into it as into a registry.
#[derive(Debug, Default)]
pub struct Layout {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Inner {
    pub(super) tags: BTreeMap<String, Descriptor>,
    pub(super) blobs: BTreeMap<Digest, Body>,
}

impl Layout {
    /// Returns a layout without anything in it.
    pub fn new() -> Layout {
        Layout::default()
    }

    pub(super) fn of(inner: Inner) -> Layout {
        Layout {
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing that could panic is done while it is locked.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns the text of `index.json`: the image's tag first, then the others by name.
    pub(super) fn index(&self) -> Index {
        let (referrers, images): (Vec<_>, Vec<_>) = self
            .tags
            .iter()
            .partition(|(tag, _)| tag.starts_with("sha256-"));
        let entries = images.into_iter().chain(referrers);
        Index {
            artifact_type: None,
            manifests: entries
                .map(|(tag, descriptor)| descriptor.clone().with(REF_NAME, tag))
                .collect(),
            annotations: BTreeMap::new(),
        }
    }
}

impl Destination for Layout {
    fn put_blob(&self, descriptor: &Descriptor, blob: &Blob) -> Result<bool, ShareError> {
        let body = Body::File {
            region: Region {
                path: PathBuf::from(&blob.path),
                offset: 0,
            },
            size: blob.size,
        };
        let before = self.inner().blobs.insert(descriptor.digest, body);
        Ok(before.is_none())
    }

    fn put_manifest(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        tag: Option<&str>,
    ) -> Result<(), ShareError> {
        let mut inner = self.inner();
        inner
            .blobs
            .insert(descriptor.digest, Body::Bytes(bytes.to_vec()));
        if let Some(tag) = tag.filter(|tag| !tag.starts_with(PLAN)) {
            inner.tags.insert(tag.to_owned(), descriptor.clone());
        }
        Ok(())
    }

    fn put_referrer(
        &self,
        subject: &Digest,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), ShareError> {
        self.put_manifest(descriptor, bytes, None)?;
        let tag = format!("sha256-{subject}");
        let mut inner = self.inner();
        let mut listed = match inner.tags.get(&tag).map(|old| old.digest) {
            Some(old) => match inner.blobs.remove(&old) {
                Some(Body::Bytes(bytes)) => Index::parse(&bytes, &format!("`{tag}`"))?.manifests,
                _ => Vec::new(),
            },
            None => Vec::new(),
        };
        listed.retain(|other| other.digest != descriptor.digest);
        listed.push(descriptor.clone());
        listed.sort_by_key(|one| one.digest);
        let index = Index {
            artifact_type: None,
            manifests: listed,
            annotations: BTreeMap::new(),
        };
        let bytes = index.bytes();
        let descriptor = Descriptor::of(INDEX, &bytes);
        inner.blobs.insert(descriptor.digest, Body::Bytes(bytes));
        inner.tags.insert(tag, descriptor);
        Ok(())
    }
}
