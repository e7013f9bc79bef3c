//! Recipes as users write them: the right ones, and what mkimg says about the wrong ones.
//!
//! `tests/mistakes/NAME.kdl` is a recipe with a mistake, `NAME.txt` is what is said about it. After a change of messages:
//! `cargo test --test recipe -- --ignored write_what_is_said`, then look at `git diff tests/mistakes`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use mkimg::recipe::{Invalid, Mode, parse};

/// Draws all that is said about a recipe, 100 columns wide.
fn said(name: &str, bytes: &[u8]) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .with_links(false);
    let (text, diagnostics) = match parse(name, bytes, Mode::Strict) {
        Ok(parsed) => (parsed.source, parsed.warnings),
        Err(Invalid::Wrong { text, diagnostics }) => (text, diagnostics),
        Err(Invalid::Unreadable { message, help }) => {
            return format!("  × {message}\n  help: {help}\n");
        }
    };
    let mut out = String::new();
    for diagnostic in diagnostics {
        let located = diagnostic.located(&text);
        handler.render_report(&mut out, &located).unwrap();
        out.push('\n');
    }
    out
}

fn mistakes() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "kdl"))
        .collect();
    paths.sort();
    paths
}

fn said_about(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    said(name, &fs::read(path).unwrap())
}

#[test]
fn each_mistake_is_named_with_its_line_and_what_to_do() {
    let mut wrong = Vec::new();
    for path in mistakes() {
        let found = said_about(&path);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(found.contains("help: "), "{name}: {found}");
        assert!(
            found.contains(".kdl:") || found.contains("offset"),
            "{name}: {found}"
        );
        if fs::read_to_string(path.with_extension("txt")).unwrap_or_default() != found {
            wrong.push(format!("{name}:\n{found}"));
        }
    }
    assert!(mistakes().len() >= 40);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "writes tests/mistakes/*.txt"]
fn write_what_is_said() {
    for path in mistakes() {
        fs::write(path.with_extension("txt"), said_about(&path)).unwrap();
    }
}
