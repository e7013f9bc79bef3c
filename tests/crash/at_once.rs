//! Many processes on one cache.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::cli::{identities, json};
use crate::server::{Reply, Server};
use crate::tiny::{self, Tar, Tiny, assert_clean, images, noise, urls};
use crate::{Lane, fast_dir, said, small};

/// Starts commands all at once and returns what they print as JSON.
fn at_once(commands: Vec<Command>) -> Vec<serde_json::Value> {
    let children: Vec<_> = commands
        .into_iter()
        .map(|mut command| {
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            json(&output)
        })
        .collect()
}

// pitfall 55
#[test]
fn eight_processes_on_an_empty_cache_download_each_blob_once_and_agree() {
    let ((tiny, server), dir) = (small(), fast_dir());
    let lane = Lane {
        project: &tiny.project,
        recipe: "images/tiny.kdl",
        cache: dir.path().join("cache"),
        server: &server,
    };
    let made = at_once((0..8).map(|_| lane.command()).collect());
    for image in &made {
        assert_eq!(image["path"], made[0]["path"]);
        assert_eq!(identities(image), identities(&made[0]));
    }
    let mut asked = server.asked();
    asked.sort();
    asked.dedup();
    assert_eq!(
        (asked.len(), server.asked().len()),
        (2, 2),
        "{:?}",
        server.asked()
    );
    assert_clean(&lane.cache);
    assert_eq!(images(&lane.cache), 1);
}

// pitfall 55
#[test]
fn eight_processes_with_recipes_of_their_own_share_sources() {
    let (plain, archive) = (
        noise(200_000),
        Tar::default().file("a", &noise(100_000)).dir("d").end(),
    );
    let served = [plain.clone(), archive.clone()];
    let server = Server::start(move |request| match request.target.as_str() {
        "/plain" => Reply::file(request, &served[0]),
        _ => Reply::file(request, &served[1]),
    });
    let tiny = Tiny::new();
    let sources = [
        urls("plain", &plain, &[server.url("/plain")]),
        urls("archive", &archive, &[server.url("/archive")]),
    ]
    .concat();
    let commands = (0..8).map(|number| {
        let entries = format!(
            "file \"/plain{number}\" from=\"plain\"\n    tree \"/t{number}\" from=\"archive\"\n    \
             file \"/a\" from=\"archive\" path=\"a\""
        );
        let name = format!("r{number}");
        tiny.project
            .recipe(&name, &tiny::recipe(&sources, &entries));
        tiny.project.mkimg(["realize", &name, "--json"])
    });
    let made = at_once(commands.collect());
    let plans: BTreeSet<String> = made.iter().map(|image| image["plan"].to_string()).collect();
    assert_eq!(plans.len(), 8);
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
    assert_eq!(images(&tiny.path("cache")), 8);
    assert_clean(&tiny.path("cache"));
}
