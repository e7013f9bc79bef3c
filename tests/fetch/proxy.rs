//! Proxies: the ones that the caller names, and no other.

use mkimg::digest::Digest;
use mkimg::source::fetch::{Kind, Proxies};

use crate::bed::{Bed, bytes, places};
use crate::server::{Reply, Server};

#[test]
fn an_http_proxy_is_asked_for_the_whole_url() {
    let file = bytes(10_000);
    for (all, bare) in [(false, false), (true, true)] {
        let served = file.clone();
        let proxy = Server::start(move |request| Reply::file(request, &served));
        let mut bed = Bed::new();
        let value = if bare {
            proxy.address()
        } else {
            format!("http://user:secret@{}/", proxy.address())
        };
        let empty = Some(String::new());
        bed.options.proxies = if all {
            Proxies {
                http: empty,
                all: Some(value),
                ..Proxies::default()
            }
        } else {
            Proxies {
                http: Some(value),
                https: empty,
                ..Proxies::default()
            }
        };
        // A name that nobody can look up: the proxy does it.
        bed.fetch_whole(&file, &["http://host.invalid/file".to_owned()]);
        let request = proxy.requests().remove(0);
        assert_eq!(request.target, "http://host.invalid/file");
        let basic = (!bare).then_some("Basic dXNlcjpzZWNyZXQ=");
        let sent = request.headers.get("proxy-authorization");
        assert_eq!(sent.map(String::as_str), basic);
    }
}

#[test]
fn hosts_that_need_no_proxy_are_asked_directly() {
    let file = bytes(10_000);
    let served = file.clone();
    let server = Server::start(move |request| Reply::file(request, &served));
    let proxy = Server::start(|_| Reply::new("502 Bad Gateway", b""));
    let mut bed = Bed::new();
    bed.options.proxies = Proxies {
        http: Some(proxy.url("/")),
        no: Some("other.test, 127.0.0.0/8".to_owned()),
        ..Proxies::default()
    };
    bed.fetch_whole(&file, &[server.url("/file")]);
    assert_eq!((proxy.connections(), server.connections()), (0, 1));
}

#[test]
fn an_https_url_goes_through_the_proxy_by_a_tunnel_that_may_be_refused() {
    let proxy = Server::start(|_| Reply::new("403 Forbidden", b""));
    let mut bed = Bed::new();
    bed.options.proxies = Proxies {
        https: Some(proxy.url("/")),
        ..Proxies::default()
    };
    bed.options.tries = 1;
    let urls = places(&["https://host.invalid/file".to_owned()]);
    let error = bed.fetch(Digest::of(b"x"), None, &urls).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    assert_eq!(proxy.asked(), [("host.invalid:443".to_owned(), None)]);
}

#[test]
fn a_proxy_that_mkimg_cannot_use_is_an_error_and_never_a_direct_connection() {
    let server = Server::start(|_| Reply::ok(b"x"));
    for (value, more) in [
        ("socks5://ann:s3cr3t@127.0.0.1:1", ", and not `socks5`"),
        ("ftp://ann:s3cr3t@127.0.0.1:1", ", and not `ftp`"),
        ("http://ann:s3cr3t@[::bad", ""),
        ("ann:s3cr3t", ""),
        ("http://", ""),
        ("::", ""),
    ] {
        let mut bed = Bed::new();
        bed.options.proxies.all = Some(value.to_owned());
        let error = bed
            .fetch(Digest::of(b"x"), None, &places(&[server.url("/file")]))
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
        let reason = format!(
            "`all_proxy` names no proxy that mkimg can use: expected `http://HOST:PORT`{more}"
        );
        let said = format!("{error} {error:?} {:?}", bed.seen.events());
        assert!(!said.contains("s3cr3t"), "{said}");
        assert!(error.to_string().ends_with(&reason), "{error}");
        assert!(error.help()[0].contains("proxy variables"));
    }
    assert_eq!(server.connections(), 0);
}
