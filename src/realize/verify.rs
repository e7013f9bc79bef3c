//! Reads again what is in the cache, and compares.

use std::io::BufReader;
use std::path::Path;

use super::image::Image;
use crate::assemble::Assembled;
use crate::digest;
use crate::dir;
use crate::pack::read::sole;
use crate::store::{Blob, StoreError};
use crate::tree::{Content, Kind, Place};

/// Compares the bytes of every file of a tree, and of the kernel, with their digests.
pub(super) fn contents(assembled: &Assembled) -> Result<(), StoreError> {
    let files = assembled
        .tree
        .iter()
        .filter_map(|(_, entry)| match &entry.kind {
            Kind::File(content) => Some(content),
            _ => None,
        });
    files.chain([&assembled.kernel]).try_for_each(content)
}

fn content(content: &Content) -> Result<(), StoreError> {
    let Place::File(region) = &content.place else {
        return Ok(());
    };
    let io = |error| StoreError::io("read", &region.path, error);
    let mut from = content.open().map_err(io)?;
    let (actual, _) = digest::of_reader(&mut from).map_err(io)?;
    if actual == content.digest {
        return Ok(());
    }
    Err(StoreError::Damaged {
        path: region.path.clone(),
        expected: content.digest,
        actual,
    })
}

/// Compares the files of an image with what its `image.json` says of them, the archive inside of the initramfs included.
/// Returns what is wrong.
pub(super) fn image(path: &Path, image: &Image) -> Result<(), String> {
    for file in [&image.kernel, &image.initramfs] {
        let blob = Blob {
            digest: file.digest,
            size: file.size,
            path: path.join(&file.name),
        };
        blob.verify().map_err(|error| error.to_string())?;
    }
    let initramfs = path.join(&image.initramfs.name);
    let unreadable = |error| format!("`{}` cannot be read: {error}", image.initramfs.name);
    let file = dir::open(&initramfs).map_err(unreadable)?;
    let file = BufReader::with_capacity(128 * 1024, file);
    let found = sole(file, image.is_compressed(), u64::MAX).map_err(unreadable)?;
    if (found.tree, found.size) != (image.tree, image.archive_size) {
        return Err(format!(
            "`image.json` says that the tree is {} in {} bytes, but it is {} in {}",
            image.tree, image.archive_size, found.tree, found.size
        ));
    }
    match found.odd {
        Some(odd) => Err(format!(
            "`{}` is no archive of mkimg: {odd}",
            image.initramfs.name
        )),
        None => Ok(()),
    }
}
