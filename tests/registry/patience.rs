//! The program against a registry that misbehaves: what it says, and with which exit code it ends.

use std::fs;
use std::sync::Arc;

use crate::bed::{Fake, missing};
use crate::cli::{Project, fails, run, stdout};
use crate::server::{Reply, Request, Server};
use crate::tiny::assert_clean;
use crate::verbs::two;

/// A registry with the image `two` under the tag `1`, and the reference by digest.
fn filled() -> (Fake, String) {
    let fake = Fake::default();
    let server = fake.serve();
    let to = format!("{}/team/thing:1", server.address());
    let output = run(&mut two("a").mkimg(["push", "two", &to]));
    let digest = stdout(&output)
        .trim_end()
        .split_once('@')
        .unwrap()
        .1
        .to_owned();
    (fake, digest)
}

fn pull(project: &Project, server: &Server, more: &[&str]) -> std::process::Command {
    let from = format!("{}/team/thing:1", server.address());
    let mut command = project.mkimg(["pull", &from, "--arch", "x86_64", "--timeout", "500ms"]);
    command.args(more);
    command
}

/// Says whether a request is for the kernel's blob.
fn is_blob(request: &Request) -> bool {
    let kernel = mkimg::digest::Digest::of(&crate::tiny::kernel()).to_string();
    request.method == "GET" && request.target.ends_with(&kernel)
}

#[test]
fn what_passes_is_waited_for() {
    let (fake, _) = filled();
    let kernel = crate::tiny::kernel();
    type Odd = Arc<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;
    let first = |reply: Reply| -> Odd {
        Arc::new(move |request| (is_blob(request) && request.before == 0).then(|| reply.clone()))
    };
    let cases: Vec<(&str, Odd)> = vec![
        (
            "500 Internal Server Error; trying again",
            Arc::new(|request| {
                (request.target.ends_with("/manifests/1") && request.before < 2)
                    .then(|| Reply::new("500 Internal Server Error", b""))
            }),
        ),
        (
            "429 Too Many Requests; trying again in 1",
            Arc::new(|request| {
                (request.target.ends_with("/manifests/1") && request.before == 0)
                    .then(|| Reply::new("429 Too Many Requests", b"").header("Retry-After", "1"))
            }),
        ),
        (
            "truncated: got 1000 bytes of 4096",
            first(Reply::ok(&kernel).cut(1000)),
        ),
        ("trying again", first(Reply::ok(&kernel).cut(1000).reset())),
        (
            "no answer for 0.5 s",
            first(Reply::ok(&kernel).cut(1000).hang()),
        ),
    ];
    for (words, odd) in cases {
        let server = fake.serve_but(move |request| odd(request));
        let project = Project::new();
        let output = run(&mut pull(&project, &server, &[]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{words}: {said}");
        assert_clean(&project.path("cache"));
    }
}

#[test]
fn what_does_not_pass_ends_with_words_and_a_code() {
    let (fake, digest) = filled();
    let kernel = crate::tiny::kernel();
    let other = crate::tiny::arm64_kernel();
    let manifest = |reply: Reply| -> (bool, Reply) { (false, reply) };
    let blob = |reply: Reply| -> (bool, Reply) { (true, reply) };
    let huge = vec![b' '; (4 << 20) + 1];
    let cases: Vec<((bool, Reply), i32, &str)> = vec![
        (manifest(Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", "Basic")), 1, "docker login"),
        (manifest(Reply::new("403 Forbidden", b"")), 1, "403 Forbidden"),
        (manifest(missing()), 1, "the tag `1` is not in"),
        (manifest(Reply::mute()), 1, "no answer for 0.5 s"),
        (manifest(Reply::ok(b"<html>\x1b[31m")), 3, "it is no JSON"),
        (manifest(Reply::ok(b"[]")), 3, "`schemaVersion` is not 2"),
        (manifest(Reply::ok(br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#)), 3, "it has no image for an architecture that mkimg knows"),
        (manifest(Reply::ok(&huge)), 3, "too long"),
        (manifest(Reply::ok(b"{}").header("Docker-Content-Digest", &digest)), 3, "found sha256:44136fa3"),
        (manifest(Reply::to("/v2/team/thing/manifests/1")), 1, "redirect loop"),
        (blob(Reply::ok(&other)), 3, "the blob `sha256:"),
        (blob(Reply::ok(&kernel).announcing(1000)), 3, "in 1000 bytes"),
        (blob(Reply::ok(&kernel).announcing(5000)), 3, "too long"),
        (blob(missing()), 1, "is not in"),
        (blob(Reply::to("http://registry.example/x")), 1, "plain http"),
    ];
    for ((of_blob, reply), code, words) in cases {
        let server = fake.serve_but(move |request| {
            let own = match of_blob {
                true => is_blob(request),
                false => request.target.ends_with("/manifests/1"),
            };
            own.then(|| reply.clone())
        });
        let project = Project::new();
        let said = fails(&mut pull(&project, &server, &[]), code);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
        assert!(!project.path("cache/imports-v1").exists(), "{said}");
    }
}

#[test]
fn blobs_behind_another_host_come_and_nobody_there_learns_who_asks() {
    let (fake, _) = filled();
    let cdn = {
        let fake = fake.clone();
        Server::start_on("127.0.0.2", move |request| fake.answer(request))
    };
    let to = cdn.url("");
    let server = fake.serve_but(move |request| {
        let known = request.headers.contains_key("authorization");
        match (
            known,
            request.method.as_str(),
            request.target.contains("/blobs/"),
        ) {
            (false, ..) => Some(
                Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", "Basic realm=\"x\""),
            ),
            (true, "GET", true) => Some(Reply::to(&format!("{to}{}?key=geheim", request.target))),
            _ => None,
        }
    });
    let project = Project::new();
    let auth = format!(
        r#"{{"auths": {{"{}": {{"auth": "dTpnZWhlaW0="}}}}}}"#,
        server.address()
    );
    fs::write(project.path("auth.json"), auth).unwrap();
    let mut command = pull(&project, &server, &["-v", "-v"]);
    let output = run(command.env("REGISTRY_AUTH_FILE", project.path("auth.json")));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("contacting `http://127.0.0.2:"), "{said}");
    for secret in ["geheim", "dTpn"] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(cdn.requests().len() > 3);
    for request in cdn.requests() {
        assert!(
            !request.headers.contains_key("authorization"),
            "{request:?}"
        );
    }
}

#[test]
fn an_interrupted_pull_goes_on_where_it_stopped() {
    let (fake, _) = filled();
    let kernel = crate::tiny::kernel();
    let stuck = fake
        .serve_but(move |request| is_blob(request).then(|| Reply::ok(&kernel).cut(3000).hang()));
    let project = Project::new();
    let from = format!("{}/team/thing:1", stuck.address());
    let mut command = project.mkimg(["pull", &from, "--arch", "x86_64"]);
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let partial = project.path("cache/partial");
    let size = || {
        let entries = fs::read_dir(&partial).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.metadata().map_or(0, |found| found.len()))
            .max()
    };
    while size() != Some(3000) {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let good = fake.serve();
    run(&mut pull(&project, &good, &[]));
    let asked: Vec<Option<usize>> = good
        .requests()
        .iter()
        .filter(|request| is_blob(request))
        .map(Request::from)
        .collect();
    assert_eq!(asked, [Some(3000)]);
    assert_clean(&project.path("cache"));
}
