//! The layers of an image manifest: what each is for, by its media type and annotations.

use std::path::Path;

use super::ShareError;
use super::oci::{Descriptor, TITLE};
use super::text::fit;
use crate::digest::Digest;
use crate::realize::{IMAGE_FILE, Image};

/// The annotation with what a layer is for.
pub(super) const ROLE: &str = "dev.mkimg.role";
/// The annotation with the path of a file as the recipe writes it.
pub(super) const PATH: &str = "dev.mkimg.path";
/// The annotation with the name of a source.
pub(super) const SOURCE: &str = "dev.mkimg.source";

const KERNEL: &str = "application/vnd.mkimg.kernel.v1";
const INITRAMFS_PLAIN: &str = "application/vnd.mkimg.initrd.v1.cpio";
const INITRAMFS_GZIP: &str = "application/vnd.mkimg.initrd.v1.cpio+gzip";
const IMAGE: &str = "application/vnd.mkimg.image.v1+json";
const RECIPE: &str = "application/vnd.mkimg.recipe.v1+kdl";
const LOCK: &str = "application/vnd.mkimg.lock.v1+kdl";
const FILE: &str = "application/vnd.mkimg.file.v1";
const BLOB: &str = "application/vnd.mkimg.source.v1";

/// What a layer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The kernel.
    Kernel,
    /// The initramfs.
    Initramfs,
    /// `image.json`.
    Image,
    /// The recipe.
    Recipe,
    /// The lock.
    Lock,
    /// A file beside the recipe, by its path as the recipe writes it.
    File(String),
    /// A source, by its name.
    Source(String),
}

impl Role {
    /// Returns the descriptor of a layer with this role; `title` is its file name.
    pub(super) fn descriptor(&self, title: &str, digest: Digest, size: u64) -> Descriptor {
        let media_type = match self {
            Role::Kernel => KERNEL,
            Role::Initramfs if title.ends_with(".gz") => INITRAMFS_GZIP,
            Role::Initramfs => INITRAMFS_PLAIN,
            Role::Image => IMAGE,
            Role::Recipe => RECIPE,
            Role::Lock => LOCK,
            Role::File(_) => FILE,
            Role::Source(_) => BLOB,
        };
        let layer = Descriptor::new(media_type, digest, size)
            .with(TITLE, title)
            .with(ROLE, self.word());
        match self {
            Role::File(path) => layer.with(PATH, path),
            Role::Source(name) => layer.with(SOURCE, name),
            _ => layer,
        }
    }

    /// Returns the role of a layer; `None` is something that a later version of mkimg may know.
    pub(super) fn of(layer: &Descriptor, object: &str) -> Result<Option<Role>, ShareError> {
        let role = match layer.media_type.as_str() {
            KERNEL => Role::Kernel,
            INITRAMFS_PLAIN | INITRAMFS_GZIP => Role::Initramfs,
            IMAGE => Role::Image,
            RECIPE => Role::Recipe,
            LOCK => Role::Lock,
            FILE => Role::File(needed(layer, PATH, object)?),
            BLOB => Role::Source(needed(layer, SOURCE, object)?),
            _ => return Ok(None),
        };
        let word = needed(layer, ROLE, object)?;
        if word != role.word() {
            let problem = format!(
                "a layer of the type `{}` says that it is the {}",
                layer.media_type,
                fit(&word)
            );
            return Err(ShareError::invalid(object, problem));
        }
        Ok(Some(role))
    }

    /// Returns the title of a layer with this role, a plain file name: `image` is what the layers make up.
    pub(super) fn title(&self, image: &Image) -> String {
        match self {
            Role::Kernel => image.kernel.name.clone(),
            Role::Initramfs => image.initramfs.name.clone(),
            Role::Image => IMAGE_FILE.to_owned(),
            Role::Recipe => format!("{}.kdl", image.name),
            Role::Lock => format!("{}.lock", image.name),
            Role::File(path) => {
                let name = Path::new(path).file_name().and_then(|name| name.to_str());
                name.unwrap_or("file").to_owned()
            }
            Role::Source(name) => format!("{name}.source"),
        }
    }

    /// Returns the word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Role::Kernel => "kernel",
            Role::Initramfs => "initramfs",
            Role::Image => "image",
            Role::Recipe => "recipe",
            Role::Lock => "lock",
            Role::File(_) => "file",
            Role::Source(_) => "source",
        }
    }
}

fn needed(layer: &Descriptor, key: &str, object: &str) -> Result<String, ShareError> {
    layer.annotations.get(key).cloned().ok_or_else(|| {
        let problem = format!(
            "a layer of the type `{}` has no annotation `{key}`",
            fit(&layer.media_type)
        );
        ShareError::invalid(object, problem)
    })
}
