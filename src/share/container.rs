//! The root of an image as a container image: one layer, for tools that know nothing of mkimg.
//!
//! ```text
//! oci-image        blobs/sha256/..  index.json  oci-layout      in one tar; `skopeo copy oci-archive:FILE ..`
//! docker-archive   HEX.json  HEX.tar  manifest.json             in one tar; `docker load`, `podman load`
//! ```
//!
//! The layer is a plain tar in the order of the paths, with the image's own time, so that the same image gives the same file.

use std::io::{self, Read as _, Write};
use std::path::Path;

use serde_json::json;

use super::ShareError;
use super::oci::{Descriptor, Index, Manifest, REF_NAME};
use crate::arch::Arch;
use crate::digest::{Digest, Hasher};
use crate::store::{Blob, Store, StoreError};
use crate::tree::{DeviceClass, Entry, EntryPath, Kind, Tree};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const BLOCK: usize = 512;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A tar in the OCI image layout.
    OciImage,
    /// What `docker save` writes.
    DockerArchive,
}

/// A container image that is about to be written.
#[derive(Debug)]
pub struct Container {
    layer: Blob,
    config: Vec<u8>,
    /// The digest of its manifest.
    pub digest: Digest,
    manifest: Vec<u8>,
    name: String,
}

impl Container {
    /// Makes the layer of a tree, in the cache.
    ///
    /// # Errors
    /// [`ShareError`] where a file of it cannot be read, or is not what it was.
    pub fn new(
        name: &str,
        arch: Arch,
        tree: &Tree,
        store: &Store,
    ) -> Result<Container, ShareError> {
        let mut out = store.blob_writer()?;
        layer(tree, &mut out)?;
        let layer = out.commit()?;
        let config = json!({
            "architecture": arch.facts().oci,
            "config": {},
            "history": [{ "created_by": "mkimg export" }],
            "os": "linux",
            "rootfs": { "diff_ids": [format!("sha256:{}", layer.digest)], "type": "layers" },
        });
        let config = config.to_string().into_bytes();
        let manifest = Manifest {
            artifact_type: None,
            config: Descriptor::of(CONFIG, &config),
            layers: vec![Descriptor::new(LAYER, layer.digest, layer.size)],
            subject: None,
            annotations: Default::default(),
        };
        let manifest = manifest.bytes();
        Ok(Container {
            digest: Digest::of(&manifest),
            manifest,
            layer,
            config,
            name: name.to_owned(),
        })
    }

    /// Writes the image; `path` names the output in errors.
    ///
    /// # Errors
    /// [`ShareError`] where it cannot be written.
    pub fn write(&self, form: Form, out: &mut dyn Write, path: &Path) -> Result<(), ShareError> {
        let io = |error| ShareError::io("write", path, error);
        let mut out = io::BufWriter::with_capacity(256 * 1024, out);
        let config = Digest::of(&self.config);
        match form {
            Form::OciImage => {
                let descriptor = Descriptor::of(super::oci::MANIFEST, &self.manifest);
                let index = Index {
                    artifact_type: None,
                    manifests: vec![descriptor.with(REF_NAME, "latest")],
                    annotations: Default::default(),
                };
                let blob = |digest: &Digest| format!("blobs/sha256/{digest}");
                small(&blob(&config), &self.config, &mut out).map_err(io)?;
                small(&blob(&self.digest), &self.manifest, &mut out).map_err(io)?;
                self.layer(&blob(&self.layer.digest), &mut out, path)?;
                small("index.json", &index.bytes(), &mut out).map_err(io)?;
                small("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, &mut out).map_err(io)?;
            }
            Form::DockerArchive => {
                let name = format!("{}.tar", self.layer.digest);
                let manifest = json!([{
                    "Config": format!("{config}.json"),
                    "Layers": [name],
                    "RepoTags": [format!("{}:latest", repository(&self.name))],
                }]);
                small(&format!("{config}.json"), &self.config, &mut out).map_err(io)?;
                self.layer(&name, &mut out, path)?;
                small("manifest.json", manifest.to_string().as_bytes(), &mut out).map_err(io)?;
            }
        }
        out.write_all(&[0; 2 * BLOCK])
            .and_then(|()| out.flush())
            .map_err(io)
    }

    fn layer(&self, name: &str, out: &mut dyn Write, path: &Path) -> Result<(), ShareError> {
        let io = |error| ShareError::io("write", path, error);
        let size = self.layer.size;
        header(name.as_bytes(), b'0', size, out).map_err(io)?;
        let mut from = self.layer.open()?;
        let mut buffer = vec![0u8; 128 * 1024];
        loop {
            let count = from
                .read(&mut buffer)
                .map_err(|error| StoreError::io("read", &self.layer.path, error))?;
            if count == 0 {
                return pad(size, out).map_err(io);
            }
            out.write_all(buffer.get(..count).unwrap_or_default())
                .map_err(io)?;
        }
    }
}

/// Returns an image's name as a repository may be called: lower-case letters, digits, and single separators between them.
fn repository(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    match words.is_empty() {
        true => "image".to_owned(),
        false => words.join("-"),
    }
}

fn small(name: &str, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    header(name.as_bytes(), b'0', bytes.len() as u64, out)?;
    out.write_all(bytes)?;
    pad(bytes.len() as u64, out)
}

/// Writes a tree as a tar.
fn layer(tree: &Tree, out: &mut dyn Write) -> Result<(), ShareError> {
    for (path, entry) in tree.iter() {
        let io = |error| ShareError::io("write into the cache", Path::new("layer"), error);
        member(path, entry, tree.epoch, out).map_err(io)?;
        let Kind::File(content) = &entry.kind else {
            continue;
        };
        let failed =
            |error| ShareError::io("read the bytes of", Path::new(&path.to_string()), error);
        let mut from = content.open().map_err(failed)?;
        let (mut hasher, mut size) = (Hasher::new(), 0);
        let mut buffer = vec![0u8; 64 * 1024];
        loop {
            let count = from.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            hasher.update(bytes);
            size += bytes.len() as u64;
            out.write_all(bytes).map_err(io)?;
        }
        let found = hasher.finish();
        if (found, size) != (content.digest, content.size) {
            return Err(ShareError::Mismatch {
                object: format!("`{path}`"),
                expected: format!("sha256:{} in {} bytes", content.digest, content.size),
                found: format!("sha256:{found} in {size} bytes"),
            });
        }
        pad(size, out).map_err(io)?;
    }
    let io = |error| ShareError::io("write into the cache", Path::new("layer"), error);
    out.write_all(&[0; 2 * BLOCK]).map_err(io)
}

/// The fields of a header that differ.
struct Header<'a> {
    name: &'a [u8],
    link: &'a [u8],
    kind: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u32,
    device: (u32, u32),
}

fn header(name: &[u8], kind: u8, size: u64, out: &mut dyn Write) -> io::Result<()> {
    let header = Header {
        name,
        link: b"",
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        mtime: 0,
        device: (0, 0),
    };
    out.write_all(&header.block())
}

/// Writes the header of an entry, and before it what does not fit in there.
fn member(path: &EntryPath, entry: &Entry, mtime: u32, out: &mut dyn Write) -> io::Result<()> {
    let mut name = path.as_bytes().to_vec();
    let (kind, link, size, device): (u8, &[u8], u64, (u32, u32)) = match &entry.kind {
        Kind::Directory => {
            name.push(b'/');
            (b'5', b"", 0, (0, 0))
        }
        Kind::File(content) => (b'0', b"", content.size, (0, 0)),
        Kind::Symlink(target) => (b'2', target, 0, (0, 0)),
        Kind::Device {
            class,
            major,
            minor,
        } => {
            let kind = match class {
                DeviceClass::Char => b'3',
                DeviceClass::Block => b'4',
            };
            (kind, b"", 0, (*major, *minor))
        }
    };
    let mut header = Header {
        name: &name,
        link,
        kind,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size,
        mtime,
        device,
    };
    let mut records = Vec::new();
    if name.len() > 100 {
        records.extend(record("path", &name));
        header.name = b"long-name";
    }
    if link.len() > 100 {
        records.extend(record("linkpath", link));
        header.link = b"long-name";
    }
    for (key, id) in [("uid", &mut header.uid), ("gid", &mut header.gid)] {
        if *id > 0o7_777_777 {
            records.extend(record(key, id.to_string().as_bytes()));
            *id = 0;
        }
    }
    if !records.is_empty() {
        self::header(b"pax", b'x', records.len() as u64, out)?;
        out.write_all(&records)?;
        pad(records.len() as u64, out)?;
    }
    out.write_all(&header.block())
}

/// Returns a record of a pax header: its own length comes first.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

impl Header<'_> {
    /// Returns the block: POSIX.1-2017, "ustar Interchange Format".
    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0u8; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| {
            for (to, from) in block.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        };
        put(0, self.name);
        for (at, number) in [(100, self.mode), (108, self.uid), (116, self.gid)] {
            put(at, format!("{number:07o}\0").as_bytes());
        }
        put(124, format!("{:011o}\0", self.size).as_bytes());
        put(136, format!("{:011o}\0        ", self.mtime).as_bytes());
        put(156, &[self.kind]);
        put(157, self.link);
        put(257, b"ustar\x0000");
        for (at, number) in [(329, self.device.0), (337, self.device.1)] {
            put(at, format!("{number:07o}\0").as_bytes());
        }
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        for (to, from) in block
            .iter_mut()
            .skip(148)
            .zip(format!("{sum:06o}\0 ").bytes())
        {
            *to = from;
        }
        block
    }
}

/// Writes zeros up to a whole block.
fn pad(size: u64, out: &mut dyn Write) -> io::Result<()> {
    let missing = (size.next_multiple_of(BLOCK as u64) - size) as usize;
    out.write_all([0; BLOCK].get(..missing).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length_and_a_repository_has_a_name_that_registries_take() {
        assert_eq!(record("path", b"x"), b"9 path=x\n");
        assert_eq!(record("path", &[b'x'; 91]).len(), 101);
        assert_eq!(record("path", &[b'x'; 90]).len(), 99);
        for (name, wanted) in [("Web_1.2+b", "web-1-2-b"), ("a", "a"), ("_", "image")] {
            assert_eq!(repository(name), wanted);
        }
    }
}
