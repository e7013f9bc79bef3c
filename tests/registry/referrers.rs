//! Referrers: by the API where there is one, else by the tag.

use mkimg::digest::Digest;
use mkimg::share::oci::{Descriptor, INDEX, Index};
use mkimg::share::{Destination as _, Origin as _};

use crate::bed::{Bed, Fake, assert_told, manifest, named, of_manifest};
use crate::server::Reply;

fn referrer(subject: &[u8], what: &[u8]) -> (Descriptor, Vec<u8>) {
    let mut referrer = manifest(what);
    referrer.subject = Some(of_manifest(subject));
    referrer.artifact_type = Some("application/vnd.mkimg.signature.v1".to_owned());
    (referrer.descriptor(), referrer.bytes())
}

#[test]
fn without_the_api_they_are_in_the_index_of_a_tag_sorted_and_merged() {
    let image = manifest(b"x").bytes();
    let subject = Digest::of(&image);
    let fake = Fake::default().with_manifest("1", &image);
    let server = fake.serve();
    let bed = Bed::new();
    let registry = bed.registry(&server);
    assert_eq!(registry.referrers(&subject).unwrap(), []);
    let mut all = Vec::new();
    for what in [b"a", b"b", b"c"] {
        let (descriptor, bytes) = referrer(&image, what);
        registry
            .put_referrer(&subject, &descriptor, &bytes)
            .unwrap();
        registry
            .put_referrer(&subject, &descriptor, &bytes)
            .unwrap();
        all.push(descriptor);
    }
    all.sort_by_key(|entry| entry.digest);
    assert_eq!(registry.referrers(&subject).unwrap(), all);
    let tag = format!("sha256-{subject}");
    let written = fake.manifests.lock().unwrap()[&tag].clone();
    let index = Index::parse(&written, "it").unwrap();
    assert_eq!(index.manifests, all);
    assert_eq!(index.bytes(), written);
    assert_eq!(
        all[0].artifact_type.as_deref(),
        Some("application/vnd.mkimg.signature.v1")
    );
}

#[test]
fn with_the_api_no_tag_is_written() {
    let image = manifest(b"x").bytes();
    let subject = Digest::of(&image);
    let fake = Fake {
        referrers: true,
        ..Fake::default()
    };
    let (descriptor, bytes) = referrer(&image, b"a");
    let listed = Index {
        artifact_type: None,
        manifests: vec![descriptor.clone()],
        annotations: Default::default(),
    };
    let held = fake.manifests.clone();
    let server = fake.serve_but(move |request| {
        let there = !held.lock().unwrap().is_empty();
        request.target.contains("/referrers/").then(|| match there {
            true => Reply::ok(&listed.bytes()).header("Content-Type", INDEX),
            false => Reply::ok(br#"{"schemaVersion":2,"manifests":[]}"#),
        })
    });
    let bed = Bed::new();
    let registry = bed.registry(&server);
    registry
        .put_referrer(&subject, &descriptor, &bytes)
        .unwrap();
    registry
        .put_referrer(&subject, &descriptor, &bytes)
        .unwrap();
    assert_eq!(registry.referrers(&subject).unwrap(), [descriptor]);
    let held: Vec<String> = fake.manifests.lock().unwrap().keys().cloned().collect();
    assert_eq!(held, [named(&bytes)]);
}

#[test]
fn an_index_that_is_none_is_told() {
    let image = manifest(b"x").bytes();
    let subject = Digest::of(&image);
    let fake = Fake::default().with_manifest(&format!("sha256-{subject}"), b"garbage");
    let server = fake.serve();
    let error = Bed::new()
        .registry(&server)
        .referrers(&subject)
        .unwrap_err();
    assert_told(&error, 3, &["the tag `sha256-", "it is no JSON"]);
    let server = Fake::default().serve_but(|_| Some(Reply::new("500 Internal Server Error", b"")));
    let error = Bed::new()
        .registry(&server)
        .referrers(&subject)
        .unwrap_err();
    assert_told(
        &error,
        1,
        &["could not list what is said about the image", "500"],
    );
}
