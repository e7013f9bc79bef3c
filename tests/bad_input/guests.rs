//! `mkimg test` and `run` as users see them, with a shell script in QEMU's place.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::cli::{fails, json, run, stdout};
use crate::tiny::{Tiny, recipe};

/// A project whose guests print what a shell command prints; more nodes stand behind the recipe.
fn guest(shell: &str, nodes: &str) -> Tiny {
    let tiny = Tiny::new();
    let version = "[ \"$1\" = --version ] && exec echo 'QEMU emulator version 8.0.0'";
    let qemu = tiny.write(
        "qemu",
        format!("#!/bin/sh\n{version}\n{shell}\n").as_bytes(),
    );
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    let text = recipe("", "");
    tiny.project.recipe("tiny", &format!("{text}{nodes}"));
    tiny
}

fn mkimg(tiny: &Tiny, verb: &str, more: &[&str]) -> Command {
    let mut command = tiny
        .project
        .mkimg([verb, "images/tiny.kdl", "--arch", "x86_64"]);
    command.args(["--accel", "tcg", "--qemu", "./qemu", "--jobs", "1"]);
    command.args(more).stdin(Stdio::null());
    command
}

const THREE: &str = "test \"one\" { expect line=\"ok 1\"; }
test \"two\" within=\"300ms\" { expect line=\"ok 2\"; }
test \"three\" { expect \"ok\"; }
";

#[test]
fn each_test_is_told_when_it_begins_and_ends_and_the_report_goes_to_standard_output() {
    let tiny = guest("echo ok 1; sleep 9", THREE);
    let mut command = mkimg(&tiny, "test", &["--junit", "-"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let at = |text: &str| said.find(text).expect(text);
    let order = [
        at("testing one"),
        at("passed  one"),
        at("testing two"),
        at("FAILED  two"),
        at("skipped three"),
        at("1 passed, 1 failed, 1 skipped"),
    ];
    assert!(order.is_sorted(), "{said}");
    assert!(said.contains("; the console has \"ok 1\""), "{said}");
    let report = stdout(&output);
    assert!(report.starts_with("<?xml"), "{report}");
    assert!(
        report.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{report}"
    );
    assert!(
        report.contains("name=\"three\" time=\"0.000\">\n      <skipped/>"),
        "{report}"
    );
    assert!(!tiny.path("-").exists());
    // Two results on one standard output.
    let said = fails(&mut mkimg(&tiny, "test", &["--junit", "-", "--json"]), 2);
    assert!(said.contains("standard output can have one"), "{said}");
}

#[test]
fn a_failed_test_names_the_step_the_console_and_the_cause_in_every_report() {
    let node = "test \"the shell answers\" within=\"1s\" {
    expect \"(linux)\"
    send \"echo answer=$((6*7))\"
    expect \"answer=<43> & more\"
}
";
    let shell = "printf '(linux) '; read -r line; printf '%s\\r\\nanswer=42\\r\\n(linux) ' \"$line\"; sleep 9";
    let tiny = guest(shell, node);
    let text = fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
    let line = 1 + text[..text.find("answer=<43>").unwrap()]
        .matches('\n')
        .count();
    let more = ["--json", "--junit", "junit.xml", "--log", "console.log"];
    let output = mkimg(&tiny, "test", &more).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    for text in [
        "FAILED  the shell answers",
        &format!("at images/tiny.kdl:{line}: expect \"answer=<43> & more\""),
        "| answer=42",
        "did not come within 3s, which is the recipe's 1s as TCG needs it",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    let report = json(&output);
    let test = &report["tests"][0];
    assert_eq!(
        (&report["passed"], &test["passed"]),
        (&false.into(), &false.into())
    );
    assert_eq!(test["kind"], "expectation");
    assert_eq!(test["line"], line);
    let log = fs::read_to_string(tiny.path("console.log")).unwrap();
    assert!(
        log.contains("== the shell answers (expectation)") && log.contains(" answer=42"),
        "{log}"
    );
    let parse = "import sys, xml.etree.ElementTree as t; s = t.parse(sys.argv[1]).getroot()[0]; \
                 print(s.get('tests'), s.get('failures'), s[0].get('name'), s[0][0].get('type'))";
    let mut python = Command::new("python3");
    python.args(["-c", parse]).arg(tiny.path("junit.xml"));
    assert_eq!(
        stdout(&run(&mut python)),
        "1 1 the shell answers expectation\n"
    );
}

#[test]
fn one_failure_stops_the_rest_unless_it_is_to_keep_going() {
    let tiny = guest("echo ok 1; sleep 9", THREE);
    let told = |more: &[&str]| {
        let said = fails(&mut mkimg(&tiny, "test", more), 5);
        said.lines().last().unwrap().to_owned()
    };
    assert_eq!(told(&[]), "tiny x86_64: 1 passed, 1 failed, 1 skipped");
    assert_eq!(told(&["--keep-going"]), "tiny x86_64: 2 passed, 1 failed");
    let only = told(&["--filter", "two"]);
    assert_eq!(only, "tiny x86_64: 0 passed, 1 failed");
}

#[test]
fn a_signal_ends_the_tests_and_the_report_is_written() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let tiny = guest(
            "echo $$ >pid.new; mv pid.new pid; echo ok 1; sleep 60",
            THREE,
        );
        let mut command = mkimg(
            &tiny,
            "test",
            &["--json", "--filter", "t", "--junit", "junit.xml"],
        );
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = child.spawn().unwrap();
        let start = Instant::now();
        while !tiny.path("pid").exists() {
            assert!(start.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let kinds = json(&output)["tests"].clone();
        let kinds: Vec<&str> = kinds
            .as_array()
            .unwrap()
            .iter()
            .map(|test| test["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["interrupted", "skipped"]);
        let report = fs::read_to_string(tiny.path("junit.xml")).unwrap();
        assert!(report.contains("type=\"interrupted\"") && report.contains("<skipped/>"));
        // The guest is gone, too.
        let pid = fs::read_to_string(tiny.path("pid")).unwrap();
        assert!(!fs::exists(format!("/proc/{}", pid.trim())).unwrap());
    }
}

#[test]
fn a_terminal_shows_the_test_the_step_and_the_last_line_while_it_runs() {
    let tiny = guest("echo ok 1; printf 'Load\\033[1ming'; sleep 60", THREE);
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let program = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut command = mkimg(&tiny, "test", &["--filter", "two", "--keep-going"]);
    command
        .env("TERM", "xterm")
        .stderr(program)
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut seen, mut user) = (Vec::new(), File::from(user));
    let mut buffer = [0; 4096];
    // A terminal that nobody has open any more gives an error.
    while let Ok(count @ 1..) = user.read(&mut buffer) {
        seen.extend(&buffer[..count]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let seen = String::from_utf8_lossy(&seen).into_owned();
    let line = "testing two: waits for expect line=\"ok 2\" | Loading";
    assert!(seen.contains(line), "{seen:?}");
}

#[test]
fn arguments_for_qemu_reach_it() {
    let nodes = "test \"arguments\" { expect line=\"-device x\"; }";
    let tiny = guest(
        "while [ $# -gt 2 ]; do shift; done; echo \"$@\"; sleep 9",
        nodes,
    );
    run(&mut mkimg(&tiny, "test", &["--", "-device", "x"]));
}

#[test]
fn a_run_that_panics_says_the_cause_and_the_lines_before_it_once() {
    let tiny = guest(
        "echo hello
         echo '/init: line 3: no-such-program: not found'
         echo '[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00'
         for line in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo '[    1.000200]  ? do_syscall_64+0x1/0x90'; done",
        "",
    );
    let output = mkimg(&tiny, "run", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let expected = [
        "error: kernel panic: not syncing: Attempted to kill init! exitcode=0x00007f00",
        "likely cause: `/init` ended with status 127: a program that it starts",
        "the lines before the panic:",
        "hello",
    ];
    for text in expected {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("do_syscall"), "{said}");
    assert!(stdout(&output).contains("do_syscall"));
}
