//! The repository's own recipes, from sources that are in a directory: as root and as an ordinary user, and from a bundle.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::{Project, fails, json, mirror, repository, run, stdout};
use crate::{not_applied, support};

/// Returns a project with the smallest recipe and its lock, and the sources in its cache. CI checks the others: `check --all images`.
fn project() -> Project {
    let project = Project::new();
    for end in ["kdl", "lock"] {
        let name = format!("images/minimal.{end}");
        fs::copy(repository().join(&name), project.path(&name)).unwrap();
    }
    let mirror = mirror().display().to_string();
    let lock = ["lock", "minimal", "--check", "--offline", "--mirror"];
    run(project.mkimg(lock).arg(&mirror));
    project
}

fn assert_all_equal(document: &Value, images: usize) {
    assert_eq!(document["verdict"], "equal", "{document:#}");
    assert_eq!(document["images"].as_array().unwrap().len(), images);
    assert_eq!(not_applied(document), Vec::<String>::new());
}

#[test]
fn the_repositorys_recipes_are_equal_under_every_variation_as_root_and_as_an_ordinary_user() {
    if ["unshare", "faketime", "setpriv"]
        .map(support::tool)
        .contains(&None)
    {
        return;
    }
    let project = project();
    let args = [
        "check",
        "--all",
        "images",
        "--locked",
        "--offline",
        "--json",
    ];
    assert_all_equal(&json(&run(&mut project.mkimg(args))), 2);
    if !support::is_root() {
        return support::skip("needs root, to be another user");
    }
    run(Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(project.path("")));
    let mut ordinary = Command::new("setpriv");
    project.prepare(&mut ordinary);
    ordinary
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(env!("CARGO_BIN_EXE_mkimg"))
        .args(args)
        .args(["--arch", "x86_64"]);
    let document = json(&run(&mut ordinary));
    assert_all_equal(&document, 1);
    // It is root of a namespace, and not on disk: the row says so.
    let variations = document["images"][0]["variations"].as_array().unwrap();
    let user = variations
        .iter()
        .find(|variation| variation["name"] == "user")
        .unwrap();
    let expected = "0:0 in a user namespace, on disk 65534:65534";
    assert_eq!(user["rounds"][0], expected);
}

#[test]
fn refetch_asks_the_sources_own_places_again() {
    let project = project();
    let args = [
        "check",
        "minimal",
        "--arch",
        "x86_64",
        "--offline",
        "--refetch",
    ];
    let said = fails(&mut project.mkimg(args), 1);
    assert!(said.contains("--offline"), "{said}");
    let mut with_mirror = project.mkimg(args);
    // Relative: the rounds are elsewhere.
    let from = project.path("");
    std::os::unix::fs::symlink(mirror(), from.join("sources")).unwrap();
    run(with_mirror.args(["--mirror", "sources"]));
}

#[test]
fn a_bundle_with_its_sources_is_checked_on_an_empty_cache_without_a_network() {
    let Some(unshare) = support::tool("unshare") else {
        return;
    };
    let project = project();
    let bundle = project.path("minimal.mkimg");
    let args = ["export", "minimal", "--with-sources", "--offline", "-o"];
    run(project.mkimg(args).arg(&bundle));
    let elsewhere = Project::new();
    let check = |bundle: &Path| {
        let mut command = Command::new(&unshare);
        elsewhere.prepare(&mut command);
        match support::is_root() {
            true => command.arg("--net"),
            false => command.args(["--user", "--map-root-user", "--net"]),
        };
        command
            .arg(env!("CARGO_BIN_EXE_mkimg"))
            .args(["check", "--json"])
            .arg(bundle);
        command
    };
    let document = json(&run(&mut check(&bundle)));
    assert_eq!(document["verdict"], "equal", "{document:#}");
    assert_eq!(document["images"].as_array().unwrap().len(), 2);

    // Without its sources it cannot be, and says so.
    let bare = project.path("bare.mkimg");
    run(project
        .mkimg(["export", "minimal", "--offline", "-o"])
        .arg(&bare));
    let another = Project::new();
    let mut offline = another.mkimg(["check", "--offline", "--json"]);
    let output = offline.arg(&bare).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
}
