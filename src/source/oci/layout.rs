//! Images on this machine: a directory in the OCI layout, the same as a tar, and what `docker save` writes.
//!
//! Blobs are found by their digests alone, so nothing else in there counts: `index.json` and `manifest.json` are only read to pin.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::document::MAX_DOCUMENT;
use crate::digest::Digest;
use crate::progress::Progress;
use crate::source::ArchiveError;
use crate::source::archive::Archive;
use crate::source::entry::EntryKind;
use crate::source::local::{self, LocalError, Opened, Regular, reading_error};
use crate::store::{Blob, Store, StoreError};

/// Why an image of this machine is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The layout or tar itself, or a file in the layout.
    #[error("`{path}`: {error}")]
    Local {
        /// Where it is.
        path: String,
        /// Why not.
        #[source]
        error: LocalError,
    },
    /// It has no such blob.
    #[error("`{path}` has no `sha256:{digest}`")]
    Missing {
        /// Where it is.
        path: String,
        /// What is missing.
        digest: Digest,
    },
    /// A blob whose bytes are others.
    #[error("`{path}` has other bytes for `sha256:{expected}`: they are sha256:{found}")]
    Mismatch {
        /// The file.
        path: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The tar.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// The cache.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The image.
    #[error("{0}")]
    Image(String),
    /// Nothing says which image is meant.
    #[error("`{path}` {problem}")]
    Unclear {
        /// Where it is.
        path: String,
        /// Why.
        problem: String,
    },
}

/// Brings a blob of a layout or a tar into the cache; of a tar all that it has.
///
/// # Errors
/// [`LayoutError`].
pub fn take(
    base: &Path,
    path: &str,
    wanted: &Digest,
    store: &Store,
    limit: u64,
    progress: &dyn Progress,
) -> Result<(), LayoutError> {
    let shown = base.join(path).display().to_string();
    let failed = |error| LayoutError::Local {
        path: shown.clone(),
        error,
    };
    let missing = || LayoutError::Missing {
        path: shown.clone(),
        digest: *wanted,
    };
    match local::open(base, Path::new(path)).map_err(failed)? {
        Opened::Directory(_, root) => {
            let at = root.join("blobs/sha256").join(wanted.to_string());
            let mut file = match Regular::open(&root, &at) {
                Err(error) if error.is_absent() => return Err(missing()),
                opened => opened.map_err(failed)?,
            };
            if file.size() > limit {
                return Err(failed(LocalError::Longer { size: limit }));
            }
            let mut writer = store.blob_writer()?;
            copy(&mut file, &mut writer, &at)?;
            let blob = writer.commit()?;
            if blob.digest == *wanted {
                return Ok(());
            }
            store.remove_blob(&blob.digest)?;
            Err(LayoutError::Mismatch {
                path: at.display().to_string(),
                expected: *wanted,
                found: blob.digest,
            })
        }
        Opened::File(file) => {
            let blob = of(&file);
            let archive = Archive::open(&blob, &shown)?;
            let mut walk = archive.walk(1, limit, progress)?;
            while let Some(entry) = walk.next()? {
                if !matches!(entry.kind, EntryKind::File) {
                    continue;
                }
                let mut writer = store.blob_writer()?;
                walk.body(&mut |bytes| {
                    let written = writer.write_all(bytes);
                    written.map_err(|error| {
                        StoreError::io("write into the cache", store.root(), error).into()
                    })
                })?;
                writer.commit()?;
            }
            match store.blob(wanted) {
                Some(_) => Ok(()),
                None => Err(missing()),
            }
        }
    }
}

fn copy(file: &mut Regular, writer: &mut dyn io::Write, at: &Path) -> Result<(), LayoutError> {
    let mut buffer = vec![0u8; 128 * 1024];
    loop {
        let count = file.read(&mut buffer).map_err(|error| LayoutError::Local {
            path: at.display().to_string(),
            error: reading_error(error),
        })?;
        if count == 0 {
            return Ok(());
        }
        let written = writer.write_all(buffer.get(..count).unwrap_or_default());
        written.map_err(|error| StoreError::io("write into the cache", at, error))?;
    }
}

/// Returns a file as what an archive is read from; whatever it is, what is taken out of it is known by its digest.
fn of(file: &Regular) -> Blob {
    Blob {
        digest: Digest::of(b""),
        size: file.size(),
        path: file.path().to_path_buf(),
    }
}

/// Returns the digest of the one image that a layout or a tar has, for a recipe that does not say it yet.
///
/// # Errors
/// [`LayoutError`] where there is none, or more than one.
pub fn pin(
    base: &Path,
    path: &str,
    limit: u64,
    progress: &dyn Progress,
) -> Result<Digest, LayoutError> {
    let shown = base.join(path).display().to_string();
    let failed = |error| LayoutError::Local {
        path: shown.clone(),
        error,
    };
    let unclear = |problem: &str| LayoutError::Unclear {
        path: shown.clone(),
        problem: problem.to_owned(),
    };
    let (mut index, mut manifest) = (None, None);
    match local::open(base, Path::new(path)).map_err(failed)? {
        Opened::Directory(_, root) => {
            let at: PathBuf = root.join("index.json");
            let read = fs::File::open(&at).and_then(|file| {
                let mut text = Vec::new();
                file.take(MAX_DOCUMENT).read_to_end(&mut text).map(|_| text)
            });
            index = Some(read.map_err(|_| unclear("is no OCI layout: it has no `index.json`"))?);
        }
        Opened::File(file) => {
            let blob = of(&file);
            let archive = Archive::open(&blob, &shown)?;
            let mut walk = archive.walk(1, limit, progress)?;
            while let Some(entry) = walk.next()? {
                let slot = match entry.path.as_slice() {
                    b"index.json" => &mut index,
                    b"manifest.json" => &mut manifest,
                    _ => continue,
                };
                let mut text = Vec::new();
                if entry.size <= MAX_DOCUMENT {
                    walk.body(&mut |bytes| {
                        text.extend_from_slice(bytes);
                        Ok(())
                    })?;
                }
                *slot = Some(text);
            }
        }
    }
    let several = |digests: &[Digest]| {
        let named: Vec<String> = digests
            .iter()
            .take(4)
            .map(|digest| format!("sha256:{digest}"))
            .collect();
        unclear(&format!(
            "has {} images: name one by `digest=` ({})",
            digests.len(),
            named.join(", ")
        ))
    };
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap_or_default();
    let found: Vec<Digest> = match (index, manifest) {
        (Some(index), _) => {
            let index = json(&index);
            let images = index["manifests"].as_array().into_iter().flatten();
            images
                .filter_map(|image| {
                    image["digest"]
                        .as_str()?
                        .strip_prefix("sha256:")?
                        .parse()
                        .ok()
                })
                .collect()
        }
        (None, Some(manifest)) => {
            let manifest = json(&manifest);
            let images = manifest.as_array().into_iter().flatten();
            // `HEX.json`, or `blobs/sha256/HEX`.
            let hex = |image: &Value| {
                let name = image["Config"].as_str()?.rsplit('/').next()?.to_owned();
                name.trim_end_matches(".json").parse().ok()
            };
            images.filter_map(hex).collect()
        }
        (None, None) => {
            return Err(unclear(
                "is no container image: it has neither `index.json` nor `manifest.json`",
            ));
        }
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(unclear("names no image")),
        several_found => Err(several(several_found)),
    }
}
