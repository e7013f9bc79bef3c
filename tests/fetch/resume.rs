//! Downloads that break and go on, and servers that make going on hard.

use mkimg::digest::Digest;
use mkimg::progress::Event;
use mkimg::source::fetch::Kind;

use crate::bed::{Bed, bytes, places};
use crate::server::{Reply, Request, Server};

/// The ranges that `/file` was asked for; `None` is the whole.
fn ranges(server: &Server) -> Vec<Option<usize>> {
    server.requests().iter().map(Request::from).collect()
}

/// What it is, what an earlier process left, the answer, and the ranges that are asked for.
type Case = (
    &'static str,
    Vec<u8>,
    fn(&Request, &[u8]) -> Reply,
    &'static [Option<usize>],
);

#[test]
fn a_broken_download_goes_on_where_it_stopped_or_from_zero_where_it_cannot() {
    let cases: Vec<Case> = vec![
        (
            "a server error, then all is well",
            vec![],
            |request, file| match request.before {
                0 => Reply::new("503 Service Unavailable", b"").header("Retry-After", "0"),
                1 => Reply::new("408 Request Timeout", b""),
                2 => Reply::new("429 Too Many Requests", b"").header("Retry-After", "later"),
                _ => Reply::file(request, file),
            },
            &[None, None, None, None],
        ),
        (
            "cut in the middle, with a length",
            vec![],
            |request, file| match request.before {
                0 => Reply::ok(file).cut(30_000),
                _ => Reply::file(request, file),
            },
            &[None, Some(30_000)],
        ),
        (
            "cut in the middle, without a length",
            vec![],
            |request, file| match request.before {
                0 => Reply::ok(file).unannounced().cut(30_000),
                _ => Reply::file(request, file),
            },
            &[None, Some(30_000)],
        ),
        (
            "silent in the middle",
            vec![],
            |request, file| match request.before {
                0 => Reply::ok(file).cut(30_000).hang(),
                _ => Reply::file(request, file),
            },
            &[None, Some(30_000)],
        ),
        (
            "a server that ignores ranges",
            vec![],
            |request, file| match request.before {
                0 => Reply::ok(file).cut(30_000),
                _ => Reply::ok(file),
            },
            &[None, Some(30_000)],
        ),
        (
            "a server that gives another range than the asked one",
            vec![],
            |request, file| match (request.before, request.from()) {
                (0, _) => Reply::ok(file).cut(30_000),
                (_, Some(_)) => Reply::new("206 Partial Content", &file[10_000..])
                    .header("Content-Range", "bytes 10000-99999/100000"),
                _ => Reply::ok(file),
            },
            &[None, Some(30_000), None],
        ),
        (
            "a server that does not say which range it gives",
            vec![],
            |request, file| match (request.before, request.from()) {
                (0, _) => Reply::ok(file).cut(30_000),
                (_, Some(from)) => Reply::new("206 Partial Content", &file[from..]),
                _ => Reply::ok(file),
            },
            &[None, Some(30_000), None],
        ),
        (
            "a server that has no such range",
            vec![],
            |request, file| match (request.before, request.from()) {
                (0, _) => Reply::ok(file).cut(30_000),
                (_, Some(_)) => Reply::new("416 Range Not Satisfiable", b""),
                _ => Reply::ok(file),
            },
            &[None, Some(30_000), None],
        ),
        (
            "a server that refuses every range as a bad request",
            vec![],
            |request, file| match (request.before, request.from()) {
                (0, _) => Reply::ok(file).cut(30_000),
                (_, Some(_)) => Reply::new("400 Bad Request", b""),
                _ => Reply::ok(file),
            },
            &[None, Some(30_000), None],
        ),
        (
            "a server that forbids ranges, and one that does not know them",
            bytes(1_000),
            |request, file| match (request.before, request.from()) {
                (0, _) => Reply::new("403 Forbidden", b""),
                (1, _) => Reply::ok(file).cut(30_000),
                (_, Some(_)) => Reply::new("501 Not Implemented", b""),
                _ => Reply::ok(file),
            },
            &[Some(1_000), None, Some(30_000), None],
        ),
        (
            "a server that fails at each range",
            vec![],
            |request, file| match (request.before, request.from()) {
                (0, _) => Reply::ok(file).cut(30_000),
                (_, Some(_)) => Reply::new("503 Service Unavailable", b""),
                _ => Reply::ok(file),
            },
            &[None, Some(30_000), Some(30_000), None],
        ),
        (
            "a server that gives a part at a time",
            vec![],
            |request, file| match request.from() {
                None => Reply::ok(file).cut(30_000),
                Some(from) => {
                    let end = file.len().min(from + 20_000);
                    let range = format!("Bytes {from}-{}/{}", end - 1, file.len());
                    Reply::new("206 Partial Content", &file[from..end])
                        .header("content-RANGE", &range)
                }
            },
            &[None, Some(30_000), Some(50_000), Some(70_000), Some(90_000)],
        ),
        (
            "a server whose chunks end without the last, empty one",
            vec![],
            // A hundred chunks of 1000 bytes, each between 5 and 2 bytes of framing.
            |_, file| Reply::ok(file).chunked().cut(100 * 1007),
            &[None],
        ),
        (
            "a server that is silent after the last byte",
            vec![],
            |_, file| Reply::ok(file).unannounced().hang(),
            &[None],
        ),
        (
            "an earlier process left the beginning",
            bytes(99_999),
            |request, file| Reply::file(request, file),
            &[Some(99_999)],
        ),
        (
            "an earlier process was killed before it could rename the whole",
            bytes(100_000),
            |_, _| Reply::new("404 Not Found", b""),
            &[],
        ),
        (
            "an earlier process left something else",
            vec![7; 50_000],
            |request, file| Reply::file(request, file),
            &[Some(50_000), None],
        ),
        (
            "an earlier process left something else, and the server breaks as well",
            vec![7; 50_000],
            |request, file| match request.before {
                0 => Reply::file(request, file).cut(10_000),
                _ => Reply::file(request, file),
            },
            &[Some(50_000), Some(60_000), None],
        ),
        (
            "an earlier process left something else of the right size",
            vec![7; 100_000],
            |request, file| Reply::file(request, file),
            &[None],
        ),
        (
            "an earlier process left more than the size",
            vec![7; 100_001],
            |request, file| Reply::file(request, file),
            &[None],
        ),
    ];
    for (name, left, answer, expected) in cases {
        let (bed, file) = (Bed::new(), bytes(100_000));
        if !left.is_empty() {
            bed.leave_partial(Digest::of(&file), &left);
        }
        let served = file.clone();
        let server = Server::start(move |request| answer(request, &served));
        bed.fetch_whole(&file, &[server.url("/file")]);
        assert_eq!(ranges(&server), expected, "{name}");
    }
}

#[test]
fn a_connection_that_is_reset_in_the_middle_is_taken_up_again() {
    let (bed, file) = (Bed::new(), bytes(100_000));
    let served = file.clone();
    let server = Server::start(move |request| match request.before {
        0 | 1 => Reply::file(request, &served).cut(30_000).reset(),
        _ => Reply::file(request, &served),
    });
    bed.fetch_whole(&file, &[server.url("/file")]);
    // A reset can cost the client what it had not read yet, but not all of it.
    let asked = ranges(&server);
    assert_eq!((asked.len(), asked[0]), (3, None));
    assert!(asked[1] > Some(0) && asked[2] >= asked[1], "{asked:?}");
    assert_eq!(bed.seen.retries(), 2);
}

#[test]
fn what_one_location_began_another_one_ends() {
    let (bed, file) = (Bed::new(), bytes(100_000));
    let served = file.clone();
    let server = Server::start(move |request| match request.target.as_str() {
        "/breaks" => Reply::file(request, &served).cut(10_000),
        _ => Reply::file(request, &served),
    });
    bed.fetch_whole(&file, &[server.url("/breaks"), server.url("/good")]);
    let ask = |path: &str, from| (path.to_owned(), from);
    assert_eq!(
        server.asked(),
        [
            ask("/breaks", None),
            ask("/breaks", Some(10_000)),
            ask("/breaks", Some(20_000)),
            ask("/breaks", Some(30_000)),
            ask("/good", Some(40_000)),
        ]
    );
}

#[test]
fn a_location_with_other_bytes_does_not_spoil_the_next_one() {
    // The first gives wrong bytes and breaks: the second's are appended, found wrong, and fetched anew, from zero.
    let (bed, file) = (Bed::new(), bytes(100_000));
    let served = file.clone();
    let server = Server::start(move |request| match request.target.as_str() {
        "/wrong" if request.before == 0 => Reply::ok(&[7; 100_000]).cut(10_000),
        "/wrong" => Reply::new("404 Not Found", b""),
        _ => Reply::file(request, &served),
    });
    bed.fetch_whole(&file, &[server.url("/wrong"), server.url("/good")]);
    let ask = |path: &str, from| (path.to_owned(), from);
    assert_eq!(
        server.asked(),
        [
            ask("/wrong", None),
            ask("/wrong", Some(10_000)),
            ask("/good", Some(10_000)),
            ask("/good", None),
        ]
    );
}

#[test]
fn a_connection_that_breaks_often_but_brings_a_mebibyte_each_time_is_used_to_the_end() {
    let (bed, file) = (Bed::new(), bytes(8 << 20));
    let served = file.clone();
    let server = Server::start(move |request| Reply::file(request, &served).cut((1 << 20) + 1));
    bed.fetch_whole(&file, &[server.url("/file")]);
    assert_eq!(server.requests().len(), 8);
}

#[test]
fn what_came_before_the_network_went_away_is_kept_for_the_next_time() {
    let (bed, file) = (Bed::new(), bytes(100_000));
    let digest = Digest::of(&file);
    let served = file.clone();
    let server = Server::start(move |request| match request.before {
        0 => Reply::ok(&served).cut(60_000),
        1..=3 => Reply::mute(),
        _ => Reply::file(request, &served),
    });
    let urls = [server.url("/file")];
    let error = bed.fetch(digest, None, &places(&urls)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert_eq!(bed.litter().len(), 1);
    bed.fetch_whole(&file, &urls);
    let from = Some(60_000);
    assert_eq!(ranges(&server), [None, from, from, from, from]);
}

#[test]
fn the_events_tell_what_was_asked_what_came_and_what_went_wrong() {
    let (bed, file) = (Bed::new(), bytes(300_000));
    let served = file.clone();
    let server = Server::start(move |request| match request.target.as_str() {
        "/moved" => Reply::to("/file"),
        "/file" if request.before == 0 => Reply::ok(&served).cut(100_000),
        "/file" => Reply::file(request, &served),
        _ => Reply::new("404 Not Found", b""),
    });
    let urls = ["/gone", "/moved"].map(|path| server.url(path));
    bed.fetch_whole(&file, &urls);
    let name = || "thing".to_owned();
    let contact = |path: &str| Event::Detail(format!("contacting `{}`", server.url(path)));
    let started = |have| Event::DownloadStarted {
        name: name(),
        url: server.url("/moved"),
        size: Some(300_000),
        have,
    };
    let mut events = bed.seen.events();
    // How many bytes come at once is the kernel's business; that they are told in steps of 64 KiB or more is ours.
    let mut steps = Vec::new();
    events.retain(|event| match event {
        Event::DownloadAdvanced { have, .. } => {
            steps.push(*have);
            false
        }
        _ => true,
    });
    // pitfall 45: every URL that is contacted can be seen.
    assert_eq!(
        events,
        [
            contact("/gone"),
            Event::DownloadGivenUp {
                name: name(),
                url: server.url("/gone"),
                reason: "404 Not Found".to_owned(),
            },
            contact("/moved"),
            contact("/file"),
            started(0),
            Event::DownloadRetried {
                name: name(),
                url: server.url("/moved"),
                reason: "truncated: got 100000 bytes of 300000".to_owned(),
                pause: bed.options.pause,
            },
            contact("/moved"),
            contact("/file"),
            started(100_000),
            Event::DownloadFinished {
                name: name(),
                size: 300_000,
            },
        ]
    );
    assert!(!steps.is_empty() && steps.len() <= 4, "{steps:?}");
    let far = steps.windows(2).all(|pair| pair[1] >= pair[0] + 65_536);
    assert!(far, "{steps:?}");
}

#[test]
fn the_request_says_who_asks_and_asks_for_the_bytes_as_they_are() {
    let (bed, file) = (Bed::new(), bytes(10));
    // pitfall 40: the hash is over what came, not over what a decoder would make of it.
    let mut gzipped = vec![0x1f, 0x8b, 8, 0];
    gzipped.extend(&file);
    let served = gzipped.clone();
    let server = Server::start(move |_| Reply::ok(&served).header("Content-Encoding", "gzip"));
    bed.fetch_whole(&gzipped, &[server.url("/a%20b?c=d")]);
    let request = server.requests().remove(0);
    assert_eq!(request.target, "/a%20b?c=d");
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    assert_eq!(header("accept-encoding"), Some("identity"));
    let agent = concat!("mkimg/", env!("CARGO_PKG_VERSION"));
    assert_eq!(header("user-agent"), Some(agent));
    assert_eq!(header("range"), None);
}
