//! `image.json`: what an image is, in a form that a script can read (`docs/image-json.md` is its schema).
//!
//! Keys are sorted and nothing in it depends on when, where or by whom it was made: it is as reproducible as the image.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::arch::Arch;
use crate::digest::Digest;
use crate::pack::Compression;
use crate::place::Place;
use crate::plan::{FORMAT, Plan};

/// The name of the file in an image directory.
pub const FILE: &str = "image.json";
/// The name of the kernel in an image directory.
pub const KERNEL: &str = "vmlinuz";
/// What compresses, with its version: part of what [`FORMAT`] names, said here so that other bytes can be explained.
pub(super) const COMPRESSOR: &str = "libdeflate 1.26";

/// What an image directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The image's name.
    pub name: String,
    /// The architecture.
    pub arch: Arch,
    /// The plan that it realizes.
    pub plan: Digest,
    /// The identity of the inputs.
    pub sources: Digest,
    /// The identity of the tree: the sha256 of the uncompressed archive.
    pub tree: Digest,
    /// The size of the uncompressed archive in bytes.
    pub archive_size: u64,
    /// The kernel.
    pub kernel: ImageFile,
    /// The compressed archive.
    pub initramfs: ImageFile,
    /// Guest memory in bytes.
    pub memory: u64,
    /// Number of guest CPUs.
    pub cpus: u32,
    /// The kernel's command line.
    pub cmdline: String,
    /// The inputs with their digests, by name, and how the archive is compressed: taken over from the plan as JSON.
    inputs: Value,
    compress: Value,
}

/// What a file of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArtifactRole {
    /// The archive that becomes the root file system.
    Initramfs,
    /// The kernel.
    Kernel,
}

impl ArtifactRole {
    /// All of them, in the order of their names.
    pub const ALL: [ArtifactRole; 2] = [ArtifactRole::Initramfs, ArtifactRole::Kernel];
}

impl fmt::Display for ArtifactRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ArtifactRole::Initramfs => "initramfs",
            ArtifactRole::Kernel => "kernel",
        })
    }
}

impl FromStr for ArtifactRole {
    type Err = ();

    fn from_str(name: &str) -> Result<ArtifactRole, ()> {
        let mut all = ArtifactRole::ALL.into_iter();
        all.find(|role| role.to_string() == name).ok_or(())
    }
}

/// One file of an image directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Its name.
    pub name: String,
    /// Its sha256.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a text is no `image.json` of this version of mkimg.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is no JSON.
    #[error("it is no JSON")]
    Json(#[from] serde_json::Error),
    /// A key is missing or has a value of another kind.
    #[error("`{0}` is missing or of the wrong type")]
    Key(&'static str),
    /// It was written by the rules of another format version.
    #[error("it is of format {0}, this mkimg makes format {FORMAT}")]
    Format(u64),
}

/// Returns the name of the initramfs of a plan in its image directory.
pub(super) fn initramfs_name(plan: &Plan) -> &'static str {
    match plan.compress {
        Compression::None => "initramfs.cpio",
        Compression::Gzip { .. } => "initramfs.cpio.gz",
    }
}

impl Image {
    /// Returns the image of a plan.
    pub fn new(
        plan: &Plan,
        tree: Digest,
        archive_size: u64,
        kernel: ImageFile,
        initramfs: ImageFile,
    ) -> Image {
        let inputs = plan.sources.iter().map(|(name, source)| {
            let locations: Vec<Value> = source.places.iter().map(location).collect();
            json!({ "locations": locations, "name": name, "sha256": source.digest.to_string() })
        });
        Image {
            name: plan.name.clone(),
            arch: plan.arch,
            plan: plan.id(),
            sources: plan.sources_identity(),
            tree,
            archive_size,
            kernel,
            initramfs,
            memory: plan.memory,
            cpus: plan.cpus,
            cmdline: plan.cmdline.clone(),
            inputs: inputs.collect(),
            compress: match plan.compress {
                Compression::None => json!({ "method": "none" }),
                Compression::Gzip { level } => {
                    json!({ "by": COMPRESSOR, "level": level, "method": "gzip" })
                }
            },
        }
    }

    /// Returns the image of a plan by what else is known of it, as from a lock: digests and sizes of the archive, the kernel and the
    /// initramfs.
    pub fn known(
        plan: &Plan,
        tree: (Digest, u64),
        kernel: (Digest, u64),
        initramfs: (Digest, u64),
    ) -> Image {
        let file = |name: &str, (digest, size)| ImageFile {
            name: name.to_owned(),
            digest,
            size,
        };
        let kernel = file(KERNEL, kernel);
        let initramfs = file(initramfs_name(plan), initramfs);
        Image::new(plan, tree.0, tree.1, kernel, initramfs)
    }

    /// Returns the image as JSON, its keys sorted.
    pub fn json(&self) -> Value {
        let file = |file: &ImageFile| json!({ "name": file.name, "sha256": file.digest.to_string(), "size": file.size });
        let mut initramfs = file(&self.initramfs);
        initramfs["archive_size"] = json!(self.archive_size);
        initramfs["compress"] = self.compress.clone();
        json!({
            "arch": self.arch.name(),
            "cmdline": self.cmdline,
            "cpus": self.cpus,
            "format": FORMAT,
            "identities": {
                "image": {
                    "initramfs": self.initramfs.digest.to_string(),
                    "kernel": self.kernel.digest.to_string(),
                },
                "sources": self.sources.to_string(),
                "tree": self.tree.to_string(),
            },
            "initramfs": initramfs,
            "kernel": file(&self.kernel),
            "memory": self.memory,
            "name": self.name,
            "plan": self.plan.to_string(),
            "sources": self.inputs,
        })
    }

    /// Returns the text of the file: two blanks of indentation, a line feed at the end.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.json())
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`ImageError`] where it is not what [`Image::text`] writes.
    pub fn parse(text: &[u8]) -> Result<Image, ImageError> {
        let value: Value = serde_json::from_slice(text)?;
        let format = value["format"].as_u64().ok_or(ImageError::Key("format"))?;
        if format != u64::from(FORMAT) {
            return Err(ImageError::Format(format));
        }
        let file = |key| -> Result<ImageFile, ImageError> {
            let file = &value[key];
            Ok(ImageFile {
                name: string(&file["name"], key)?,
                digest: digest(&file["sha256"], key)?,
                size: number(&file["size"], key)?,
            })
        };
        let arch = string(&value["arch"], "arch")?;
        Ok(Image {
            name: string(&value["name"], "name")?,
            arch: arch.parse().map_err(|_| ImageError::Key("arch"))?,
            plan: digest(&value["plan"], "plan")?,
            sources: digest(&value["identities"]["sources"], "identities.sources")?,
            tree: digest(&value["identities"]["tree"], "identities.tree")?,
            archive_size: number(
                &value["initramfs"]["archive_size"],
                "initramfs.archive_size",
            )?,
            kernel: file("kernel")?,
            initramfs: file("initramfs")?,
            memory: number(&value["memory"], "memory")?,
            cpus: number(&value["cpus"], "cpus")?
                .try_into()
                .map_err(|_| ImageError::Key("cpus"))?,
            cmdline: string(&value["cmdline"], "cmdline")?,
            inputs: value["sources"].clone(),
            compress: value["initramfs"]["compress"].clone(),
        })
    }

    /// Says whether everything in it that a plan decides is what this plan says.
    pub fn is_of(&self, plan: &Plan) -> bool {
        let (kernel, initramfs) = (self.kernel.clone(), self.initramfs.clone());
        let names = (kernel.name.as_str(), initramfs.name.as_str());
        names == (KERNEL, initramfs_name(plan))
            && *self == Image::new(plan, self.tree, self.archive_size, kernel, initramfs)
    }

    /// Says whether the archive is compressed.
    pub fn is_compressed(&self) -> bool {
        self.compress["method"] != "none"
    }

    /// Returns what compressed the archive, and how: `libdeflate 1.26, level 7`, or `none`.
    pub fn compressor(&self) -> String {
        let level = self.compress["level"].as_u64();
        match (self.compress["by"].as_str(), level) {
            (Some(by), Some(level)) => format!("{by}, level {level}"),
            _ => "none".to_owned(),
        }
    }

    /// Returns the inputs as pairs of name and digest, in the order of the names.
    pub fn inputs(&self) -> Vec<(String, Digest)> {
        let inputs = self
            .inputs
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let pair = |input: &Value| {
            Some((
                input["name"].as_str()?.to_owned(),
                input["sha256"].as_str()?.parse().ok()?,
            ))
        };
        inputs.iter().filter_map(pair).collect()
    }
}

/// Returns a location without anything that is a matter of one machine: of an absolute local path the last part alone.
fn location(place: &Place) -> Value {
    match place {
        Place::Url(url) => json!({ "url": url }),
        Place::Debian {
            path,
            snapshot,
            archive,
        } => {
            let mut location = json!({ "archive": archive, "debian": path });
            if let Some(snapshot) = snapshot {
                location["snapshot"] = json!(snapshot);
            }
            location
        }
        Place::Local(path) => json!({ "local": shown(path) }),
        Place::Oci(reference) => json!({ "oci": reference }),
        Place::OciLocal(path) => json!({ "oci-local": shown(path) }),
    }
}

fn shown(path: &str) -> &str {
    match path.strip_prefix('/') {
        Some(absolute) => absolute.rsplit('/').next().unwrap_or(absolute),
        None => path,
    }
}

fn string(value: &Value, key: &'static str) -> Result<String, ImageError> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or(ImageError::Key(key))
}

fn digest(value: &Value, key: &'static str) -> Result<Digest, ImageError> {
    let text = value.as_str().ok_or(ImageError::Key(key))?;
    text.parse().map_err(|_| ImageError::Key(key))
}

fn number(value: &Value, key: &'static str) -> Result<u64, ImageError> {
    value.as_u64().ok_or(ImageError::Key(key))
}
