//! The recipe's budget: what is over it is refused, told and kept.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/tiny.rs"]
mod tiny;

use cli::{fails, json, run, stdout};
use tiny::{Tiny, images, noise};

/// A file that does not compress, of more than any other file of the recipe.
const THING: usize = 20_000;

/// Returns a project whose recipe has a large file and this budget.
fn with(budget: &str) -> Tiny {
    let tiny = Tiny::new();
    write(&tiny, budget);
    tiny
}

fn write(tiny: &Tiny, budget: &str) {
    tiny.takes(&noise(THING), "file \"/thing\" from=\"thing\"");
    let path = tiny.path("images/tiny.kdl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{budget}\n")).unwrap();
}

fn sizes(tiny: &Tiny) -> (u64, u64) {
    let shown = json(&run(&mut tiny.project.mkimg([
        "show",
        "images/tiny.kdl",
        "--json",
    ])));
    let size = |part: &str| shown[part]["size"].as_u64().unwrap();
    (size("kernel"), size("initramfs"))
}

#[test]
fn an_image_within_its_budget_is_made_and_one_byte_less_refuses_it() {
    let tiny = with("");
    run(&mut tiny.realize(&[]));
    let (kernel, initramfs) = sizes(&tiny);
    let total = kernel + initramfs;
    for (name, size) in [
        ("kernel", kernel),
        ("initramfs", initramfs),
        ("total", total),
    ] {
        write(&tiny, &format!("budget {name}={size}"));
        run(&mut tiny.realize(&[]));
        write(&tiny, &format!("budget {name}={}", size - 1));
        let said = fails(&mut tiny.realize(&[]), 1);
        assert!(said.contains("1 byte too many"), "{name}: {said}");
        assert!(said.contains(&format!("{size} bytes")), "{name}: {said}");
    }
    // The budget is in no plan: all of them were one image.
    assert_eq!(images(&tiny.path("cache")), 1);
}

#[test]
fn what_is_over_points_at_the_bound_names_the_largest_files_and_keeps_the_image() {
    let tiny = with("budget initramfs=\"1KiB\" total=1000000");
    let output = tiny.realize(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said
        .lines()
        .find(|line| line.contains("budget initramfs="))
        .unwrap();
    assert!(line.contains("\"1KiB\""), "{said}");
    assert!(said.contains("20000  /thing"), "{said}");
    let (thing, shell) = (said.find("/thing").unwrap(), said.find("/bin/sh").unwrap());
    assert!(thing < shell, "the largest first: {said}");
    // Whoever wants to know why can look at it, and where it is was said.
    let (_, initramfs) = sizes(&tiny);
    assert!(
        said.contains(&format!("{} bytes too many", initramfs - 1024)),
        "{said}"
    );
    let kept = std::fs::read_dir(tiny.path("cache/images-v1")).unwrap();
    let kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept.len(), 1);
    let flat: String = said.split_whitespace().collect();
    assert!(flat.contains(kept[0].to_str().unwrap()), "{said}");
}

#[test]
fn an_image_that_is_there_already_is_held_to_the_budget_too() {
    let tiny = with("budget total=\"16MiB\"");
    run(&mut tiny.realize(&[]));
    write(&tiny, "budget total=\"5KiB\"\ntest \"t\" { expect \"x\" }");
    fails(&mut tiny.realize(&["--out-link", "result"]), 1);
    assert!(!tiny.path("result").exists());
    for verb in ["run", "test"] {
        let said = fails(&mut tiny.project.mkimg([verb, "images/tiny.kdl"]), 1);
        assert!(said.contains("over its budget"), "{verb}: {said}");
    }
}

#[test]
fn every_bound_that_is_passed_is_told_at_once() {
    let tiny = with("budget kernel=1 initramfs=2 total=3");
    let said = fails(&mut tiny.realize(&[]), 1);
    assert_eq!(said.matches("is over its budget").count(), 3, "{said}");
    assert_eq!(said.matches("20000  /thing").count(), 1, "{said}");
}

#[test]
fn what_grew_since_the_lock_is_named_and_the_lock_stays_as_it_was() {
    let tiny = with("budget initramfs=\"64KiB\"");
    run(&mut tiny.project.mkimg(["lock", "images/tiny.kdl"]));
    let lock = std::fs::read(tiny.path("images/tiny.lock")).unwrap();
    let shell = std::fs::read(tiny.path("images/sh")).unwrap().len();
    let (_, before) = sizes(&tiny);
    tiny.takes(
        &noise(100_000),
        "file \"/thing\" from=\"thing\"\n    file \"/new\" text=\"12345\"",
    );
    let path = tiny.path("images/tiny.kdl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "budget initramfs=\"64KiB\"\n").unwrap();
    // The lock is out of date: that is told first, and nothing is made.
    fails(&mut tiny.realize(&[]), 4);
    for command in [
        &mut tiny.realize(&["--update-lock"]),
        &mut tiny.project.mkimg(["lock", "images/tiny.kdl"]),
    ] {
        let said = fails(command, 1);
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&format!("initramfs {before} to ")), "{said}");
        assert!(flat.contains("+80000 /thing (20000 to 100000)"), "{said}");
        assert!(flat.contains("+5 /new (new)"), "{said}");
        assert!(!flat.contains("kernel 4096 to"), "{said}");
        assert!(!flat.contains(&format!("/bin/sh ({shell}")), "{said}");
    }
    // What is refused is not accepted on the way.
    assert_eq!(std::fs::read(tiny.path("images/tiny.lock")).unwrap(), lock);
    // Where the old image is gone the sizes of the whole are still known.
    std::fs::remove_dir_all(tiny.path("cache/images-v1")).unwrap();
    let said = fails(&mut tiny.realize(&["--update-lock"]), 1);
    assert!(
        said.contains("Grown since") && !said.contains("+80000"),
        "{said}"
    );
}
