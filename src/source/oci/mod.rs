//! Container images as sources: by the digest of an index, a manifest or, as `docker save` has it, a config.
//!
//! ```text
//! digest --ensure--> documents and layers as blobs of the cache --stack--> members, kept as those of an archive
//! ```
//!
//! Each document and layer is a blob by its sha256, so that a registry, a layout and a tar are three ways to the same bytes.

mod document;
mod layout;
mod stack;
mod unpack;

use std::fmt;
use std::io::Read as _;
use std::path::Path;

pub use document::{
    ACCEPTED, Config, Descriptor, Document, DocumentError, MAX_DOCUMENT, choose, parse,
};
pub use layout::{LayoutError, pin, take};
pub use unpack::members;

use super::ArchiveError;
use crate::arch::Arch;
use crate::digest::Digest;
use crate::progress::Progress;
use crate::store::{Blob, Store, StoreError};

/// The repositories of registries, which somebody else knows how to ask.
pub trait Remote: fmt::Debug + Send + Sync {
    /// Brings an image into the cache: the documents and layers that are not there. What the documents say is not judged.
    ///
    /// # Errors
    /// What went wrong, and what to do.
    fn fetch(
        &self,
        reference: &str,
        digest: &Digest,
        arch: Arch,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<(), RemoteError>;

    /// Returns the digest that a reference's tag names, and brings that document into the cache.
    ///
    /// # Errors
    /// What went wrong, and what to do.
    fn resolve(
        &self,
        reference: &str,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<Digest, RemoteError>;
}

/// Why a registry did not give something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    /// What happened.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Were the bytes others than they should be?
    pub mismatch: bool,
}

/// Why an image in the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A document of it.
    #[error("{0}")]
    Document(#[from] DocumentError),
    /// The cache.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What tells it from any other image: the digest of its manifest, or of its config where it has none.
    pub digest: Digest,
    /// Its config.
    pub config: Digest,
    /// Its layers, the lowest first.
    pub layers: Vec<Digest>,
    /// All that it is in the cache, from the document that names it on; `None` where that is not known yet, since a document is
    /// missing.
    pub blobs: Vec<Blob>,
}

/// What is there of an image.
pub enum Found {
    /// All of it.
    Whole(Parts),
    /// Something is missing; `None` is the document that names the image.
    Missing(Digest, Option<Descriptor>),
}

/// Looks for an image in the cache.
///
/// # Errors
/// [`ImageError`] for documents that are none.
pub fn find(store: &Store, digest: &Digest, arch: Arch) -> Result<Found, ImageError> {
    let mut blobs = Vec::new();
    let Some(root) = store.blob(digest) else {
        return Ok(Found::Missing(*digest, None));
    };
    let mut document = parse(&read(&root)?)?;
    let mut name = *digest;
    blobs.push(root);
    if let Document::Index(images) = &document {
        let chosen = choose(images, arch)?;
        let Some(blob) = store.blob(&chosen.digest) else {
            return Ok(Found::Missing(chosen.digest, None));
        };
        name = chosen.digest;
        document = parse(&read(&blob)?)?;
        blobs.push(blob);
    }
    let (config, mut layers) = match document {
        Document::Index(_) => {
            let problem = "it is an index of indexes".to_owned();
            return Err(DocumentError::Form(problem).into());
        }
        Document::Manifest(manifest) => {
            let Some(config) = store.blob(&manifest.config.digest) else {
                return Ok(Found::Missing(
                    manifest.config.digest,
                    Some(manifest.config),
                ));
            };
            let digest = config.digest;
            check_platform(&config, arch)?;
            blobs.push(config);
            (
                digest,
                manifest
                    .layers
                    .into_iter()
                    .map(|layer| (layer.digest, Some(layer)))
                    .collect(),
            )
        }
        Document::Config(config) => {
            let layers: Vec<(Digest, Option<Descriptor>)> = config
                .layers
                .into_iter()
                .map(|layer| (layer, None))
                .collect();
            if let Some(blob) = blobs.first() {
                check_platform(blob, arch)?;
            }
            (name, layers)
        }
    };
    let mut digests = Vec::new();
    for (layer, descriptor) in layers.drain(..) {
        match store.blob(&layer) {
            Some(blob) => blobs.push(blob),
            None => return Ok(Found::Missing(layer, descriptor)),
        }
        digests.push(layer);
    }
    Ok(Found::Whole(Parts {
        digest: name,
        config,
        layers: digests,
        blobs,
    }))
}

/// Holds a config to the architecture, where it says one.
fn check_platform(blob: &Blob, arch: Arch) -> Result<(), ImageError> {
    // An artifact's config may be anything.
    let Ok(Document::Config(config)) = parse(&read(blob)?) else {
        return Ok(());
    };
    let expected = format!("linux/{}", arch.facts().oci);
    match config.platform == expected || config.platform == "/" {
        true => Ok(()),
        false => Err(DocumentError::Other {
            arch,
            found: crate::text::shown(&config.platform),
        }
        .into()),
    }
}

/// Returns the config of an image.
///
/// # Errors
/// [`ImageError`] for one that is none.
pub fn config(store: &Store, parts: &Parts) -> Result<Config, ImageError> {
    let path = store.blob_path(&parts.config);
    let blob = Blob {
        digest: parts.config,
        size: 0,
        path,
    };
    match parse(&read(&blob)?)? {
        Document::Config(config) => Ok(config),
        _ => Err(DocumentError::Form("its config is none".to_owned()).into()),
    }
}

/// Reads a document, and compares it with its digest.
fn read(blob: &Blob) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let read = crate::dir::open(&blob.path)
        .and_then(|file| file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes));
    read.map_err(|error| StoreError::io("read", &blob.path, error))?;
    let actual = Digest::of(&bytes);
    match actual == blob.digest || bytes.len() as u64 > MAX_DOCUMENT {
        true => Ok(bytes),
        false => Err(StoreError::Damaged {
            path: blob.path.clone(),
            expected: blob.digest,
            actual,
        }),
    }
}

/// Takes an image out of a layout or a tar of this machine into the cache.
///
/// # Errors
/// [`LayoutError`].
pub fn take_local(
    base: &Path,
    path: &str,
    wanted: &Digest,
    arch: Arch,
    store: &Store,
    limit: u64,
    progress: &dyn Progress,
) -> Result<(), LayoutError> {
    loop {
        match find(store, wanted, arch).map_err(|error| LayoutError::Image(error.to_string()))? {
            Found::Whole(_) => return Ok(()),
            Found::Missing(digest, _) => take(base, path, &digest, store, limit, progress)?,
        }
    }
}

/// Returns the error for something in an image.
fn archive_error(name: &str, error: ImageError) -> ArchiveError {
    match error {
        ImageError::Store(source @ StoreError::Damaged { expected, .. }) => ArchiveError::Damaged {
            archive: name.to_owned(),
            digest: expected,
            source: Box::new(source),
        },
        ImageError::Store(error) => ArchiveError::Store(error),
        ImageError::Document(error) => ArchiveError::Image {
            archive: name.to_owned(),
            problem: error.to_string(),
        },
    }
}
