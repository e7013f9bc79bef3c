//! Referrers: by the API where there is one, else by the tag.

use std::fs;
use std::process::Command;

use mkimg::digest::Digest;
use mkimg::share::oci::{Descriptor, INDEX, Index};
use mkimg::share::{Destination as _, Origin as _};

use crate::bed::{Bed, Fake, assert_told, manifest, named, of_manifest};
use crate::cli::{run, stdout};
use crate::server::{Reply, Request, Server};
use crate::support::tool;
use crate::tiny::two;

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
fn with_the_api_no_tag_is_written_and_every_part_of_the_list_is_read() {
    let image = manifest(b"x").bytes();
    let subject = Digest::of(&image);
    let fake = Fake {
        referrers: true,
        ..Fake::default()
    };
    let server = fake.serve();
    let bed = Bed::new();
    let registry = bed.registry(&server);
    let mut all = Vec::new();
    for what in [b"a", b"b", b"c"] {
        let (descriptor, bytes) = referrer(&image, what);
        for _ in 0..2 {
            registry
                .put_referrer(&subject, &descriptor, &bytes)
                .unwrap();
        }
        all.push(descriptor);
    }
    all.sort_by_key(|entry| entry.digest);
    assert_eq!(registry.referrers(&subject).unwrap(), all);
    let held = fake.manifests.lock().unwrap();
    assert!(held.keys().all(|name| name.starts_with("sha256:")));
    assert_eq!(held.len(), 3);
}

#[test]
fn what_a_tag_lists_counts_beside_the_api_that_came_later() {
    let image = manifest(b"x").bytes();
    let subject = Digest::of(&image);
    let (old, old_bytes) = referrer(&image, b"old");
    let (new, new_bytes) = referrer(&image, b"new");
    let mut fake = Fake::default();
    let bed = Bed::new();
    let server = fake.serve();
    let before = bed.registry(&server);
    before.put_referrer(&subject, &old, &old_bytes).unwrap();
    fake.referrers = true;
    // The registry has not read what was there before.
    fake.manifests.lock().unwrap().remove(&named(&old_bytes));
    let server = fake.serve();
    let after = bed.registry(&server);
    after.put_referrer(&subject, &new, &new_bytes).unwrap();
    let found = after.referrers(&subject).unwrap();
    assert!(found.contains(&old) && found.contains(&new), "{found:?}");
}

#[test]
fn the_next_part_of_a_list_is_taken_from_the_same_server_alone_and_not_without_end() {
    let other = Server::start(|_| Reply::ok(br#"{"schemaVersion":2,"manifests":[]}"#));
    let subject = Digest::of(b"x");
    for (link, asked) in [
        (format!("<{}>; rel=\"next\"", other.url("/")), 1),
        (
            "</v2/team/thing/referrers/more>; rel=\"prev\"".to_owned(),
            1,
        ),
        ("garbage".to_owned(), 1),
        (
            "</v2/team/thing/referrers/more>; title=x; REL=next".to_owned(),
            16,
        ),
    ] {
        let server = Fake::default().serve_but(move |request| {
            request
                .target
                .contains("/referrers/")
                .then(|| Reply::ok(br#"{"schemaVersion":2,"manifests":[]}"#).header("Link", &link))
        });
        let bed = Bed::new();
        assert_eq!(bed.registry(&server).referrers(&subject).unwrap(), []);
        let lists = |request: &&Request| request.target.contains("/referrers/");
        assert_eq!(server.requests().iter().filter(lists).count(), asked);
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_registry_that_does_not_know_the_api_may_say_so_in_any_way() {
    let image = manifest(b"x").bytes();
    let subject = Digest::of(&image);
    let page = b"<!DOCTYPE html><title>Registry</title>";
    for reply in [
        Reply::new("400 Bad Request", b"{}"),
        Reply::new("404 Not Found", page),
        Reply::new("405 Method Not Allowed", b""),
        Reply::new("406 Not Acceptable", b""),
        Reply::new("501 Not Implemented", b""),
        Reply::ok(page).header("Content-Type", "text/html"),
        Reply::ok(b"{}").header("Content-Type", "application/json"),
    ] {
        let answer = reply.clone();
        let server = Fake::default().serve_but(move |request| {
            request
                .target
                .contains("/referrers/")
                .then(|| answer.clone())
        });
        let bed = Bed::new();
        let registry = bed.registry(&server);
        let (descriptor, bytes) = referrer(&image, b"a");
        registry
            .put_referrer(&subject, &descriptor, &bytes)
            .unwrap();
        let found = registry.referrers(&subject).unwrap();
        assert_eq!(found, [descriptor], "{reply:?}");
    }
}

#[test]
fn a_registry_that_takes_the_tag_for_the_digest_lists_nothing_under_it() {
    let image = manifest(b"x").bytes();
    let subject = Digest::of(&image);
    let tag = format!("/manifests/sha256-{subject}");
    let fake = Fake::default().with_manifest("1", &image);
    let held = fake.manifests.clone();
    let given = image.clone();
    let server = fake.serve_but(move |request| {
        let known = held.lock().unwrap().contains_key(&tag[11..]);
        (request.method != "PUT" && request.target.ends_with(&tag) && !known)
            .then(|| Reply::ok(&given).header("Docker-Content-Digest", &named(&given)))
    });
    let bed = Bed::new();
    let registry = bed.registry(&server);
    assert_eq!(registry.referrers(&subject).unwrap(), []);
    let (descriptor, bytes) = referrer(&image, b"a");
    registry
        .put_referrer(&subject, &descriptor, &bytes)
        .unwrap();
    assert_eq!(registry.referrers(&subject).unwrap(), [descriptor]);
}

#[test]
fn an_index_that_is_none_is_told() {
    let image = manifest(b"x").bytes();
    let subject = Digest::of(&image);
    let tag = format!("/manifests/sha256-{subject}");
    let server = Fake::default().serve_but(move |request| {
        let reply = || Reply::ok(b"garbage").header("Content-Type", INDEX);
        request.target.ends_with(&tag).then(reply)
    });
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

#[test]
fn a_signature_is_seen_on_a_registry_that_has_the_api() {
    let Some(keygen) = tool("ssh-keygen") else {
        return;
    };
    let fake = Fake {
        referrers: true,
        ..Fake::default()
    };
    let server = fake.serve();
    let reference = format!("{}/team/thing:1", server.address());
    let project = two("a");
    let key = project.path("key");
    let generated = Command::new(keygen)
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "ann", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(generated.success());
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    fs::write(project.path("trust"), format!("ann {public}")).unwrap();
    run(&mut project.mkimg(["push", "two", &reference, "--sign", "key"]));
    let verify = ["verify", &reference, "--trust", "trust", "--cache", "other"];
    let table = stdout(&run(&mut project.mkimg(verify)));
    assert!(table.contains("ann"), "{table}");
    let held = fake.manifests.lock().unwrap();
    let tags = held.keys().filter(|name| name.starts_with("sha256-"));
    assert_eq!(tags.count(), 0);
}
