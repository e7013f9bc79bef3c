//! Bounds: a source without a size, headers, addresses. And servers that want to be asked in another way.

use mkimg::digest::Digest;
use mkimg::recipe::Place;
use mkimg::source::fetch::{FetchOptions, Kind, MAX_DOWNLOAD};

use crate::bed::{Bed, bytes, places};
use crate::server::{Reply, Server};

#[test]
fn more_than_the_bound_is_refused_at_once_where_it_is_announced_and_else_at_the_bound() {
    assert_eq!(FetchOptions::default().max_download, MAX_DOWNLOAD);
    assert_eq!(MAX_DOWNLOAD, 4 << 30);
    let file = bytes(300_000);
    let digest = Digest::of(&file);
    type Answer = fn(&[u8]) -> Reply;
    let cases: [(&str, Answer); 3] = [
        ("it has 10995116277760", |file| {
            Reply::ok(&file[..10]).announcing(10 << 40).hang()
        }),
        ("it has 300000", Reply::ok),
        // It never ends: nobody waits for that.
        ("more came", |file| Reply::ok(file).unannounced().hang()),
    ];
    for (words, answer) in cases {
        for left in [0, 150_000] {
            let mut bed = Bed::new();
            bed.options.max_download = 100_000;
            if left > 0 {
                // An earlier process had a higher bound.
                bed.leave_partial(digest, &file[..left]);
            }
            let served = file.clone();
            let server = Server::start(move |_| answer(&served));
            let urls = places(&[server.url("/file")]);
            let error = bed.fetch(digest, None, &urls).unwrap_err();
            assert_eq!(error.kind(), Kind::Refused, "{error}");
            let text = error.to_string();
            let expected = format!("without `size=` a source has at most 100000 bytes, {words}");
            assert!(text.contains(&expected), "{text}");
            assert!(error.help()[0].contains("`size=`"), "{:?}", error.help());
            assert_eq!(server.requests().len(), 1);
            assert!(bed.litter().is_empty(), "{:?}", bed.litter());
            // Nor where nobody knows the digest.
            let place = Place::Url(server.url("/file"));
            let error = bed
                .fetcher()
                .fetch_unpinned("thing", &place, bed.dir.path(), None)
                .unwrap_err();
            assert!(error.to_string().contains(&expected), "{error}");
            assert!(bed.litter().is_empty(), "{:?}", bed.litter());
        }
    }
}

#[test]
fn a_declared_size_is_the_bound_whatever_the_other_one_is() {
    let mut bed = Bed::new();
    bed.options.max_download = 100;
    let file = bytes(10_000);
    let served = file.clone();
    let server = Server::start(move |_| Reply::ok(&served));
    bed.fetch_whole(&file, &[server.url("/file")]);
}

#[test]
fn a_file_of_this_machine_is_bounded_too() {
    let mut bed = Bed::new();
    bed.options.max_download = 100;
    std::fs::write(bed.dir.path().join("file"), [0; 101]).unwrap();
    let place = [Place::Local("file".to_owned())];
    let error = bed.fetch(Digest::of(&[0; 101]), None, &place).unwrap_err();
    assert!(error.to_string().contains("it has 101"), "{error}");
}

#[test]
fn many_header_fields_are_read_and_far_too_many_are_not() {
    let file = bytes(1_000);
    for (fields, taken) in [(120, true), (900, true), (1_100, false)] {
        let served = file.clone();
        let server = Server::start(move |_| {
            (0..fields).fold(Reply::ok(&served), |reply, number| {
                reply.header(&format!("X-Field-{number}"), "v")
            })
        });
        let bed = Bed::new();
        let urls = places(&[server.url("/file")]);
        let fetched = bed.fetch(Digest::of(&file), None, &urls);
        assert_eq!(fetched.is_ok(), taken, "{fields}: {fetched:?}");
    }
}

#[test]
fn a_redirect_to_a_very_long_address_is_told_in_a_few_words() {
    let server = Server::start(|_| Reply::to(&format!("/{}", "a".repeat(60_000))));
    let bed = Bed::new();
    let urls = places(&[server.url("/file")]);
    let error = bed.fetch(Digest::of(b"x"), None, &urls).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("an address of 60001 characters"), "{text}");
    assert!(text.len() < 500 && server.requests().len() == 1, "{text}");
    let said = format!("{:?}", bed.seen.events());
    assert!(said.len() < 2_000, "{said}");
}

#[test]
fn a_plus_is_asked_for_again_as_object_stores_want_it() {
    let file = bytes(10_000);
    for status in ["404 Not Found", "403 Forbidden"] {
        let served = file.clone();
        let server = Server::start(move |request| match request.target.as_str() {
            "/a%2Bb%2B1?c+d" if request.before == 0 => Reply::ok(&served).cut(4_000),
            "/a%2Bb%2B1?c+d" => Reply::file(request, &served),
            _ => Reply::new(status, b""),
        });
        Bed::new().fetch_whole(&file, &[server.url("/a+b+1?c+d")]);
        let asked = |path: &str, from| (path.to_owned(), from);
        let (plain, escaped) = ("/a+b+1?c+d", "/a%2Bb%2B1?c+d");
        let mut expected = vec![
            asked(plain, None),
            asked(escaped, None),
            asked(plain, Some(4_000)),
        ];
        expected.push(asked(escaped, Some(4_000)));
        assert_eq!(server.asked(), expected);
        // Who has it nowhere is told once, by the name that the recipe has.
        let none = Server::start(move |_| Reply::new(status, b""));
        let urls = places(&[none.url("/a+b")]);
        let error = Bed::new()
            .fetch(Digest::of(&file), None, &urls)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(!error.to_string().contains("%2B"), "{error}");
        assert_eq!(none.requests().len(), 2);
    }
}

#[test]
fn a_mirror_of_the_main_archive_is_asked_for_the_security_archive_beside_it() {
    let file = bytes(1_000);
    let served = file.clone();
    let server = Server::start(move |request| match request.target.as_str() {
        "/debian-security/pool/x.deb" => Reply::ok(&served),
        _ => Reply::new("404 Not Found", b""),
    });
    let mut bed = Bed::new();
    bed.options.debian_mirrors = vec![server.url("/debian")];
    let place = [Place::Debian {
        path: "pool/x.deb".to_owned(),
        snapshot: None,
        archive: "debian-security".to_owned(),
    }];
    bed.fetch(Digest::of(&file), None, &place).unwrap();
    assert_eq!(server.requests().len(), 1);
}
