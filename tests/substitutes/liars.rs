//! Places that lie, break, hang or trickle: each ends in the image that was made here, and a warning that names the place.

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::bed::Fake;
use crate::cli::run;
use crate::server::{Reply, Request, Server};
use crate::support::tool;
use crate::team::{Team, realize, repository, tiny};
use crate::tiny::assert_whole;

/// What the registries hold.
struct Parts {
    signed: Fake,
    unsigned: Fake,
    by_stranger: Fake,
    tag: String,
    manifest: Vec<u8>,
    /// `sha256:HEX` of manifest, kernel, `image.json`.
    digest: String,
    kernel: String,
    image: String,
    /// Another image of the team, signed too, in the same registry: its manifest.
    other: Vec<u8>,
}

impl Parts {
    fn of(team: &Team) -> Parts {
        let signed = team.fake(Some("trusted"));
        let tag = team.plan_tag();
        let manifest = signed.manifests.lock().unwrap()[&tag].clone();
        let value: Value = serde_json::from_slice(&manifest).unwrap();
        let layer = |role: &str| {
            let layers = value["layers"].as_array().unwrap();
            let is_it = |layer: &&Value| layer["annotations"]["dev.mkimg.role"] == role;
            let layer = layers.iter().find(is_it).unwrap();
            layer["digest"].as_str().unwrap().to_owned()
        };
        let (kernel, image) = (layer("kernel"), layer("image"));
        // Another image, in the same registry.
        let second = Team {
            maker: tiny(),
            built: Value::Null,
        };
        second
            .maker
            .takes(b"another thing", "file \"/thing\" from=\"thing\"");
        fs::copy(team.path("trusted"), second.path("trusted")).unwrap();
        fs::copy(team.path("trusted.pub"), second.path("trusted.pub")).unwrap();
        let before: Vec<String> = signed.manifests.lock().unwrap().keys().cloned().collect();
        let server = signed.serve();
        second.push(&repository(&server), Some("trusted"));
        let manifests = signed.manifests.lock().unwrap().clone();
        let new = |name: &&String| name.starts_with("plan-") && !before.contains(*name);
        let other = manifests[manifests.keys().find(new).unwrap()].clone();
        Parts {
            digest: crate::bed::named(&manifest),
            unsigned: team.fake(None),
            by_stranger: team.fake(Some("stranger")),
            signed,
            tag,
            manifest,
            kernel,
            image,
            other,
        }
    }

    /// The tag that lists what is said about a manifest.
    fn about(&self, manifest: &[u8]) -> Vec<u8> {
        let tag = crate::bed::named(manifest).replace(':', "-");
        self.signed.manifests.lock().unwrap()[&tag].clone()
    }
}

/// What a registry does, which answer it gives instead of the right one, and what the warning says; nothing where there is none.
type Row = (
    &'static str,
    fn(&Parts, &Request) -> Option<Reply>,
    &'static str,
);

fn manifest(parts: &Parts, request: &Request) -> bool {
    request
        .target
        .ends_with(&format!("/manifests/{}", parts.tag))
}

fn kernel(parts: &Parts, request: &Request) -> bool {
    request.target.ends_with(&parts.kernel)
}

const ROWS: [Row; 20] = [
    (
        "hangs",
        |p, r| manifest(p, r).then(Reply::mute),
        "no answer for 5 s",
    ),
    (
        "trickles its manifest",
        |p, r| manifest(p, r).then(|| Reply::ok(&p.manifest).trickle()),
        "too slow: not done after 5 s",
    ),
    (
        "trickles the kernel",
        |p, r| kernel(p, r).then(|| Reply::ok(&[0; 4096]).trickle()),
        "too slow: not done after 10 s",
    ),
    (
        "stops in the middle of the kernel",
        |p, r| kernel(p, r).then(|| Reply::ok(&[0; 4096]).cut(1000).hang()),
        "no answer for 5 s",
    ),
    (
        "fails",
        |p, r| manifest(p, r).then(|| Reply::new("500 Internal Server Error", b"")),
        "500 Internal Server Error",
    ),
    (
        "fails with the kernel",
        |p, r| kernel(p, r).then(|| Reply::new("503 Service Unavailable", b"")),
        "503",
    ),
    (
        "knows us not",
        |_, _| {
            Some(Reply::new("401 Unauthorized", b"").header("WWW-Authenticate", "Basic realm=x"))
        },
        "401",
    ),
    (
        "has no such image",
        |p, r| manifest(p, r).then(|| Reply::new("404 Not Found", b"")),
        "",
    ),
    (
        "has lost the kernel",
        |p, r| kernel(p, r).then(|| Reply::new("404 Not Found", b"")),
        "is not in",
    ),
    (
        "sends garbage",
        |p, r| manifest(p, r).then(|| Reply::ok(&crate::tiny::noise(5000))),
        "it is no JSON",
    ),
    (
        "sends a page",
        |p, r| manifest(p, r).then(|| Reply::ok(b"<!DOCTYPE html><p>Log in</p>")),
        "it is no JSON",
    ),
    (
        "sends half a manifest",
        |p, r| manifest(p, r).then(|| Reply::ok(&p.manifest).cut(p.manifest.len() / 2)),
        "truncated",
    ),
    (
        "sends half a kernel",
        |p, r| kernel(p, r).then(|| Reply::ok(&[0; 4096]).cut(1000)),
        "truncated",
    ),
    (
        "sends another kernel",
        |p, r| kernel(p, r).then(|| Reply::ok(&[7; 4096])),
        "expected sha256:",
    ),
    (
        "sends another `image.json`",
        |p, r| r.target.ends_with(&p.image).then(|| Reply::ok(b"{}")),
        "image.json",
    ),
    (
        "turns in a circle",
        |p, r| manifest(p, r).then(|| Reply::to(&r.target)),
        "redirect loop",
    ),
    (
        "has another plan's image under the tag",
        |p, r| manifest(p, r).then(|| Reply::ok(&p.other)),
        "its image is one of the plan ",
    ),
    (
        "has an image that nobody signed",
        |p, r| Some(p.unsigned.answer(r)),
        "nobody did",
    ),
    (
        "has an image that a stranger signed",
        |p, r| Some(p.by_stranger.answer(r)),
        "its key is not a trusted one",
    ),
    (
        "has the signature of another image",
        |p, r| {
            let tag = p.digest.replace(':', "-");
            let about = || Reply::ok(&p.about(&p.other));
            r.target.ends_with(&tag).then(about)
        },
        "its subject is another manifest",
    ),
];

#[test]
fn no_registry_can_break_a_build_or_change_its_image() {
    let Some(team) = Team::new() else { return };
    let parts = Parts::of(&team);
    // The right answers are taken: each row below fails for its own reason alone.
    let server = parts.signed.serve();
    let (found, said) = realize(&tiny(), &team.ask(&repository(&server)));
    assert_ne!(found["from"], Value::Null, "{said}");
    let (parts, team) = (&parts, &team);
    thread::scope(|scope| {
        for (what, odd, words) in ROWS {
            scope.spawn(move || {
                // The rows' functions are told what the registries hold, which the server's thread cannot borrow.
                let parts = Parts {
                    signed: parts.signed.clone(),
                    unsigned: parts.unsigned.clone(),
                    by_stranger: parts.by_stranger.clone(),
                    tag: parts.tag.clone(),
                    manifest: parts.manifest.clone(),
                    digest: parts.digest.clone(),
                    kernel: parts.kernel.clone(),
                    image: parts.image.clone(),
                    other: parts.other.clone(),
                };
                let fake = parts.signed.clone();
                let server = fake.serve_but(move |request| odd(&parts, request));
                let place = repository(&server);
                check(team, &place, what, words, what == "has no such image");
            });
        }
    });
}

#[test]
fn no_web_directory_can_break_a_build_or_change_its_image() {
    let Some(team) = Team::new() else { return };
    let directory = team.maker.path("bundles");
    let unsigned = fs::read(team.bundle(&directory, None)).unwrap();
    let stranger = fs::read(team.bundle(&directory, Some("stranger"))).unwrap();
    let signed = fs::read(team.bundle(&directory, Some("trusted"))).unwrap();
    let flipped = {
        let mut bytes = signed.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let half = signed[..signed.len() / 2].to_vec();
    let rows: Vec<(&str, Reply, &str)> = vec![
        ("hangs", Reply::mute(), "no answer for 5 s"),
        ("fails", Reply::new("500 Internal Server Error", b""), "500"),
        ("forbids", Reply::new("403 Forbidden", b""), "403"),
        ("has none", Reply::new("404 Not Found", b""), ""),
        ("breaks off", Reply::ok(&signed).cut(5000), "truncated"),
        ("trickles", Reply::ok(&signed).trickle(), "too slow"),
        ("sends half a bundle", Reply::ok(&half), "truncated"),
        (
            "sends garbage",
            Reply::ok(&crate::tiny::noise(5000)),
            "damaged",
        ),
        ("sends nothing", Reply::ok(b""), "truncated"),
        (
            "declares 10 GB",
            Reply::ok(b"").announcing(10_000_000_000),
            "more than the 2147483648 of `--max-unpacked`",
        ),
        ("flips a bit", Reply::ok(&flipped), "bundle"),
        ("has no signature", Reply::ok(&unsigned), "nobody did"),
        (
            "has a stranger's",
            Reply::ok(&stranger),
            "its key is not a trusted one",
        ),
    ];
    let team = &team;
    thread::scope(|scope| {
        for (what, reply, words) in rows {
            scope.spawn(move || {
                let server = Server::start(move |_| reply.clone());
                check(
                    team,
                    &server.url("/images"),
                    what,
                    words,
                    what == "has none",
                );
                let asked = format!("/images/{}.mkimg", team.plan_tag());
                assert_eq!(server.asked(), [(asked, None)], "{what}");
            });
        }
    });
}

#[test]
fn no_directory_can_break_a_build_or_change_its_image() {
    let (Some(team), Some(mkfifo)) = (Team::new(), tool("mkfifo")) else {
        return;
    };
    let good = fs::read(team.bundle(&team.maker.path("good"), Some("trusted"))).unwrap();
    let cases: [(&str, Option<&[u8]>, &str); 4] = [
        ("is not there", None, "No such file or directory"),
        ("has none", None, ""),
        ("has half of it", Some(&good[..good.len() / 2]), "truncated"),
        ("has a pipe", None, "is no file"),
    ];
    for (what, bytes, words) in cases {
        let directory = team.maker.path(&format!("it {what}"));
        let file = directory.join(format!("{}.mkimg", team.plan_tag()));
        if what != "is not there" {
            fs::create_dir(&directory).unwrap();
        }
        if what == "has a pipe" {
            run(Command::new(&mkfifo).arg(&file));
        }
        if let Some(bytes) = bytes {
            fs::write(&file, bytes).unwrap();
        }
        let place = directory.display().to_string();
        check(&team, &place, what, words, what == "has none");
    }
}

/// Realizes with a place that is of no use, and looks at what came of it.
fn check(team: &Team, place: &str, what: &str, words: &str, normal: bool) {
    let taker = tiny();
    let (found, said) = realize(&taker, &team.ask(place));
    assert_eq!(found["from"], Value::Null, "{what}");
    team.assert_same(&found, what);
    assert_whole(&taker.path("cache"));
    if normal {
        assert!(!said.contains("warning"), "{what}: {said}");
        assert!(!said.contains(place), "{what}: {said}");
        return;
    }
    let warning = said.lines().find(|line| line.contains("warning"));
    let warning = warning.unwrap_or_else(|| panic!("{what}: {said}"));
    assert!(
        warning.contains(&format!("the substitute `{place}")),
        "{what}: {said}"
    );
    assert!(warning.contains(words), "{what}: {said}");
}
