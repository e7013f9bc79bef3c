//! Blobs: resumed, bounded, hashed.

use std::fs;

use mkimg::share::Origin as _;
use mkimg::share::oci::Descriptor;

use crate::bed::{Bed, Fake, assert_told, layer_of, named, noise};
use crate::server::{Reply, Server};

fn path(bytes: &[u8]) -> String {
    format!("/v2/team/thing/blobs/{}", named(bytes))
}

#[test]
fn a_blob_that_is_cut_in_the_middle_is_taken_up_where_it_stopped() {
    let file = noise(300_000);
    for odd in [
        Reply::ok(&file).cut(100_000),
        Reply::ok(&file).cut(100_000).reset(),
        Reply::ok(&file).cut(100_000).hang(),
    ] {
        let server = Fake::default()
            .with_blob(&file)
            .serve_but(move |request| (request.before == 0).then(|| odd.clone()));
        let bed = Bed::new();
        let blob = bed
            .registry(&server)
            .blob(&layer_of(&file), &bed.store)
            .unwrap();
        assert!(fs::read(&blob.path).unwrap() == file);
        let asked = server.asked();
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0], (path(&file), None));
        // A reset may lose what the client had not read by then.
        assert!(asked[1].1.is_some_and(|from| from <= 100_000) || asked[1].1.is_none());
        // Nothing is asked for what the cache has.
        bed.registry(&server)
            .blob(&layer_of(&file), &bed.store)
            .unwrap();
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn another_process_takes_up_what_one_left() {
    let file = noise(300_000);
    let bed = Bed::new();
    let (whole, half) = (file.clone(), file[..150_000].to_vec());
    let bad = Server::start(move |request| match request.before {
        0 => Reply::ok(&whole).cut(150_000),
        _ => Reply::new("404 Not Found", b""),
    });
    let error = bed
        .registry(&bad)
        .blob(&layer_of(&file), &bed.store)
        .unwrap_err();
    assert_told(&error, 1, &["(vmlinuz) is not in"]);
    let server = Fake::default().with_blob(&file).serve();
    bed.registry(&server)
        .blob(&layer_of(&file), &bed.store)
        .unwrap();
    assert_eq!(server.asked(), [(path(&file), Some(half.len()))]);
}

#[test]
fn what_a_registry_gives_for_a_blob_is_that_blob_or_an_error() {
    let file = noise(100_000);
    let other = noise(100_001)[1..].to_vec();
    let short = Reply::ok(&file[..50_000]);
    let cases: Vec<(Reply, u8, &[&str])> = vec![
        (
            Reply::ok(&other),
            3,
            &[
                "the blob `sha256:",
                "(vmlinuz) of `127.0.0.1:",
                "expected sha256:",
                "found sha256:",
            ],
        ),
        (Reply::ok(b"<html>moved</html>"), 3, &["in 18 bytes"]),
        (
            Reply::ok(&noise(100_001)),
            3,
            &["too long: expected at most 100000 bytes, it has 100001"],
        ),
        (
            Reply::ok(&noise(200_000)).unannounced(),
            3,
            &["too long: expected at most 100000 bytes, more came"],
        ),
        (Reply::ok(&file).announcing(50_000), 3, &["in 50000 bytes"]),
        (short.clone(), 3, &["in 50000 bytes"]),
        (
            short.clone().unannounced(),
            1,
            &["truncated: got 50000 bytes of 100000"],
        ),
        (Reply::ok(&file).announcing(100_001), 3, &["too long"]),
        (
            short.announcing(100_000),
            1,
            &["truncated: got 50000 bytes of 100000"],
        ),
        (Reply::new("404 Not Found", b""), 1, &["is not in"]),
        (Reply::new("403 Forbidden", b""), 1, &["403 Forbidden"]),
        (
            Reply::new("500 Internal Server Error", b""),
            1,
            &["500 Internal Server Error"],
        ),
        (Reply::mute(), 1, &["no answer for 0.5 s"]),
        (
            Reply::to("http://registry.example/x"),
            1,
            &["plain http on another machine"],
        ),
    ];
    for (reply, code, words) in cases {
        let shown = format!("{reply:?}").chars().take(200).collect::<String>();
        let server = Fake::default().serve_but(move |request| {
            // Resumption is another test's: a range is refused.
            Some(match request.from() {
                Some(_) => Reply::new("416 Range Not Satisfiable", b""),
                None => reply.clone(),
            })
        });
        let bed = Bed::new();
        let error = bed
            .registry(&server)
            .blob(&layer_of(&file), &bed.store)
            .expect_err(&shown);
        assert_told(&error, code, words);
        assert!(bed.store.blob(&layer_of(&file).digest).is_none());
    }
}

#[test]
fn the_size_that_a_manifest_promises_must_be_the_size() {
    let file = noise(1000);
    let server = Fake::default().with_blob(&file).serve();
    for (size, words) in [
        (1001, "expected 1001 bytes, found 1000 bytes"),
        (999, "too long: expected at most 999"),
    ] {
        let wanted = Descriptor {
            size,
            ..layer_of(&file)
        };
        for known in [false, true] {
            let bed = Bed::new();
            if known {
                bed.registry(&server)
                    .blob(&layer_of(&file), &bed.store)
                    .unwrap();
            }
            let error = bed.registry(&server).blob(&wanted, &bed.store).unwrap_err();
            assert_told(&error, 3, &[words]);
        }
    }
}

#[test]
fn a_blob_behind_a_redirect_comes_without_credentials_following() {
    let file = noise(50_000);
    let cdn = {
        let file = file.clone();
        Server::start_on("127.0.0.2", move |request| Reply::file(request, &file))
    };
    let to = cdn.url("/signed?key=geheim");
    let server = Fake::default().serve_but(move |request| {
        let known = request
            .headers
            .get("authorization")
            .is_some_and(|value| value == "Basic dTpwYXNz");
        Some(match known {
            true => Reply::to(&to),
            false => {
                Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", "Basic realm=\"x\"")
            }
        })
    });
    let mut bed = Bed::new();
    bed.credentials(&format!(
        r#"{{"auths": {{"{}": {{"auth": "dTpwYXNz"}}}}}}"#,
        server.address()
    ));
    let blob = bed.registry(&server).blob(&layer_of(&file), &bed.store);
    assert!(fs::read(blob.unwrap().path).unwrap() == file);
    // The disturbance: the registry itself did get them.
    assert!(
        server
            .requests()
            .iter()
            .any(|request| request.headers.contains_key("authorization"))
    );
    assert!(!cdn.requests().is_empty());
    for request in cdn.requests() {
        assert!(
            !request.headers.contains_key("authorization"),
            "{request:?}"
        );
        assert!(
            !request.headers.contains_key("cookie") && !request.headers.contains_key("referer")
        );
    }
    let said = bed.seen.text();
    for secret in ["pass", "dTpwYXNz", "geheim"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn another_port_of_the_same_host_is_another_server() {
    let file = noise(5000);
    let cdn = Fake::default().with_blob(&file).serve();
    let to = cdn.url(&path(&file));
    let server = Fake::default().serve_but(move |request| {
        Some(match request.headers.contains_key("authorization") {
            true => Reply::to(&to),
            false => Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", "Basic"),
        })
    });
    let mut bed = Bed::new();
    bed.credentials(&format!(
        r#"{{"auths": {{"{}": {{"auth": "dTpwYXNz"}}}}}}"#,
        server.address()
    ));
    bed.registry(&server)
        .blob(&layer_of(&file), &bed.store)
        .unwrap();
    assert!(
        cdn.requests()
            .iter()
            .all(|request| !request.headers.contains_key("authorization"))
    );
}

#[test]
fn a_blob_that_the_cache_has_damaged_is_fetched_again() {
    let file = noise(5000);
    let server = Fake::default().with_blob(&file).serve();
    let bed = Bed::new();
    let registry = bed.registry(&server);
    let blob = registry.blob(&layer_of(&file), &bed.store).unwrap();
    fs::remove_file(&blob.path).unwrap();
    fs::write(&blob.path, &noise(5001)[1..]).unwrap();
    let again = registry.blob(&layer_of(&file), &bed.store).unwrap();
    assert!(fs::read(again.path).unwrap() == file);
    assert!(bed.seen.text().contains("fetching it again"));
    assert_eq!(server.requests().len(), 2);
}
