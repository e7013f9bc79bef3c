//! Servers that misbehave in every way of the list.

use std::fs;

use crate::cli::{fails, run};
use crate::says;
use crate::server::{Reply, Request, Server};
use crate::support::tool;
use crate::tiny::{Tiny, assert_clean, files, images, urls};

const THING: &[u8] = b"some bytes that a recipe wants, and that a server has";

/// What a server may do with a request for `/thing`.
type Answer = fn(&Request) -> Reply;

struct Case {
    name: &'static str,
    answer: Answer,
    code: i32,
    says: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "wrong bytes",
        answer: |_| Reply::ok(&[b'x'; THING.len()]),
        code: 3,
        says: &[
            "wrong bytes: expected sha256 ",
            ", got ",
            "URL",
            "mkimg pin --refresh",
        ],
    },
    Case {
        name: "truncated body",
        answer: |_| Reply::ok(THING).cut(10),
        code: 3,
        says: &["truncated: got 10 bytes of 53", "URL", "try again"],
    },
    Case {
        name: "short body that claims to be whole",
        answer: |_| Reply::ok(&THING[..10]),
        code: 3,
        says: &["in 10 bytes of 53", "URL"],
    },
    Case {
        name: "longer than declared",
        answer: |_| Reply::ok(&[THING, b"more"].concat()),
        code: 3,
        says: &[
            "too long: expected at most 53 bytes, it has 57",
            "URL",
            "correct `size`",
        ],
    },
    Case {
        name: "longer than declared, unannounced",
        answer: |_| Reply::ok(&[THING, b"more"].concat()).unannounced(),
        code: 3,
        says: &[
            "too long: expected at most 53 bytes, more came",
            "URL",
            "correct `size`",
        ],
    },
    Case {
        name: "HTML with status 200",
        answer: |_| Reply::ok(b"<html>Please log in</html>"),
        code: 3,
        says: &[
            "it is text that begins with `<html>Please log in</html>`",
            "URL",
        ],
    },
    Case {
        name: "404",
        answer: |_| Reply::new("404 Not Found", b""),
        code: 2,
        says: &[
            "404 Not Found",
            "URL",
            "correct the location or add another one",
        ],
    },
    Case {
        name: "redirect loop",
        answer: |_| Reply::to("/thing"),
        code: 2,
        says: &[
            "redirect",
            "URL",
            "correct the location, or add another one",
        ],
    },
    Case {
        name: "redirect into the file system",
        answer: |_| Reply::to("file:///etc/passwd"),
        code: 2,
        says: &[
            "`file:///etc/passwd`, which is neither http nor https",
            "URL",
        ],
    },
    Case {
        name: "server error",
        answer: |_| Reply::new("503 Service Unavailable", b"").header("Retry-After", "0"),
        code: 1,
        says: &[
            "503 Service Unavailable",
            "URL",
            "try again",
            "mkimg add FILE",
        ],
    },
];

/// A recipe that takes `/thing` of servers.
fn wanting(servers: &[String]) -> Tiny {
    let tiny = Tiny::new();
    tiny.recipe(
        &urls("thing", THING, servers),
        "file \"/thing\" from=\"thing\"",
    );
    tiny
}

// pitfall 43
#[test]
fn every_bad_answer_is_named_leaves_nothing_and_is_made_good_by_the_next_run() {
    for case in CASES {
        let answer = case.answer;
        let server = Server::start(move |request| match request.target.as_str() {
            "/thing" => answer(request),
            _ => Reply::new("404 Not Found", b""),
        });
        let url = server.url("/thing");
        let tiny = wanting(std::slice::from_ref(&url));
        let said = fails(&mut tiny.realize(&[]), case.code);
        let said = said.replace(&url, "URL");
        says(&said, &["could not fetch `thing`", "help: "]);
        says(&said, case.says);
        assert_eq!(images(&tiny.path("cache")), 0, "{}", case.name);

        // The next run with a better server succeeds, whatever the first one left to go on with.
        let good = Server::start(|request| Reply::file(request, THING));
        let sources = urls("thing", THING, &[good.url("/thing")]);
        tiny.recipe(&sources, "file \"/thing\" from=\"thing\"");
        run(&mut tiny.realize(&[]));
        assert_clean(&tiny.path("cache"));
        assert_eq!(images(&tiny.path("cache")), 1, "{}", case.name);
    }
}

#[test]
fn a_mirror_that_lost_the_file_is_passed_over() {
    let bad = Server::start(|_| Reply::new("404 Not Found", b""));
    let html = Server::start(|_| Reply::ok(b"<html>moved</html>"));
    let good = Server::start(|request| Reply::file(request, THING));
    let tiny = wanting(&[bad.url("/a"), html.url("/b"), good.url("/c")]);
    run(&mut tiny.realize(&[]));
    assert_clean(&tiny.path("cache"));
    let asked = [bad.asked(), html.asked(), good.asked()].map(|asked| asked.len());
    assert_eq!(asked, [1, 1, 1]);
}

#[test]
fn when_no_mirror_has_the_file_each_is_told_with_what_it_gave() {
    let gone = Server::start(|_| Reply::new("404 Not Found", b""));
    let forbidden = Server::start(|_| Reply::new("403 Forbidden", b""));
    let tiny = wanting(&[gone.url("/a"), forbidden.url("/b")]);
    let said = fails(&mut tiny.realize(&[]), 2);
    let first = format!("`{}`: 404 Not Found", gone.url("/a"));
    let second = format!("`{}`: 403 Forbidden", forbidden.url("/b"));
    says(&said, &[&first, &second]);
    assert_clean(&tiny.path("cache"));
}

#[test]
fn offline_and_a_dead_server_are_failures_that_another_day_may_mend() {
    let server = Server::start(|request| Reply::file(request, THING));
    let tiny = wanting(&[server.url("/thing")]);
    let said = fails(&mut tiny.realize(&["--offline"]), 1);
    says(
        &said,
        &["not asked: `--offline`", "run once without `--offline`"],
    );
    assert_eq!(server.connections(), 0);
    let url = server.url("/thing");
    drop(server);
    let said = fails(&mut tiny.realize(&[]), 1);
    says(&said, &[&url, "Connection refused", "check the network"]);
    assert_clean(&tiny.path("cache"));
}

// pitfall 44
#[test]
fn a_source_without_a_hash_is_refused_before_anything_is_asked() {
    let server = Server::start(|request| Reply::file(request, THING));
    let tiny = Tiny::new();
    let source = format!(
        "source \"thing\" {{\n    url \"{}\"\n}}\n",
        server.url("/thing")
    );
    tiny.recipe(&source, "file \"/thing\" from=\"thing\"");
    let said = fails(&mut tiny.realize(&[]), 2);
    says(
        &said,
        &["images/tiny.kdl:6:5", "sha256", "mkimg pin images/tiny.kdl"],
    );
    assert_eq!(server.connections(), 0);
    assert_eq!(files(&tiny.path("cache")), Vec::<std::path::PathBuf>::new());
    // What the message says to do works.
    run(&mut tiny.project.mkimg(["pin", "images/tiny.kdl"]));
    run(&mut tiny.realize(&["--offline"]));
}

#[test]
fn https_leads_to_no_plain_http() {
    let Some(openssl) = tool("openssl") else {
        return;
    };
    let tiny = Tiny::new();
    let plain = Server::start(|request| Reply::file(request, THING));
    let directory = tiny.path("https");
    fs::create_dir(&directory).unwrap();
    let answer = format!(
        "HTTP/1.0 302 Found\r\nLocation: {}\r\n\r\n",
        plain.url("/thing")
    );
    fs::write(directory.join("thing"), answer).unwrap();
    let mut made = std::process::Command::new(&openssl);
    made.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '));
    made.args("-subj /CN=test -keyout key.pem -out cert.pem -addext".split(' '));
    made.args([
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    run(made.current_dir(&directory));
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .unwrap()
        .port();
    let mut serving = std::process::Command::new(&openssl);
    serving.args("s_server -quiet -HTTP -cert cert.pem -key key.pem -accept".split(' '));
    serving
        .arg(format!("127.0.0.1:{port}"))
        .current_dir(&directory);
    let null = std::process::Stdio::null;
    let mut serving = serving
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .spawn()
        .unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }

    let url = format!("https://127.0.0.1:{port}/thing");
    tiny.recipe(
        &urls("thing", THING, std::slice::from_ref(&url)),
        "file \"/thing\" from=\"thing\"",
    );
    let untrusted = fails(&mut tiny.realize(&[]), 1);
    let said = fails(
        tiny.realize(&[])
            .env("SSL_CERT_FILE", directory.join("cert.pem")),
        2,
    );
    serving.kill().unwrap();
    serving.wait().unwrap();
    says(
        &untrusted,
        &[&url, "no trusted connection", "ca-certificates"],
    );
    says(
        &said,
        &[
            &url,
            "it redirects from https to http, to",
            "correct the location",
        ],
    );
    assert_eq!(plain.connections(), 0);
    assert_clean(&tiny.path("cache"));
}
