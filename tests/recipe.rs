//! Recipes as users write them: the right ones, and what mkimg says about the wrong ones.
//!
//! `tests/mistakes/NAME.kdl` is a recipe with a mistake, `NAME.txt` is what is said about it. After a change of messages:
//! `cargo test --test recipe -- --ignored write_what_is_said`, then look at `git diff tests/mistakes`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use mkimg::recipe::{Diagnostic, Invalid, MAX_DEPTH, Mode, parse};

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
        for piece in diagnostic.by_file() {
            let located = piece.clone().located(text.file(piece.file()));
            handler.render_report(&mut out, &located).unwrap();
        }
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
#[ignore = "writes tests/mistakes/*.txt"]
fn write_what_is_said() {
    for path in mistakes() {
        fs::write(path.with_extension("txt"), said_about(&path)).unwrap();
    }
}

const MINIMAL: &str = include_str!("../images/minimal.kdl");

/// A recipe that uses every node and property.
const EVERYTHING: &str = include_str!("everything.kdl");

/// Checks that a text is right.
fn right(text: &str) {
    assert!(
        parse("test.kdl", text.as_bytes(), Mode::Strict).is_ok(),
        "{}",
        said("test.kdl", text.as_bytes())
    );
}

/// Returns the errors of a text that is wrong, each with what its main label stands under.
fn wrong(text: &[u8]) -> Vec<(String, String)> {
    let Err(Invalid::Wrong { text, diagnostics }) = parse("test.kdl", text, Mode::Strict) else {
        panic!("not a wrong recipe: {}", String::from_utf8_lossy(text));
    };
    let place = |found: &Diagnostic| text.slice(&found.labels[0].0).to_owned();
    let told = |found: Diagnostic| (found.message.clone(), place(&found));
    diagnostics.into_iter().map(told).collect()
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
fn places_of_errors_are_right_after_characters_of_many_bytes() {
    let text = "image \"dém😀\" desc=\"ж\" epoch=-1 /* 漢字 */ foo=1\nsource 漢 {}\n";
    let found = wrong(text.as_bytes());
    let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    assert_eq!(
        places,
        ["\"dém😀\"", "desc", "-1", "foo", "source 漢", "漢", "", ""]
    );
}

#[test]
fn a_file_that_is_no_text_is_refused_with_the_place() {
    let long = vec![b'a'; 50 << 20];
    let cases: [(&[u8], &str); 10] = [
        (
            b"image\n\0",
            "`x` is a binary file: NUL byte at offset 6 (line 2)",
        ),
        (
            b"\xef\xbb\xbf\n\xffz",
            "`x` is not UTF-8: byte 0xff at offset 4 (line 2)",
        ),
        (
            b"image \"\xc3",
            "`x` is not UTF-8: byte 0xc3 at offset 7 (line 1)",
        ),
        (b"\xff\xfei\0m\0", "`x` is UTF-16, a recipe is UTF-8"),
        (
            b"\x7fELF\x02\x01\x01\0",
            "`x` is a binary file: NUL byte at offset 7 (line 1)",
        ),
        (
            b"image\n a\rb",
            "`x` has the character U+000D at offset 8 (line 2)",
        ),
        (
            b"// \x1b[31m",
            "`x` has the character U+001B at offset 3 (line 1)",
        ),
        (
            "// \u{202e}".as_bytes(),
            "`x` has the character U+202E at offset 3 (line 1)",
        ),
        (
            "\u{feff}\u{feff}".as_bytes(),
            "`x` has the character U+FEFF at offset 3 (line 1)",
        ),
        (
            &long,
            "`x` has 52428800 bytes, a recipe has at most 1048576",
        ),
    ];
    for (bytes, expected) in cases {
        match parse("x", bytes, Mode::Strict) {
            Err(Invalid::Unreadable { message, .. }) => assert_eq!(message, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn nesting_is_bounded_before_kdl_sees_the_text() {
    let deep = |open: &str, close: &str, n: usize| open.repeat(n) + &close.repeat(n);
    let cases = [
        (deep("a {", "}", 10_000), "braces nested more than 32 deep"),
        ("a {".repeat(10_000), "braces nested more than 32 deep"),
        (
            deep("/* ", "*/", 10_000),
            "comments nested more than 32 deep",
        ),
        (
            deep("a /- {", "}", 10_000),
            "braces nested more than 32 deep",
        ),
        ("/*".repeat(10_000), "comments nested more than 32 deep"),
        ("}".repeat(10_000), "a `}` that closes nothing"),
        ("a=".repeat(10_000), "`a=` where a node should begin"),
        ("= ".repeat(10_000), "a `=` without a name before it"),
        (
            "a{}".repeat(10_000),
            "something follows a block on its line",
        ),
        ("a)".repeat(10_000), ""),
        ("{".repeat(10_000), "a block without a node"),
    ];
    for (text, message) in cases {
        let found = wrong(text.as_bytes());
        assert!(
            found.iter().any(|(found, _)| found.contains(message)),
            "{message}: {found:?}"
        );
        assert!(found.len() <= 100);
    }
    // As deep as is allowed, on a small stack; kdl alone needs 2^32 steps for the third (each `/-` is read twice).
    let last = MAX_DEPTH;
    for text in [
        deep("a {", "}", last),
        deep("/* ", "*/", last),
        deep("/- a {\n", "\n}", last),
    ] {
        let run = move || wrong(text.as_bytes()).len();
        let thread = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(run)
            .unwrap();
        assert!(thread.join().unwrap() > 0);
    }
}

#[test]
fn what_stands_in_texts_and_comments_does_not_count_as_nesting() {
    let braces = "{ /* ".repeat(1000);
    let stars = "*/".repeat(3) + &"*".repeat(100_000);
    for text in [
        format!("text=#\"{braces}\"#"),
        format!("text=\"{braces}\""),
        format!("text=\"\"\"\n {braces}\n \\\" \\\\\n \"\"\""),
        format!("text=##\"\"\"\n {braces} \"\"\"#\n \"\"\"##"),
        format!("text=\"\" // {braces}"),
        // kdl 6.7.1 calls itself once more for each `*` of a comment.
        format!("text=\"\" /*{} */", &stars[6..]),
    ] {
        let file = format!("    file \"/x\" {text}\n    file \"/init\"");
        right(&MINIMAL.replacen("    file \"/init\"", &file, 1));
    }
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let originals = [MINIMAL.as_bytes(), EVERYTHING.as_bytes()];
    let inserts: [&[u8]; 16] = [
        b"{",
        b"}",
        b"\"",
        b"=",
        b";",
        b"\n",
        b"/-",
        b"/*",
        b"*/",
        b"#",
        b"\\",
        b"\"\"\"",
        b"(",
        b"\xff",
        b"\xe2\x80",
        b"0o",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let mut outcomes = [0usize; 3];
    for round in 0..4000 {
        let mut bytes = originals[round % 2].to_vec();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            let end = bytes.len().min(at + 1 + next(20));
            match next(4) {
                0 => drop(bytes.drain(at..end)),
                1 => bytes[at] = next(256) as u8,
                2 => {
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => drop(bytes.splice(at..at, inserts[next(16)].iter().copied())),
            }
        }
        outcomes[match parse("x", &bytes, Mode::Strict) {
            Ok(_) => 0,
            Err(Invalid::Unreadable { .. }) => 1,
            Err(Invalid::Wrong { text, diagnostics }) => {
                assert!(!diagnostics.is_empty());
                for found in &diagnostics {
                    for (span, _) in &found.labels {
                        let text = &text.file(span.file).text;
                        assert!(text.get(span.range.clone()).is_some(), "{found:?}");
                    }
                    assert!(found.help.is_some(), "{found:?}");
                }
                2
            }
        }] += 1;
        if round % 16 == 0 {
            said("x", &bytes);
        }
    }
    assert!(outcomes.iter().all(|count| *count > 50), "{outcomes:?}");
}
