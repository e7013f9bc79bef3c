//! A bundle taken apart and put together again, right or wrong: what its parts are and how its tar is written comes from
//! `docs/sharing.md`, not from the code that is tested.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use mkimg::digest::Digest;
use mkimg::share::oci::Index;
use serde_json::Value;

use crate::cli::{Project, run};
use crate::tiny::{Tiny, two};

/// A bundle's blobs and its `index.json`.
#[derive(Clone)]
pub struct Parts {
    /// By their sha256 in hexadecimal.
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub index: Value,
}

/// The bundle of a recipe for two architectures, with its sources, and the project that it was made in.
pub fn of_two() -> (Project, PathBuf) {
    let project = two("a");
    let path = export(&project, "two", &["--with-sources"]);
    (project, path)
}

/// The smallest bundle that has all that can be in one: a file beside the recipe, and a source.
pub fn of_tiny() -> (Project, PathBuf) {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let path = export(&tiny.project, "tiny", &["--with-sources"]);
    (tiny.project, path)
}

/// Exports a recipe of a project.
pub fn export(project: &Project, name: &str, more: &[&str]) -> PathBuf {
    run(project.mkimg(["export", name]).args(more));
    project.path(&format!("{name}.mkimg"))
}

pub fn hex(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// A ustar header as a bundle has it.
pub fn header(name: &str, size: u64) -> Vec<u8> {
    let mut block = vec![0u8; 512];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    summed(block)
}

/// The header with the sum that it should have.
pub fn summed(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A member: header, body, zeros up to a block.
pub fn member(name: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, body.len() as u64);
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub fn ended(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

impl Parts {
    pub fn read(path: &PathBuf) -> Parts {
        let bytes = fs::read(path).unwrap();
        let mut blobs = BTreeMap::new();
        let mut index = Value::Null;
        let mut at = 0;
        while bytes[at] != 0 {
            let text = |from: usize, length: usize| {
                let field = &bytes[at + from..at + from + length];
                let end = field.iter().position(|byte| *byte == 0);
                String::from_utf8(field[..end.unwrap_or(length)].to_vec()).unwrap()
            };
            let name = text(0, 100);
            let size = usize::from_str_radix(&text(124, 12), 8).unwrap();
            let body = &bytes[at + 512..at + 512 + size];
            match name.strip_prefix("blobs/sha256/") {
                Some(hex) => drop(blobs.insert(hex.to_owned(), body.to_vec())),
                None if name == "index.json" => index = serde_json::from_slice(body).unwrap(),
                None => assert_eq!(name, "oci-layout"),
            }
            at += 512 + size.next_multiple_of(512);
        }
        Parts { blobs, index }
    }

    /// The members, in the order that a bundle has them in.
    pub fn members(&self) -> Vec<Vec<u8>> {
        let blobs = self.blobs.iter();
        let mut members: Vec<Vec<u8>> = blobs
            .map(|(hex, bytes)| member(&format!("blobs/sha256/{hex}"), bytes))
            .collect();
        members.push(member("index.json", &self.index_json()));
        members.push(member("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#));
        members
    }

    /// The tar, as mkimg writes it.
    pub fn tar(&self) -> Vec<u8> {
        ended(&self.members())
    }

    fn index_json(&self) -> Vec<u8> {
        let text = self.index.to_string();
        Index::parse(text.as_bytes(), "it").unwrap().bytes()
    }

    /// Adds a blob.
    pub fn add(&mut self, bytes: &[u8]) -> String {
        self.blobs.insert(hex(bytes), bytes.to_vec());
        hex(bytes)
    }

    /// Puts other bytes where a blob was, and lets everything that named it name them: all digests and sizes fit again.
    pub fn replace(&mut self, old: &str, bytes: &[u8]) {
        self.blobs.remove(old).unwrap();
        let new = self.add(bytes);
        let size = bytes.len();
        let holders: Vec<String> = self
            .blobs
            .iter()
            .filter(|(_, bytes)| names(bytes, old))
            .map(|(hex, _)| hex.clone())
            .collect();
        for holder in holders {
            let mut value: Value = serde_json::from_slice(&self.blobs[&holder]).unwrap();
            rename(&mut value, old, &new, size);
            self.replace(&holder, value.to_string().as_bytes());
        }
        rename(&mut self.index, old, &new, size);
    }

    /// Edits a JSON blob, and all that names it.
    pub fn edit(&mut self, old: &str, edit: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&self.blobs[old]).unwrap();
        edit(&mut value);
        self.replace(old, value.to_string().as_bytes());
    }

    /// The index over the architectures.
    pub fn root(&self) -> String {
        named(&self.index["manifests"][0])
    }

    pub fn json(&self, hex: &str) -> Value {
        serde_json::from_slice(&self.blobs[hex]).unwrap()
    }

    /// The manifest for an architecture in Go's words.
    pub fn manifest(&self, arch: &str) -> String {
        let index = self.json(&self.root());
        let list = index["manifests"].as_array().unwrap();
        let found = list
            .iter()
            .find(|entry| entry["platform"]["architecture"] == arch);
        named(found.unwrap())
    }

    /// The layer of a role in the manifest for an architecture.
    pub fn layer(&self, arch: &str, role: &str) -> String {
        let manifest = self.json(&self.manifest(arch));
        let layers = manifest["layers"].as_array().unwrap();
        let found = layers
            .iter()
            .find(|layer| layer["annotations"]["dev.mkimg.role"] == role);
        named(found.unwrap())
    }

    pub fn config(&self, arch: &str) -> String {
        named(&self.json(&self.manifest(arch))["config"])
    }
}

/// The hexadecimal digest in a descriptor.
pub fn named(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap()[7..].to_owned()
}

fn names(bytes: &[u8], hex: &str) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return false;
    };
    let digest = format!("sha256:{hex}");
    let lists = ["manifests", "layers"].map(|key| value[key].as_array().cloned());
    let lists = lists.into_iter().flatten().flatten();
    lists
        .chain([value["config"].clone()])
        .any(|entry| entry["digest"] == digest.as_str())
}

fn rename(value: &mut Value, old: &str, new: &str, size: usize) {
    match value {
        Value::Object(map) => {
            if map
                .get("digest")
                .is_some_and(|digest| *digest == format!("sha256:{old}").as_str())
            {
                map.insert("digest".to_owned(), format!("sha256:{new}").into());
                map.insert("size".to_owned(), size.into());
            }
            map.values_mut()
                .for_each(|value| rename(value, old, new, size));
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| rename(value, old, new, size)),
        _ => {}
    }
}
