//! The files that a shared recipe includes: layers of its image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Origin;
use super::oci::Descriptor;
use super::origin::fetch;
use crate::dir;
use crate::recipe::{Files, Found, MAX_BYTES, Refusal};
use crate::store::Store;

/// The files that came along, which are fetched as they are included.
pub(super) struct Layers<'l> {
    pub(super) files: BTreeMap<&'l String, &'l Descriptor>,
    pub(super) origin: &'l dyn Origin,
    pub(super) store: &'l Store,
}

impl Files for Layers<'_> {
    fn read(&mut self, path: &str) -> Result<Found, Refusal> {
        let refused = |reason: String| Refusal {
            reason: format!("read: {reason}"),
            help: "export it again".to_owned(),
        };
        let layer = self.files.get(&path.to_owned());
        let layer = layer.ok_or_else(|| refused("it did not come along".to_owned()))?;
        if layer.size > MAX_BYTES as u64 {
            return Err(refused(format!("it has {} bytes", layer.size)));
        }
        let blob = fetch(self.origin, layer, self.store);
        let blob = blob.map_err(|error| refused(error.to_string()))?;
        let bytes = dir::read(&blob.path).map_err(|error| refused(error.to_string()))?;
        // Two paths of one file came along as two files.
        let at = PathBuf::from(blob.digest.to_string());
        Ok(Found { at, bytes })
    }
}
