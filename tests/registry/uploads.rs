//! Sending: what a registry may do to an upload.

use mkimg::share::Destination as _;
use mkimg::store::Blob;

use crate::bed::{Bed, Fake, assert_told, layer_of, manifest, named, noise, of_manifest};
use crate::server::{Reply, Request, Server};

fn blob(bed: &Bed, bytes: &[u8]) -> Blob {
    let mut from = bytes;
    bed.store.blob_from(&mut from, bed.dir.path()).unwrap()
}

#[test]
fn a_blob_is_sent_once_whole_and_not_again() {
    let file = noise(2 << 20);
    let fake = Fake::default();
    let server = fake.serve();
    let bed = Bed::new();
    let registry = bed.registry(&server);
    let blob = blob(&bed, &file);
    assert!(registry.put_blob(&layer_of(&file), &blob).unwrap());
    assert!(!registry.put_blob(&layer_of(&file), &blob).unwrap());
    assert!(fake.blobs.lock().unwrap()[&named(&file)] == file);
    let methods: Vec<String> = server
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(methods, ["HEAD", "POST", "PUT", "HEAD"]);
}

#[test]
fn an_upload_that_breaks_is_begun_anew() {
    let file = noise(100_000);
    for reply in [
        Reply::new("500 Internal Server Error", b""),
        Reply::new("429 Too Many Requests", b"").header("Retry-After", "0"),
        Reply::mute(),
    ] {
        for method in ["POST", "PUT"] {
            let fake = Fake::default();
            let reply = reply.clone();
            let server = fake.serve_but(move |request| {
                (request.method == method && request.before == 0).then(|| reply.clone())
            });
            let bed = Bed::new();
            let registry = bed.registry(&server);
            let sent = registry.put_blob(&layer_of(&file), &blob(&bed, &file));
            assert!(sent.unwrap(), "{method}");
            assert!(fake.blobs.lock().unwrap()[&named(&file)] == file);
        }
    }
}

#[test]
fn a_manifest_whose_blobs_are_not_found_in_passing_is_sent_again() {
    let said = br#"{"errors":[{"code":"DIGEST_INVALID"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#;
    let bytes = manifest(b"x").bytes();
    for (failing, code) in [(2, None), (9, Some(1))] {
        let fake = Fake::default();
        let server = fake.serve_but(move |request| {
            let refused = request.method == "PUT" && request.before < failing;
            refused.then(|| Reply::new("400 Bad Request", said))
        });
        let bed = Bed::new();
        let sent = bed
            .registry(&server)
            .put_manifest(&of_manifest(&bytes), &bytes, Some("1"));
        match code {
            None => sent.unwrap(),
            Some(code) => assert_told(&sent.unwrap_err(), code, &["blob unknown"]),
        }
        assert!(bed.seen.text().contains("blob unknown"));
        assert_eq!(
            fake.manifests.lock().unwrap().contains_key("1"),
            code.is_none()
        );
    }
}

#[test]
fn an_upload_goes_where_the_registry_says_and_credentials_stay() {
    let file = noise(1000);
    let elsewhere = Server::start_on("127.0.0.2", |_| Reply::new("201 Created", b""));
    let to = elsewhere.url("/up?a=1&b=%2F");
    let server = Fake::default().serve_but(move |request| {
        let known = request.headers.contains_key("authorization");
        match (known, request.method.as_str()) {
            (false, _) => {
                Some(Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", "Basic"))
            }
            (true, "POST") => Some(Reply::new("202 Accepted", b"").header("Location", &to)),
            _ => None,
        }
    });
    let mut bed = Bed::new();
    bed.credentials(&format!(
        r#"{{"auths": {{"{}": {{"auth": "dTpw"}}}}}}"#,
        server.address()
    ));
    bed.registry(&server)
        .put_blob(&layer_of(&file), &blob(&bed, &file))
        .unwrap();
    let asked = elsewhere.requests();
    assert_eq!(
        asked[0].target,
        format!("/up?a=1&b=%2F&digest={}", named(&file).replace(':', "%3A"))
    );
    assert!(asked[0].body == file);
    assert!(!asked[0].headers.contains_key("authorization"));
}

#[test]
fn what_a_registry_may_refuse_is_told() {
    let file = noise(1000);
    let said = br#"{"errors":[{"code":"DENIED","message":"read\u001b[2Jonly"}]}"#;
    let cases: Vec<(&str, Reply, u8, &[&str])> = vec![
        (
            "HEAD",
            Reply::new("403 Forbidden", b""),
            1,
            &["may not look for the blob"],
        ),
        (
            "POST",
            Reply::new("403 Forbidden", said),
            1,
            &["may not send the blob", "read\\x1b[2Jonly"],
        ),
        (
            "POST",
            Reply::new("404 Not Found", said),
            1,
            &["could not send the blob", "404 Not Found"],
        ),
        (
            "POST",
            Reply::new("405 Method Not Allowed", said),
            1,
            &["405"],
        ),
        (
            "POST",
            Reply::new("202 Accepted", b""),
            1,
            &["which is no URL"],
        ),
        ("POST", Reply::to("/elsewhere"), 1, &["the answer is 302"]),
        (
            "POST",
            Reply::new("202 Accepted", b"").header("Location", "http://registry.example/x"),
            1,
            &["plain http on another machine"],
        ),
        (
            "PUT",
            Reply::new(
                "400 Bad Request",
                br#"{"errors":[{"code":"DIGEST_INVALID"}]}"#,
            ),
            1,
            &["400 Bad Request; it says: DIGEST_INVALID"],
        ),
        ("PUT", Reply::new("413 Payload Too Large", b""), 1, &["413"]),
        ("PUT", Reply::to("/elsewhere"), 1, &["the answer is 302"]),
        (
            "PUT",
            Reply::new("500 Internal Server Error", b""),
            1,
            &["500"],
        ),
    ];
    for (method, reply, code, words) in cases {
        let server = Fake::default()
            .serve_but(move |request| (request.method == method).then(|| reply.clone()));
        let bed = Bed::new();
        let error = bed
            .registry(&server)
            .put_blob(&layer_of(&file), &blob(&bed, &file))
            .unwrap_err();
        assert_told(&error, code, words);
    }
    let bytes = manifest(b"x").bytes();
    let lie = named(b"other");
    let cases: Vec<(Reply, u8, &[&str])> = vec![
        (
            Reply::new("201 Created", b"").header("Docker-Content-Digest", &lie),
            3,
            &["the tag `1`, as `127.0.0.1"],
        ),
        (
            Reply::new(
                "400 Bad Request",
                br#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#,
            ),
            1,
            &["could not send the tag `1`", "MANIFEST_INVALID"],
        ),
        (
            Reply::new("403 Forbidden", b""),
            1,
            &["may not send the tag `1`"],
        ),
    ];
    for (reply, code, words) in cases {
        let server = Fake::default()
            .serve_but(move |request| (request.method == "PUT").then(|| reply.clone()));
        let bed = Bed::new();
        let error = bed
            .registry(&server)
            .put_manifest(&of_manifest(&bytes), &bytes, Some("1"))
            .unwrap_err();
        assert_told(&error, code, words);
    }
}

#[test]
fn a_blob_that_the_cache_lost_bytes_of_is_not_sent() {
    let file = noise(1000);
    let fake = Fake::default();
    let server =
        fake.serve_but(|request| (request.method == "PUT").then(|| Reply::new("201 Created", b"")));
    let bed = Bed::new();
    let blob = blob(&bed, &file);
    std::fs::remove_file(&blob.path).unwrap();
    std::fs::write(&blob.path, &noise(1001)[1..]).unwrap();
    let error = bed
        .registry(&server)
        .put_blob(&layer_of(&file), &blob)
        .unwrap_err();
    assert_told(&error, 3, &[&blob.path.display().to_string()]);
}

#[test]
fn an_upload_goes_where_it_is_redirected_to_and_credentials_do_not() {
    let file = noise(100_000);
    let fake = Fake::default();
    let there = fake.serve();
    let target = there.url("");
    for method in ["POST", "PUT"] {
        for status in ["307 Temporary Redirect", "308 Permanent Redirect"] {
            fake.blobs.lock().unwrap().clear();
            fake.manifests.lock().unwrap().clear();
            let target = target.clone();
            let here = fake.serve_but(move |request| {
                if !request.headers.contains_key("authorization") {
                    return Some(
                        Reply::new("401 Unauthorized", b"")
                            .header("WWW-Authenticate", "Basic realm=\"x\""),
                    );
                }
                let to = format!("{target}{}", request.target);
                (request.method == method).then(|| Reply::new(status, b"").header("Location", &to))
            });
            let mut bed = Bed::new();
            // `me:secret`
            bed.credentials(&format!(
                r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#,
                here.address()
            ));
            let registry = bed.registry(&here);
            assert!(
                registry
                    .put_blob(&layer_of(&file), &blob(&bed, &file))
                    .unwrap()
            );
            assert!(
                fake.blobs.lock().unwrap()[&named(&file)] == file,
                "{method}"
            );
            let bytes = manifest(b"x").bytes();
            registry
                .put_manifest(&of_manifest(&bytes), &bytes, Some("1"))
                .unwrap();
        }
    }
    let requests = there.requests();
    assert!(requests.iter().any(|request| request.method == "POST"));
    assert!(
        requests
            .iter()
            .any(|request| request.target.contains("/manifests/1"))
    );
    let secret = |request: &Request| request.headers.contains_key("authorization");
    assert!(!requests.iter().any(secret));
}

#[test]
fn an_upload_that_is_redirected_in_a_circle_ends() {
    let file = noise(1_000);
    let server = Fake::default().serve_but(|request| {
        (request.method == "POST")
            .then(|| Reply::new("307 Temporary Redirect", b"").header("Location", &request.target))
    });
    let bed = Bed::new();
    let error = bed
        .registry(&server)
        .put_blob(&layer_of(&file), &blob(&bed, &file))
        .unwrap_err();
    assert_told(&error, 1, &["redirect loop"]);
}
