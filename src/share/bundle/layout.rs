//! An OCI image layout in memory: tags, manifests, and where the blobs are. What a bundle is read to, and written from.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::super::oci::{Descriptor, INDEX, Index, REF_NAME};
use super::super::{Destination, Origin, ShareError};
use crate::digest::Digest;
use crate::dir;
use crate::store::{Blob, Store, StoreError};
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
    /// Returns what a descriptor stands for.
    pub(super) fn body(&self, wanted: &Descriptor) -> Result<&Body, ShareError> {
        let object = format!("the blob `sha256:{}`", wanted.digest);
        let Some(body) = self.blobs.get(&wanted.digest) else {
            return Err(ShareError::invalid(object, "it is not there"));
        };
        if body.size() == wanted.size {
            return Ok(body);
        }
        Err(ShareError::Mismatch {
            object,
            expected: format!("{} bytes, as its descriptor says", wanted.size),
            found: format!("{} bytes", body.size()),
        })
    }

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

impl Origin for Layout {
    fn name(&self) -> String {
        "the image".to_owned()
    }

    fn resolve(&self, tag: &str) -> Result<Option<Descriptor>, ShareError> {
        let inner = self.inner();
        let digest = tag.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        let Some(digest) = digest else {
            return Ok(inner.tags.get(tag).cloned());
        };
        let Some(Body::Bytes(bytes)) = inner.blobs.get(&digest) else {
            return Ok(None);
        };
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let media_type = value["mediaType"].as_str().unwrap_or_default();
        Ok(Some(Descriptor::of(media_type, bytes)))
    }

    fn manifest(&self, wanted: &Descriptor) -> Result<Vec<u8>, ShareError> {
        let object = format!("the manifest `sha256:{}`", wanted.digest);
        match self.inner().body(wanted)? {
            Body::Bytes(bytes) => Ok(bytes.clone()),
            Body::File { .. } => Err(ShareError::invalid(object, "it is none")),
        }
    }

    fn blob(&self, wanted: &Descriptor, store: &Store) -> Result<Blob, ShareError> {
        let there = store.blob(&wanted.digest);
        if let Some(blob) = there.filter(|blob| blob.size == wanted.size) {
            return Ok(blob);
        }
        let body = self.inner().body(wanted)?.clone();
        let blob = match body {
            Body::Bytes(bytes) => store.blob_from(&mut &bytes[..], store.root())?,
            Body::File { region, size } => {
                let io = |error| StoreError::io("read", &region.path, error);
                let mut file = dir::open(&region.path).map_err(io)?;
                file.seek(SeekFrom::Start(region.offset)).map_err(io)?;
                store.blob_from(&mut file.take(size), &region.path)?
            }
        };
        if blob.digest == wanted.digest {
            return Ok(blob);
        }
        // The file was written to since it was read.
        store.remove_blob(&blob.digest)?;
        Err(ShareError::Mismatch {
            object: format!("the blob `sha256:{}`", wanted.digest),
            expected: wanted.digest.to_string(),
            found: blob.digest.to_string(),
        })
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
