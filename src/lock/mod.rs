//! Locks: what a recipe is expected to give, in a file beside it (`docs/lock.md` is the format's page).
//!
//! ```text
//! Image --Locked::of--> Locked         Fingerprint + Images --Lock::of--> Lock <--parse/text--> NAME.lock
//! Lock + Fingerprint + Plan + Image --changes--> what is no longer so
//! ```
//!
//! A lock says which recipe it is of by a digest over the recipe's text, and what the recipe gives by the identities of each
//! architecture's image. Nothing is read from it that decides a byte.

mod change;
mod line;
mod read;
mod text;
mod v1;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::digest::Digest;
use crate::plan::{FORMAT, Fingerprint, Plan};
use crate::realize::{ArtifactRole, Image, ImageFile};

pub use change::Change;
pub use read::LockError;

/// The version of the file that mkimg writes.
pub const VERSION: u32 = 2;

/// What a recipe is expected to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The version of the file that it was read from: an older one than [`VERSION`] is to be written anew.
    pub version: u32,
    /// The image's name.
    pub name: String,
    /// The version of the rules that make the bytes.
    pub format: u32,
    /// The recipe digest.
    pub recipe: Digest,
    /// What is expected of each architecture.
    pub images: BTreeMap<Arch, Locked>,
    /// The statements of the recipe, each with the first digits of its digest.
    pub statements: BTreeMap<String, String>,
    /// The files beside the recipe that its kernel and its entries name, each with the first digits of its digest.
    pub files: BTreeMap<String, String>,
}

/// What is expected of one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The plan id.
    pub plan: Digest,
    /// The identity of the inputs.
    pub sources: Digest,
    /// Each input's sha256 by its name.
    pub inputs: BTreeMap<String, Digest>,
    /// The identity of the tree: the sha256 of the uncompressed archive.
    pub tree: Digest,
    /// The bytes of the uncompressed archive.
    pub archive_size: u64,
    /// Each file's sha256 and size in bytes, by what it is.
    pub artifacts: BTreeMap<ArtifactRole, (Digest, u64)>,
    /// What compresses, and how: `libdeflate 1.26, level 7`, or `none`.
    pub compressor: String,
}

impl Locked {
    /// Returns what a lock says of an image.
    pub fn of(image: &Image) -> Locked {
        let file = |file: &ImageFile| (file.digest, file.size);
        Locked {
            plan: image.plan,
            sources: image.sources,
            inputs: image.inputs().into_iter().collect(),
            tree: image.tree,
            archive_size: image.archive_size,
            artifacts: BTreeMap::from([
                (ArtifactRole::Kernel, file(&image.kernel)),
                (ArtifactRole::Initramfs, file(&image.initramfs)),
            ]),
            compressor: image.compressor(),
        }
    }

    /// Returns what is filled in while a lock is read.
    fn empty() -> Locked {
        let nothing = Digest::of(b"");
        Locked {
            plan: nothing,
            sources: nothing,
            inputs: BTreeMap::new(),
            tree: nothing,
            archive_size: 0,
            artifacts: BTreeMap::new(),
            compressor: String::new(),
        }
    }

    /// Says whether all was filled in.
    fn is_whole(&self) -> bool {
        !self.compressor.is_empty()
            && ArtifactRole::ALL
                .iter()
                .all(|role| self.artifacts.contains_key(role))
    }

    /// Returns the image that the lock expects of a plan; `None` where the plan is another one.
    pub fn image(&self, plan: &Plan) -> Option<Image> {
        let tree = (self.tree, self.archive_size);
        let file = |role| self.artifacts.get(&role).copied();
        let (kernel, initramfs) = (file(ArtifactRole::Kernel)?, file(ArtifactRole::Initramfs)?);
        let image = Image::known(plan, tree, kernel, initramfs);
        (Locked::of(&image) == *self).then_some(image)
    }
}

impl Lock {
    /// Returns the lock of a recipe and its images, one for each architecture.
    pub fn of<'i>(recipe: &Fingerprint, images: impl IntoIterator<Item = &'i Image>) -> Lock {
        Lock {
            version: VERSION,
            name: recipe.name.clone(),
            format: FORMAT,
            recipe: recipe.recipe,
            images: images
                .into_iter()
                .map(|image| (image.arch, Locked::of(image)))
                .collect(),
            statements: recipe.statements.iter().cloned().collect(),
            files: recipe.files.clone(),
        }
    }
}

/// Returns where the lock of a recipe is: `NAME.lock` for `NAME.kdl`; any other name keeps what it has, so that no recipe is
/// its own lock and no two share one.
pub fn path_of(recipe: &Path) -> PathBuf {
    if recipe
        .extension()
        .is_some_and(|extension| extension == "kdl")
    {
        return recipe.with_extension("lock");
    }
    let mut path = recipe.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_recipe_is_its_own_lock() {
        let cases = [
            ("images/a.kdl", "images/a.lock"),
            ("a.b.kdl", "a.b.lock"),
            ("images/a.lock", "images/a.lock.lock"),
            ("images/my.image", "images/my.image.lock"),
            ("recipe", "recipe.lock"),
        ];
        for (recipe, lock) in cases {
            assert_eq!(path_of(Path::new(recipe)), Path::new(lock));
        }
    }
}
