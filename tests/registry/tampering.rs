//! What somebody changes in a registry behind its back is found, and named.

use std::fs;

use serde_json::Value;

use crate::cli::{Project, fails, run};
use crate::debian::Debian;
use crate::tiny::assert_clean;
use crate::verbs::{at, push, two};
use mkimg::digest::Digest;

fn manifest(debian: &Debian, digest: &str) -> Value {
    serde_json::from_slice(&fs::read(debian.file(digest)).unwrap()).unwrap()
}

/// The digests of the manifests for x86_64 and aarch64.
fn entries(debian: &Debian, reference: &str) -> [String; 2] {
    let index = manifest(debian, reference.split_once('@').unwrap().1);
    ["amd64", "arm64"].map(|name| {
        let list = index["manifests"].as_array().unwrap();
        let entry = list
            .iter()
            .find(|entry| entry["platform"]["architecture"] == name);
        entry.unwrap()["digest"].as_str().unwrap().to_owned()
    })
}

/// Pulls with an empty cache, which must fail with 3 and leave nothing behind; returns what was said.
fn refused(args: &[&str]) -> String {
    let project = Project::new();
    let said = fails(project.mkimg(["pull", "--arch", "x86_64"]).args(args), 3);
    assert_clean(&project.path("cache"));
    assert!(!project.path("cache/imports-v1").exists());
    said
}

#[test]
fn a_blob_that_was_replaced_is_named() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let reference = push(&two("a"), &at(&debian, "1"));
    let [ours, _] = entries(&debian, &reference);
    let parts = manifest(&debian, &ours);
    let layers = parts["layers"].as_array().unwrap();
    for descriptor in layers.iter().chain([&parts["config"]]) {
        let digest = descriptor["digest"].as_str().unwrap();
        let file = debian.file(digest);
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        for bad in [
            &bad[..],
            &good[..good.len() / 2],
            b"",
            &[&good[..], b"x"].concat(),
        ] {
            fs::write(&file, bad).unwrap();
            let project = Project::new();
            let output = project
                .mkimg(["pull", "--arch", "x86_64", &reference])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(3), "{said}");
            assert!(said.contains(&format!("the blob `{digest}`")), "{said}");
            assert!(!project.path("cache/imports-v1").exists());
        }
        fs::write(&file, good).unwrap();
    }
    run(&mut Project::new().mkimg(["pull", &reference]));
}

#[test]
fn a_manifest_that_was_replaced_is_named() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let reference = push(&two("a"), &at(&debian, "1"));
    let other = push(&two("b"), &at(&debian, "2"));
    let digest = reference.split_once('@').unwrap().1.to_owned();
    let theirs = fs::read(debian.file(other.split_once('@').unwrap().1)).unwrap();
    let good = fs::read(debian.file(&digest)).unwrap();
    fs::write(debian.file(&digest), &theirs).unwrap();
    let said = refused(&[&at(&debian, "1")]);
    assert!(said.contains("the tag `1`"), "{said}");
    let said = refused(&[&reference]);
    assert!(said.contains(&format!("the manifest `{digest}`")), "{said}");
    assert!(
        said.contains(&format!("found sha256:{}", Digest::of(&theirs))),
        "{said}"
    );
    fs::write(debian.file(&digest), &good).unwrap();
    let [ours, arm] = entries(&debian, &reference);
    fs::copy(debian.file(&arm), debian.file(&ours)).unwrap();
    let said = refused(&[&reference]);
    assert!(said.contains(&format!("the manifest `{ours}`")), "{said}");
    assert!(said.contains(&format!("found {arm}")), "{said}");
}

#[test]
fn an_index_that_gives_the_image_of_another_architecture_is_named() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let reference = push(&two("a"), &at(&debian, "1"));
    let [ours, arm] = entries(&debian, &reference);
    // Somebody who may write to the registry: all digests fit.
    let text = fs::read_to_string(debian.file(reference.split_once('@').unwrap().1)).unwrap();
    let size = |digest: &str| fs::metadata(debian.file(digest)).unwrap().len().to_string();
    let swapped = text
        .replace(&ours, "OURS")
        .replace(&arm, &ours)
        .replace("OURS", &arm)
        .replace(&size(&ours), "SIZE")
        .replace(&size(&arm), &size(&ours))
        .replace("SIZE", &size(&arm));
    assert_ne!(swapped, text);
    put(&debian, "swapped", &swapped);
    let said = refused(&[&at(&debian, "swapped")]);
    assert!(said.contains(&format!("the manifest `{arm}`")), "{said}");
    assert!(said.contains("amd64") && said.contains("arm64"), "{said}");
}

/// Puts an index into the registry, as anybody may.
fn put(debian: &Debian, tag: &str, index: &str) {
    use mkimg::share::oci::{Descriptor, INDEX};
    use mkimg::share::{Destination as _, registry::Registry};
    let reference = at(debian, tag).parse().unwrap();
    let options = mkimg::share::registry::RegistryOptions::default();
    let registry = Registry::new(&reference, options, &mkimg::progress::Silent).unwrap();
    let descriptor = Descriptor::of(INDEX, index.as_bytes());
    registry
        .put_manifest(&descriptor, index.as_bytes(), Some(tag))
        .unwrap();
}

#[test]
fn a_tag_that_moved_is_told_by_the_pin() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let first = push(&two("a"), &at(&debian, "1"));
    let project = Project::new();
    let tag = at(&debian, "1");
    let pinning = || project.mkimg(["pull", &tag, "--pin", "two.pin"]);
    fs::write(project.path("two.pin"), "# ours\n").unwrap();
    run(&mut pinning());
    let digest = |reference: &str| reference.split_once('@').unwrap().1.to_owned();
    let pinned = format!("# ours\n{tag}@{}\n", digest(&first));
    let read = || fs::read_to_string(project.path("two.pin")).unwrap();
    assert_eq!(read(), pinned);
    run(&mut pinning());
    let second = push(&two("b"), &tag);
    let gets = debian.requests("GET").len();
    let said = fails(&mut pinning(), 3);
    for words in [
        "the tag moved",
        &digest(&first),
        &digest(&second),
        "two.pin",
        "--update-pin",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(
        debian.requests("GET").len(),
        gets + 1,
        "nothing but the tag was asked for"
    );
    assert_eq!(read(), pinned);
    // What was pinned is still to be had, by the line of the file.
    let line = read().lines().nth(1).unwrap().to_owned();
    run(&mut project.mkimg(["pull", &line, "--pin", "two.pin"]));
    // A downgrade is a move, too.
    run(pinning().arg("--update-pin"));
    assert_eq!(read(), format!("# ours\n{tag}@{}\n", digest(&second)));
    let said = fails(&mut project.mkimg(["pull", &line, "--pin", "two.pin"]), 3);
    assert!(said.contains("the tag moved"), "{said}");
}

#[test]
fn a_file_of_pins_that_cannot_be_used_is_told_before_anything_is_asked() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let project = Project::new();
    fs::write(project.path("bad.pin"), "\nsomething\n").unwrap();
    let tag = at(&debian, "1");
    let said = fails(&mut project.mkimg(["pull", &tag, "--pin", "bad.pin"]), 2);
    assert!(
        said.contains("`bad.pin` is no file of pins: line 2"),
        "{said}"
    );
    let said = fails(&mut project.mkimg(["pull", &tag, "--pin", "home"]), 2);
    assert!(said.contains("`home`"), "{said}");
    let said = fails(&mut project.mkimg(["pull", &tag, "--update-pin"]), 2);
    assert!(said.contains("--pin"), "{said}");
    assert_eq!(debian.requests("GET").len(), 0);
    push(&two("a"), &tag);
    let said = fails(
        &mut project.mkimg(["pull", &tag, "--pin", "no/such/dir.pin"]),
        2,
    );
    assert!(said.contains("no/such/dir.pin"), "{said}");
}
