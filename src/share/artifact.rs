//! Images as OCI artifacts (`docs/sharing.md`): what is written for one, and what is believed of one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::oci::{DESCRIPTION, Descriptor, IMAGE, INDEX, Index, MANIFEST, Manifest, TITLE};
use super::{Origin, ShareError};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::plan::FORMAT;
use crate::realize::{Image, Realized};
use crate::store::{Blob, Store};

const ROLE: &str = "dev.mkimg.role";
/// The image specification's own: `skopeo inspect` refuses every other.
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The most bytes of an `image.json`.
const MAX_IMAGE_JSON: u64 = 4 << 20;

/// What is shared of a recipe: its images, their parts in the cache.
#[derive(Debug)]
pub struct Artifact {
    /// The index over the architectures.
    pub index: Descriptor,
    manifests: BTreeMap<Digest, Vec<u8>>,
    blobs: BTreeMap<Digest, Blob>,
}

/// A recipe to share.
#[derive(Debug, Clone, Copy)]
pub struct Written<'r> {
    /// The image's name.
    pub name: &'r str,
    /// The description, where there is one.
    pub description: Option<&'r str>,
    /// Its text.
    pub text: &'r str,
}

impl Artifact {
    /// Returns the artifact of a recipe and its images. Their files become blobs of the cache.
    ///
    /// # Errors
    /// [`ShareError`] where a file is not what the image says, or the cache cannot be written.
    pub fn new(
        store: &Store,
        recipe: Written<'_>,
        images: &[Realized],
    ) -> Result<Artifact, ShareError> {
        let mut artifact = Artifact {
            index: Descriptor::of(INDEX, b""),
            manifests: BTreeMap::new(),
            blobs: BTreeMap::new(),
        };
        let mut entries = Vec::new();
        for made in images {
            let manifest = artifact.manifest_of(store, recipe, made)?;
            // Not its artifact type: see `Index::bytes`.
            let mut entry = Descriptor::of(MANIFEST, &manifest.bytes());
            entry.architecture = Some(go_name(made.image.arch).to_owned());
            artifact.manifests.insert(entry.digest, manifest.bytes());
            entries.push(entry);
        }
        entries.sort_by(|a, b| a.architecture.cmp(&b.architecture));
        let index = Index {
            artifact_type: None,
            manifests: entries,
            annotations: BTreeMap::from([(TITLE.to_owned(), recipe.name.to_owned())]),
        };
        artifact.index = index.descriptor();
        artifact
            .manifests
            .insert(artifact.index.digest, index.bytes());
        Ok(artifact)
    }

    fn manifest_of(
        &mut self,
        store: &Store,
        recipe: Written<'_>,
        made: &Realized,
    ) -> Result<Manifest, ShareError> {
        let image = &made.image;
        let normal = recipe
            .text
            .trim_start_matches('\u{feff}')
            .replace("\r\n", "\n");
        let labels = json!({
            TITLE: image.name, "dev.mkimg.plan": image.plan.to_string(),
            "dev.mkimg.sources": format!("sha256:{}", image.sources), "dev.mkimg.tree": format!("sha256:{}", image.tree),
            "dev.mkimg.initramfs": format!("sha256:{}", image.initramfs.digest),
            "dev.mkimg.kernel": format!("sha256:{}", image.kernel.digest),
        });
        let config = json!({
            "config": { "Labels": labels },
            "architecture": go_name(image.arch), "os": "linux", "cmdline": image.cmdline, "memory": image.memory,
            "cpus": image.cpus, "name": image.name, "plan": image.plan.to_string(), "format": FORMAT,
            "recipe": format!("sha256:{}", Digest::of(normal.as_bytes())),
            "sources": format!("sha256:{}", image.sources), "tree": format!("sha256:{}", image.tree),
            "initramfs": format!("sha256:{}", image.initramfs.digest),
            "kernel": format!("sha256:{}", image.kernel.digest),
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let config = self.add(store, CONFIG, config.to_string().as_bytes())?;
        let initramfs_type = match image.initramfs.name.ends_with(".gz") {
            true => "application/vnd.mkimg.initrd.v1.cpio+gzip",
            false => "application/vnd.mkimg.initrd.v1.cpio",
        };
        let mut layers = Vec::new();
        for (file, media_type, role) in [
            (&image.kernel, "application/vnd.mkimg.kernel.v1", "kernel"),
            (&image.initramfs, initramfs_type, "initramfs"),
        ] {
            let path = made.path.join(&file.name);
            let mut from =
                File::open(&path).map_err(|error| ShareError::io("open", &path, error))?;
            let blob = store.blob_from(&mut from, &path)?;
            let descriptor = Descriptor::new(media_type, file.digest, file.size);
            if (blob.digest, blob.size) != (file.digest, file.size) {
                return Err(ShareError::Mismatch {
                    object: format!("`{}`", path.display()),
                    expected: format!("sha256:{}", file.digest),
                    found: format!("sha256:{}", blob.digest),
                });
            }
            self.blobs.insert(blob.digest, blob);
            layers.push(descriptor.with(TITLE, &file.name).with(ROLE, role));
        }
        let text = image.text();
        layers.push(
            self.add(
                store,
                "application/vnd.mkimg.image.v1+json",
                text.as_bytes(),
            )?
            .with(TITLE, "image.json")
            .with(ROLE, "image"),
        );
        layers.push(
            self.add(
                store,
                "application/vnd.mkimg.recipe.v1+kdl",
                normal.as_bytes(),
            )?
            .with(TITLE, &format!("{}.kdl", image.name))
            .with(ROLE, "recipe"),
        );
        let mut annotations = BTreeMap::from([
            (TITLE.to_owned(), image.name.clone()),
            ("dev.mkimg.plan".to_owned(), image.plan.to_string()),
            ("dev.mkimg.format".to_owned(), FORMAT.to_string()),
        ]);
        if let Some(description) = recipe.description {
            annotations.insert(DESCRIPTION.to_owned(), description.to_owned());
        }
        Ok(Manifest {
            artifact_type: Some(IMAGE.to_owned()),
            config,
            layers,
            subject: None,
            annotations,
        })
    }

    fn add(
        &mut self,
        store: &Store,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Descriptor, ShareError> {
        let mut from = bytes;
        let blob = store.blob_from(&mut from, Path::new("memory"))?;
        self.blobs.insert(blob.digest, blob);
        Ok(Descriptor::of(media_type, bytes))
    }
}

impl Origin for Artifact {
    fn name(&self) -> String {
        "the cache".to_owned()
    }

    fn resolve(&self, _: &str) -> Result<Option<Descriptor>, ShareError> {
        Ok(None)
    }

    fn manifest(&self, wanted: &Descriptor) -> Result<Vec<u8>, ShareError> {
        let missing = || ShareError::Missing {
            object: format!("the manifest `sha256:{}`", wanted.digest),
            place: self.name(),
        };
        self.manifests
            .get(&wanted.digest)
            .cloned()
            .ok_or_else(missing)
    }

    fn blob(&self, wanted: &Descriptor, _: &Store) -> Result<Blob, ShareError> {
        let missing = || ShareError::Missing {
            object: format!("the blob `sha256:{}`", wanted.digest),
            place: self.name(),
        };
        self.blobs.get(&wanted.digest).cloned().ok_or_else(missing)
    }
}

/// Brings the image of a manifest into the cache, every byte compared; `entry` is its descriptor, as an index has it.
///
/// # Errors
/// [`ShareError`]; the cache has no image then that it did not have before.
pub fn take(
    origin: &dyn Origin,
    entry: &Descriptor,
    store: &Store,
) -> Result<Realized, ShareError> {
    let object = format!(
        "the manifest `sha256:{}` of `{}`",
        entry.digest,
        origin.name()
    );
    let manifest = Manifest::parse(&origin.manifest(entry)?, &object)?;
    if manifest.artifact_type.as_deref() != Some(IMAGE) {
        return Err(ShareError::invalid(&object, "it is no image of mkimg"));
    }
    let layer = |role: &str| {
        let found = manifest
            .layers
            .iter()
            .find(|layer| layer.annotations.get(ROLE).is_some_and(|own| own == role));
        found.ok_or_else(|| ShareError::invalid(&object, format!("it has no layer `{role}`")))
    };
    let described = layer("image")?;
    if described.size > MAX_IMAGE_JSON {
        return Err(ShareError::invalid(&object, "its image.json is too large"));
    }
    let mut text = Vec::new();
    let blob = origin.blob(described, store)?;
    blob.open()?
        .read_to_end(&mut text)
        .map_err(|error| ShareError::io("read", &blob.path, error))?;
    let image = Image::parse(&text).map_err(|error| {
        ShareError::invalid(format!("the image.json of {object}"), error.to_string())
    })?;
    if let Some(architecture) = &entry.architecture
        && architecture != go_name(image.arch)
    {
        return Err(ShareError::Mismatch {
            object,
            expected: format!("an image for {architecture}, as its index says"),
            found: format!("one for {}", go_name(image.arch)),
        });
    }
    let config = config(origin, &manifest, store)?;
    if config["architecture"] != go_name(image.arch) {
        return Err(ShareError::invalid(
            &object,
            "its config is of another architecture than its image.json",
        ));
    }
    for part in &manifest.layers {
        origin.blob(part, store)?;
    }
    let mut new = store.new_image(&image.plan, &image.name)?;
    for (role, file) in [("kernel", &image.kernel), ("initramfs", &image.initramfs)] {
        let descriptor = layer(role)?;
        if (descriptor.digest, descriptor.size) != (file.digest, file.size) {
            return Err(ShareError::Mismatch {
                object: format!("the layer `{role}` of {object}"),
                expected: format!("sha256:{}, as image.json says", file.digest),
                found: format!("sha256:{}", descriptor.digest),
            });
        }
        let blob = origin.blob(descriptor, store)?;
        blob.verify()?;
        new.link(&blob, &file.name)?;
    }
    let mut file = new.file("image.json")?;
    let path = new.path("image.json");
    file.write_all(&text)
        .map_err(|error| ShareError::io("write", &path, error))?;
    let target = store.image_path(&image.plan, &image.name);
    let up_to_date = fs::exists(&target).unwrap_or(false);
    let path = new.publish()?;
    Ok(Realized {
        path,
        image,
        up_to_date,
    })
}

fn config(origin: &dyn Origin, manifest: &Manifest, store: &Store) -> Result<Value, ShareError> {
    let blob = origin.blob(&manifest.config, store)?;
    let bytes = fs::read(&blob.path).map_err(|error| ShareError::io("read", &blob.path, error))?;
    serde_json::from_slice(&bytes)
        .map_err(|_| ShareError::invalid("the config of an image", "it is no JSON"))
}

/// Returns the name that Go, and so every registry, has for an architecture.
pub fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    }
}
