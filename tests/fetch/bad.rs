//! Bad answers: each ends with the kind that the exit code hangs on, a message that names the location and what it gave,
//! and nothing left in the cache.

use mkimg::digest::Digest;
use mkimg::progress::{Event, Silent};
use mkimg::recipe::Place;
use mkimg::source::fetch::{FetchError, FetchOptions, Fetcher, Kind, Wanted};

use crate::bed::{Bed, bytes, free_port, places, run_alone, told_to};
use crate::server::{Reply, Request, Server};

/// Fetches 10,000 declared bytes from `/file` of a server that answers so; returns the kind, what the error says of the location,
/// and the number of requests.
fn given(size: Option<u64>, answer: fn(&Request, &[u8]) -> Reply) -> (Kind, String, usize) {
    let (bed, file) = (Bed::new(), bytes(10_000));
    let digest = Digest::of(&file);
    let server = Server::start(move |request| answer(request, &file));
    let error = bed
        .fetch(digest, size, &places(&[server.url("/file")]))
        .unwrap_err();
    let kind = error.kind();
    assert!(!error.help().is_empty(), "{error}");
    let FetchError::Source(failure) = error else {
        panic!("{error}");
    };
    assert_eq!((failure.digest, failure.size), (Some(digest), size));
    assert_eq!(failure.attempts.len(), 1);
    assert_eq!(failure.attempts[0].location, server.url("/file"));
    assert_eq!(bed.blobs(), Vec::<std::path::PathBuf>::new());
    let text = failure.attempts[0].reason.to_string();
    let text = text.replace(&server.url(""), "HOST");
    // Whether the headers were read before a reset came is a matter of luck.
    let text = text.replace("the connection broke: ", "");
    (kind, text, server.requests().len())
}

/// What it is, the declared size, the answer, the kind and text of the failure, and how many requests it took.
type Case = (
    &'static str,
    Option<u64>,
    fn(&Request, &[u8]) -> Reply,
    Kind,
    String,
    usize,
);

#[test]
fn bad_answers_are_told_apart_and_named() {
    let size = Some(10_000);
    let expected = Digest::of(&bytes(10_000));
    let wrong = |actual: &[u8], of: &str, more: &str| {
        let (digest, got) = (Digest::of(actual), actual.len());
        format!("wrong bytes: expected sha256 {expected}, got {digest} in {got} bytes{of}{more}")
    };
    let page = b"\n<!DOCTYPE html>\n<title>Sign in</title>";
    let zeros = [0u8; 10_000];
    let cases: Vec<Case> = vec![
        (
            "wrong hash",
            size,
            |_, _| Reply::ok(&[0; 10_000]),
            Kind::Mismatch,
            wrong(&zeros, " of 10000", ""),
            1,
        ),
        (
            // pitfall 43
            "HTML with status 200",
            None,
            |_, _| Reply::ok(b"\n<!DOCTYPE html>\n<title>Sign in</title>"),
            Kind::Mismatch,
            wrong(page, "", "; it is text that begins with `<!DOCTYPE html>`"),
            1,
        ),
        (
            "HTML with status 200 and no length, where a size is known",
            size,
            |_, _| Reply::ok(b"\n<!DOCTYPE html>\n<title>Sign in</title>").unannounced(),
            Kind::Mismatch,
            wrong(
                page,
                " of 10000",
                "; it is text that begins with `<!DOCTYPE html>`",
            ),
            1,
        ),
        (
            "an encoding that nobody asked for",
            None,
            |_, _| Reply::ok(&[0; 10]).header("Content-Encoding", "gzip"),
            Kind::Mismatch,
            wrong(&[0; 10], "", "; the server encoded it with `gzip`, unasked"),
            1,
        ),
        (
            "an empty body",
            size,
            |_, _| Reply::ok(b""),
            Kind::Mismatch,
            wrong(b"", " of 10000", ""),
            1,
        ),
        (
            "longer than the size, announced",
            size,
            |_, _| Reply::ok(&[0; 10_001]),
            Kind::Mismatch,
            "too long: expected at most 10000 bytes, it has 10001".to_owned(),
            1,
        ),
        (
            "longer than the size, chunked",
            size,
            |_, _| Reply::ok(&[0; 20_000]).chunked(),
            Kind::Mismatch,
            "too long: expected at most 10000 bytes, more came".to_owned(),
            1,
        ),
        (
            "truncated, every time at the same place",
            size,
            |request, file| Reply::file(request, &file[..6_000]).announcing(10_000),
            Kind::Mismatch,
            "truncated: got 6000 bytes of 10000".to_owned(),
            // From the second on the server says that there is nothing behind byte 6000, and gives it all again.
            7,
        ),
        (
            "truncated without a length, every time at once",
            size,
            |request, file| Reply::file(request, &file[..6_000]).unannounced(),
            Kind::Mismatch,
            "truncated: got 6000 bytes of 10000".to_owned(),
            7,
        ),
        (
            "truncated without a length, and no size is known",
            None,
            |_, file| Reply::ok(&file[..6_000]).unannounced(),
            Kind::Mismatch,
            wrong(&bytes(6_000), "", ""),
            1,
        ),
        (
            "chunks that end early",
            size,
            |_, file| Reply::ok(file).chunked().cut(6_000),
            Kind::Mismatch,
            "truncated: got 5960 bytes".to_owned(),
            4,
        ),
        (
            "not found",
            size,
            |_, _| Reply::new("404 Not Found", b"<html>no</html>"),
            Kind::Refused,
            "404 Not Found".to_owned(),
            1,
        ),
        (
            "forbidden",
            size,
            |_, _| Reply::new("403 Forbidden", b""),
            Kind::Refused,
            "403 Forbidden".to_owned(),
            1,
        ),
        (
            "no content",
            size,
            |_, _| Reply::new("204 No Content", b""),
            Kind::Refused,
            "204 No Content".to_owned(),
            1,
        ),
        (
            "a range that nobody asked for",
            size,
            |_, file| {
                Reply::new("206 Partial Content", file)
                    .header("Content-Range", "bytes 0-9999/10000")
            },
            Kind::Refused,
            "206 Partial Content".to_owned(),
            1,
        ),
        (
            "server error, for ever",
            size,
            |_, _| Reply::new("500 Internal Server Error", b""),
            Kind::Unreachable,
            "500 Internal Server Error".to_owned(),
            4,
        ),
        (
            "too many requests, for ever",
            size,
            |_, _| Reply::new("429 Too Many Requests", b"").header("Retry-After", "3600"),
            Kind::Unreachable,
            "429 Too Many Requests".to_owned(),
            4,
        ),
        (
            "redirect to itself",
            size,
            |_, _| Reply::to("/file"),
            Kind::Refused,
            "redirect loop: it comes back to `HOST/file`".to_owned(),
            1,
        ),
        (
            "redirect in a circle",
            size,
            |request, _| {
                Reply::to(if request.target == "/a" {
                    "/file"
                } else {
                    "/a"
                })
            },
            Kind::Refused,
            "redirect loop: it comes back to `HOST/file`".to_owned(),
            2,
        ),
        (
            "eleven redirects",
            size,
            |request, _| Reply::to(&format!("{}x", request.target)),
            Kind::Refused,
            "more than 10 redirects".to_owned(),
            11,
        ),
        (
            "redirect to a file",
            size,
            |_, _| Reply::to("file:///etc/passwd"),
            Kind::Refused,
            "it redirects to `file:///etc/passwd`, which is neither http nor https".to_owned(),
            1,
        ),
        (
            "redirect to nowhere",
            size,
            |_, _| Reply::to("http://["),
            Kind::Refused,
            "it redirects to `http://[`, which is no URL".to_owned(),
            1,
        ),
        (
            "redirect without a target",
            size,
            |_, _| Reply::new("301 Moved Permanently", b""),
            Kind::Refused,
            "it redirects to ``, which is no URL".to_owned(),
            1,
        ),
        (
            "silence before the headers",
            size,
            |_, _| Reply::mute(),
            Kind::Unreachable,
            "no answer for 0.5 s".to_owned(),
            4,
        ),
        (
            "silence in the middle",
            size,
            |request, file| Reply::file(request, file).cut(1_000).hang(),
            Kind::Unreachable,
            "no answer for 0.5 s".to_owned(),
            4,
        ),
        (
            "a reset, every time",
            size,
            |_, file| Reply::ok(file).cut(0).reset(),
            Kind::Unreachable,
            "Connection reset by peer (os error 104)".to_owned(),
            4,
        ),
    ];
    for (name, size, answer, kind, reason, requests) in cases {
        assert_eq!(given(size, answer), (kind, reason, requests), "{name}");
    }
}

#[test]
fn when_no_location_is_left_the_error_lists_all_of_them_with_what_they_gave() {
    let (bed, file) = (Bed::new(), bytes(100));
    let server = Server::start(|request| match request.target.as_str() {
        "/gone" => Reply::new("404 Not Found", b""),
        _ => Reply::ok(b"hello"),
    });
    let urls = [server.url("/gone"), server.url("/other"), "x:y".to_owned()];
    let digest = Digest::of(&file);
    let error = bed.fetch(digest, Some(100), &places(&urls)).unwrap_err();
    assert_eq!(error.kind(), Kind::Mismatch);
    assert_eq!(
        error.to_string(),
        format!(
            "could not fetch `thing` (sha256 {digest}, 100 bytes)\n  \
             `{}`: 404 Not Found\n  \
             `{}`: wrong bytes: expected sha256 {digest}, got {} in 5 bytes of 100; it is text that begins with `hello`\n  \
             `x:y`: not an http or https URL",
            urls[0],
            urls[1],
            Digest::of(b"hello"),
        )
    );
    assert_eq!(error.help().len(), 3, "{:?}", error.help());
    assert_eq!(bed.litter(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn every_failed_source_is_reported_in_order_and_the_others_are_kept() {
    let bed = Bed::new();
    let files: Vec<Vec<u8>> = (0..6u8).map(|number| vec![number; 5_000]).collect();
    let server = Server::start({
        let files = files.clone();
        move |request| match request.target.as_str() {
            "/1" => Reply::new("404 Not Found", b""),
            "/4" => Reply::ok(b"other"),
            path => Reply::ok(&files[path[1..].parse::<usize>().unwrap()]),
        }
    });
    let wanted: Vec<Wanted> = files
        .iter()
        .enumerate()
        .map(|(number, file)| Wanted {
            name: format!("n{number}"),
            digest: Digest::of(file),
            size: None,
            places: places(&[server.url(&format!("/{number}"))]),
            base: bed.dir.path().to_path_buf(),
        })
        .collect();
    let error = bed.fetcher().fetch_all(&wanted).unwrap_err();
    assert_eq!(error.kind(), Kind::Mismatch);
    let FetchError::Several(errors) = &error else {
        panic!("{error}");
    };
    let names: Vec<&str> = errors
        .iter()
        .map(|error| match error {
            FetchError::Source(failure) => failure.name.as_str(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(names, ["n1", "n4"]);
    let kinds: Vec<Kind> = errors.iter().map(FetchError::kind).collect();
    assert_eq!(kinds, [Kind::Refused, Kind::Mismatch]);
    assert_eq!(bed.blobs().len(), 4);
    let good: Vec<Wanted> = [0, 2, 3, 5].map(|index| wanted[index].clone()).to_vec();
    let before = server.connections();
    let blobs = bed.fetcher().fetch_all(&good).unwrap();
    let digests: Vec<Digest> = blobs.iter().map(|blob| blob.digest).collect();
    assert_eq!(
        digests,
        good.iter().map(|wanted| wanted.digest).collect::<Vec<_>>()
    );
    assert_eq!(server.connections(), before);
}

#[test]
fn offline_opens_no_socket_and_says_what_is_missing() {
    let (mut bed, file) = (Bed::new(), bytes(100));
    let server = Server::start(|request| Reply::file(request, &bytes(100)));
    bed.options.offline = true;
    bed.options.debian_mirrors = vec![server.url("/debian")];
    let digest = Digest::of(&file);
    let debian = Place::Debian {
        path: "pool/x.deb".to_owned(),
        snapshot: None,
        archive: "debian".to_owned(),
    };
    let all = [Place::Url(server.url("/file")), debian];
    let error = bed.fetch(digest, Some(100), &all).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert_eq!(
        error.to_string(),
        format!(
            "could not fetch `thing` (sha256 {digest}, 100 bytes)\n  \
             `{}`: not asked: `--offline`\n  \
             `{}`: not asked: `--offline`",
            server.url("/file"),
            server.url("/debian/pool/x.deb"),
        )
    );
    assert!(error.help()[0].starts_with("run once without `--offline`"));
    assert_eq!(server.connections(), 0);
    // What is on this machine can be had all the same.
    std::fs::write(bed.dir.path().join("file"), &file).unwrap();
    let places = [all[0].clone(), Place::Local("file".to_owned())];
    assert_eq!(bed.fetch(digest, Some(100), &places).unwrap().size, 100);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_refused_connection_is_tried_again_and_then_the_next_location_serves() {
    let (bed, file) = (Bed::new(), bytes(10_000));
    let port = free_port();
    let served = file.clone();
    let server = Server::start(move |request| Reply::file(request, &served));
    let dead = format!("http://127.0.0.1:{port}/file");
    bed.fetch_whole(&file, &[dead.clone(), server.url("/file")]);
    assert_eq!(bed.seen.retries(), 3);
    let given_up = Event::DownloadGivenUp {
        name: "thing".to_owned(),
        url: dead,
        reason: "Connection refused (os error 111)".to_owned(),
    };
    assert!(
        bed.seen.events().contains(&given_up),
        "{:#?}",
        bed.seen.events()
    );
}

#[test]
fn a_server_that_is_down_is_asked_once_for_each_further_source() {
    let bed = Bed::new();
    let port = free_port();
    let fetcher = bed.fetcher();
    for (number, retries) in [(0u8, 3), (1, 3), (2, 3)] {
        let url = format!("http://127.0.0.1:{port}/{number}");
        let wanted = bed.wanted(Digest::of(&[number]), None, &places(&[url]));
        assert_eq!(
            fetcher.fetch_all(&[wanted]).unwrap_err().kind(),
            Kind::Unreachable
        );
        assert_eq!(bed.seen.retries(), retries);
    }
}

/// Runs in a process of its own, where no certificates are to be found.
#[test]
#[ignore = "run by the test below"]
fn ask_an_https_server() {
    if told_to("MKIMG_TEST_NO_CERTIFICATES").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = mkimg::store::Store::open(dir.path()).unwrap();
    let fetcher = Fetcher::new(&store, &Silent, FetchOptions::default());
    let place = Place::Url("https://127.0.0.1:1/".to_owned());
    let error = fetcher
        .fetch_unpinned("x", &place, dir.path(), None)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let text = error.to_string();
    assert!(
        text.contains("this machine has no root certificates"),
        "{text}"
    );
    assert!(
        error.help()[0].contains("ca-certificates"),
        "{:?}",
        error.help()
    );
    // A plain http server needs none.
    let server = Server::start(|_| Reply::ok(b"x"));
    let place = Place::Url(server.url("/x"));
    fetcher
        .fetch_unpinned("x", &place, dir.path(), None)
        .unwrap();
}

#[test]
fn missing_root_certificates_are_explained_and_plain_http_works_without_them() {
    let status = run_alone("bad::ask_an_https_server")
        .env("MKIMG_TEST_NO_CERTIFICATES", "1")
        .env("SSL_CERT_FILE", "/nonexistent/file")
        .env("SSL_CERT_DIR", "/nonexistent/dir")
        // Whoever reads these is not the one to read them: the fetch from the loopback server would fail.
        .envs(["http_proxy", "all_proxy", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1")))
        .status()
        .unwrap();
    assert!(status.success());
}
