//! One byte of the cache flips, anywhere: no verb gives wrong bytes with exit code 0.
//!
//! `MKIMG_DAMAGES=N` tries N damages, with a pinned QEMU among what is damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use mkimg::digest::Digest;

use crate::cli::{Project, json, run};
use crate::tiny::{Tar, Tiny, ar, files, kernel, local, noise};

/// How many damages the suite tries: every verb with nearly every kind, and some twice.
const DAMAGES: usize = 70;

/// A QEMU that tells which bytes it was given.
const QEMU: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "QEMU emulator version 9.0.0"; exit 0; fi
while [ $# -gt 0 ]; do
    case $1 in -kernel | -initrd) echo "$1 $(sha256sum <"$2")" ;; esac
    shift
done
echo booted
"#;

/// What is damaged, and the verb that is sure to read some of it.
const KINDS: [(&str, &str); 7] = [
    ("blobs-v1", "sbom"),
    ("images-v1", "cat"),
    ("members-v1", "why"),
    ("stamps-v1", "realize"),
    ("notes-v1", "run"),
    ("recipes-v1", "shared"),
    ("imports-v1", "shared"),
];

struct Bed {
    tiny: Tiny,
    /// What is shared is another project's.
    other: Project,
    /// The recipe of a bundle that was imported.
    shared: String,
    pinned: bool,
}

/// Returns an ELF kernel that QEMU could start by itself, packed in what passes for a bzImage.
fn bzimage() -> Vec<u8> {
    use std::io::Write as _;
    let mut elf = crate::tiny::elf(crate::tiny::X86_64, None);
    elf[56..58].copy_from_slice(&1u16.to_le_bytes());
    // PT_NOTE, 20 bytes at 120: XEN_ELFNOTE_PHYS32_ENTRY.
    elf.extend([4, 0, 0, 0, 4, 0, 0, 0]);
    for field in [120u64, 0, 0, 20, 20, 4] {
        elf.extend(field.to_le_bytes());
    }
    for word in [4u32, 4, 18] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(b"Xen\0\0\0\x10\0");
    elf.extend(noise(3000));
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&elf).unwrap();
    let packed = packed.finish().unwrap();
    let mut kernel = kernel();
    kernel[0x1f1] = 1;
    kernel[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    let offset = kernel.len() as u32 - 0x400;
    kernel[0x248..0x24c].copy_from_slice(&offset.to_le_bytes());
    kernel[0x24c..0x250].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    kernel.extend(packed);
    kernel
}

fn package() -> Vec<u8> {
    let control =
        b"Package: honest\nVersion: 1\nArchitecture: amd64\nMaintainer: a\nDescription: b\n";
    let control = Tar::default().file("./control", control).end();
    let copyright = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: a\nLicense: MIT\n";
    let data = Tar::default()
        .file("./usr/share/doc/honest/copyright", copyright)
        .file("./data", &noise(5000))
        .end();
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control),
        ("data.tar", &data),
    ])
}

impl Bed {
    fn new(pinned: bool) -> Bed {
        let tiny = Tiny::new();
        let kernel = bzimage();
        tiny.write("images/kernel", &kernel);
        let (plain, package) = (noise(9000), package());
        let archive = Tar::default()
            .file("t/a", &noise(4000))
            .file("t/b", &noise(6000))
            .end();
        let mut sources = String::new();
        for (name, bytes) in [
            ("plain", &plain),
            ("package", &package),
            ("archive", &archive),
        ] {
            tiny.write(&format!("images/{name}"), bytes);
            sources += &local(name, bytes);
        }
        let entries = "file \"/plain\" from=\"plain\"\n    file \"/data\" from=\"package\" path=\"data\"\n    \
                       tree \"/\" from=\"archive\"";
        let text = crate::tiny::recipe(&sources, entries);
        let old = Digest::of(&crate::tiny::kernel()).to_string();
        let text = text.replace(&old, &Digest::of(&kernel).to_string());
        let test = "boot memory=\"128MiB\"\ntest \"t\" within=\"20s\" { expect \"booted\"; exit \"poweroff\"; }\n";
        tiny.project.recipe("tiny", &format!("{text}{test}"));
        let bin = tiny.path("home/bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("qemu-system-x86_64"), QEMU).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bin.join("qemu-system-x86_64"), mode).unwrap();
        run(&mut tiny.project.mkimg(["lock", "tiny"]));
        // Another recipe's bundle.
        let other = crate::tiny::two("shared");
        run(&mut other.mkimg(["export", "two", "-o", "two.mkimg", "--with-sources"]));
        let mut bed = Bed {
            shared: String::new(),
            tiny,
            other,
            pinned,
        };
        bed.shared = bed.import()["recipe"].as_str().unwrap().to_owned();
        bed
    }

    fn import(&self) -> serde_json::Value {
        let mut import = self.tiny.project.mkimg(["import", "--json"]);
        json(&run(import.arg(self.other.path("two.mkimg"))))
    }

    fn verbs(&self) -> Vec<(&'static str, Vec<&str>)> {
        let mut verbs = vec![
            ("realize", vec!["realize", "tiny"]),
            ("locked", vec!["realize", "tiny", "--locked"]),
            ("show", vec!["show", "tiny", "--json"]),
            ("ls", vec!["ls", "tiny"]),
            ("cat", vec!["cat", "tiny", "/plain"]),
            ("why", vec!["why", "tiny", "/t/b"]),
            (
                "export",
                vec!["export", "tiny", "--with-sources", "-o", "out.mkimg"],
            ),
            ("sbom", vec!["sbom", "tiny"]),
            ("run", vec!["run", "tiny", "--accel", "tcg", "--locked"]),
            ("test", vec!["test", "tiny", "--accel", "tcg"]),
            (
                "shared",
                vec!["show", &self.shared, "--json", "--arch", "x86_64"],
            ),
        ];
        if self.pinned {
            let words = "run tiny --accel tcg --dry-run --qemu pinned";
            verbs.push(("pinned", words.split(' ').collect()));
        }
        verbs
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.tiny.project.mkimg(words);
        let path = format!("{}:/usr/bin:/bin", self.tiny.path("home/bin").display());
        command.env("PATH", path).stdin(Stdio::null());
        command
    }

    /// Returns what a verb gives: what it prints, and the files that it makes or names.
    fn given(&self, words: &[&str], output: &Output) -> Vec<u8> {
        let mut given = output.stdout.clone();
        match words[0] {
            // An import that is gone is made again in another place.
            "show" => {
                let mut value = json(output);
                value["path"] = serde_json::Value::Null;
                given = value.to_string().into_bytes();
            }
            "realize" => {
                let text = String::from_utf8(output.stdout.clone()).unwrap();
                for file in files(Path::new(text.trim_end())) {
                    given.extend(fs::read(file).unwrap());
                }
            }
            "export" => given.extend(fs::read(self.tiny.path("out.mkimg")).unwrap()),
            _ => {}
        }
        given
    }

    /// Returns the files of a kind, sorted by what is in them: names hang on inodes.
    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = files(&self.tiny.path("cache").join(kind));
        // The small ones are texts that an export or a bundle brings along each time.
        found.retain(|path| {
            kind != "blobs-v1" || fs::metadata(path).is_ok_and(|found| found.len() > 3000)
        });
        found.sort_by_key(|path| fs::read(path).map(|bytes| (bytes.len(), bytes)).unwrap());
        found
    }
}

/// A generator of numbers that is the same everywhere (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Writes over a file of the cache in place, as a failing disk would.
fn write(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn a_flipped_byte_anywhere_never_gives_wrong_bytes_with_success() {
    let wished = std::env::var("MKIMG_DAMAGES").ok();
    let pinned = wished.is_some();
    let count = wished.map_or(DAMAGES, |count| count.parse().unwrap());
    let bed = Bed::new(pinned);
    let verbs = bed.verbs();
    let right: Vec<Vec<u8>> = verbs
        .iter()
        .map(|(_, words)| {
            run(&mut bed.command(words));
            bed.given(words, &run(&mut bed.command(words)))
        })
        .collect();
    // The emulator is given the initramfs of the image, and the payload of its kernel, which is a blob.
    let digest = |name: &str| {
        let found = bed.files("images-v1").into_iter();
        let mut found = found.filter(|path| path.ends_with(name));
        Digest::of(&fs::read(found.next().unwrap()).unwrap()).to_string()
    };
    let run_at = verbs.iter().position(|(name, _)| *name == "run").unwrap();
    let told = String::from_utf8_lossy(&right[run_at]).into_owned();
    assert!(told.contains("-kernel "), "{told}");
    assert!(told.contains(&digest("initramfs.cpio.gz")), "{told}");
    assert!(!told.contains(&digest("vmlinuz")), "{told}");

    let mut kinds = KINDS.to_vec();
    if pinned {
        kinds.push(("tools-v1", "pinned"));
    }
    let mut numbers = Numbers(0x005e_ed0f_0da7_a6e5);
    // Of each kind: damages that a verb met, as it said or as the file shows.
    let mut met = vec![0usize; kinds.len()];
    for number in 0..count {
        let at = number % kinds.len();
        let (kind, reader) = kinds[at];
        let turn = number / kinds.len();
        // In turn, and the one that is sure to read it every other time.
        let mut chosen = vec![turn % verbs.len()];
        if turn.is_multiple_of(2) {
            chosen.extend(verbs.iter().position(|(name, _)| *name == reader));
        }
        let (which, byte, bit) = (
            numbers.below(1 << 20),
            numbers.below(1 << 30),
            numbers.below(8),
        );
        for verb in chosen {
            let mut there = bed.files(kind);
            // The stamp of a linked blob is read only where another one does not fit.
            there.retain(|path| !path.to_string_lossy().contains("/blob-"));
            assert!(!there.is_empty(), "{kind}");
            let path = &there[which % there.len()];
            let good = fs::read(path).unwrap();
            if good.is_empty() {
                continue;
            }
            let mut bad = good.clone();
            bad[byte % good.len()] ^= 1 << bit;
            write(path, &bad);
            let (name, words) = &verbs[verb];
            let output = bed.command(words).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let place = format!(
                "damage {number}, byte {} of {}, bit {bit}, `{name}`: {said}",
                byte % good.len(),
                path.display()
            );
            let now = fs::read(path).ok();
            let is_met = now.as_ref() != Some(&bad);
            match output.status.code() {
                Some(0) => assert!(bed.given(words, &output) == right[verb], "{place}"),
                Some(1..=5) => {}
                _ => panic!("{place}"),
            }
            if is_met || output.status.code() != Some(0) {
                met[at] += 1;
            }
            if now.as_ref() == Some(&bad) {
                write(path, &good);
            }
            if output.status.code() != Some(0) {
                // The next one starts from a cache that works; what was imported may have to be imported again.
                bed.import();
                run(&mut bed.command(words));
            }
        }
    }
    for ((kind, _), met) in kinds.iter().zip(&met) {
        assert!(*met > 0, "no damage in {kind} was ever met: {met}");
    }
}
