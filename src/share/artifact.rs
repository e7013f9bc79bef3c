//! Realized images and their recipe to manifests and blobs.

use std::collections::BTreeMap;

use serde_json::json;

use super::bundle::Layout;
use super::layer::Role;
use super::oci::{DESCRIPTION, Descriptor, IMAGE, Index, MANIFEST, Manifest, TITLE};
use super::project::Project;
use super::{Destination, ShareError};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::plan::FORMAT;
use crate::realize::{Image, Realized};
use crate::store::{Blob, Store};

/// The media type of an image's config: the image specification's own, since `skopeo inspect` refuses every other.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The annotation with the plan id.
pub(super) const PLAN: &str = "dev.mkimg.plan";
/// The annotation with the format version.
pub(super) const FORMAT_KEY: &str = "dev.mkimg.format";

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
#[derive(Debug)]
pub struct Artifact {
    /// The index over the architectures.
    pub index: Descriptor,
    /// Everything, the index under the image's name.
    pub layout: Layout,
    /// The manifest of each image, by architecture.
    pub manifests: BTreeMap<Arch, Descriptor>,
}

impl Artifact {
    /// Returns the artifact of what is to be shared. Small things are put into the cache, so that every blob is a file.
    ///
    /// # Errors
    /// [`ShareError`] where the cache cannot be written.
    pub fn new(shareable: &Shareable<'_>, store: &Store) -> Result<Artifact, ShareError> {
        let project = shareable.project;
        project.check_paths()?;
        let layout = Layout::new();
        let mut manifests = BTreeMap::new();
        for made in shareable.images {
            let entry = add(&layout, shareable, made, store)?;
            manifests.insert(made.image.arch, entry);
        }
        let mut entries: Vec<Descriptor> = manifests.values().cloned().collect();
        entries.sort_by(|one, other| one.architecture.cmp(&other.architecture));
        // No artifact type, neither here nor in the entries: see `Index::bytes`.
        let index = Index {
            artifact_type: None,
            manifests: entries,
            annotations: BTreeMap::from([(TITLE.to_owned(), project.name.clone())]),
        };
        let descriptor = index.descriptor();
        layout.put_manifest(&descriptor, &index.bytes(), Some(&project.name))?;
        Ok(Artifact {
            index: descriptor,
            layout,
            manifests,
        })
    }
}

/// Adds one image; returns its entry in the index.
fn add(
    layout: &Layout,
    shareable: &Shareable<'_>,
    made: &Realized,
    store: &Store,
) -> Result<Descriptor, ShareError> {
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
        put(layout, Role::Kernel, image, &kernel)?,
        put(layout, Role::Initramfs, image, &initramfs)?,
        put(layout, Role::Image, image, &text(&image.text())?)?,
        put(layout, Role::Recipe, image, &text(&project.recipe)?)?,
        put(layout, Role::Lock, image, &text(&project.lock)?)?,
    ];
    for (path, file) in &project.files {
        let blob = Blob {
            digest: file.digest,
            size: file.size,
            path: file.path.clone(),
        };
        layers.push(put(layout, Role::File(path.clone()), image, &blob)?);
    }
    for (name, blob) in shareable.sources.get(&image.arch).into_iter().flatten() {
        layers.push(put(layout, Role::Source(name.clone()), image, blob)?);
    }
    let config = json!({
        "config": { "Labels": labels(image) },
        "architecture": image.arch.facts().oci,
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
    layout.put_blob(&descriptor, &config)?;
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
    let bytes = manifest.bytes();
    let mut entry = Descriptor::of(MANIFEST, &bytes);
    layout.put_manifest(&entry, &bytes, None)?;
    entry.architecture = Some(image.arch.facts().oci.to_owned());
    Ok(entry)
}

/// Returns what other tools show of an image.
pub(super) fn labels(image: &Image) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("dev.mkimg.initramfs", named(&image.initramfs.digest)),
        ("dev.mkimg.kernel", named(&image.kernel.digest)),
        (PLAN, image.plan.to_string()),
        ("dev.mkimg.sources", named(&image.sources)),
        ("dev.mkimg.tree", named(&image.tree)),
        (TITLE, image.name.clone()),
    ])
}

fn named(digest: &Digest) -> String {
    format!("sha256:{digest}")
}

fn put(layout: &Layout, role: Role, image: &Image, blob: &Blob) -> Result<Descriptor, ShareError> {
    let descriptor = role.descriptor(&role.title(image), blob.digest, blob.size);
    layout.put_blob(&descriptor, blob)?;
    Ok(descriptor)
}

/// Returns the tag of the image that realizes a plan.
pub fn plan_tag(plan: &Digest) -> String {
    format!("plan-{plan}")
}
