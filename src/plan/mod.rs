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
mod named;
mod quoted;
mod statement;
mod text;

use std::collections::BTreeMap;

pub use entry::{FileOrigin, LocalFile, Planned, PlannedKind, TreeOrigin};
pub use fingerprint::{Fingerprint, normal_text, recipe_digest};
pub use named::{Named, Taken, local_files};
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

impl Pinned {
    /// Says whether it is a container image.
    pub fn is_oci(&self) -> bool {
        self.places.iter().any(Place::is_oci)
    }
}

impl Plan {
    /// Returns the files beside the recipe that went in, by their paths as the recipe writes them, and the directories by their
    /// keys ([`Taken::key`]).
    pub fn local_files(&self) -> BTreeMap<String, LocalFile> {
        let owned = |(name, file): (&str, &LocalFile)| (name.to_owned(), file.clone());
        let entries = self.entries.iter();
        let entries = entries.filter_map(|planned| match planned.directory() {
            Some((name, taken, file)) => Some((taken.key(name), file.clone())),
            None => planned.local().map(owned),
        });
        let kernel = self.kernel.local().map(owned);
        kernel.into_iter().chain(entries).collect()
    }

    /// Says whether a source is a container image.
    fn is_oci(&self, source: Option<&str>) -> bool {
        let source = source.and_then(|name| self.sources.get(name));
        source.is_some_and(Pinned::is_oci)
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
