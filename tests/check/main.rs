//! `mkimg check`: what it varies it has varied, for root and for an ordinary user, and what differs is told.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../support/cli.rs"]
mod cli;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;

mod causes;
mod faults;
mod recipes;

use std::fs;
use std::process::Command;

use cli::{fails, json, run, stdout};
use serde_json::Value;
use tiny::Tiny;

fn check(tiny: &Tiny, more: &[&str]) -> Command {
    let mut command = tiny
        .project
        .mkimg(["check", "images/tiny.kdl", "--offline"]);
    command.args(more);
    command
}

/// Holds a document to `schema.json`, by another program, and returns the variations that were not applied.
fn not_applied(document: &Value) -> Vec<String> {
    if let Some(program) = support::tool("jsonschema") {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), document.to_string()).unwrap();
        let schema = cli::repository().join("tests/check/schema.json");
        run(Command::new(program).arg("-i").arg(file.path()).arg(schema));
    }
    let images = document["images"].as_array().unwrap();
    let variations = images
        .iter()
        .flat_map(|image| image["variations"].as_array().unwrap());
    let left = variations.filter(|variation| variation["applied"] != true);
    left.map(Value::to_string).collect()
}

#[test]
fn every_variation_is_applied_and_the_images_are_equal() {
    let tools = ["unshare", "faketime"].map(support::tool);
    if tools.contains(&None) {
        return;
    }
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let document = json(&run(&mut check(&tiny, &["--json", "--rounds", "3"])));
    assert_eq!(document["verdict"], "equal");
    assert_eq!(document["images"][0]["rounds"].as_array().unwrap().len(), 3);
    assert_eq!(not_applied(&document), Vec::<String>::new());
}

#[test]
fn a_lock_that_expects_another_image_is_a_difference_and_a_missing_one_too_where_it_is_asked_for() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let said = fails(&mut check(&tiny, &["--locked"]), 4);
    assert!(said.contains("there is no lock"), "{said}");
    run(tiny
        .project
        .mkimg(["lock", "images/tiny.kdl"])
        .arg("--offline"));
    run(&mut check(&tiny, &["--locked"]));
    let lock = tiny.path("images/tiny.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let at = text
        .find("tree \"")
        .or_else(|| text.find("tree=\""))
        .unwrap()
        + 6;
    let digit = if &text[at..=at] == "0" { "1" } else { "0" };
    fs::write(&lock, format!("{}{digit}{}", &text[..at], &text[at + 1..])).unwrap();
    let output = check(&tiny, &["--format", "github"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let told = stdout(&output);
    assert!(
        told.starts_with("::error file=images/tiny.lock,line="),
        "{told}"
    );
    assert!(told.contains("every round gave the image"), "{told}");
}

#[test]
fn a_recipe_whose_sources_cannot_be_had_is_not_counted_as_equal() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    fs::copy(tiny.path("images/tiny.kdl"), tiny.path("images/other.kdl")).unwrap();
    let text = fs::read_to_string(tiny.path("images/other.kdl")).unwrap();
    let text = text.replace("local \"kernel\"", "local \"not-there\"");
    let wanted = mkimg::digest::Digest::of(&tiny::kernel()).to_string();
    let text = text.replace(&wanted, &"0".repeat(64));
    fs::write(tiny.path("images/other.kdl"), text).unwrap();
    let args = [
        "check",
        "--all",
        "images",
        "--offline",
        "--cache",
        "elsewhere",
    ];
    let said = fails(&mut tiny.project.mkimg(args), 1);
    assert!(
        said.contains("1 equal, 0 different, 1 could not be checked"),
        "{said}"
    );
    let mut without = tiny.project.mkimg(args);
    let output = run(without.args(["--except", "other"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("left out: other"), "{said}");
}
