//! Bundles whose digests all fit, by somebody who may write them: what is in them must agree all the same.

use std::fs;

use serde_json::{Value, json};

use crate::cli::{Project, fails, run};
use crate::parts::{Parts, export, hex, of_tiny, of_two};
use crate::tiny::{X86_64, elf, kernel, two};

type Edit<'e> = Box<dyn Fn(&mut Parts) + 'e>;

/// Imports what an edit makes of a bundle, which must fail with 3 and these words, and leave no image.
fn refuse(parts: &Parts, cases: Vec<(&str, Edit<'_>)>) {
    for (words, edit) in cases {
        let mut parts = parts.clone();
        edit(&mut parts);
        let project = Project::new();
        fs::write(project.path("lie.mkimg"), parts.tar()).unwrap();
        let said = fails(&mut project.mkimg(["import", "lie.mkimg"]), 3);
        assert!(said.contains(words), "{words}: {said}");
        let raw = |c: char| c != '\n' && mkimg::text::is_unsafe(c);
        assert!(!said.contains(raw), "{said:?}");
        assert!(
            !project.path("cache/imports-v1").exists(),
            "{words}: {said}"
        );
        assert!(
            !project.path("cache/recipes-v1").exists(),
            "{words}: {said}"
        );
        // Nor is anything else made of it.
        fails(&mut project.mkimg(["realize", "lie.mkimg", "--offline"]), 3);
    }
}

/// The text of a layer with one word for another.
fn reworded(parts: &mut Parts, arch: &str, role: &str, from: &str, to: &str) {
    let layer = parts.layer(arch, role);
    let text = String::from_utf8(parts.blobs[&layer].clone()).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    parts.replace(&layer, text.replace(from, to).as_bytes());
}

#[test]
fn an_image_of_another_architecture_or_another_image_is_not_taken_for_this_one() {
    let (_project, path) = of_two();
    let parts = Parts::read(&path);
    let other = two("b");
    let theirs = Parts::read(&export(&other, "two", &[]));
    let layer_of = |role: &'static str| {
        let theirs = &theirs;
        move |parts: &mut Parts| {
            let (own, bytes) = (parts.layer("amd64", role), theirs.layer("amd64", role));
            parts.replace(&own, &theirs.blobs[&bytes]);
        }
    };
    refuse(
        &parts,
        vec![
            (
                "the platform of the manifest",
                Box::new(|parts| {
                    let root = parts.root();
                    parts.edit(&root, |index| {
                        let list = index["manifests"].as_array_mut().unwrap();
                        let platform = list[0]["platform"].clone();
                        list[0]["platform"] = list[1]["platform"].clone();
                        list[1]["platform"] = platform;
                    });
                }),
            ),
            ("as `image.json` says", Box::new(layer_of("initramfs"))),
            ("as `image.json` says", Box::new(layer_of("image"))),
            (
                "the plan of the recipe inside",
                Box::new(layer_of("recipe")),
            ),
            (
                "the recipe digest of the lock inside",
                Box::new(layer_of("lock")),
            ),
            (
                "the layer `vmlinuz`",
                Box::new(|parts| {
                    let own = parts.layer("amd64", "kernel");
                    let mut other = kernel();
                    other[4000] = 1;
                    let other = parts.add(&other);
                    let manifest = parts.manifest("amd64");
                    parts.edit(&manifest, |value| {
                        let layers = value["layers"].as_array_mut().unwrap();
                        let kernel = layers
                            .iter_mut()
                            .find(|layer| layer["annotations"]["dev.mkimg.role"] == "kernel");
                        kernel.unwrap()["digest"] = json!(format!("sha256:{other}"));
                    });
                    // As a source it is still there.
                    assert!(parts.blobs.contains_key(&own));
                }),
            ),
        ],
    );
}

#[test]
fn an_initramfs_that_was_packed_again_by_hand_is_told_by_its_archive() {
    let (_project, path) = of_tiny();
    let parts = Parts::read(&path);
    let old = parts.layer("amd64", "initramfs");
    let archive = {
        use std::io::Read as _;
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(&parts.blobs[&old][..])
            .read_to_end(&mut archive)
            .unwrap();
        archive
    };
    // `image.json`, config and lock all name what is there: only the archive is another one.
    let packed = |archive: &[u8]| {
        use std::io::Write as _;
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(archive).unwrap();
        out.finish().unwrap()
    };
    let consistent = |parts: &mut Parts, new: &[u8]| {
        let (text, size) = (hex(new), new.len());
        let old_size = parts.blobs[&old].len();
        parts.replace(&old, new);
        for role in ["image", "lock"] {
            reworded(parts, "amd64", role, &old, &text);
        }
        for (role, word) in [("image", "\"size\": "), ("lock", "size=")] {
            let (from, to) = (format!("{word}{old_size}"), format!("{word}{size}"));
            reworded(parts, "amd64", role, &from, &to);
        }
        let config = parts.config("amd64");
        parts.edit(&config, |config| {
            config["initramfs"] = json!(format!("sha256:{text}"));
            config["config"]["Labels"]["dev.mkimg.initramfs"] = json!(format!("sha256:{text}"));
        });
    };
    let mut evil = archive.clone();
    let at = evil
        .windows(9)
        .position(|part| part == b"#!/bin/sh")
        .unwrap();
    evil[at + 8] = b'x';
    let honest = parts.blobs[&old].clone();
    let behind = |more: &[u8]| [&honest[..], more].concat();
    let (hidden, garbage) = (behind(&packed(&evil)), behind(b"x"));
    let zeros = behind(&[0; 512]);
    let extra = [
        &honest[..3],
        &[4],
        &honest[4..10],
        b"\x05\0extra",
        &honest[10..],
    ]
    .concat();
    let bomb = [&archive[..], &vec![0; 64 << 20]].concat();
    refuse(
        &parts,
        vec![
            (
                "the archive in `initramfs.cpio.gz`",
                Box::new(|parts| consistent(parts, &packed(&evil))),
            ),
            (
                "in more than",
                Box::new(|parts| consistent(parts, &packed(&bomb))),
            ),
            (
                "more bytes follow its gzip member",
                Box::new(|parts| consistent(parts, &hidden)),
            ),
            (
                "more bytes follow its gzip member",
                Box::new(|parts| consistent(parts, &garbage)),
            ),
            (
                "more bytes follow its gzip member",
                Box::new(|parts| consistent(parts, &zeros)),
            ),
            (
                "its gzip header is not as mkimg writes it",
                Box::new(|parts| consistent(parts, &extra)),
            ),
            (
                "it cannot be unpacked",
                Box::new(|parts| consistent(parts, b"no gzip at all")),
            ),
        ],
    );
}

#[test]
fn what_no_signature_is_about_says_nothing() {
    let (_project, path) = of_tiny();
    let parts = Parts::read(&path);
    let index = |edit: fn(&mut Value)| -> Edit<'static> {
        Box::new(move |parts| {
            let root = parts.root();
            parts.edit(&root, edit);
        })
    };
    let note = "org.opencontainers.image.description";
    let tags =
        |edit: fn(&mut Value)| -> Edit<'static> { Box::new(move |parts| edit(&mut parts.index)) };
    refuse(
        &parts,
        vec![
            (
                note,
                index(|index| {
                    index["annotations"]["org.opencontainers.image.description"] =
                        json!("signed by the pope");
                }),
            ),
            (
                "`no\\u{9b}31m\\x1b[2J\\u{202e}te`",
                index(|index| {
                    index["annotations"]["no\u{9b}31m\u{1b}[2J\u{202e}te"] = json!("");
                }),
            ),
            (
                "the annotation `note`",
                index(|index| index["manifests"][0]["annotations"] = json!({ "note": "x" })),
            ),
            (
                "a `variant`",
                index(|index| index["manifests"][0]["platform"]["variant"] = json!("v8")),
            ),
            ("a `subject`", index(|index| index["subject"] = json!({}))),
            (
                "the annotation `note`",
                tags(|tags| tags["manifests"][0]["annotations"]["note"] = json!("x")),
            ),
            (
                "the annotation `note`",
                tags(|tags| tags["annotations"] = json!({ "note": "x" })),
            ),
        ],
    );
}

#[test]
fn what_is_said_about_an_image_must_be_what_the_image_says() {
    let (_project, path) = of_tiny();
    let parts = Parts::read(&path);
    let config = |key: &'static str, value: Value| -> Edit<'static> {
        Box::new(move |parts| {
            let config = parts.config("amd64");
            parts.edit(&config, |config| config[key] = value.clone());
        })
    };
    let manifest = |edit: fn(&mut Value)| -> Edit<'static> {
        Box::new(move |parts| {
            let manifest = parts.manifest("amd64");
            parts.edit(&manifest, edit);
        })
    };
    let zero = format!("sha256:{}", "0".repeat(64));
    refuse(
        &parts,
        vec![
            (
                "`cmdline` of the config",
                config("cmdline", json!("init=/bin/evil")),
            ),
            ("`memory` of the config", config("memory", json!(1))),
            ("`name` of the config", config("name", json!("other"))),
            ("`plan` of the config", config("plan", json!(zero))),
            ("`recipe` of the config", config("recipe", json!(zero))),
            ("`tree` of the config", config("tree", json!(zero))),
            (
                "`architecture` of the config",
                config("architecture", json!("arm64")),
            ),
            (
                "the annotation `dev.mkimg.plan`",
                manifest(|value| value["annotations"]["dev.mkimg.plan"] = json!("0".repeat(64))),
            ),
            (
                "the annotation `dev.mkimg.format`",
                manifest(|value| value["annotations"]["dev.mkimg.format"] = json!("2")),
            ),
            (
                "the annotation `org.opencontainers.image.title`",
                manifest(|value| {
                    value["annotations"]["org.opencontainers.image.title"] = json!("other")
                }),
            ),
            (
                "the annotation `org.opencontainers.image.description`",
                manifest(|value| {
                    value["annotations"]["org.opencontainers.image.description"] = json!("other")
                }),
            ),
            (
                "the annotation `org.opencontainers.image.title` of the index",
                Box::new(|parts| {
                    let root = parts.root();
                    parts.edit(&root, |index| {
                        index["annotations"]["org.opencontainers.image.title"] = json!("other")
                    });
                    parts.index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] =
                        json!("other");
                }),
            ),
            (
                "the label `dev.mkimg.initramfs` of the config",
                config(
                    "config",
                    json!({ "Labels": { "dev.mkimg.initramfs": "x" } }),
                ),
            ),
            (
                "it is no image of mkimg",
                manifest(|value| value["artifactType"] = json!("application/x")),
            ),
            (
                "its config is none of mkimg's",
                manifest(|value| value["config"]["mediaType"] = json!("application/x")),
            ),
            (
                "has another title",
                manifest(|value| {
                    value["layers"][0]["annotations"]["org.opencontainers.image.title"] =
                        json!("../vmlinuz")
                }),
            ),
            (
                "it has a kernel twice",
                manifest(|value| {
                    let first = value["layers"][0].clone();
                    value["layers"].as_array_mut().unwrap().push(first);
                }),
            ),
            (
                "says that it is the recipe",
                manifest(|value| {
                    value["layers"][0]["annotations"]["dev.mkimg.role"] = json!("recipe")
                }),
            ),
            (
                "`image.json`: it is not as mkimg writes it",
                Box::new(|parts| reworded(parts, "amd64", "image", "\"cpus\": 1", "\"cpus\":  1")),
            ),
            (
                "`cpus` of the config",
                Box::new(|parts| reworded(parts, "amd64", "image", "\"cpus\": 1", "\"cpus\": 2")),
            ),
            (
                "the lock inside",
                Box::new(|parts| reworded(parts, "amd64", "lock", "lock", "loch")),
            ),
            (
                "the recipe inside",
                Box::new(|parts| reworded(parts, "amd64", "recipe", "initramfs {", "initramfs")),
            ),
            (
                "the plan of the recipe inside",
                Box::new(|parts| reworded(parts, "amd64", "recipe", "#!/bin/sh", "#!/bin/su")),
            ),
            // A comment changes no plan, but the lock was made of another text.
            (
                "`recipe` of the config",
                Box::new(|parts| {
                    reworded(
                        parts,
                        "amd64",
                        "recipe",
                        "image \"tiny\"",
                        "image \"tiny\" // x",
                    )
                }),
            ),
        ],
    );
}

#[test]
fn files_and_sources_must_be_those_of_the_recipe() {
    let (_project, path) = of_tiny();
    let parts = Parts::read(&path);
    let layer = |role: &'static str, key: &'static str, value: &'static str| -> Edit<'static> {
        Box::new(move |parts| {
            let manifest = parts.manifest("amd64");
            parts.edit(&manifest, |manifest| {
                for layer in manifest["layers"].as_array_mut().unwrap() {
                    if layer["annotations"]["dev.mkimg.role"] == role {
                        layer["annotations"][key] = json!(value);
                        let title = match role {
                            "source" => format!("{value}.source"),
                            _ => value.rsplit('/').next().unwrap().to_owned(),
                        };
                        layer["annotations"]["org.opencontainers.image.title"] = json!(title);
                    }
                }
            });
        })
    };
    refuse(
        &parts,
        vec![
            (
                "the plan of the recipe inside",
                Box::new(|parts| {
                    let file = parts.layer("amd64", "file");
                    let mut other = elf(X86_64, None);
                    other.push(0);
                    parts.replace(&file, &other);
                }),
            ),
            (
                "the source `kernel`",
                Box::new(|parts| {
                    let mut other = kernel();
                    other[4000] = 1;
                    let (other, size) = (parts.add(&other), other.len());
                    let manifest = parts.manifest("amd64");
                    parts.edit(&manifest, |manifest| {
                        for layer in manifest["layers"].as_array_mut().unwrap() {
                            if layer["annotations"]["dev.mkimg.role"] == "source" {
                                layer["digest"] = json!(format!("sha256:{other}"));
                                layer["size"] = json!(size);
                            }
                        }
                    });
                }),
            ),
            (
                "the recipe inside has no such source",
                layer("source", "dev.mkimg.source", "other"),
            ),
            (
                "its path is absolute",
                layer("file", "dev.mkimg.path", "/etc/cron.d/x"),
            ),
            (
                "its path goes up too far",
                layer(
                    "file",
                    "dev.mkimg.path",
                    "../../../../../../../../../../../../../../../../../x",
                ),
            ),
            (
                "goes back up after a directory",
                layer("file", "dev.mkimg.path", "a/../../x"),
            ),
            (
                "the recipe inside names no such file",
                layer("file", "dev.mkimg.path", "../../.bashrc"),
            ),
        ],
    );
    run(Project::new().mkimg(["import"]).arg(path));
}

#[test]
fn an_archive_of_which_a_few_bytes_unpack_to_many_is_not_unpacked() {
    let project = two("a");
    // The same file ten times: as a layer it is there once.
    fs::write(project.path("images/big"), vec![b'a'; 100_000]).unwrap();
    let files: String = (0..10)
        .map(|number| format!("    file \"/big{number}\" local=\"big\"\n"))
        .collect();
    let recipe = fs::read_to_string(project.path("images/two.kdl")).unwrap();
    let recipe = recipe.replace("initramfs {\n", &format!("initramfs {{\n{files}"));
    project.recipe("two", &recipe);
    run(&mut project.mkimg(["export", "two", "-o", "bomb.mkimg"]));
    for (verb, limit, code) in [
        ("import", 1_100_000, 0),
        ("verify", 900_000, 3),
        ("import", 900_000, 3),
    ] {
        // Each layer by itself is small enough.
        let limit: String = u64::to_string(&limit);
        let cache = project.path("other").display().to_string();
        let words = [
            verb,
            "bomb.mkimg",
            "--max-unpacked",
            &limit,
            "--cache",
            &cache,
        ];
        match code {
            0 => drop(run(&mut project.mkimg(words))),
            code => {
                let said = fails(&mut project.mkimg(words), code);
                assert!(said.contains("its archive declares"), "{said}");
            }
        }
    }
}
