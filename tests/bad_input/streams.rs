//! Standard streams, directories and variables that are not what a program would like them to be.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{fails, run};
use crate::says;
use crate::tiny::{Tiny, assert_clean, recipe};

const READERS: &[&[&str]] = &[
    &["ls", "images/tiny.kdl"],
    &["ls", "images/tiny.kdl", "--json"],
    &["show", "images/tiny.kdl"],
    &["cat", "images/tiny.kdl", "/big"],
    &["why", "images/tiny.kdl", "/init"],
    &["realize", "images/tiny.kdl"],
    &["new", "other", "--output", "-"],
    &["add", "images/sh"],
    &["completions", "bash"],
    &["man"],
    &["--help"],
    &["--version"],
];

fn realized() -> Tiny {
    let tiny = Tiny::new();
    tiny.write("images/big", &vec![b'x'; 1 << 20]);
    tiny.recipe("", "file \"/big\" local=\"big\"");
    run(&mut tiny.realize(&[]));
    tiny
}

// pitfall 66
#[test]
fn a_reader_that_went_away_is_no_error() {
    let tiny = realized();
    for args in READERS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = tiny.project.mkimg(*args).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        assert!(
            !said.contains("panic") && !said.contains("rror"),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn streams_that_are_closed_are_no_error() {
    let tiny = realized();
    for redirect in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"] {
        let mut command = Command::new("sh");
        tiny.project.prepare(&mut command);
        let script = format!("exec \"$@\" {redirect}");
        command.args([
            "-c",
            &script,
            "sh",
            env!("CARGO_BIN_EXE_mkimg"),
            "show",
            "images/tiny.kdl",
        ]);
        let output = run(&mut command);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{redirect}");
    }
    // Whatever is opened in place of a closed stream must not become a file of the cache that is printed into.
    fs::remove_dir_all(tiny.path("cache")).unwrap();
    fs::create_dir(tiny.path("cache")).unwrap();
    let mut command = Command::new("sh");
    tiny.project.prepare(&mut command);
    let script = "exec \"$@\" <&- >&- 2>&-";
    run(command.args([
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_mkimg"),
        "realize",
        "images/tiny.kdl",
    ]));
    assert_clean(&tiny.path("cache"));
}

// pitfall 56
#[test]
fn a_full_standard_output_is_an_error() {
    let tiny = realized();
    for args in READERS.iter().filter(|args| !args[0].starts_with("--")) {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let said = fails_into(&tiny, args, full);
        says(&said, &["standard output", "No space left on device"]);
    }
}

fn fails_into(tiny: &Tiny, args: &[&str], out: File) -> String {
    let mut command = tiny.project.mkimg(args);
    let output = command
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    said
}

#[test]
fn a_working_directory_that_is_gone_matters_only_to_relative_paths() {
    let tiny = realized();
    let gone = tiny.path("gone");
    let in_gone = |args: &[&str]| {
        fs::create_dir(&gone).unwrap();
        let mut command = Command::new("sh");
        tiny.project.prepare(&mut command);
        let script = "rmdir \"$0\" && exec \"$@\"";
        command
            .current_dir(&gone)
            .args(["-c", script])
            .arg(&gone)
            .arg(env!("CARGO_BIN_EXE_mkimg"));
        command.args(args);
        command
    };
    let recipe = tiny.path("images/tiny.kdl");
    run(&mut in_gone(&["realize", recipe.to_str().unwrap()]));
    let said = fails(&mut in_gone(&["realize", "images/tiny.kdl"]), 2);
    says(&said, &["there is no recipe `images/tiny.kdl`", "help: "]);
    let said = fails(
        &mut in_gone(&["realize", recipe.to_str().unwrap(), "--out-link", "link"]),
        2,
    );
    says(&said, &["link", "No such file or directory"]);
}

#[test]
fn without_a_home_the_cache_must_be_named() {
    let tiny = Tiny::new();
    let text = recipe("", "")
        .replace("\"kernel\" arch", "\"images/kernel\" arch")
        .replace("local=\"sh\"", "local=\"images/sh\"");
    fs::write(tiny.path("tiny.kdl"), text).unwrap();
    for home in [None, Some("")] {
        let mut command = tiny.project.mkimg(["realize", "tiny.kdl"]);
        match home {
            None => command.env_remove("HOME"),
            Some(home) => command.env("HOME", home),
        };
        says(
            &fails(&mut command, 2),
            &[
                "there is no place for the cache",
                "`--cache DIR` or MKIMG_CACHE",
            ],
        );
        run(command.args(["--cache", "cache"]));
    }
    // A home that cannot be had, or is no directory.
    for home in ["/dev/null", "/proc/nowhere"] {
        let mut command = tiny.project.mkimg(["realize", "tiny.kdl"]);
        let output = command.env("HOME", home).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        says(&said, &[home, "--cache DIR"]);
    }
}

#[test]
fn a_connection_of_a_guest_is_answered_one_of_a_few_at_once_and_for_a_short_time() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pages.json"), "{\"/a\":\"hello\"}").unwrap();
    let slots: Vec<File> = (0..16)
        .map(|number| File::create(dir.path().join(format!("connection-{number}"))).unwrap())
        .collect();
    let tiny = Tiny::new();
    let answer = |input: Stdio| {
        let mut command = tiny.project.mkimg(["answer"]);
        command.arg(dir.path()).stdin(input);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let asked = || {
        let mut child = answer(Stdio::piped());
        let mut input = child.stdin.take().unwrap();
        let _ = input.write_all(b"GET /a HTTP/1.1\r\n\r\n");
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    for slot in &slots {
        slot.lock().unwrap();
    }
    assert_eq!(asked(), "");
    slots[15].unlock().unwrap();
    assert!(asked().ends_with("\r\n\r\nhello"));
    // One that says nothing, and does not go away.
    let began = Instant::now();
    let mut silent = answer(Stdio::piped());
    let held = silent.stdin.take();
    assert!(!silent.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(60));
    drop(held);
}
