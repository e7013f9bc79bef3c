//! What is sent to Debian's registry is what everybody finds there.

use std::fs;
use std::path::Path;

use mkimg::share::oci::{EMPTY, Index, MANIFEST};
use mkimg::share::{Destination as _, Origin as _, copy};

use crate::bed::{Bed, assert_told, layer_of, manifest, named, noise, of_manifest};
use crate::debian::{Debian, skopeo};

fn run(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Sends a manifest of one layer under the tag `1`, and returns its bytes.
fn send(bed: &Bed, debian: &Debian, file: &[u8]) -> Vec<u8> {
    let registry = bed.registry_at(debian.address());
    let written = manifest(file);
    let bytes = written.bytes();
    for (descriptor, bytes) in [(&written.config, &b"{}"[..]), (&written.layers[0], file)] {
        let mut from = bytes;
        let blob = bed.store.blob_from(&mut from, Path::new("x")).unwrap();
        registry.put_blob(descriptor, &blob).unwrap();
    }
    registry
        .put_manifest(&of_manifest(&bytes), &bytes, Some("1"))
        .unwrap();
    bytes
}

#[test]
fn what_is_sent_comes_back_and_skopeo_sees_the_same_digest() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let (file, bed, other) = (noise(1 << 20), Bed::new(), Bed::new());
    let bytes = send(&bed, &debian, &file);
    let registry = other.registry_at(debian.address());
    let found = registry.resolve("1").unwrap().unwrap();
    assert_eq!(found, of_manifest(&bytes));
    let blob = registry.blob(&layer_of(&file), &other.store).unwrap();
    assert!(fs::read(blob.path).unwrap() == file);
    // A second time nothing is sent.
    let before = debian.requests("PUT").len();
    assert_eq!(before, 3);
    send(&other, &debian, &file);
    assert_eq!(debian.requests("PUT").len(), before);
    assert_eq!(debian.requests("POST").len(), 2);
    let image = format!("docker://{}/team/thing:1", debian.address());
    let Some(mut skopeo) = skopeo(&["inspect", "--raw", "--tls-verify=false", &image]) else {
        return;
    };
    assert_eq!(run(&mut skopeo).as_bytes(), bytes);
}

#[test]
fn a_download_that_was_interrupted_goes_on_with_a_range() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let (file, bed, other) = (noise(1 << 20), Bed::new(), Bed::new());
    send(&bed, &debian, &file);
    let partial = other.store.root().join("partial");
    fs::create_dir_all(&partial).unwrap();
    let name = named(&file)[7..].to_owned() + ".part";
    fs::write(partial.join(name), &file[..600_000]).unwrap();
    let registry = other.registry_at(debian.address());
    let blob = registry.blob(&layer_of(&file), &other.store).unwrap();
    assert!(fs::read(blob.path).unwrap() == file);
    assert_eq!(debian.requests("GET").len(), 1);
}

#[test]
fn what_was_replaced_on_the_registrys_disk_is_refused() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let (file, bed, other) = (noise(10_000), Bed::new(), Bed::new());
    let bytes = send(&bed, &debian, &file);
    fs::write(debian.file(&named(&file)), &noise(10_001)[1..]).unwrap();
    let registry = other.registry_at(debian.address());
    let error = registry.blob(&layer_of(&file), &other.store).unwrap_err();
    assert_told(&error, 3, &["the blob `sha256:", "(vmlinuz)"]);
    let replaced = manifest(b"other").bytes();
    fs::write(debian.file(&named(&bytes)), &replaced).unwrap();
    let error = registry.resolve("1").unwrap_err();
    assert_told(&error, 3, &["the tag `1`", &named(&replaced)]);
    let error = registry.manifest(&of_manifest(&bytes)).unwrap_err();
    assert_told(&error, 3, &["the manifest `sha256:", &named(&replaced)]);
}

#[test]
fn a_registry_with_passwords_lets_in_who_has_one() {
    let Some(debian) = Debian::start_known() else {
        return;
    };
    let file = noise(1000);
    let mut bed = Bed::new();
    let error = bed.registry_at(debian.address()).resolve("1").unwrap_err();
    assert_told(
        &error,
        1,
        &[
            "401 Unauthorized, without credentials",
            "authentication required",
        ],
    );
    // base64 of `user:pass word`.
    bed.credentials(&format!(
        r#"{{"auths": {{"{}": {{"auth": "dXNlcjpwYXNzIHdvcmQ="}}}}}}"#,
        debian.address()
    ));
    let bytes = send(&bed, &debian, &file);
    let found = bed.registry_at(debian.address()).resolve("1").unwrap();
    assert_eq!(found, Some(of_manifest(&bytes)));
}

#[test]
fn referrers_are_found_by_the_tag_that_other_tools_read() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let bed = Bed::new();
    let image = send(&bed, &debian, &noise(100));
    let registry = bed.registry_at(debian.address());
    let mut said = manifest(&noise(100));
    said.subject = Some(of_manifest(&image));
    said.artifact_type = Some("application/spdx+json".to_owned());
    let subject = of_manifest(&image).digest;
    registry
        .put_referrer(&subject, &said.descriptor(), &said.bytes())
        .unwrap();
    assert_eq!(registry.referrers(&subject).unwrap(), [said.descriptor()]);
    let tag = format!("docker://{}/team/thing:sha256-{subject}", debian.address());
    let Some(mut skopeo) = skopeo(&["inspect", "--raw", "--tls-verify=false", &tag]) else {
        return;
    };
    let text = run(&mut skopeo);
    let index = Index::parse(text.as_bytes(), "it").unwrap();
    assert_eq!(index.manifests, [said.descriptor()]);
    assert_eq!(index.manifests[0].media_type, MANIFEST);
    assert_eq!(said.config.media_type, EMPTY);
}

#[test]
fn a_copy_takes_all_that_belongs_to_an_image_and_each_blob_once() {
    let (Some(first), Some(second)) = (Debian::start(), Debian::start()) else {
        return;
    };
    let bed = Bed::new();
    let file = noise(5000);
    let from = bed.registry_at(first.address());
    let mut image = manifest(&file);
    let plan = of_manifest(b"plan").digest;
    image
        .annotations
        .insert("dev.mkimg.plan".to_owned(), plan.to_string());
    image.layers.push(layer_of(&file));
    let bytes = image.bytes();
    send(&bed, &first, &file);
    from.put_manifest(&image.descriptor(), &bytes, None)
        .unwrap();
    let mut said = manifest(&file);
    said.subject = Some(image.descriptor());
    let subject = image.descriptor().digest;
    from.put_referrer(&subject, &said.descriptor(), &said.bytes())
        .unwrap();
    let index = Index {
        artifact_type: None,
        manifests: vec![image.descriptor()],
        annotations: std::collections::BTreeMap::new(),
    };
    from.put_manifest(&index.descriptor(), &index.bytes(), Some("2"))
        .unwrap();

    let bed = Bed::new();
    let from = bed.registry_at(first.address());
    let to = bed.registry_at(second.address());
    let what = from.resolve("2").unwrap().unwrap();
    let copied = copy(&from, &to, &bed.store, &what, "copy").unwrap();
    assert_eq!((copied.sent, copied.sent_bytes), (2, 5002));
    let again = copy(&from, &to, &bed.store, &what, "copy").unwrap();
    assert_eq!((again.sent, again.kept, again.kept_bytes), (0, 2, 5002));
    assert_eq!(to.resolve("copy").unwrap().unwrap().digest, what.digest);
    let by_plan = to.resolve(&format!("plan-{plan}")).unwrap().unwrap();
    assert_eq!(by_plan.digest, subject);
    assert_eq!(to.referrers(&subject).unwrap(), [said.descriptor()]);
}
