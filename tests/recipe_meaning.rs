//! What a recipe that is right means: types, places, defaults.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use mkimg::arch::Arch;
use mkimg::digest::Digest;
use mkimg::recipe::{
    ArchError, Boot, Compress, DeviceClass, Ending, EntryKind, KernelOrigin, Mode, Origin, Owner,
    Parsed, Pattern, Place, Span, Spanned, StepKind, check_name, parse, template,
};

const MINIMAL: &str = include_str!("../images/minimal.kdl");

/// A recipe that uses every node and property.
const EVERYTHING: &str = include_str!("everything.kdl");

/// Returns the recipe of a text that is right.
fn right(text: &str) -> Parsed {
    match parse("test.kdl", text.as_bytes(), Mode::Strict) {
        Ok(parsed) => parsed,
        Err(error) => panic!("{error:#?}"),
    }
}

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
    let KernelOrigin::Source { from, path: None } = &recipe.kernel.origin else {
        panic!("{:?}", recipe.kernel);
    };
    assert_eq!(from.value, "linux");
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
    let budget = recipe.budget.as_ref().unwrap();
    let bound = |bound: &Option<Spanned<u64>>| bound.as_ref().map(|bound| bound.value);
    assert_eq!(
        [&budget.kernel, &budget.initramfs, &budget.total].map(bound),
        [16, 2, 17].map(|mebibytes| Some(mebibytes << 20))
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

// The official suite's multiline_string_escape_in_closing_line, its _shallow, and the same with nothing before the escape.
#[test]
fn an_escape_may_stand_before_the_closing_quotes() {
    for (text, expected) in [
        (
            "\"\"\"\n    foo \\\nbar\n    baz\n    \\   \"\"\"",
            "foo bar\nbaz",
        ),
        (
            "\"\"\"\n  foo \\\nbar\n  baz\n  \\   \"\"\"",
            "foo bar\nbaz",
        ),
        ("\"\"\"\none\n\\ \"\"\"", "one"),
    ] {
        let recipe = format!(
            "image t\nsource a {{ local b sha256=\"{}\" }}\nkernel from=a\ninitramfs {{ file \"/init\" text={text} }}\n",
            "1".repeat(64)
        );
        let entries = right(&recipe).recipe.initramfs.entries;
        let origin = match &entries[0].kind {
            EntryKind::File { origin, .. } => origin.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(origin, Origin::Text(expected.into()), "{text}");
    }
}

#[test]
fn a_kernel_beside_the_recipe_needs_no_source() {
    let text = MINIMAL.replace(
        "kernel from=\"linux\" path=\"boot/vmlinuz-*\"",
        "kernel local=\"../bzImage\"",
    );
    let parsed = right(&text);
    let KernelOrigin::Local(path) = &parsed.recipe.kernel.origin else {
        panic!("{:?}", parsed.recipe.kernel);
    };
    assert_eq!(path.value, "../bzImage");
    assert_eq!(parsed.source.slice(&path.span), "\"../bzImage\"");
    let used = parsed.recipe.used_sources();
    assert!(
        used.map(|source| &source.name.value)
            .all(|name| name != "linux")
    );
}

#[test]
fn places_are_bytes_of_the_shown_text() {
    let parsed = right(EVERYTHING);
    let recipe = &parsed.recipe;
    let at = |span: &Span| parsed.source.slice(span);
    assert_eq!(at(&recipe.name.span), "\"every.thing+1_x-y\"");
    assert_eq!(at(&recipe.kernel.span), "kernel from=linux");
    assert_eq!(at(&recipe.kernel.from().unwrap().span), "linux");
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
    assert_eq!(parsed.source.line(&recipe.kernel.span), 10);
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
        assert!(!parsed.source.root().text.starts_with('\u{feff}'));
        let name = parsed.recipe.name.span.clone();
        assert_eq!(parsed.source.slice(&name), "\"minimal\"");
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
