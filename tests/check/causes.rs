//! Builds that are broken on purpose, one for each way in which others went wrong: each is caught, and explained.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::cli::{json, repository, run};
use crate::support;
use crate::tiny::{Tiny, noise};

/// How the build is broken; what is told of the entry or part and its field; and of the cause.
const CAUSES: [(&str, &str, &str); 7] = [
    // pitfall 5
    (
        "order",
        "order, not sorted",
        "each is in the order of its disk",
    ),
    // pitfall 18
    ("mtime", "/thing", "times of files on disk"),
    // pitfall 3
    (
        "umask",
        "mode 0755 to 0700 (/bin, ",
        "umask 077 where b's tree was made",
    ),
    // pitfall 4
    ("uid", "entries: owner ", "belongs to who packed it"),
    // pitfall 37
    (
        "blocks",
        "stream ",
        "another compressor, level or cut in blocks",
    ),
    // pitfall 13
    (
        "path",
        "/note: content ",
        "a path of the place where it was made got into /note",
    ),
    // pitfall 49
    (
        "env",
        "/note: content ",
        "a value of the environment it was made in got into /note",
    ),
];

/// Returns the program whose builds are broken, which is built here: no other test asks for the feature.
fn broken() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(repository())
        .args(["build", "--locked", "--quiet", "--features", "broken"])
        .args(["--bin", "mkimg-broken", "--target-dir"])
        .arg(target);
    run(&mut cargo);
    target.join("debug/mkimg-broken")
}

/// Returns a project whose image has this name, with enough in it to come in another order and in several blocks.
fn project(name: &str) -> Tiny {
    let tiny = Tiny::new();
    let dirs: String = (0..20)
        .map(|number| format!("dir \"/dir{number}\"; "))
        .collect();
    // Text compresses, noise does not: blocks that end elsewhere give another stream.
    let thing = [b"text ".repeat(6_000), noise(5_000)].concat();
    tiny.takes(
        &thing,
        &format!("file \"/thing\" from=\"thing\"; dir \"/dir\"; {dirs}"),
    );
    let path = tiny.path("images/tiny.kdl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("image \"tiny\"", &format!("image \"{name}\"")),
    )
    .unwrap();
    tiny
}

fn command(program: &Path, tiny: &Tiny, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    tiny.project.prepare(&mut command);
    command.args(args);
    command
}

#[test]
fn each_cause_of_a_difference_is_caught_and_named() {
    if ["unshare", "faketime"].map(support::tool).contains(&None) {
        return;
    }
    let broken = broken();
    let mut wrong = Vec::new();
    for (name, what, cause) in CAUSES {
        let tiny = project(&format!("broken-{name}"));
        run(&mut command(
            &broken,
            &tiny,
            &["realize", "images/tiny.kdl"],
        ));
        // File systems are told apart by whole seconds in an archive.
        thread::sleep(Duration::from_millis(1100));
        let args = ["check", "images/tiny.kdl", "--offline"];
        let output = command(&broken, &tiny, &[&args[..], &["--json"]].concat())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4), "{name}");
        let document = json(&output);
        let image = &document["images"][0];
        assert_eq!(image["verdict"], "different", "{name}");
        fs::remove_dir_all(image["kept"].as_str().unwrap()).unwrap();
        let explanation = image["explanation"].to_string();
        for word in [what, cause] {
            if !explanation.contains(word) {
                wrong.push(format!("{name}: no `{word}` in {explanation}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_program_that_can_be_broken_makes_the_right_bytes_unless_it_is_told_otherwise() {
    let broken = broken();
    let tiny = project("tiny");
    let right = json(&run(&mut tiny.realize(&["--json", "--cache", "other"])));
    let args = ["realize", "images/tiny.kdl", "--json"];
    let same = json(&run(&mut command(&broken, &tiny, &args)));
    assert_eq!(right["identities"], same["identities"]);
    // And the program that people get knows nothing of it.
    let named = project("broken-umask");
    let mut realize = named.realize(&["--json"]);
    let first = json(&run(&mut realize));
    assert_eq!(first["up_to_date"], false);
    run(&mut named
        .project
        .mkimg(["check", "images/tiny.kdl", "--offline"]));
}
