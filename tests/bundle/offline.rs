//! A colleague with nothing but the file: an empty cache, and no network.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cli::{Project, fails, json, mirror, run, stdout};
use crate::support::{is_root, skip, tool};

/// Returns a command of mkimg in a network of its own, where there is nobody; `None` where the machine has no such thing.
fn alone(project: &Project, args: &[&str]) -> Option<Command> {
    let unshare = tool("unshare")?;
    let options = if is_root() { "-n" } else { "-rn" };
    let probe = Command::new(&unshare).args([options, "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        skip("needs the right to a network namespace of its own");
        return None;
    }
    let mut command = Command::new(unshare);
    command
        .arg(options)
        .arg(env!("CARGO_BIN_EXE_mkimg"))
        .args(args);
    project.prepare(&mut command);
    Some(command)
}

/// The bundle of the minimal recipe, with its sources.
fn minimal(arch: &str) -> (Project, PathBuf) {
    let project = Project::with("minimal");
    let mirror = mirror().display().to_string();
    let more = [
        "--arch",
        arch,
        "--with-sources",
        "--offline",
        "--mirror",
        &mirror,
    ];
    run(project.mkimg(["export", "minimal"]).args(more));
    let path = project.path("minimal.mkimg");
    (project, path)
}

#[test]
fn the_network_is_cut_for_a_program_that_is_alone() {
    let project = Project::new();
    let text = "image \"x\"\nsource \"kernel\" {\n    url \"http://127.0.0.1:1/x\" sha256=\"SUM\"\n}\nkernel from=\"kernel\"\ninitramfs {\n    file \"/init\" text=\"\"\n}\n";
    project.recipe("x", &text.replace("SUM", &"0".repeat(64)));
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let url = format!("127.0.0.1:{port}/x");
    project.recipe(
        "x",
        &text
            .replace("SUM", &"0".repeat(64))
            .replace("127.0.0.1:1/x", &url),
    );
    let Some(mut command) = alone(&project, &["realize", "x"]) else {
        return;
    };
    let said = fails(&mut command, 1);
    assert!(said.contains("unreachable"), "{said}");
}

#[test]
fn a_bundle_with_sources_is_imported_realized_anew_and_read_without_a_network() {
    let (origin, path) = minimal("x86_64");
    let bundle = path.display().to_string();
    let project = Project::new();
    let Some(mut import) = alone(&project, &["import", &bundle, "--json"]) else {
        return;
    };
    let imported = json(&run(&mut import));
    let recipe = imported["recipe"].as_str().unwrap().to_owned();
    let there = json(&run(&mut alone(
        &project,
        &["realize", &recipe, "--json", "--locked"],
    )
    .unwrap()));
    assert_eq!(there["up_to_date"], true);
    let original = json(&run(&mut origin.mkimg([
        "realize",
        "minimal",
        "--json",
        "--offline",
    ])));
    assert_eq!(there["identities"], original["identities"]);
    // From the sources alone: no image is left, nor what was read out of archives.
    for bucket in ["images-v1", "imports-v1", "members-v1"] {
        let _ = fs::remove_dir_all(project.path("cache").join(bucket));
    }
    let again: Value = json(&run(&mut alone(
        &project,
        &["realize", &recipe, "--json", "--locked"],
    )
    .unwrap()));
    assert_eq!(again["up_to_date"], false);
    assert_eq!(again["identities"], original["identities"]);
    // The verbs that look inside take the file itself.
    for args in [
        &["show", &bundle][..],
        &["ls", &bundle],
        &["verify", &bundle, "--rebuild"],
        &["cat", &bundle, "/init"],
        &["why", &bundle, "/bin/sh"],
        &["sbom", &bundle],
        &["run", &bundle, "--dry-run", "--qemu", "qemu-system-x86_64"],
    ] {
        let Some(mut command) = alone(&project, args) else {
            return;
        };
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A machine without that QEMU says so.
        let no_qemu = args[0] == "run" && said.contains("qemu-system-x86_64");
        assert!(output.status.success() || no_qemu, "{args:?}: {said}");
    }
    let init = stdout(&run(
        &mut alone(&project, &["cat", &bundle, "/init"]).unwrap()
    ));
    assert!(init.starts_with("#!/bin/busybox sh"), "{init}");
}

#[test]
fn a_bundle_is_booted_and_tested_straight_on_an_empty_cache_without_a_network() {
    let (origin, path) = minimal("x86_64");
    let bundle = path.display().to_string();
    // The QEMU that the other tests use: whoever has the file alone must have one, too.
    let shared = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let shown = shared.display().to_string();
    run(&mut origin.mkimg(["run", &bundle, "--dry-run", "--cache", &shown]));
    let project = Project::new();
    for bucket in ["tools-v1", "notes-v1"] {
        if shared.join(bucket).exists() {
            let copy = ["-al", &format!("{shown}/{bucket}"), "cache"];
            let mut command = Command::new("cp");
            project.prepare(&mut command);
            run(command.args(copy));
        }
    }
    let Some(mut test) = alone(&project, &["test", &bundle, "--json", "--accel", "tcg"]) else {
        return;
    };
    let report = json(&run(&mut test));
    assert_eq!(report["passed"], true, "{report:#}");
    assert!(!report["tests"].as_array().unwrap().is_empty());
    let mut boot = alone(&project, &["run", &bundle, "--accel", "tcg"]).unwrap();
    boot.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = boot.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"echo sum=$((40 + 2))\nexit\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(stdout(&output).contains("\nsum=42\n"), "{said}");
}
