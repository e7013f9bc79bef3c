//! Locks: what a recipe is expected to give, in a file beside it (`docs/lock.md` is the format's page).
//!
//! ```text
//! Recipe, local files --recipe_digest--> Digest      Image --Locked::of--> Locked
//! Lock <--parse/text--> NAME.lock                    Lock + Recipe + Image --changes--> what is no longer so
//! ```
//!
//! A lock says which recipe it is of by a digest over the recipe's text, and what the recipe gives by the identities of each
//! architecture's image. Nothing is read from it that decides a byte.

mod change;
mod parse;
mod plain;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::digest::Digest;
use crate::plan::{FORMAT, LocalFile, Plan};
use crate::realize::{Image, ImageFile};
use crate::recipe::{Parsed, SourceMap, SourceText, statements};

pub use change::Change;
pub use parse::LockError;

/// The digits of a statement's or a file's digest: it only tells which one changed, the recipe digest tells that one did.
const SHORT: usize = 12;

/// What a recipe is expected to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
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
    /// The kernel's sha256 and size in bytes.
    pub kernel: (Digest, u64),
    /// The initramfs's sha256 and size in bytes.
    pub initramfs: (Digest, u64),
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
            kernel: file(&image.kernel),
            initramfs: file(&image.initramfs),
            compressor: image.compressor(),
        }
    }

    /// Returns the image that the lock expects of a plan; `None` where the plan is another one.
    pub fn image(&self, plan: &Plan) -> Option<Image> {
        let tree = (self.tree, self.archive_size);
        let image = Image::known(plan, tree, self.kernel, self.initramfs);
        (Locked::of(&image) == *self).then_some(image)
    }
}

impl Lock {
    /// Returns the lock of a recipe, its local files and its images, one for each architecture.
    pub fn of<'i>(
        parsed: &Parsed,
        files: &BTreeMap<String, LocalFile>,
        images: impl IntoIterator<Item = &'i Image>,
    ) -> Lock {
        Lock {
            name: parsed.recipe.name.value.clone(),
            format: FORMAT,
            recipe: recipe_digest(&parsed.source, files),
            images: images
                .into_iter()
                .map(|image| (image.arch, Locked::of(image)))
                .collect(),
            statements: statement_digests(&parsed.source),
            files: file_digests(files),
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

/// Returns a recipe's text with LF line ends. The byte order mark was taken off when it was read.
pub fn normal_text(source: &SourceText) -> String {
    source.text.replace("\r\n", "\n")
}

/// Returns the recipe digest: the sha256 of what `sha256sum` prints for the recipe, under the name `recipe`, with LF line ends
/// and without a byte order mark, and then for each file beside it that its kernel and its entries name, in the
/// order of the names.
pub fn recipe_digest(source: &SourceMap, files: &BTreeMap<String, LocalFile>) -> Digest {
    let mut listed = format!(
        "{}  recipe\n",
        Digest::of(normal_text(source.root()).as_bytes())
    );
    for (path, file) in files {
        listed.push_str(&format!("{}  {path}\n", file.digest));
    }
    Digest::of(listed.as_bytes())
}

fn statement_digests(source: &SourceMap) -> BTreeMap<String, String> {
    let found = statements(source).into_iter().map(|statement| {
        let text = source.slice(&statement.span);
        let digest = Digest::of(text.replace("\r\n", "\n").as_bytes());
        (statement.name, short(digest))
    });
    found.collect()
}

fn file_digests(files: &BTreeMap<String, LocalFile>) -> BTreeMap<String, String> {
    let short = |(path, file): (&String, &LocalFile)| (path.clone(), short(file.digest));
    files.iter().map(short).collect()
}

fn short(digest: Digest) -> String {
    digest.to_string()[..SHORT].to_owned()
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
