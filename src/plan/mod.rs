//! A recipe for one architecture, with everything that decides the image's bytes, in one canonical text; the sha256 of that
//! text is the plan id (what Nix calls a derivation).
//!
//! A plan is values alone: it has no places in a text, and whatever reads it needs no recipe. What is wrong behind it is a
//! [`Problem`] with a [`StatementId`], which the recipe turns back into a place.
//!
//! What decides no byte is not in it: comments, layout, the description, tests, sources that nothing uses, where the recipe
//! lies. What is in `image.json` is, so that one plan has one image directory: names, locations, the boot node.

#[cfg(test)]
mod complete;
mod entry;
mod fingerprint;
mod lower;
mod statement;
mod text;

use std::collections::BTreeMap;

pub use entry::{FileOrigin, LocalFile, Planned, PlannedKind};
pub use fingerprint::{Fingerprint, normal_text, recipe_digest};
pub use lower::local_files;
pub use statement::{Problem, StatementId, Word};

use crate::arch::Arch;
use crate::digest::{Digest, Hasher};
use crate::pack::Compression;
use crate::place::Place;

/// The version of the rules that turn a plan into bytes (`docs/canonical-image.md`). Any change of them that alters a byte of
/// any image raises it; so does another version of the compressor.
pub const FORMAT: u32 = 1;

/// Everything that decides an image's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The image's name.
    pub name: String,
    /// The architecture.
    pub arch: Arch,
    /// The modification time of every entry, in seconds since 1970.
    pub epoch: u32,
    /// How the archive is compressed.
    pub compress: Compression,
    /// The sources that the image uses, by name.
    pub sources: BTreeMap<String, Pinned>,
    /// The kernel.
    pub kernel: FileOrigin,
    /// The entries, in the order of the recipe: an index into this list is an entry's origin.
    pub entries: Vec<Planned>,
    /// Guest memory in bytes.
    pub memory: u64,
    /// Number of guest CPUs.
    pub cpus: u32,
    /// The kernel's command line, without the console argument that the machine adds.
    pub cmdline: String,
}

/// A source as one architecture needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes, where the recipe says.
    pub size: Option<u64>,
    /// Where the bytes can be had, in the order of the recipe.
    pub places: Vec<Place>,
}

impl Plan {
    /// Returns the files beside the recipe that went in, by their paths as the recipe writes them.
    pub fn local_files(&self) -> BTreeMap<String, LocalFile> {
        let entries = self.entries.iter().filter_map(Planned::origin);
        let origins = std::iter::once(&self.kernel).chain(entries);
        origins
            .filter_map(FileOrigin::local)
            .map(|(name, file)| (name.to_owned(), file.clone()))
            .collect()
    }

    /// Returns the plan id: the sha256 of the canonical text.
    pub fn id(&self) -> Digest {
        Digest::of(self.to_string().as_bytes())
    }

    /// Returns the identity of the inputs: the sha256 over the sorted digests of the sources, each in hexadecimal and with a
    /// line feed. Sources of the same bytes count once.
    pub fn sources_identity(&self) -> Digest {
        let mut digests: Vec<Digest> = self.sources.values().map(|source| source.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        let mut hasher = Hasher::new();
        for digest in digests {
            hasher.update(format!("{digest}\n").as_bytes());
        }
        hasher.finish()
    }
}
