//! What goes wrong in a check, and how that is told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cli::{Project, fails, json, mirror, run, stdout};
use crate::tiny::{Tiny, record};
use crate::{check, not_applied, support};

/// Puts the image of another recipe, whole and true to itself, where the image of the recipe is in the cache.
fn tamper(tiny: &Tiny) {
    tiny.recipe("", "file \"/mark\" text=\"theirs\"");
    let theirs = json(&run(&mut tiny.realize(&["--json", "--cache", "theirs"])));
    tiny.recipe("", "file \"/mark\" text=\"ours\"");
    let ours = json(&run(&mut tiny.realize(&["--json"])));
    let path = |image: &Value| tiny.path(image["path"].as_str().unwrap());
    let text = fs::read(path(&theirs).join("image.json")).unwrap();
    let mut image: Value = serde_json::from_slice(&text).unwrap();
    let text = fs::read(path(&ours).join("image.json")).unwrap();
    image["plan"] = serde_json::from_slice::<Value>(&text).unwrap()["plan"].take();
    let initramfs = image["initramfs"]["name"].as_str().unwrap().to_owned();
    for file in ["image.json", &initramfs] {
        fs::remove_file(path(&ours).join(file)).unwrap();
    }
    fs::copy(path(&theirs).join(&initramfs), path(&ours).join(&initramfs)).unwrap();
    let text = format!("{image:#}\n");
    fs::write(path(&ours).join("image.json"), &text).unwrap();
    record(&tiny.path("cache"), &path(&ours));
}

#[test]
fn an_image_that_the_sources_do_not_give_is_explained_and_the_right_one_kept() {
    let tiny = Tiny::new();
    tamper(&tiny);
    let output = check(&tiny, &["--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let document = json(&output);
    not_applied(&document);
    let image = &document["images"][0];
    assert_eq!([&document["verdict"], &image["verdict"]], ["different"; 2]);
    let explanation = image["explanation"].to_string();
    for word in ["/mark: content", "-theirs", "+ours", "mkimg diff --all"] {
        assert!(explanation.contains(word), "no {word} in {explanation}");
    }
    // The rounds agree with each other, and what is kept is what they gave.
    assert_eq!(image["rounds"][0], image["rounds"][1]);
    assert_ne!(image["rounds"][0], image["stored"]);
    let kept = Path::new(image["kept"].as_str().unwrap());
    let initramfs = fs::read(kept.join("initramfs.cpio.gz")).unwrap();
    let digest = mkimg::digest::Digest::of(&initramfs).to_string();
    assert_eq!(image["rounds"][0]["initramfs"], digest);
    fs::remove_dir_all(kept).unwrap();

    let output = check(&tiny, &["--format", "github"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let told = stdout(&output);
    let recipe = fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
    let line = 1 + recipe
        .lines()
        .position(|line| line.starts_with("initramfs"))
        .unwrap();
    let start = format!("::error file=images/tiny.kdl,line={line}::");
    assert!(told.starts_with(&start), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    let (_, kept) = told.trim_end().rsplit_once(' ').unwrap();
    let (kept, _) = kept.split_once('`').unwrap();
    fs::remove_dir_all(kept).unwrap();
}

#[test]
fn one_recipe_that_is_wrong_does_not_hide_the_others() {
    let tiny = Tiny::new();
    let right = tiny.recipe("", "");
    let text = fs::read_to_string(right).unwrap();
    fs::write(tiny.path("images/wrong.kdl"), format!("{text}nonsense\n")).unwrap();
    let line = text.lines().count() + 1;
    let mut all = tiny
        .project
        .mkimg(["check", "--all", "images", "--offline"]);
    let output = all.args(["--format", "github"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = stdout(&output);
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("::notice file=images/tiny.kdl,line=1::"),
        "{told}"
    );
    let wrong = format!("::error file=images/wrong.kdl,line={line}::");
    assert!(lines[1].starts_with(&wrong), "{told}");
    // A whole path is told from the root of the checkout.
    let mut whole = tiny
        .project
        .mkimg(["check", "--offline", "--format", "github", "-C", "/"]);
    whole
        .arg(tiny.path("images/tiny.kdl"))
        .env("GITHUB_WORKSPACE", tiny.path(""));
    let told = stdout(&run(&mut whole));
    assert!(
        told.starts_with("::notice file=images/tiny.kdl,line="),
        "{told}"
    );
}

#[test]
fn wrong_usage_is_no_failed_check() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    for (args, word) in [
        (&["check", "nope"][..], "recipes here: images/tiny.kdl"),
        (&["check", "tiny", "--rounds", "0"], "1..=16"),
        (&["check", "tiny", "--arch", "aarch64"], "aarch64"),
        (&["check", "--all", "cache"], "no recipe to check"),
        (&["check", "--all", "images", "--except", "tine"], "tine"),
    ] {
        let said = fails(&mut tiny.project.mkimg(args), 2);
        assert!(said.contains(word), "{args:?}: {said}");
    }
}

#[test]
fn a_check_that_cannot_be_done_says_what_to_do_next() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let mut nowhere = check(&tiny, &[]);
    let said = fails(nowhere.env("TMPDIR", tiny.path("nowhere")), 1);
    assert!(said.contains("TMPDIR names another place"), "{said}");
    fs::remove_file(tiny.path("images/kernel")).unwrap();
    let output = check(&tiny, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let next = "next: `mkimg realize images/tiny.kdl --arch x86_64 --verify`";
    assert!(stdout(&output).contains(next), "{}", stdout(&output));
}

#[test]
fn what_another_user_cannot_reach_is_said_and_not_counted() {
    if !support::is_root() {
        return support::skip("needs root, to be another user");
    }
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let own = fs::Permissions::from_mode(0o700);
    fs::set_permissions(tiny.path("home"), own).unwrap();
    let document = json(&run(
        check(&tiny, &["--json"]).env("TMPDIR", tiny.path("home"))
    ));
    let left = not_applied(&document);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(
        left[0].contains("can enter") && left[0].contains("\"user\""),
        "{left:?}"
    );
    // A file that the recipe names by its whole path stays where it is.
    let file = tiny.write("home/file", b"x");
    tiny.recipe("", &format!("file \"/x\" local=\"{}\"", file.display()));
    let mut allowed = check(&tiny, &["--json", "--allow-local"]);
    let left = not_applied(&json(&run(allowed.arg(&file))));
    assert!(left.len() == 1 && left[0].contains("can read"), "{left:?}");
}

#[test]
fn a_single_round_does_not_claim_both_orders() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let left = not_applied(&json(&run(&mut check(&tiny, &["--json", "--rounds", "1"]))));
    assert!(
        left.iter().any(|left| left.contains("creation order")),
        "{left:?}"
    );
}

#[test]
fn an_interrupted_check_takes_its_children_and_their_files_along() {
    let project = Project::with("minimal");
    let temporary = project.path("home");
    let mut command = project.mkimg([
        "check",
        "minimal",
        "--offline",
        "--rounds",
        "16",
        "--mirror",
    ]);
    command.arg(mirror()).env("TMPDIR", &temporary);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The first directory has the program, the second is a round's.
    while fs::read_dir(&temporary).unwrap().count() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        thread::sleep(Duration::from_millis(5));
    }
    let pid = i32::try_from(child.id()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mark = format!("mkimg-check-{pid}-");
    for place in [temporary.as_path(), Path::new("/dev/shm")] {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        let left = names
            .iter()
            .filter(|name| name.to_string_lossy().starts_with(&mark));
        assert_eq!(left.count(), 0, "{names:?}");
    }
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(!words.contains(&mark), "{words}");
    }
}
