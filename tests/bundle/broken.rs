//! Tars that are no bundle: names that lead elsewhere, things twice, things missing, ends too early, sizes that are lies.

use mkimg::fault::Fault as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::cli::{Project, fails, run};
use crate::parts::{Parts, ended, header, member, of_tiny, of_two, summed};
use crate::support::tool;
use crate::tiny::{Tar, files};

/// Imports bytes as a bundle, which must fail with 3; returns what was said.
fn refused(project: &Project, name: &str, bytes: &[u8]) -> String {
    let path = project.path("broken.mkimg");
    fs::write(&path, bytes).unwrap();
    let said = fails(&mut project.mkimg(["import", "broken.mkimg"]), 3);
    assert!(!said.contains('\u{1b}'), "{name}: {said:?}");
    assert!(!project.path("cache/imports-v1").exists(), "{name}: {said}");
    said
}

#[test]
fn the_tar_is_the_one_that_the_page_describes() {
    for (_project, path) in [of_tiny(), of_two()] {
        assert!(Parts::read(&path).tar() == fs::read(path).unwrap());
    }
}

#[test]
fn members_that_no_bundle_has_are_named() {
    let (_project, path) = of_tiny();
    let parts = Parts::read(&path);
    let with = |first: bool, extra: Vec<u8>| {
        let mut members = parts.members();
        members.insert(if first { 0 } else { members.len() }, extra);
        ended(&members)
    };
    let typed = |kind: u8, link: &str| {
        let mut block = header("blobs/sha256/link", 0);
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        summed(block)
    };
    let blob = member(
        &format!("blobs/sha256/{}", crate::parts::hex(b"more")),
        b"more",
    );
    let twice = {
        let mut members = parts.members();
        members.insert(1, members[0].clone());
        ended(&members)
    };
    let swapped = {
        let mut members = parts.members();
        members.swap(0, 1);
        ended(&members)
    };
    let mut sorted = parts.clone();
    sorted.add(b"more");
    let mut named = header("x", 0);
    named[345] = b'a';
    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        (
            "up",
            with(true, member("../../etc/cron.d/x", b"x")),
            vec!["`../../etc/cron.d/x`", "no file of a bundle has this name"],
        ),
        (
            "up inside",
            with(true, member("blobs/sha256/../../../x", b"x")),
            vec!["`blobs/sha256/../../../x`"],
        ),
        (
            "absolute",
            with(true, member("/etc/passwd", b"x")),
            vec!["`/etc/passwd`"],
        ),
        (
            "another file",
            with(false, member("readme", b"x")),
            vec!["`readme`", "no file of a bundle"],
        ),
        (
            "a blob in capitals",
            with(
                true,
                member(&format!("blobs/sha256/{}", "A".repeat(64)), b""),
            ),
            vec!["AAAA", "no file of a bundle"],
        ),
        (
            "a directory",
            with(true, typed(b'5', "")),
            vec!["blobs/sha256/link"],
        ),
        (
            "a symlink",
            with(true, typed(b'2', "/etc/passwd")),
            vec!["has the type `2`"],
        ),
        (
            "a hard link",
            with(true, typed(b'1', "index.json")),
            vec!["has the type `1`"],
        ),
        (
            "a device",
            with(true, typed(b'3', "")),
            vec!["has the type `3`"],
        ),
        (
            "a long name",
            with(true, typed(b'L', "")),
            vec!["has the type `L`"],
        ),
        (
            "a pax header",
            with(true, typed(b'x', "")),
            vec!["has the type `x`"],
        ),
        (
            "a prefix",
            with(true, summed(named)),
            vec!["its name has a prefix"],
        ),
        (
            "a name that moves the cursor",
            with(true, member("blobs/\u{1b}[2J", b"")),
            vec!["its name is no text"],
        ),
        (
            "up, as another tool writes it",
            Tar::default().file("./../../etc/cron.d/x", b"x").end(),
            vec!["`../../etc/cron.d/x`", "no file of a bundle has this name"],
        ),
        ("twice", twice, vec!["not in the order"]),
        ("another order", swapped, vec!["not in the order"]),
        (
            "a blob too many",
            sorted.tar(),
            vec![&blob_name(b"more"), "nothing in the bundle needs it"],
        ),
        (
            "a blob too many, behind",
            with(false, blob),
            vec![&blob_name(b"more"), "not in the order"],
        ),
    ]
    .into_iter()
    .map(|(name, bytes, words)| {
        (
            name,
            bytes,
            words
                .into_iter()
                .map(|w: &str| &*w.to_owned().leak())
                .collect(),
        )
    })
    .collect();
    let project = Project::new();
    for (name, bytes, words) in cases {
        let said = refused(&project, name, &bytes);
        for word in words {
            assert!(said.contains(word), "{name}: {word}: {said}");
        }
    }
    // Nothing was written anywhere.
    assert!(!Path::new("/etc/cron.d/x").exists());
    assert_eq!(
        files(&project.path("cache")),
        Vec::<std::path::PathBuf>::new()
    );
}

fn blob_name(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", crate::parts::hex(bytes))
}

#[test]
fn a_bundle_that_ends_too_early_is_refused_wherever_it_ends() {
    let (_project, path) = of_tiny();
    let bundle = fs::read(&path).unwrap();
    let project = Project::new();
    let block = 512;
    let mut lengths = vec![0, 1, 511, 512, 513, 1023];
    for at in (0..bundle.len()).step_by(block) {
        lengths.extend([at, at + 1, at + 300, at + 511]);
    }
    lengths.push(bundle.len() - 1);
    for length in lengths.iter().filter(|length| **length < bundle.len()) {
        let path = project.path("broken.mkimg");
        fs::write(&path, &bundle[..*length]).unwrap();
        let error = mkimg::share::bundle::Bundle::open(&path).unwrap_err();
        assert_eq!(error.outcome(), mkimg::fault::Outcome::Mismatch);
        let said = error.to_string();
        assert!(
            said.contains("truncated") && said.contains("broken.mkimg"),
            "{length}: {said}"
        );
    }
    for length in [
        0,
        100,
        block,
        bundle.len() / 2,
        bundle.len() - block,
        bundle.len() - 1,
    ] {
        let said = refused(&project, "cut", &bundle[..length]);
        assert!(
            said.contains("the bundle `broken.mkimg`: it is truncated"),
            "{said}"
        );
    }
    // As through a pipe that broke.
    for length in [0, 100, bundle.len() / 2] {
        fs::write(project.path("broken.mkimg"), &bundle[..length]).unwrap();
        let mut command = project.mkimg(["import", "-"]);
        let said = fails(
            command.stdin(File::open(project.path("broken.mkimg")).unwrap()),
            3,
        );
        assert!(said.contains("the bundle `standard input`"), "{said}");
    }
    // And what goes on behind the end.
    for more in [&b"\0"[..], b"x", &[0; 512], &bundle] {
        let said = refused(&project, "more", &[&bundle, more].concat());
        assert!(said.contains("something follows its end"), "{said}");
    }
}

#[test]
fn ten_gigabytes_that_are_declared_are_refused_at_once_in_little_memory() {
    let Some(time) = tool("time") else {
        return;
    };
    let (_project, path) = of_tiny();
    let parts = Parts::read(&path);
    let ten = 10u64 << 30;
    let project = Project::new();
    let broken = project.path("broken.mkimg");
    let name = format!("blobs/sha256/{}", "0".repeat(64));
    // Sizes in base 256, as GNU tar writes large ones, and in twelve digits.
    let huge = |text: &[u8]| {
        let mut block = header(&name, 0);
        block[124..136].copy_from_slice(text);
        summed(block)
    };
    let mut binary = [0u8; 12];
    binary[0] = 0x80;
    binary[4..].copy_from_slice(&ten.to_be_bytes());
    let mut layer = parts.clone();
    let root = layer.manifest("amd64");
    layer.edit(&root, |manifest| manifest["layers"][0]["size"] = json!(ten));
    let mut root = parts.clone();
    root.index["manifests"][0]["size"] = json!(ten);
    let cases: Vec<(Vec<u8>, u64, &str)> = vec![
        // Declared, and not there; and there, as a hole.
        (
            header(&name, ten.min(0o77_777_777_777)),
            0,
            "it is truncated, or lies",
        ),
        (
            huge(format!("{ten:012o}").as_bytes()),
            0,
            "declares 10737418240 bytes",
        ),
        (
            huge(format!("{ten:012o}").as_bytes()),
            ten,
            "declares 10737418240 bytes",
        ),
        (huge(&binary), ten, "its size is no number"),
        (
            layer.tar(),
            0,
            "expected 10737418240 bytes, as its descriptor says",
        ),
        (root.tar(), 0, "10737418240 bytes"),
    ];
    for (bytes, hole, words) in cases {
        let file = File::create(&broken).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        if hole > 0 {
            file.set_len(bytes.len() as u64 + hole + 1024).unwrap();
        }
        let plain = project.mkimg(["import", "broken.mkimg"]);
        let mut command = Command::new(&time);
        project.prepare(&mut command);
        command.args(["-f", "peak %M KiB"]).arg(plain.get_program());
        let said = fails(command.args(plain.get_args()), 3);
        assert!(said.contains(words), "{words}: {said}");
        let peak = said.rsplit("peak ").next().unwrap().split(' ').next();
        let peak: u64 = peak.unwrap().parse().unwrap();
        assert!(peak < 64 << 10, "{peak} KiB: {said}");
    }
    assert!(!project.path("cache/blobs-v1").exists());
}

#[test]
fn two_images_or_none_are_refused() {
    let (_project, path) = of_two();
    let parts = Parts::read(&path);
    let project = Project::new();
    let edited = |edit: &dyn Fn(&mut Parts)| {
        let mut parts = parts.clone();
        edit(&mut parts);
        parts.tar()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "it names 2 images, a bundle holds exactly one",
            edited(&|parts| {
                let mut other = parts.index["manifests"][0].clone();
                other["annotations"]["org.opencontainers.image.ref.name"] = json!("other");
                parts.index["manifests"].as_array_mut().unwrap().push(other);
            }),
        ),
        (
            "it names 2 images",
            edited(&|parts| {
                let twice = parts.index["manifests"][0].clone();
                parts.index["manifests"].as_array_mut().unwrap().push(twice);
            }),
        ),
        (
            "it names 0 images",
            edited(&|parts| parts.index["manifests"] = json!([])),
        ),
        (
            "its tag is not `two`",
            edited(&|parts| {
                parts.index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] =
                    json!("three");
            }),
        ),
        (
            "not an image",
            edited(&|parts| {
                parts.index["manifests"][0]["mediaType"] =
                    json!("application/vnd.oci.image.layer.v1.tar");
            }),
        ),
        (
            "it has two images for x86_64",
            edited(&|parts| {
                let root = parts.root();
                let ours = parts.manifest("amd64");
                // Two manifests for one architecture: the second by another annotation.
                let mut other = parts.json(&ours);
                other["annotations"]["more"] = json!("x");
                let bytes = other.to_string();
                let added = parts.add(bytes.as_bytes());
                parts.edit(&root, |index| {
                    let list = index["manifests"].as_array_mut().unwrap();
                    let mut entry = list[0].clone();
                    entry["digest"] = json!(format!("sha256:{added}"));
                    entry["size"] = json!(bytes.len());
                    list.push(entry);
                });
            }),
        ),
        (
            "it has no image for an architecture that mkimg knows",
            edited(&|parts| {
                let root = parts.root();
                parts.edit(&root, |index| {
                    for entry in index["manifests"].as_array_mut().unwrap() {
                        entry["platform"]["architecture"] = json!("riscv64");
                    }
                });
            }),
        ),
        (
            "it is not there",
            edited(&|parts| {
                let kernel = parts.layer("arm64", "kernel");
                parts.blobs.remove(&kernel);
            }),
        ),
        (
            "which is about nothing in the bundle",
            edited(&|parts| {
                let mut about = parts.index["manifests"][0].clone();
                about["annotations"]["org.opencontainers.image.ref.name"] =
                    json!(format!("sha256-{}", "0".repeat(64)));
                parts.index["manifests"].as_array_mut().unwrap().push(about);
            }),
        ),
    ];
    for (words, bytes) in cases {
        let said = refused(&project, words, &bytes);
        assert!(said.contains(words), "{words}: {said}");
        assert!(
            said.contains("sha256:") || said.contains("broken.mkimg"),
            "{said}"
        );
    }
    run(project.mkimg(["import"]).arg(path));
}
