//! Builds that let something of their world into the image, one for each way in which others went wrong: each is caught, and
//! explained.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::cli::{json, repository, run};
use crate::tiny::{Tiny, noise};
use crate::{check, not_applied, support};

/// What gets into the image; what is told of the entry or part and its field; and of the cause.
const CAUSES: [(&str, &str, &str); 7] = [
    (
        "order",
        "order sorted by bytes to not sorted",
        "b is in the order of its disk",
    ),
    ("mtime", "/bin/sh: mtime ", "times of files on disk"),
    (
        "umask",
        "mode 0755 to 0700 (/bin, ",
        "umask 077 where b's tree was made",
    ),
    ("uid", "entries: owner ", "belongs to who packed it"),
    (
        "blocks",
        "stream ",
        "another compressor, level or cut in blocks",
    ),
    (
        "path",
        "/note: content ",
        "a path of the place where it was made got into /note",
    ),
    (
        "env",
        "/note: content ",
        "a value of the environment it was made in got into /note",
    ),
];

/// Returns a project whose rounds start through `unshare.py`. Its image has enough in it to come in another order and in
/// several blocks, and a note that says where it was made.
fn project(leak: &str) -> Tiny {
    let tiny = Tiny::new();
    let dirs: String = (0..20)
        .map(|number| format!("dir \"/dir{number}\"; "))
        .collect();
    // Text compresses, noise does not: blocks that end elsewhere give another stream.
    let thing = [b"text ".repeat(6_000), noise(5_000)].concat();
    let note = match leak {
        "path" => "made in\\n/tmp/here/build.0\\n",
        _ => "LANG=en_GB\\nTZ=Europe/Berlin\\nUSER=carol\\n",
    };
    tiny.takes(
        &thing,
        &format!("file \"/thing\" from=\"thing\"; file \"/note\" text=\"{note}\"; {dirs}"),
    );
    fs::create_dir(tiny.path("bin")).unwrap();
    let wrapper = repository().join("tests/check/unshare.py");
    symlink(wrapper, tiny.path("bin/unshare")).unwrap();
    tiny
}

/// Returns the command that checks it.
fn leaking(tiny: &Tiny, leak: &str) -> Command {
    let mut command = check(tiny, &["--json"]);
    let path = tiny.path("bin").display().to_string();
    command.env("PATH", path + ":/usr/local/bin:/usr/bin:/bin");
    command.env("LEAK", leak);
    command
}

/// Checks an image that something gets into, and returns what is wrong with how that is told.
fn caught(leak: &str, words: [&str; 2]) -> Vec<String> {
    let tiny = project(leak);
    let output = leaking(&tiny, leak).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{leak}: {said}");
    let document = json(&output);
    let image = &document["images"][0];
    assert_eq!(image["verdict"], "different", "{leak}");
    fs::remove_dir_all(image["kept"].as_str().unwrap()).unwrap();
    let rounds: &Value = &image["rounds"];
    // What got in is the round's own. All files on disk may be of one second, and only root becomes two users.
    if leak != "mtime" && (leak != "uid" || support::is_root()) {
        assert_ne!(rounds[0], rounds[1], "{leak}");
    }
    let told = image["explanation"].to_string();
    let missing = words.into_iter().filter(|word| !told.contains(word));
    missing
        .map(|word| format!("{leak}: no `{word}` in {told}"))
        .collect()
}

#[test]
fn each_cause_of_a_difference_is_caught_and_named() {
    if ["unshare", "python3"].map(support::tool).contains(&None) {
        return;
    }
    let wrong: Vec<String> = thread::scope(|scope| {
        let started =
            CAUSES.map(|(leak, what, cause)| scope.spawn(move || caught(leak, [what, cause])));
        started
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(wrong, Vec::<String>::new());
    // The program in between is no variation, and changes nothing by itself.
    let tiny = project("nothing");
    let document = json(&run(&mut leaking(&tiny, "nothing")));
    assert_eq!(document["verdict"], "equal");
    assert_eq!(not_applied(&document), Vec::<String>::new());
}
