//! Images that are taken: from a registry, a directory and a web server, and what is not fetched then.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::{Project, json, run};
use crate::debian::Debian;
use crate::server::{Reply, Server};
use crate::support::tool;
use crate::team::{Team, blobs, realize, repository, sign, thing, tiny};
use crate::tiny::{assert_clean, files};
use mkimg::digest::Digest;

/// Asserts that an image was taken from a place, signed by the team.
fn assert_taken(found: &Value, said: &str, place: &str) {
    assert_eq!(found["from"]["place"], place, "{said}");
    assert_eq!(found["from"]["signers"], serde_json::json!(["ci@example"]));
    assert_eq!(found["up_to_date"], false);
    let told = format!("from `{place}`, signed by ci@example");
    assert!(said.contains(&told), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn an_image_is_taken_from_a_registry_a_directory_or_a_web_server_without_its_sources() {
    let Some(team) = Team::new() else { return };
    let server = team.fake(Some("trusted")).serve();
    let directory = team.maker.path("bundles");
    let bundle = team.bundle(&directory, Some("trusted"));
    let name = format!("/images/{}.mkimg", team.plan_tag());
    let bytes = fs::read(bundle).unwrap();
    let web = Server::start(move |request| match request.target == name {
        true => Reply::file(request, &bytes),
        false => Reply::new("404 Not Found", b""),
    });
    for place in [
        repository(&server),
        web.url("/images/"),
        directory.display().to_string(),
    ] {
        let taker = tiny();
        // No source can be had, nor could it be needed.
        fs::remove_file(taker.path("images/thing")).unwrap();
        let (found, said) = realize(&taker, &team.ask(&place));
        assert_taken(&found, &said, &place);
        team.assert_same(&found, &place);
        let source = Digest::of(&thing()).to_string();
        assert!(!blobs(&taker.project).contains(&source), "{place}");
        assert_clean(&taker.path("cache"));
        // What is there is not asked for.
        let (requests, others) = (server.requests().len(), web.requests().len());
        let (again, _) = realize(&taker, &team.ask(&place));
        assert_eq!(again["from"], Value::Null);
        assert_eq!(again["up_to_date"], true);
        assert_eq!(
            (server.requests().len(), web.requests().len()),
            (requests, others)
        );
        let verified = taker.realize(&["--verify"]).output().unwrap();
        assert!(verified.status.success());
    }
}

#[test]
fn the_first_place_that_has_the_image_ends_the_search_and_offline_asks_directories_alone() {
    let Some(team) = Team::new() else { return };
    let server = team.fake(Some("trusted")).serve();
    let directory = team.maker.path("bundles");
    team.bundle(&directory, Some("trusted"));
    let (registry, directory) = (repository(&server), directory.display().to_string());
    let asked = |more: &[&str]| {
        let taker = tiny();
        let mut args = team.ask(&registry);
        args.extend(["--from", &directory].map(str::to_owned));
        args.extend(more.iter().map(|word| (*word).to_owned()));
        realize(&taker, &args)
    };
    let (found, said) = asked(&[]);
    assert_taken(&found, &said, &registry);
    let before = server.requests().len();
    let (found, said) = asked(&["--offline"]);
    assert_taken(&found, &said, &directory);
    assert_eq!(server.requests().len(), before);
    assert_eq!(server.connections(), before);
    let taker = tiny();
    let (found, said) = realize(&taker, &["--no-substitutes".to_owned()]);
    assert_eq!(found["from"], Value::Null, "{said}");
    assert_eq!(server.requests().len(), before);
}

/// Empties the cache.
fn empty(taker: &crate::tiny::Tiny) {
    fs::remove_dir_all(taker.path("cache")).unwrap();
    fs::create_dir(taker.path("cache")).unwrap();
}

#[test]
fn the_lock_is_held_to_before_and_after() {
    let Some(team) = Team::new() else { return };
    let server = team.fake(Some("trusted")).serve();
    let args = team.ask(&repository(&server));
    let taker = tiny();
    run(&mut taker.project.mkimg(["lock", "images/tiny.kdl"]));
    empty(&taker);
    let mut locked = args.clone();
    locked.push("--locked".to_owned());
    let (found, said) = realize(&taker, &locked);
    assert_taken(&found, &said, &repository(&server));
    // A lock that expects another tree: what is offered is not it, and neither is what is made.
    empty(&taker);
    let path = taker.path("images/tiny.lock");
    let text = fs::read_to_string(&path).unwrap();
    let tree = team.built["identities"]["tree"].as_str().unwrap();
    assert!(text.contains(tree), "{text}");
    fs::write(&path, text.replace(tree, &"0".repeat(64))).unwrap();
    let said = crate::cli::fails(taker.realize(&[]).args(&args), 4);
    assert!(said.contains("not the one that the lock expects"), "{said}");
}

/// The sizes of the objects that a registry gave, by what its log says of GET requests.
fn moved(debian: &Debian, before: usize) -> u64 {
    let requests = debian.requests("GET").split_off(before);
    let mut sum = 0;
    for request in &requests {
        let last = request.rsplit('/').next().unwrap();
        if last.starts_with("sha256:") {
            let size = debian.file(last).metadata().map_or(0, |found| found.len());
            sum += size;
        }
    }
    sum
}

#[test]
fn a_warm_registry_gives_the_image_and_nothing_else() {
    let (Some(team), Some(debian)) = (Team::new(), Debian::start()) else {
        return;
    };
    let maker = Project::with("minimal");
    let built = maker.realize("images/minimal.kdl", &["--arch", "x86_64"]);
    let repository = format!("{}/team/minimal", debian.address());
    let mirror = crate::cli::mirror().display().to_string();
    let mut push = maker.mkimg(["push", "images/minimal.kdl", &format!("{repository}:1")]);
    run(push.args(["--mirror", &mirror]));
    sign(&repository, &team.path("trusted"));

    let taker = Project::with("minimal");
    let before = debian.requests("GET").len();
    let mut command = taker.mkimg([
        "realize",
        "images/minimal.kdl",
        "--json",
        "--arch",
        "x86_64",
    ]);
    let output = run(command.args(team.ask(&repository)));
    let found = json(&output);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_taken(&found, &said, &repository);
    assert_eq!(found["identities"], built["identities"]);
    let size = |part: &str| built[part]["size"].as_u64().unwrap();
    let image = size("kernel") + size("initramfs");
    let moved = moved(&debian, before);
    assert!(moved >= image, "{moved} of {image}");
    // Beside the image only what is said about it: manifest, config, `image.json`, signature.
    assert!(moved < image + (64 << 10), "{moved} for {image}");
    let sources = built["sources"].as_array().unwrap();
    assert!(!sources.is_empty());
    let kept = blobs(&taker);
    for source in sources {
        let digest = source["sha256"].as_str().unwrap().to_owned();
        assert!(!kept.contains(&digest), "{source}");
    }
    assert!(files(&taker.path("cache/members-v1")).is_empty());
    // And it boots no worse for it: the same files.
    for file in ["vmlinuz", "initramfs.cpio.gz", "image.json"] {
        let read = |image: &Value| fs::read(Path::new(image["path"].as_str().unwrap()).join(file));
        assert_eq!(read(&found).unwrap(), read(&built).unwrap(), "{file}");
    }
    let Some(sha256sum) = tool("sha256sum") else {
        return;
    };
    let output = run(
        Command::new(sha256sum).arg(Path::new(found["path"].as_str().unwrap()).join("vmlinuz"))
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let kernel = found["kernel"]["sha256"].as_str().unwrap();
    assert!(text.starts_with(kernel), "{text}");
}
