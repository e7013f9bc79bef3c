//! Recipes of a few bytes: a project whose kernel is a header alone, and archives made by hand, right or wrong.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mkimg::digest::Digest;

use crate::cli::Project;

/// The number of x86_64 in an ELF header.
pub const X86_64: u16 = 62;
/// The number of aarch64 in an ELF header.
pub const AARCH64: u16 = 183;

/// A project with what every recipe of [`Tiny::recipe`] needs beside it.
pub struct Tiny {
    pub project: Project,
}

impl Tiny {
    pub fn new() -> Tiny {
        let tiny = Tiny {
            project: Project::new(),
        };
        tiny.write("images/kernel", &kernel());
        tiny.write("images/sh", &elf(X86_64, None));
        tiny
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(path);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Returns a path in the project.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.project.path(relative)
    }

    /// Writes `images/tiny.kdl`: kernel, shell and init, with more sources and entries.
    pub fn recipe(&self, sources: &str, entries: &str) -> PathBuf {
        self.project.recipe("tiny", &recipe(sources, entries))
    }

    /// Writes a source file and a recipe that takes it: `entries` use it as `from="thing"`.
    pub fn takes(&self, thing: &[u8], entries: &str) {
        self.write("images/thing", thing);
        self.recipe(&local("thing", thing), entries);
    }

    /// Returns the command that realizes the recipe.
    pub fn realize(&self, more: &[&str]) -> Command {
        let mut command = self.project.mkimg(["realize", "images/tiny.kdl"]);
        command.args(more);
        command
    }
}

/// A project with a recipe for two architectures, and a mark that tells its image from those of others.
pub fn two(mark: &str) -> Project {
    let project = Project::new();
    let locations = |name: &str, x86: &[u8], arm: &[u8]| {
        let lines: String = [("x86_64", x86), ("aarch64", arm)]
            .map(|(arch, bytes)| {
                let file = format!("{name}.{arch}");
                fs::write(project.path(&format!("images/{file}")), bytes).unwrap();
                format!(
                    "    local \"{file}\" arch=\"{arch}\" sha256=\"{}\"\n",
                    Digest::of(bytes)
                )
            })
            .concat();
        format!("source \"{name}\" {{\n{lines}}}\n")
    };
    let kernels = locations("kernel", &kernel(), &arm64_kernel());
    let shells = locations("sh", &elf(X86_64, None), &elf(AARCH64, None));
    project.recipe(
        "two",
        &format!(
            "image \"two\" description=\"for two\"\n{kernels}{shells}kernel from=\"kernel\"\ninitramfs {{\n    \
             file \"/init\" mode=0o755 text=\"#!/bin/sh\\n\"\n    file \"/mark\" text=\"{mark}\"\n    \
             file \"/bin/sh\" from=\"sh\" mode=0o755\n}}\n"
        ),
    );
    project
}

/// Returns the text of a recipe that needs nothing but `kernel` and `sh` beside it, and what is given.
pub fn recipe(sources: &str, entries: &str) -> String {
    let kernel = local("kernel", &kernel()).replace(" sha256", " arch=\"x86_64\" sha256");
    format!(
        "image \"tiny\"\n{kernel}{sources}kernel from=\"kernel\"\ninitramfs {{\n    \
         file \"/init\" mode=0o755 text=\"#!/bin/sh\\n\"\n    file \"/bin/sh\" local=\"sh\" mode=0o755\n    {entries}\n}}\n"
    )
}

/// Returns a source node for a file beside the recipe.
pub fn local(name: &str, bytes: &[u8]) -> String {
    let digest = Digest::of(bytes);
    format!("source \"{name}\" {{\n    local \"{name}\" sha256=\"{digest}\"\n}}\n")
}

/// Returns a source node for URLs of some bytes.
pub fn urls(name: &str, bytes: &[u8], urls: &[String]) -> String {
    let (digest, size) = (Digest::of(bytes), bytes.len());
    let lines: Vec<String> = urls
        .iter()
        .map(|url| format!("    url \"{url}\" size={size} sha256=\"{digest}\"\n"))
        .collect();
    format!("source \"{name}\" {{\n{}}}\n", lines.concat())
}

/// Returns bytes that do not compress.
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Returns what passes for a 64-bit x86 kernel: Documentation/arch/x86/boot.rst.
pub fn kernel() -> Vec<u8> {
    let mut kernel = vec![0; 4096];
    kernel[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x236] = 1;
    kernel
}

/// Returns what passes for an arm64 kernel: Documentation/arch/arm64/booting.rst.
pub fn arm64_kernel() -> Vec<u8> {
    let mut kernel = vec![0; 4096];
    kernel[0x38..0x3c].copy_from_slice(b"ARM\x64");
    kernel
}

/// Returns the headers of a 64-bit ELF program, and its loader's name where it has one.
pub fn elf(machine: u16, loader: Option<&str>) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    for offset in [0u64, 64, 0] {
        elf.extend(offset.to_le_bytes());
    }
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, u16::from(loader.is_some()), 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    if let Some(loader) = loader {
        elf.extend([3, 0, 0, 0, 4, 0, 0, 0]);
        let size = loader.len() as u64 + 1;
        for field in [120, 0, 0, size, size, 1] {
            elf.extend(field.to_le_bytes());
        }
        elf.extend(loader.as_bytes());
        elf.push(0);
    }
    elf
}

/// A tar archive, block by block.
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// Adds a header with a declared size, which need not be the body's, and a body.
    pub fn raw(mut self, kind: u8, name: &[u8], link: &[u8], size: u64, body: &[u8]) -> Tar {
        let mut header = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name);
        put(
            100,
            if kind == b'5' {
                b"0000755\0"
            } else {
                b"0000644\0"
            },
        );
        put(108, b"0000000\x000000000\0");
        if size < 1 << 33 {
            put(124, format!("{size:011o}\0").as_bytes());
        } else {
            put(128, &size.to_be_bytes());
            put(124, b"\x80");
        }
        put(136, b"00000000000\0        ");
        put(156, &[kind]);
        put(157, link);
        put(257, b"ustar  \0");
        put(329, b"0000005\x000000001\0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, body: &[u8]) -> Tar {
        self.raw(b'0', name.as_bytes(), b"", body.len() as u64, body)
    }

    pub fn dir(self, name: &str) -> Tar {
        self.raw(b'5', name.as_bytes(), b"", 0, b"")
    }

    /// Adds what has a target: a hard link (`1`) or a symlink (`2`).
    pub fn link(self, kind: u8, name: &str, target: &str) -> Tar {
        self.raw(kind, name.as_bytes(), target.as_bytes(), 0, b"")
    }

    /// Adds a pax header of one record for the next member.
    pub fn pax(self, key: &str, value: &[u8]) -> Tar {
        let rest = key.len() + value.len() + 3;
        let length = (rest..)
            .find(|length| length.to_string().len() + rest == *length)
            .unwrap();
        let mut body = format!("{length} {key}=").into_bytes();
        body.extend_from_slice(value);
        body.push(b'\n');
        self.raw(b'x', b"pax", b"", body.len() as u64, &body)
    }

    /// Returns the archive with its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// Returns a package of these ar members.
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        let size = bytes.len();
        let head = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
            0, 0, 0, 100644
        );
        archive.extend_from_slice(head.as_bytes());
        archive.extend_from_slice(bytes);
        if size % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

/// Returns a package with a data member.
pub fn deb(name: &str, data: &[u8]) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", b""),
        (name, data),
    ])
}

/// Asserts that nothing half-written is in a cache: no scratch, no partial download, no image but whole ones, every blob what
/// its name says.
pub fn assert_clean(cache: &Path) {
    for bucket in ["tmp", "partial"] {
        let left = files(&cache.join(bucket));
        assert_eq!(left, Vec::<PathBuf>::new(), "in {bucket}");
        let entries = fs::read_dir(cache.join(bucket)).into_iter().flatten();
        assert_eq!(entries.count(), 0, "{bucket}");
    }
    assert_whole(cache);
}

/// Asserts that every blob has the bytes that its name says, and every image its files.
pub fn assert_whole(cache: &Path) {
    for path in files(&cache.join("blobs-v1")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let fan = path.parent().unwrap().file_name().unwrap();
        let digest = Digest::of(&fs::read(&path).unwrap()).to_string();
        assert_eq!(format!("{}{name}", fan.to_str().unwrap()), digest);
    }
    let buckets = ["images-v1", "imports-v1"].map(|bucket| fs::read_dir(cache.join(bucket)));
    for image in buckets.into_iter().flatten().flatten() {
        let image = image.unwrap().path();
        let text = fs::read(image.join("image.json")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        for part in ["kernel", "initramfs"] {
            let file = fs::read(image.join(value[part]["name"].as_str().unwrap())).unwrap();
            assert_eq!(value[part]["sha256"], Digest::of(&file).to_string());
        }
    }
}

/// Returns the images that a cache has.
pub fn images(cache: &Path) -> usize {
    let buckets = ["images-v1", "imports-v1"].map(|bucket| fs::read_dir(cache.join(bucket)));
    buckets.into_iter().flatten().flatten().count()
}

/// Returns every file below a directory, sorted.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Records an image in a cache as if mkimg had written it so: else it would not count for more than its place.
pub fn record(cache: &Path, image: &Path) {
    use mkimg::realize::{Image, sums};
    use mkimg::store::Store;
    let text = fs::read(image.join("image.json")).unwrap();
    let sums = sums(&Image::parse(&text).unwrap());
    let store = Store::open(cache).unwrap();
    let recorded = store.check(image, &Store::record_name(image), None, &sums);
    recorded.unwrap();
}
