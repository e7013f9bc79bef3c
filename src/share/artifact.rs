//! Realized images and their recipe to manifests and blobs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::layer::Role;
use super::oci::{DESCRIPTION, Descriptor, IMAGE, Index, MANIFEST, Manifest, TITLE};
use super::project::Project;
use super::{Destination, ShareError};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::plan::FORMAT;
use crate::realize::Realized;
use crate::store::{Blob, Store};

/// The media type of an image's config.
pub const CONFIG: &str = "application/vnd.mkimg.config.v1+json";
/// The annotation with the plan id.
pub(super) const PLAN: &str = "dev.mkimg.plan";
/// The annotation with the format version.
const FORMAT_KEY: &str = "dev.mkimg.format";

/// What is to be shared.
#[derive(Debug, Clone)]
pub struct Shareable<'a> {
    /// The recipe and what belongs to it.
    pub project: &'a Project,
    /// The images, one for each architecture.
    pub images: &'a [Realized],
    /// The sources to send along, by name, for each architecture; none where there is nothing for an architecture.
    pub sources: BTreeMap<Arch, BTreeMap<String, Blob>>,
}

/// Manifests and blobs that are complete in themselves.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The image's name: the tag of a bundle.
    pub name: String,
    /// The index over the architectures.
    pub index: Index,
    /// The manifest of each image, in the order of the index.
    pub manifests: Vec<Manifest>,
    /// The blobs by their digests: configs and layers.
    pub blobs: BTreeMap<Digest, (Descriptor, Blob)>,
    /// The plan of each manifest.
    pub plans: Vec<Digest>,
}

/// What was sent, and what the place had already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Blobs that were sent.
    pub sent: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that were there.
    pub kept: usize,
}

/// Returns Go's word for an architecture, which OCI takes.
pub fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::Aarch64 => "arm64",
        Arch::X86_64 => "amd64",
    }
}

impl Artifact {
    /// Returns the artifact of what is to be shared. Small things are put into the cache, so that every blob is a file.
    ///
    /// # Errors
    /// [`ShareError`] where the cache cannot be written.
    pub fn new(shareable: &Shareable<'_>, store: &Store) -> Result<Artifact, ShareError> {
        let project = shareable.project;
        let mut artifact = Artifact {
            name: project.name.clone(),
            index: Index {
                artifact_type: Some(IMAGE.to_owned()),
                manifests: Vec::new(),
                annotations: BTreeMap::from([(TITLE.to_owned(), project.name.clone())]),
            },
            manifests: Vec::new(),
            blobs: BTreeMap::new(),
            plans: Vec::new(),
        };
        let mut images: Vec<&Realized> = shareable.images.iter().collect();
        images.sort_by_key(|made| made.image.arch);
        for made in images {
            artifact.add(shareable, made, store)?;
        }
        Ok(artifact)
    }

    fn add(
        &mut self,
        shareable: &Shareable<'_>,
        made: &Realized,
        store: &Store,
    ) -> Result<(), ShareError> {
        let project = shareable.project;
        let image = &made.image;
        let kernel = Blob {
            digest: image.kernel.digest,
            size: image.kernel.size,
            path: made.kernel(),
        };
        let initramfs = Blob {
            digest: image.initramfs.digest,
            size: image.initramfs.size,
            path: made.initramfs(),
        };
        let text = |text: &str| {
            store
                .blob_from(&mut text.as_bytes(), store.root())
                .map_err(ShareError::from)
        };
        let mut layers = vec![
            self.layer(Role::Kernel, &image.kernel.name, kernel),
            self.layer(Role::Initramfs, &image.initramfs.name, initramfs),
            self.layer(Role::Image, "image.json", text(&image.text())?),
            self.layer(
                Role::Recipe,
                &format!("{}.kdl", project.name),
                text(&project.recipe)?,
            ),
            self.layer(
                Role::Lock,
                &format!("{}.lock", project.name),
                text(&project.lock)?,
            ),
        ];
        for (path, file) in &project.files {
            let blob = Blob {
                digest: file.digest,
                size: file.size,
                path: file.path.clone(),
            };
            let role = Role::File(path.clone());
            layers.push(self.layer(role, file_name(path), blob));
        }
        for (name, blob) in shareable.sources.get(&image.arch).into_iter().flatten() {
            let title = format!("{name}.source");
            layers.push(self.layer(Role::Source(name.clone()), &title, blob.clone()));
        }
        let named = |digest: &Digest| format!("sha256:{digest}");
        let config = json!({
            "architecture": go_name(image.arch),
            "cmdline": image.cmdline,
            "cpus": image.cpus,
            "format": FORMAT,
            "initramfs": named(&image.initramfs.digest),
            "kernel": named(&image.kernel.digest),
            "memory": image.memory,
            "name": image.name,
            "os": "linux",
            "plan": named(&image.plan),
            "recipe": named(&project.digest),
            "rootfs": { "diff_ids": [], "type": "layers" },
            "sources": named(&image.sources),
            "tree": named(&image.tree),
        });
        let config = text(&config.to_string())?;
        let descriptor = Descriptor::new(CONFIG, config.digest, config.size);
        self.blobs
            .insert(config.digest, (descriptor.clone(), config));
        let mut annotations = BTreeMap::from([
            (FORMAT_KEY.to_owned(), FORMAT.to_string()),
            (PLAN.to_owned(), image.plan.to_string()),
            (TITLE.to_owned(), project.name.clone()),
        ]);
        if let Some(description) = &project.description {
            annotations.insert(DESCRIPTION.to_owned(), description.clone());
        }
        let manifest = Manifest {
            artifact_type: Some(IMAGE.to_owned()),
            config: descriptor,
            layers,
            subject: None,
            annotations,
        };
        self.index.manifests.push(Descriptor {
            architecture: Some(go_name(image.arch).to_owned()),
            ..manifest.descriptor()
        });
        self.manifests.push(manifest);
        self.plans.push(image.plan);
        Ok(())
    }

    fn layer(&mut self, role: Role, title: &str, blob: Blob) -> Descriptor {
        let descriptor = role.descriptor(title, blob.digest, blob.size);
        self.blobs
            .entry(blob.digest)
            .or_insert_with(|| (descriptor.clone(), blob));
        descriptor
    }

    /// Sends everything to a place, blobs first, and gives the index `tag` and each manifest the tag of its plan.
    ///
    /// # Errors
    /// [`ShareError`]; what was sent until then is not named by a tag.
    pub fn send(&self, to: &dyn Destination, tag: Option<&str>) -> Result<Sent, ShareError> {
        let mut sent = Sent::default();
        for (descriptor, blob) in self.blobs.values() {
            if to.put_blob(descriptor, blob)? {
                sent.sent += 1;
                sent.bytes += blob.size;
            } else {
                sent.kept += 1;
            }
        }
        for (manifest, plan) in self.manifests.iter().zip(&self.plans) {
            let bytes = manifest.bytes();
            let descriptor = Descriptor::of(MANIFEST, &bytes);
            to.put_manifest(&descriptor, &bytes, None)?;
            to.put_manifest(&descriptor, &bytes, Some(&plan_tag(plan)))?;
        }
        to.put_manifest(&self.index.descriptor(), &self.index.bytes(), tag)?;
        Ok(sent)
    }
}

/// Returns the tag of the image that realizes a plan.
pub fn plan_tag(plan: &Digest) -> String {
    format!("plan-{plan}")
}

/// Returns the last part of a path, which other tools may take for a file name.
fn file_name(path: &str) -> &str {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    name.unwrap_or("file")
}
