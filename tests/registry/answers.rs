//! Manifests: what a registry may answer, and what is made of it.

use std::time::Duration;

use mkimg::share::Origin as _;

use crate::bed::{Bed, Fake, assert_told, manifest, named, of_manifest};
use crate::server::Reply;

const MANIFEST_PATH: &str = "/v2/team/thing/manifests/1";

#[test]
fn a_tag_is_resolved_and_its_manifest_fetched_once() {
    let bytes = manifest(b"x").bytes();
    let server = Fake::default().with_manifest("1", &bytes).serve();
    let bed = Bed::new();
    let registry = bed.registry(&server);
    let found = registry.resolve("1").unwrap().unwrap();
    assert_eq!(found, of_manifest(&bytes));
    assert_eq!(registry.manifest(&found).unwrap(), bytes);
    assert_eq!(server.requests().len(), 1);
    let accept = &server.requests()[0].headers["accept"];
    assert!(accept.contains("oci.image.index") && accept.contains("oci.image.manifest"));
    assert_eq!(registry.resolve("2").unwrap(), None);
    let by_digest = registry.resolve(&named(&bytes)).unwrap();
    assert_eq!(by_digest, Some(of_manifest(&bytes)));
}

#[test]
fn what_passes_is_asked_again_and_retry_after_is_heeded_within_bounds() {
    let bytes = manifest(b"x").bytes();
    let cases = [
        (vec![Reply::new("500 Internal Server Error", b"")], 1),
        (
            vec![Reply::new("429 Too Many Requests", b"").header("Retry-After", "0")],
            1,
        ),
        (
            vec![Reply::new("429 Too Many Requests", b"").header("Retry-After", "86400")],
            5,
        ),
        (
            vec![
                Reply::new("503 Service Unavailable", b""),
                Reply::new("502 Bad Gateway", b""),
            ],
            1,
        ),
        (vec![Reply::mute()], 1),
        (vec![Reply::ok(&bytes).cut(10)], 1),
        (vec![Reply::ok(&bytes).announcing(bytes.len() + 5)], 1),
    ];
    for (replies, pause) in cases {
        let count = replies.len();
        let server = Fake::default()
            .with_manifest("1", &bytes)
            .serve_but(move |request| replies.get(request.before).cloned());
        let mut bed = Bed::new();
        bed.options.fetch.longest_pause = Duration::from_millis(5);
        let found = bed.registry(&server).resolve("1").unwrap();
        assert_eq!(found, Some(of_manifest(&bytes)));
        assert_eq!(server.requests().len(), count + 1);
        let first = bed.seen.pauses()[0];
        assert_eq!(first, Duration::from_millis(pause));
    }
}

#[test]
fn what_does_not_pass_is_told_in_words() {
    let bytes = manifest(b"x").bytes();
    let other = manifest(b"other").bytes();
    let said = br#"{"errors":[{"code":"X","message":"go\u001b[31m away"},{"code":"Y"}]}"#;
    let huge = vec![b' '; (4 << 20) + 1];
    let cases: Vec<(Reply, u8, Vec<&str>)> = vec![
        (
            Reply::new("403 Forbidden", said),
            1,
            vec![
                "may not read the tag `1`",
                "403 Forbidden",
                "without credentials",
                "go\\x1b[31m away; Y",
            ],
        ),
        (
            Reply::new("401 Unauthorized", said),
            1,
            vec!["names no way to give them"],
        ),
        (
            Reply::new("401 Unauthorized", said).header("WWW-Authenticate", "Basic realm=\"x\""),
            1,
            vec!["401 Unauthorized, without credentials", "docker login"],
        ),
        (
            Reply::new("500 Internal Server Error", said),
            1,
            vec![
                "500 Internal Server Error; it says: go\\x1b",
                "try again later",
            ],
        ),
        (
            Reply::new("429 Too Many Requests", b"<html>"),
            1,
            vec!["429 Too Many Requests"],
        ),
        (
            Reply::new("418 I'm a teapot", b""),
            1,
            vec!["the answer is 418"],
        ),
        (Reply::mute(), 1, vec!["no answer for 0.5 s", "--timeout"]),
        (
            Reply::ok(&bytes).hang().announcing(bytes.len() + 1),
            1,
            vec!["no answer for 0.5 s"],
        ),
        (
            Reply::ok(&bytes).announcing(bytes.len() + 1),
            1,
            vec!["truncated: got"],
        ),
        (
            Reply::ok(&huge),
            3,
            vec!["too long: expected at most 4194304 bytes, it has 4194305"],
        ),
        (
            Reply::ok(&huge).chunked(),
            3,
            vec!["too long: expected at most 4194304 bytes, more came"],
        ),
        (
            Reply::ok(&other).header("Docker-Content-Digest", &named(&bytes)),
            3,
            vec![
                "the tag `1` of `127.0.0.1",
                "expected sha256:",
                "found sha256:",
            ],
        ),
        (
            Reply::ok(&bytes).header("Docker-Content-Digest", "sha256:\u{7f}x"),
            1,
            vec![],
        ),
        (
            Reply::ok(&bytes)
                .announcing(10)
                .header("Docker-Content-Digest", &named(&bytes)),
            3,
            vec!["expected sha256:"],
        ),
        (Reply::to(MANIFEST_PATH), 1, vec!["redirect loop"]),
        (
            Reply::to("file:///etc/passwd"),
            1,
            vec!["neither http nor https"],
        ),
        (
            Reply::to("http://registry.example/x?key=geheim"),
            1,
            vec!["plain http on another machine, to `http://registry.example/x?..`"],
        ),
    ];
    for (reply, code, words) in cases {
        if words.is_empty() {
            continue;
        }
        let shown = format!("{reply:?}");
        let server = Fake::default().serve_but(move |_| Some(reply.clone()));
        let bed = Bed::new();
        let error = bed
            .registry(&server)
            .resolve("1")
            .expect_err(&shown[..shown.len().min(300)]);
        assert_told(&error, code, &words);
        assert!(!bed.seen.text().contains("geheim"));
    }
}

#[test]
fn by_digest_nothing_else_is_taken() {
    let (bytes, other) = (manifest(b"x").bytes(), manifest(b"other").bytes());
    for lie in [named(&bytes), named(&other)] {
        let reply = Reply::ok(&other).header("Docker-Content-Digest", &lie);
        let server = Fake::default().serve_but(move |_| Some(reply.clone()));
        let bed = Bed::new();
        let registry = bed.registry(&server);
        let error = registry.resolve(&named(&bytes)).unwrap_err();
        assert_told(&error, 3, &["the manifest `sha256:", &named(&other)]);
        let error = registry.manifest(&of_manifest(&bytes)).unwrap_err();
        assert_told(&error, 3, &["the manifest `sha256:", &named(&other)]);
    }
    let server = Fake::default().serve();
    let bed = Bed::new();
    let error = bed
        .registry(&server)
        .manifest(&of_manifest(&bytes))
        .unwrap_err();
    assert_told(
        &error,
        1,
        &["the manifest `sha256:", "is not in `127.0.0.1:"],
    );
}

#[test]
fn without_end_redirects_are_not_followed() {
    let server =
        Fake::default().serve_but(|request| Some(Reply::to(&format!("{}x", request.target))));
    let error = Bed::new().registry(&server).resolve("1").unwrap_err();
    assert_told(&error, 1, &["more than 10 redirects"]);
    assert_eq!(server.requests().len(), 11);
}

#[test]
fn offline_opens_no_socket() {
    let server = Fake::default().serve();
    let mut bed = Bed::new();
    bed.options.fetch.offline = true;
    let registry = bed.registry(&server);
    let error = registry.resolve("1").unwrap_err();
    assert_told(
        &error,
        1,
        &["not asked: `--offline`", "without `--offline`"],
    );
    let wanted = crate::bed::layer_of(b"x");
    let error = registry.blob(&wanted, &bed.store).unwrap_err();
    assert_told(&error, 1, &["not asked: `--offline`"]);
    assert_eq!(server.connections(), 0);
}

#[test]
fn nobody_there_is_told_and_a_registry_elsewhere_is_asked_with_https() {
    let gone = Fake::default().serve().address();
    let bed = Bed::new();
    let error = bed.registry_at(&gone).resolve("1").unwrap_err();
    assert_told(
        &error,
        1,
        &[
            "could not read the tag `1`",
            "check the registry's name and port",
        ],
    );
    // The test's proxy is the only one that such a name can reach.
    let proxy = Fake::default().serve_but(|_| Some(Reply::new("418 I'm a teapot", b"")));
    for (plain_http, target) in [
        (false, "registry.example:443"),
        (true, "http://registry.example/v2/"),
    ] {
        let mut bed = Bed::new();
        bed.options.plain_http = plain_http;
        bed.options.fetch.proxies.all = Some(proxy.url(""));
        let before = proxy.requests().len();
        assert!(bed.registry_at("registry.example").resolve("1").is_err());
        let asked = &proxy.requests()[before..];
        assert!(
            asked
                .iter()
                .all(|request| request.target.starts_with(target)),
            "{asked:?}"
        );
        assert!(!asked.is_empty());
    }
}

#[test]
fn what_is_for_this_machine_is_not_told_to_a_proxy() {
    let bytes = manifest(b"x").bytes();
    let server = Fake::default().with_manifest("1", &bytes).serve();
    let proxy = Fake::default().serve();
    let mut bed = Bed::new();
    bed.options.fetch.proxies.all = Some(proxy.url(""));
    bed.options.fetch.proxies.no = Some("a.test".to_owned());
    assert!(bed.registry(&server).resolve("1").unwrap().is_some());
    let port = server.address();
    let port = port.rsplit_once(':').unwrap().1.to_owned();
    assert!(
        bed.registry_at(&format!("localhost:{port}"))
            .resolve("1")
            .unwrap()
            .is_some()
    );
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_manifest_that_drips_is_given_up() {
    let bytes = manifest(b"x").bytes();
    let server = Fake::default().serve_but(move |_| Some(Reply::ok(&bytes).trickle()));
    let mut bed = Bed::new();
    bed.options.fetch.idle_timeout = Duration::from_millis(400);
    let start = std::time::Instant::now();
    let error = bed.registry(&server).resolve("1").unwrap_err();
    // Each byte came before the silence was one.
    assert_told(&error, 1, &["too slow"]);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_manifest_that_is_all_there_is_taken_however_it_ended() {
    let bytes = manifest(b"x").bytes();
    assert!(bytes.len() < 1000);
    let framed = bytes.len() + 7;
    let whole = bytes.clone();
    let server = Fake::default().serve_but(move |request| {
        let reply = Reply::ok(&whole).chunked().cut(framed);
        Some(match request.target.ends_with("/1") {
            true => reply.header("Docker-Content-Digest", &named(&whole)),
            false => reply,
        })
    });
    let registry_bed = Bed::new();
    let registry = registry_bed.registry(&server);
    for wanted in ["1", &named(&bytes)] {
        let found = registry.resolve(wanted).unwrap();
        assert_eq!(found, Some(of_manifest(&bytes)));
    }
    // Without a digest nobody knows.
    assert!(registry.resolve("2").is_err());
}
