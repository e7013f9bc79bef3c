//! Every `kdl` block of the documentation is parsed, and the workflows for CI are run (`ci`).
//!
//! The word after `kdl` says how: nothing, a whole recipe; `fragment`, see [`whole`]; `must-fail`, a recipe that is refused;
//! `sketch`, a recipe in which `...` stands for hashes and sizes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    dead_code,
    unreachable_pub
)]

mod ci;

#[path = "../support/cli.rs"]
mod cli;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use mkimg::recipe::{Documents, Files, Found, Invalid, Mode, Refusal, parse};

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A block of KDL.
struct Block {
    /// The file and the line of its fence.
    place: String,
    /// What follows `kdl` on the fence.
    mark: String,
    text: String,
}

/// Returns the pages: README.md, where there is one, and docs/*.md.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("docs")).unwrap();
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    pages.push(root.join("README.md"));
    pages.retain(|path| path.extension().is_some_and(|end| end == "md") && path.is_file());
    pages.sort();
    pages
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    // Inside a block: of KDL, or of something else?
    let mut inside: Option<bool> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some(info), None) => {
                let mut words = info.split_whitespace();
                inside = Some(words.next() == Some("kdl"));
                if inside == Some(true) {
                    let name = page.file_name().unwrap().to_string_lossy();
                    blocks.push(Block {
                        place: format!("{name}:{}", index + 1),
                        mark: words.collect(),
                        text: String::new(),
                    });
                }
            }
            (None, Some(true)) => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

/// Returns a recipe with the fragment in it: entries go into its `initramfs`, locations into a `source`; other nodes stand
/// beside the frame's own, or in their place where there can be only one.
fn whole(fragment: &str) -> String {
    let location = format!("{{ local \"x\" sha256=\"{ZEROS}\"; }}");
    let first = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let heads: Vec<String> = fragment
        .lines()
        .filter(|line| !line.starts_with(' ') && !line.starts_with("//"))
        .map(first)
        .collect();
    let starts = |words: &[&str]| {
        heads
            .first()
            .is_some_and(|head| words.contains(&head.as_str()))
    };
    let mut frame: Vec<(String, String)> = ["linux", "busybox"]
        .map(|name| {
            (
                format!("source \"{name}\""),
                format!("source \"{name}\" {location}"),
            )
        })
        .to_vec();
    let (mut entries, mut nodes) = ("dir \"/frame\"", "");
    let source = format!("source \"fragment\" {{\n{fragment}\n}}");
    if starts(&[
        "file", "dir", "symlink", "device", "applets", "tree", "init",
    ]) {
        entries = fragment;
    } else if starts(&["url", "debian", "local", "oci"]) {
        nodes = &source;
    } else {
        nodes = fragment;
    }
    frame.push(("image".into(), "image \"frame\"".into()));
    frame.push(("kernel".into(), "kernel from=\"linux\"".into()));
    frame.push(("initramfs".into(), format!("initramfs {{\n{entries}\n}}")));
    frame.retain(|(head, _)| !nodes.lines().any(|line| line.starts_with(head.as_str())));
    let frame: Vec<String> = frame.into_iter().map(|(_, text)| text).collect();
    format!("{}\n{nodes}", frame.join("\n"))
}

/// What a whole recipe includes is the one before it on its page.
struct Before<'t>(&'t str);

impl Files for Before<'_> {
    fn read(&mut self, path: &str) -> Result<Found, Refusal> {
        Ok(Found {
            at: path.into(),
            bytes: self.0.as_bytes().to_vec(),
        })
    }
}

#[test]
fn every_block_of_kdl_is_what_its_mark_says() {
    let mut counts = std::collections::BTreeMap::new();
    for page in pages() {
        let mut before = String::new();
        for block in blocks(&page) {
            *counts.entry(block.mark.clone()).or_insert(0) += 1;
            let text = match block.mark.as_str() {
                "" | "must-fail" => block.text.clone(),
                "fragment" => whole(&block.text),
                "sketch" => block
                    .text
                    .replace("\"...\"", &format!("\"{ZEROS}\""))
                    .replace("=...", "=1"),
                other => panic!("{}: unknown mark `{other}`", block.place),
            };
            let place = Path::new(&block.place);
            let documents =
                Documents::read(&block.place, text.as_bytes(), place, &mut Before(&before));
            let parsed = documents.and_then(|all| all.recipe(&Mode::Strict.into()));
            if block.mark.is_empty() {
                before.clone_from(&text);
            }
            match (block.mark == "must-fail", parsed) {
                (true, Ok(_)) => panic!("{} should be refused", block.place),
                (false, Err(Invalid::Wrong { text, diagnostics })) => {
                    panic!("{}: {diagnostics:#?}\n{}", block.place, text.root().text)
                }
                (false, Err(error)) => panic!("{error}"),
                _ => {}
            }
        }
    }
    for mark in ["", "fragment", "must-fail", "sketch"] {
        assert!(
            counts.contains_key(mark),
            "no block is marked `{mark}`: {counts:?}"
        );
    }
}

#[test]
fn every_recipe_of_the_project_is_right() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("images");
    let entries = fs::read_dir(images)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let recipes: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "kdl"))
        .collect();
    for path in &recipes {
        match parse(
            &path.to_string_lossy(),
            &fs::read(path).unwrap(),
            Mode::Strict,
        ) {
            Ok(parsed) => assert_eq!(parsed.warnings, [], "{}", path.display()),
            Err(error) => panic!("{error}: {error:#?}"),
        }
    }
    assert!(!recipes.is_empty());
}

/// Returns what stands in backticks as `FILE.rs::TEST`.
fn named_tests(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|word| word.split_once("::"))
        .filter(|(file, _)| file.ends_with(".rs"))
        .collect()
}

#[test]
fn every_test_that_the_promises_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let named = named_tests(&page);
    assert!(named.len() >= 30, "{named:?}");
    let exists = |(file, test): &(&str, &str)| {
        let text = fs::read_to_string(root.join(file)).unwrap_or_default();
        let function = format!("#[test]\nfn {test}() {{").replace("    ", "");
        text.replace("    ", "").contains(&function)
    };
    let missing: Vec<_> = named.iter().filter(|one| !exists(one)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    // Every line of a table names a test or a page.
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let bare: Vec<&str> = rows
        .filter(|row| !row.ends_with("| shown by |"))
        .filter(|row| named_tests(row).is_empty() && !row.contains(".md)"))
        .collect();
    assert!(bare.is_empty(), "{bare:#?}");
}
