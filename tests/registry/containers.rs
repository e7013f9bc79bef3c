//! Container images as sources: what layers come to is what `umoci` unpacks, wherever they came from, and what is written for
//! other tools is what they take.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use mkimg::digest::Digest;
use serde_json::{Value, json};

use crate::cli::{fails, json, run, stdout};
use crate::debian::Debian;
use crate::support::{is_root, tool};
use crate::tiny::{Tar, Tiny};

/// A directory in the OCI layout.
struct Layout {
    root: PathBuf,
    digest: String,
}

/// Writes an image of these layers; `compress` is the tool for each, or nothing.
fn layout(root: PathBuf, layers: &[Vec<u8>], compress: &[Option<&str>], config: &Value) -> Layout {
    fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    let put = |bytes: &[u8], kind: &str| {
        let digest = Digest::of(bytes).to_string();
        fs::write(root.join("blobs/sha256").join(&digest), bytes).unwrap();
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let plain = "application/vnd.oci.image.layer.v1.tar";
    let mut listed = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        listed.push(match compress.get(index).copied().flatten() {
            None => put(layer, plain),
            Some(program) => {
                let file = root.join("layer");
                fs::write(&file, layer).unwrap();
                let output = run(Command::new(program).arg("-c").arg(&file));
                fs::remove_file(&file).unwrap();
                put(&output.stdout, &format!("{plain}+{program}"))
            }
        });
    }
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", Digest::of(layer)))
        .collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "config": config, "rootfs": { "type": "layers", "diff_ids": ids } });
    let config = put(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": listed });
    let mut entry = put(manifest.to_string().as_bytes(), kind);
    let digest = entry["digest"].as_str().unwrap().to_owned();
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(root.join("index.json"), index.to_string()).unwrap();
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    Layout { root, digest }
}

/// Returns a layer: `NAME/` is a directory, `NAME -> TARGET` a symlink, `NAME => TARGET` a hard link, `NAME N` a file of N bytes.
fn layer(members: &[&str]) -> Vec<u8> {
    let add = |tar: Tar, member: &&str| {
        if let Some((name, target)) = member.split_once(" -> ") {
            return tar.link(b'2', name, target);
        }
        if let Some((name, target)) = member.split_once(" => ") {
            return tar.link(b'1', name, target);
        }
        match member.split_once(' ') {
            Some((name, size)) => tar.file(name, &vec![b'x'; size.parse().unwrap()]),
            None if member.ends_with('/') => tar.dir(member),
            None => tar.file(member, b""),
        }
    };
    members.iter().fold(Tar::default(), add).end()
}

const BASE: &[&str] = &[
    "a/",
    "a/one 1",
    "a/two 2",
    "a/sub/",
    "a/sub/deep 4",
    "b/",
    "b/x 3",
    "lnk -> a",
    "abs -> /b",
    "hard => b/x",
    "repl/",
    "repl/inner 5",
    "f2d 6",
    "up -> ../../a",
    "opq/",
    "opq/low 7",
    "opq/keep/",
    "opq/keep/low 8",
    "opq/same 9",
];

/// Layers on top of that, one image each.
const CASES: [&[&[&str]]; 6] = [
    // Deletions, and whiteouts of nothing.
    &[&[
        ".wh.b",
        "a/.wh.one",
        ".wh.nothing",
        "a/sub/.wh.none",
        "a/new 11",
    ]],
    // Directories replaced by files and back.
    &[
        &["repl 12", "f2d/", "f2d/in 13", "a -> b"],
        &["repl/", "repl/again 14", "lnk/", "lnk/x 15"],
    ],
    // Hard links across layers.
    &[
        &[
            "hl1 => a/one",
            "hl2 => hl1",
            "hl3 => lnk/two",
            "hlsym => lnk",
            "a/one 16",
            "hl4 => a/one",
        ],
        &["a/.wh.one", "hl5 => hl1", "hl6 => abs/x"],
    ],
    // Opaque directories.
    &[
        &[
            "opq/new 17",
            "opq/.wh..wh..opq",
            "opq/same 18",
            "opq/keep/",
            "opq/keep/up 19",
            "a/",
            "a/.wh..wh..opq",
            "a/.wh.two",
        ],
        &["opq/later 20", "opq/"],
    ],
    // Names through symlinks, out of the root, absolute.
    &[
        &[
            "lnk/through 21",
            "abs/through 22",
            "../../esc 23",
            "/absolute 24",
            "up/up2 25",
            "./dot/../dotted 26",
            "impl/ied/deep 27",
            "dangling -> nowhere/there",
            "dangling/x 28",
            "a/../b/y 29",
        ],
        &[".wh.lnk", "abs/.wh.x", "impl/ied/.wh.deep"],
    ],
    // Whiteouts of what the same layer has.
    &[&[
        "a/one 30",
        "a/.wh.one",
        ".wh.opq",
        "opq/",
        "opq/fresh 31",
        "repl/fresh 32",
        ".wh.repl",
        "b/x 33",
    ]],
];

/// Returns what lies below a directory, as `mkimg ls` prints it for `/r`.
fn walked(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display();
            let kind = found.file_type();
            let (letter, size, tail) = if kind.is_dir() {
                waiting.push(path.clone());
                ('d', 0, String::new())
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                let size = target.as_os_str().as_bytes().len() as u64;
                ('l', size, format!(" -> {}", target.display()))
            } else {
                assert!(!kind.is_fifo());
                ('-', found.len(), String::new())
            };
            let bits = if letter == 'l' {
                0o777
            } else {
                found.mode() & 0o777
            };
            let mode: String = (0..9)
                .map(|at| match bits >> (8 - at) & 1 {
                    1 => ["r", "w", "x"][at % 3],
                    _ => "-",
                })
                .collect();
            lines.push(format!("{letter}{mode} 0:0 {size} /r/{name}{tail}"));
        }
    }
    lines.sort();
    lines
}

fn listed(tiny: &Tiny, more: &[&str]) -> Vec<String> {
    run(&mut tiny.realize(more));
    let text = stdout(&run(tiny.project.mkimg(["ls", "tiny"]).args(more)));
    let own = text.lines().filter(|line| line.contains(" /r/"));
    let mut lines: Vec<String> = own
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines
}

fn recipe(tiny: &Tiny, place: &str, digest: &str) {
    let source = format!("source \"app\" {{ oci {place} digest=\"{digest}\"; }}\n");
    tiny.recipe(&source, "tree \"/r\" from=\"app\"");
}

#[test]
fn layers_come_to_what_umoci_unpacks() {
    let Some(umoci) = tool("umoci") else { return };
    for (number, upper) in CASES.iter().enumerate() {
        let tiny = Tiny::new();
        let mut layers = vec![layer(BASE)];
        layers.extend(upper.iter().map(|members| layer(members)));
        let image = layout(
            tiny.path("app.oci"),
            &layers,
            &[Some("gzip"), None],
            &json!({}),
        );
        let mut unpack = Command::new(&umoci);
        unpack
            .args(["unpack", "--image"])
            .arg(format!("{}:latest", image.root.display()));
        if !is_root() {
            unpack.arg("--rootless");
        }
        run(unpack.arg(tiny.path("unpacked")));
        let expected = walked(&tiny.path("unpacked/rootfs"));
        assert!(expected.len() > 12, "{expected:?}");
        recipe(&tiny, "local=\"../app.oci\"", &image.digest);
        assert_eq!(listed(&tiny, &[]), expected, "image {number}");
    }
}

#[test]
fn the_same_image_comes_from_a_registry_a_layout_and_a_tar_and_is_pinned() {
    let (Some(skopeo), Some(registry)) = (tool("skopeo"), Debian::start()) else {
        return;
    };
    let tiny = Tiny::new();
    let layers = [layer(BASE), layer(CASES[2][0]), layer(CASES[4][0])];
    let image = layout(
        tiny.path("app.oci"),
        &layers,
        &[Some("gzip"), Some("zstd"), None],
        &json!({}),
    );
    let copy = |from: &str, to: &str| {
        let mut command = Command::new(&skopeo);
        command.args([
            "copy",
            "--quiet",
            "--insecure-policy",
            "--dest-tls-verify=false",
            "--preserve-digests",
        ]);
        run(command.current_dir(tiny.path("")).args([from, to]));
    };
    let at = format!("{}/team/app:1", registry.address());
    copy("oci:app.oci:latest", &format!("docker://{at}"));

    recipe(&tiny, "local=\"../app.oci\"", &image.digest);
    let expected = listed(&tiny, &[]);
    // A registry, into two caches; what is there needs no network.
    recipe(&tiny, &format!("\"{at}\""), &image.digest);
    let realized = |more: &[&str]| {
        let image = json(&run(&mut tiny.realize(&[&["--json"], more].concat())));
        (image["tree"].clone(), image["initramfs"]["sha256"].clone())
    };
    let one = realized(&["--cache", "one"]);
    assert_eq!(realized(&["--cache", "two"]), one);
    assert_eq!(listed(&tiny, &["--cache", "two", "--offline"]), expected);
    // Its tar.
    copy("oci:app.oci:latest", "oci-archive:app.tar:latest");
    recipe(&tiny, "local=\"../app.tar\"", &image.digest);
    assert_eq!(listed(&tiny, &["--cache", "three"]), expected);

    // What the tag names now.
    for place in [format!("\"{at}\""), "local=\"../app.tar\"".to_owned()] {
        recipe(&tiny, &place, "");
        run(&mut tiny.project.mkimg(["pin", "tiny"]));
        let text = fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
        assert!(
            text.contains(&format!("digest=\"{}\"", image.digest)),
            "{text}"
        );
    }
    // A bundle with the sources is enough elsewhere.
    run(&mut tiny
        .project
        .mkimg(["export", "tiny", "--with-sources", "--output", "tiny.tar"]));
    let other = Tiny::new();
    fs::rename(tiny.path("tiny.tar"), other.path("tiny.tar")).unwrap();
    run(&mut other
        .project
        .mkimg(["check", "tiny.tar", "--rounds", "1", "--offline"]));

    // Bytes that are others, and an image that is not there.
    let gone = format!("sha256:{}", Digest::of(b"nothing"));
    recipe(&tiny, &format!("\"{at}\""), &gone);
    let said = fails(&mut tiny.realize(&[]), 1);
    assert!(
        said.contains("could not fetch `app`") && said.contains(&gone),
        "{said}"
    );
    let blob = image
        .root
        .join("blobs/sha256")
        .join(image.digest.trim_start_matches("sha256:"));
    fs::write(&blob, "{}").unwrap();
    recipe(&tiny, "local=\"../app.oci\"", &image.digest);
    let said = fails(&mut tiny.realize(&["--cache", "four"]), 3);
    assert!(said.contains("has other bytes for"), "{said}");
}

#[test]
fn what_docker_saves_goes_by_the_digest_of_its_config() {
    let Some(skopeo) = tool("skopeo") else { return };
    let tiny = Tiny::new();
    let image = layout(
        tiny.path("app.oci"),
        &[layer(BASE), layer(CASES[1][0])],
        &[Some("gzip")],
        &json!({}),
    );
    recipe(&tiny, "local=\"../app.oci\"", &image.digest);
    let expected = listed(&tiny, &[]);
    let mut copy = Command::new(skopeo);
    copy.current_dir(tiny.path(""))
        .args(["copy", "--quiet", "--insecure-policy"]);
    run(copy.args(["oci:app.oci:latest", "docker-archive:app.tar:app:latest"]));
    recipe(&tiny, "local=\"../app.tar\"", "");
    run(&mut tiny.project.mkimg(["pin", "tiny"]));
    assert_eq!(listed(&tiny, &[]), expected);
}

#[test]
fn what_no_image_can_have_is_refused_by_name_unless_it_is_left_out() {
    let tiny = Tiny::new();
    let pipe = layer(BASE);
    let odd = Tar::default().raw(b'6', b"a/pipe", b"", 0, b"").end();
    let image = layout(tiny.path("app.oci"), &[pipe, odd], &[], &json!({}));
    recipe(&tiny, "local=\"../app.oci\"", &image.digest);
    let said = fails(&mut tiny.realize(&[]), 2);
    assert!(
        said.contains("`a/pipe`") && said.contains("exclude"),
        "{said}"
    );
    let source = format!(
        "source \"app\" {{ oci local=\"../app.oci\" digest=\"{}\"; }}\n",
        image.digest
    );
    tiny.recipe(&source, "tree \"/r\" from=\"app\" { exclude \"a/pipe\"; }\n    file \"/one\" from=\"app\" path=\"lnk/one\"");
    assert_eq!(listed(&tiny, &[]).len(), BASE.len());
    let one = run(&mut tiny.project.mkimg(["cat", "tiny", "/one"]));
    assert_eq!(one.stdout, b"x");
    for (entry, piece) in [
        ("file \"/x\" from=\"app\" path=\"none\"", "matches `none`"),
        ("file \"/x\" from=\"app\" path=\"a\"", "is a directory"),
        (
            "tree \"/r\" from=\"app\" { include \"none/*\"; }",
            "matches `none/*`",
        ),
    ] {
        tiny.recipe(&source, entry);
        let said = crate::cli::fails(&mut tiny.realize(&[]), 2);
        let flat = said
            .replace(['│', '\n'], " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(flat.contains(piece), "{said}");
    }
}

#[test]
fn a_root_is_written_as_a_container_image_that_other_tools_unpack() {
    let (Some(skopeo), Some(umoci)) = (tool("skopeo"), tool("umoci")) else {
        return;
    };
    let tiny = Tiny::new();
    let long = "l".repeat(150);
    let image = layout(tiny.path("app.oci"), &[layer(BASE)], &[], &json!({}));
    let source = format!(
        "source \"app\" {{ oci local=\"../app.oci\" digest=\"{}\"; }}\n",
        image.digest
    );
    tiny.recipe(&source, &format!("tree \"/r\" from=\"app\"\n    file \"/r/{long}\" text=\"long\"\n    symlink \"/r/s\" target=\"{long}\""));
    let expected = listed(&tiny, &[]);
    for (format, transport) in [
        ("oci-image", "oci-archive"),
        ("docker-archive", "docker-archive"),
    ] {
        let mut digests = Vec::new();
        for name in ["one.tar", "two.tar"] {
            run(&mut tiny
                .project
                .mkimg(["export", "tiny", "--format", format, "--output", name]));
            digests.push(Digest::of(&fs::read(tiny.path(name)).unwrap()));
        }
        assert_eq!(digests[0], digests[1]);
        let to = format!("back-{format}");
        let mut copy = Command::new(&skopeo);
        copy.current_dir(tiny.path(""))
            .args(["copy", "--quiet", "--insecure-policy"]);
        run(copy
            .arg(format!("{transport}:one.tar"))
            .arg(format!("oci:{to}:latest")));
        let mut unpack = Command::new(&umoci);
        unpack
            .current_dir(tiny.path(""))
            .args(["unpack", "--image", &format!("{to}:latest")]);
        if !is_root() {
            unpack.arg("--rootless");
        }
        run(unpack.arg(format!("unpacked-{format}")));
        let unpacked = walked(&tiny.path(&format!("unpacked-{format}/rootfs/r")));
        assert_eq!(unpacked, expected, "{format}");
    }
    let said = fails(
        &mut tiny
            .project
            .mkimg(["export", "tiny", "--format", "oci-image", "--with-sources"]),
        2,
    );
    assert!(said.contains("is for a bundle"), "{said}");
}
