//! Recipes as users write them: the right ones, and what mkimg says about the wrong ones.
//!
//! `tests/mistakes/NAME.kdl` is a recipe with a mistake, `NAME.txt` is what is said about it. After a change of messages:
//! `cargo test --test recipe -- --ignored write_what_is_said`, then look at `git diff tests/mistakes`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use mkimg::arch::Arch;
use mkimg::digest::Digest;
use mkimg::recipe::{
    ArchError, Boot, Compress, DeviceClass, Diagnostic, Ending, EntryKind, Invalid, MAX_BYTES,
    MAX_DEPTH, Mode, Origin, Owner, Parsed, Pattern, Place, StepKind, check_name, parse, template,
};

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

const MINIMAL: &str = include_str!("../images/minimal.kdl");

/// Returns the recipe of a text that is right.
fn right(text: &str) -> Parsed {
    match parse("test.kdl", text.as_bytes(), Mode::Strict) {
        Ok(parsed) => parsed,
        Err(_) => panic!("{}", said("test.kdl", text.as_bytes())),
    }
}

/// Returns the errors of a text that is wrong, each with what its main label stands under.
fn wrong(text: &[u8]) -> Vec<(String, String)> {
    let Err(Invalid::Wrong { text, diagnostics }) = parse("test.kdl", text, Mode::Strict) else {
        panic!("not a wrong recipe: {}", String::from_utf8_lossy(text));
    };
    let place = |found: &Diagnostic| text.text[found.labels[0].0.clone()].to_owned();
    let told = |found: Diagnostic| (found.message.clone(), place(&found));
    diagnostics.into_iter().map(told).collect()
}

/// A recipe that uses every node and property.
const EVERYTHING: &str = r##"
image "every.thing+1_x-y" description="Grüße" epoch=1700000000
source "linux" {
    url "https://example.org/linux" sha256="1111111111111111111111111111111111111111111111111111111111111111" size="26MiB"
    local "../linux" sha256="1111111111111111111111111111111111111111111111111111111111111111"
}
source "pkgs" {
    debian "pool/main/a/a_1.deb" sha256="2222222222222222222222222222222222222222222222222222222222222222" arch=x86_64 snapshot="20260711T101637Z" archive="debian-security" size=5
    debian "pool/main/a/a_2.deb" sha256="3333333333333333333333333333333333333333333333333333333333333333" arch="aarch64"
}
kernel from=linux
initramfs compress="gzip" level=12 {
    file "/bin/busybox" from="pkgs" path="bin/busybox" mode=0o4755 uid=1 gid=2
    file "/etc/motd" text=#"a\b"#
    file "/etc/local" local="motd"
    dir "/root" mode=0o700
    symlink "/bin/vi" target="busybox"
    device "/dev/sda" block major=8 minor=0
    applets "/bin" of="/bin/busybox" except="init  sh"
    tree "/" from="pkgs" strip=1 { include "lib/**"; exclude "lib/x"; exclude "**/*.la" }
    file "/init" from="pkgs" path="sbin/init" override=#true
}
boot memory="1G" cpus=2 cmdline=""
test "it boots" within="2min" {
    expect "login:"
    send ""
    absent regex="[Pp]anic"
    exit "poweroff"
}
"##;

#[test]
fn everything_that_can_be_said_is_understood() {
    let recipe = right(EVERYTHING).recipe;
    assert_eq!(recipe.name.value, "every.thing+1_x-y");
    assert_eq!(
        (recipe.description.as_deref(), recipe.epoch),
        (Some("Grüße"), 1_700_000_000)
    );
    let linux = recipe.source("linux").unwrap();
    assert_eq!(
        linux.locations[0].place,
        Place::Url("https://example.org/linux".into())
    );
    assert_eq!(linux.locations[0].size.as_ref().unwrap().value, 26 << 20);
    assert_eq!(linux.locations[1].place, Place::Local("../linux".into()));
    let digest: Digest = "1".repeat(64).parse().unwrap();
    assert_eq!(linux.locations[1].sha256.as_ref().unwrap().value, digest);
    let first = &recipe.source("pkgs").unwrap().locations[0];
    let place = Place::Debian {
        path: "pool/main/a/a_1.deb".into(),
        snapshot: Some("20260711T101637Z".into()),
        archive: "debian-security".into(),
    };
    assert_eq!((&first.place, first.arch), (&place, Some(Arch::X86_64)));
    assert_eq!(
        (recipe.kernel.from.value.as_str(), &recipe.kernel.path),
        ("linux", &None)
    );
    assert_eq!(recipe.initramfs.compress, Compress::Gzip { level: 12 });
    let entries = &recipe.initramfs.entries;
    assert_eq!(entries[0].owner, Owner { uid: 1, gid: 2 });
    assert!(matches!(
        &entries[0].kind,
        EntryKind::File {
            mode: Some(0o4755),
            origin: Origin::Source { .. }
        }
    ));
    let text = Origin::Text(r"a\b".into());
    assert_eq!(
        entries[1].kind,
        EntryKind::File {
            origin: text,
            mode: None
        }
    );
    assert!(
        matches!(&entries[2].kind, EntryKind::File { origin: Origin::Local(path), .. } if path.value == "motd")
    );
    assert_eq!(entries[3].kind, EntryKind::Dir { mode: 0o700 });
    assert_eq!(
        entries[4].kind,
        EntryKind::Symlink {
            target: "busybox".into()
        }
    );
    let disk = EntryKind::Device {
        class: DeviceClass::Block,
        major: 8,
        minor: 0,
        mode: 0o600,
    };
    assert_eq!(entries[5].kind, disk);
    assert!(
        matches!(&entries[6].kind, EntryKind::Applets { except, .. } if *except == ["init", "sh"])
    );
    let EntryKind::Tree {
        strip,
        include,
        exclude,
        ..
    } = &entries[7].kind
    else {
        panic!("{:?}", entries[7]);
    };
    assert_eq!(
        (*strip, include.len(), exclude[1].value.as_str()),
        (1, 1, "**/*.la")
    );
    assert_eq!((entries[8].replaces, entries[7].replaces), (true, false));
    assert_eq!(
        recipe.boot,
        Boot {
            memory: 1 << 30,
            cpus: 2,
            cmdline: String::new()
        }
    );
    let test = &recipe.tests[0];
    assert_eq!(
        (test.name.value.as_str(), test.within_ms),
        ("it boots", 120_000)
    );
    let steps: Vec<&StepKind> = test.steps.iter().map(|step| &step.kind).collect();
    let expected = [
        StepKind::Expect(Pattern::Text("login:".into())),
        StepKind::Send(String::new()),
        StepKind::Absent(Pattern::Regex("[Pp]anic".into())),
        StepKind::Exit(Ending::Poweroff),
    ];
    assert_eq!(steps, expected.iter().collect::<Vec<_>>());
}

#[test]
fn what_is_not_said_has_its_default() {
    let text = r#"
        image demo; source a { local "a" sha256="1111111111111111111111111111111111111111111111111111111111111111"; }
        kernel from=a; initramfs { device "/dev/null" char major=1 minor=3; dir "/x"; file "/init" text="" }
        test t { expect x }"#;
    let recipe = right(text).recipe;
    assert_eq!(
        (recipe.epoch, &recipe.description, &recipe.boot),
        (0, &None, &Boot::default())
    );
    assert_eq!(recipe.boot.memory, 128 << 20);
    assert_eq!(recipe.initramfs.compress, Compress::Gzip { level: 7 });
    assert!(matches!(
        recipe.initramfs.entries[0].kind,
        EntryKind::Device { mode: 0o600, .. }
    ));
    assert_eq!(
        recipe.initramfs.entries[1].kind,
        EntryKind::Dir { mode: 0o755 }
    );
    assert_eq!(recipe.tests[0].within_ms, 60_000);
    assert_eq!(recipe.archs(), Arch::ALL);
}

#[test]
fn places_are_bytes_of_the_shown_text() {
    let parsed = right(EVERYTHING);
    let (text, recipe) = (&parsed.source.text, &parsed.recipe);
    let at = |span: &std::ops::Range<usize>| &text[span.clone()];
    assert_eq!(at(&recipe.name.span), "\"every.thing+1_x-y\"");
    assert_eq!(at(&recipe.kernel.span), "kernel from=linux");
    assert_eq!(at(&recipe.kernel.from.span), "linux");
    assert_eq!(
        at(&recipe.initramfs.span),
        "initramfs compress=\"gzip\" level=12"
    );
    assert_eq!(
        at(&recipe.initramfs.entries[3].span),
        "dir \"/root\" mode=0o700"
    );
    assert!(at(&recipe.initramfs.entries[7].span).starts_with("tree \"/\""));
    assert!(at(&recipe.initramfs.entries[7].span).ends_with("\"**/*.la\" }"));
    assert_eq!(at(&recipe.tests[0].steps[1].span), "send \"\"");
    let source = &recipe.sources[1];
    assert!(at(&source.span).starts_with("source \"pkgs\" {") && at(&source.span).ends_with('}'));
    assert_eq!(at(&source.locations[0].size.as_ref().unwrap().span), "5");
    assert_eq!(parsed.source.line(recipe.kernel.span.start), 11);
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
fn line_ends_and_a_byte_order_mark_change_nothing_but_places() {
    let crlf = MINIMAL.replace('\n', "\r\n");
    let marked = format!("\u{feff}{MINIMAL}");
    let both = format!("\u{feff}{crlf}");
    let texts = |parsed: &Parsed| -> Vec<EntryKind> {
        let kinds = parsed
            .recipe
            .initramfs
            .entries
            .iter()
            .map(|entry| entry.kind.clone());
        kinds
            .filter(|kind| {
                matches!(
                    kind,
                    EntryKind::File {
                        origin: Origin::Text(_),
                        ..
                    }
                )
            })
            .collect()
    };
    let plain = right(MINIMAL);
    assert!(
        matches!(&texts(&plain)[..], [EntryKind::File { origin: Origin::Text(text), .. }] if text.lines().count() == 9)
    );
    for other in [crlf, marked, both] {
        let parsed = right(&other);
        assert_eq!(texts(&parsed), texts(&plain));
        assert_eq!(parsed.recipe.name.value, plain.recipe.name.value);
        assert!(!parsed.source.text.starts_with('\u{feff}'));
        let name = parsed.recipe.name.span.clone();
        assert_eq!(&parsed.source.text[name], "\"minimal\"");
    }
}

#[test]
fn a_file_that_is_no_text_is_refused_with_the_place() {
    let long = vec![b'a'; 50 << 20];
    let cases: [(&[u8], &str); 6] = [
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
        ("a=".repeat(10_000), "a `=` without a name before it"),
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
fn an_architecture_is_chosen_as_the_contract_says() {
    use Arch::{Aarch64, X86_64};
    let both = right(MINIMAL).recipe;
    assert_eq!(both.archs(), [Aarch64, X86_64]);
    assert_eq!(both.choose_arch(None, Some(X86_64)), Ok(X86_64));
    assert_eq!(both.choose_arch(Some(Aarch64), Some(X86_64)), Ok(Aarch64));
    let known = "`aarch64` and `x86_64`".to_owned();
    assert_eq!(
        both.choose_arch(None, None),
        Err(ArchError::Ambiguous { known })
    );
    let from = MINIMAL
        .find("    debian \"pool/main/l/linux-signed-arm64")
        .unwrap();
    let to = MINIMAL.find("}\nsource \"busybox\"").unwrap();
    let one = format!("{}{}", &MINIMAL[..from], &MINIMAL[to..]);
    let one = right(&one).recipe;
    assert_eq!(one.archs(), [X86_64]);
    assert_eq!(one.choose_arch(None, Some(Aarch64)), Ok(X86_64));
    let error = one.choose_arch(Some(Aarch64), None).unwrap_err();
    let text = "the recipe has no `aarch64`: its source `linux` has locations for `x86_64` only";
    assert_eq!(error.to_string(), text);
    let locations = |arch| both.source("linux").unwrap().locations_for(arch).count();
    assert_eq!((locations(X86_64), locations(Aarch64)), (1, 1));
}

#[test]
fn a_missing_sha256_passes_only_where_it_shall_be_filled_in() {
    let digest = "sha256=\"efe19f605b6f54a8352e68d85a629abb2d30b72a085faef603a9152590baa791\"";
    for other in ["", "sha256=\"\""] {
        let text = MINIMAL.replace(digest, other);
        assert!(parse("x", text.as_bytes(), Mode::Strict).is_err());
        let parsed = parse("x", text.as_bytes(), Mode::Pin).unwrap();
        assert_eq!(parsed.recipe.sources[0].locations[0].sha256, None);
    }
    let text = MINIMAL.replace(digest, "sha256=\"efe1\"");
    assert!(parse("x", text.as_bytes(), Mode::Pin).is_err());
}

#[test]
fn the_template_is_a_recipe_with_the_sources_of_minimal() {
    let text = template("hello-1.0");
    let parsed = right(&text);
    assert_eq!(parsed.warnings, []);
    assert_eq!(parsed.recipe.name.value, "hello-1.0");
    let places = |parsed: &Parsed| -> Vec<_> {
        let locations = parsed
            .recipe
            .sources
            .iter()
            .flat_map(|source| &source.locations);
        locations
            .map(|l| (l.place.clone(), l.arch, l.sha256.clone().map(|s| s.value)))
            .collect()
    };
    assert_eq!(places(&parsed), places(&right(MINIMAL)));
    assert_eq!(places(&parsed).len(), 4);
}

#[test]
fn a_name_is_fit_for_file_names() {
    for good in ["a", "minimal", "x86_64", "1.0+b", "A-b", &"n".repeat(64)] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        ".",
        "..",
        ".a",
        "-a",
        "a/b",
        "a b",
        "é",
        "a\n",
        &"n".repeat(65),
    ] {
        assert!(check_name(bad).is_err(), "{bad}");
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
                        assert!(text.text.get(span.clone()).is_some(), "{found:?}");
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
