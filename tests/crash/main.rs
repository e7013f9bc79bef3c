//! Processes that are killed, that run all at once, and objects that rot: the cache works on, and gives the same bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    missing_docs,
    dead_code,
    unreachable_pub
)]

mod at_once;
mod flipped;
mod killed;
mod rotten;

#[path = "../support/cli.rs"]
mod cli;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use cli::{Project, repository, repository_recipe};
use server::{Reply, Server};
use tiny::{Tar, Tiny, noise, urls};

const RECIPE: &str = "images/minimal.kdl";

/// Returns a server with the packages of the minimal recipe, at the places where a Debian mirror has them.
fn debian_mirror() -> Server {
    let recipe = repository_recipe("minimal");
    let mut packages: BTreeMap<String, Arc<Vec<u8>>> = BTreeMap::new();
    let mut path = String::new();
    for word in recipe.split_whitespace() {
        if word.starts_with("\"pool/") {
            path = format!("/{}", word.trim_matches('"'));
        } else if let Some(digest) = word.strip_prefix("sha256=") {
            let file = cli::mirror().join(digest.trim_matches('"'));
            packages.insert(path.clone(), Arc::new(fs::read(file).unwrap()));
        }
    }
    assert_eq!(packages.len(), 4);
    Server::start(move |request| match packages.get(&request.target) {
        Some(package) => Reply::file(request, package),
        None => Reply::new("404 Not Found", b""),
    })
}

/// Returns a project whose recipe takes a file and an archive from a server: all that a run does, in a tenth of a second.
fn small() -> (Tiny, Server) {
    let plain = noise(500_000);
    let mut tar = Tar::default();
    for number in 0..20 {
        tar = tar.file(&number.to_string(), &noise(50_000 + number));
    }
    let archive = tar.end();
    let served = [plain.clone(), archive.clone()];
    let server = Server::start(move |request| match request.target.as_str() {
        "/plain" => Reply::file(request, &served[0]),
        _ => Reply::file(request, &served[1]),
    });
    let tiny = Tiny::new();
    let sources = [
        urls("plain", &plain, &[server.url("/plain")]),
        urls("archive", &archive, &[server.url("/archive")]),
    ];
    let entries = "file \"/plain\" from=\"plain\"\n    tree \"/t\" from=\"archive\"\n    \
                   file \"/a\" from=\"archive\" path=\"0\"";
    tiny.recipe(&sources.concat(), entries);
    (tiny, server)
}

/// Returns what `tests/golden/` says of the minimal image.
fn golden() -> String {
    fs::read_to_string(repository().join("tests/golden/minimal.x86_64")).unwrap()
}

/// Returns a directory for caches: in memory where there is such a place, since a disk that syncs is slow.
fn fast_dir() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// A cache that is used by one run after the other.
struct Lane<'a> {
    project: &'a Project,
    recipe: &'static str,
    cache: PathBuf,
    server: &'a Server,
}

impl Lane<'_> {
    fn command(&self) -> Command {
        let mirror = self.server.url("/");
        let cache = self.cache.to_str().unwrap();
        let mut command = self.project.mkimg([
            "realize",
            self.recipe,
            "--arch",
            "x86_64",
            "--json",
            "--cache",
            cache,
            "--debian-mirror",
            &mirror,
        ]);
        command.stdin(Stdio::null());
        command
    }

    fn remove(&self, bucket: &str) {
        let _ = fs::remove_dir_all(self.cache.join(bucket));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
