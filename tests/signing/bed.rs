//! A registry, keys of two users and a stranger, and who is trusted.

use std::fs;

use mkimg::share::oci::{Descriptor, Index, Manifest};
use serde_json::Value;

use crate::cli::{Project, run, stdout};
use crate::debian::Debian;
use crate::keys::{generate, public};
use crate::tiny::two;

pub struct Bed {
    pub debian: Debian,
    pub keys: tempfile::TempDir,
}

impl Bed {
    /// `None` without Debian's registry or `ssh-keygen`.
    pub fn start() -> Option<Bed> {
        let debian = Debian::start()?;
        let keys = tempfile::tempdir().unwrap();
        for name in ["ann", "bob", "eve"] {
            generate(keys.path(), name, &["ed25519"])?;
        }
        let bed = Bed { debian, keys };
        bed.trust(&format!(
            "ann {}bob {}",
            bed.public("ann"),
            bed.public("bob")
        ));
        Some(bed)
    }

    pub fn key(&self, name: &str) -> String {
        self.keys.path().join(name).display().to_string()
    }

    pub fn public(&self, name: &str) -> String {
        public(&self.keys.path().join(name))
    }

    /// Writes whom to trust; returns the file.
    pub fn trust(&self, text: &str) -> String {
        fs::write(self.keys.path().join("allowed"), text).unwrap();
        self.trusted()
    }

    pub fn trusted(&self) -> String {
        self.key("allowed")
    }

    pub fn at(&self, tag: &str) -> String {
        format!("{}/team/two:{tag}", self.debian.address())
    }

    /// Pushes the image with a mark, signed by ann; returns the reference by digest.
    pub fn push(&self, mark: &str, tag: &str, more: &[&str]) -> String {
        let project = two(mark);
        let mut command = project.mkimg(["push", "two", &self.at(tag)]);
        stdout(&run(command.args(more))).trim_end().to_owned()
    }

    /// The document that a reference by digest names.
    pub fn json(&self, digest: &str) -> Value {
        serde_json::from_slice(&fs::read(self.debian.file(digest)).unwrap()).unwrap()
    }

    /// The manifest of the x86_64 image that a reference by digest names.
    pub fn manifest(&self, reference: &str) -> Descriptor {
        let bytes = fs::read(self.debian.file(digest_of(reference))).unwrap();
        let index = Index::parse(&bytes, "it").unwrap();
        let mut found = index.manifests.into_iter();
        found
            .find(|entry| entry.architecture.as_deref() == Some("amd64"))
            .unwrap()
    }

    /// The referrers of a manifest with an artifact type.
    pub fn referrers(&self, subject: &Descriptor, kind: &str) -> Vec<Manifest> {
        let tag = format!("sha256-{}", subject.digest);
        let link = format!("repositories/team/two/_manifests/tags/{tag}/current/link");
        let Ok(index) = fs::read_to_string(self.debian.data().join(link)) else {
            return Vec::new();
        };
        let bytes = fs::read(self.debian.file(index.trim())).unwrap();
        let entries = Index::parse(&bytes, "it").unwrap().manifests;
        let read =
            |entry: &Descriptor| fs::read(self.debian.file(&format!("sha256:{}", entry.digest)));
        let kept = entries
            .iter()
            .filter(|entry| entry.artifact_type.as_deref() == Some(kind));
        kept.map(|entry| Manifest::parse(&read(entry).unwrap(), "it").unwrap())
            .collect()
    }

    /// The bytes of a layer.
    pub fn layer(&self, manifest: &Manifest, index: usize) -> Vec<u8> {
        let digest = format!("sha256:{}", manifest.layers[index].digest);
        fs::read(self.debian.file(&digest)).unwrap()
    }

    /// The command that verifies against the trusted keys, with an empty cache.
    pub fn verify(&self, what: &str, more: &[&str]) -> (Project, std::process::Command) {
        let project = Project::new();
        let mut command = project.mkimg(["verify", what, "--trust", &self.trusted()]);
        command.args(more);
        (project, command)
    }
}

pub fn digest_of(reference: &str) -> &str {
    reference.split_once('@').unwrap().1
}
