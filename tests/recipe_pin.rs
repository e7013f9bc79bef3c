//! `recipe::edit::pin`: sha256 and size written into a recipe, and nothing else touched.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use mkimg::digest::Digest;
use mkimg::recipe::edit::pin;
use mkimg::recipe::{Mode, Parsed, Pin, PinError, Span, parse};

const BEFORE: &str = r##"// sha256="keep me"
image "é" /* 漢 */
source "linux" { // two of them
    debian "pool/a_amd64.deb" \
        arch="x86_64" \
        sha256="1111111111111111111111111111111111111111111111111111111111111111" size=7 // seven
    debian "pool/a_arm64.deb" \
        arch="aarch64" /* none yet */ snapshot="20260711T101637Z"
    /- debian "pool/a_i386.deb" sha256=""
}
source "b" { local arch="x86_64" "b b"; local #"c"# arch=aarch64 size = "1MiB"  sha256 = "" ; }
kernel from="linux" path="boot/*"
initramfs {
    file "/init" from="b"
    file "/text" text="""
        sha256="" size=0
        """
}
"##;

const AFTER: &str = r##"// sha256="keep me"
image "é" /* 漢 */
source "linux" { // two of them
    debian "pool/a_amd64.deb" \
        arch="x86_64" \
        sha256="dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd" size=100 // seven
    debian "pool/a_arm64.deb" sha256="dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd" size=100 \
        arch="aarch64" /* none yet */ snapshot="20260711T101637Z"
    /- debian "pool/a_i386.deb" sha256=""
}
source "b" { local arch="x86_64" "b b" sha256="dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd" size=100; local #"c"# arch=aarch64 size = 100  sha256 = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd" ; }
kernel from="linux" path="boot/*"
initramfs {
    file "/init" from="b"
    file "/text" text="""
        sha256="" size=0
        """
}
"##;

fn digest(digit: &str) -> Digest {
    digit.repeat(64).parse().unwrap()
}

/// Returns a pin for every location of a recipe.
fn pins(parsed: &Parsed, size: Option<u64>) -> Vec<Pin> {
    let locations = parsed
        .recipe
        .sources
        .iter()
        .flat_map(|source| &source.locations);
    let pin = |span: &Span| Pin {
        location: span.clone(),
        sha256: digest("d"),
        size,
        drop_snapshot: false,
    };
    locations.map(|location| pin(&location.span)).collect()
}

fn pinned(text: &str, size: Option<u64>) -> String {
    let parsed = parse("x.kdl", text.as_bytes(), Mode::Pin).unwrap();
    let bytes = pin("x.kdl", text.as_bytes(), &pins(&parsed, size)).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn only_the_values_change() {
    let named = |text: &str| text.replace("image \"é\"", "image \"e\" description=\"é\"");
    assert_eq!(pinned(&named(BEFORE), Some(100)), named(AFTER));
}

#[test]
fn line_ends_and_the_byte_order_mark_stay() {
    let disguise = |text: &str| {
        let named = text.replace("image \"é\"", "image \"e\" description=\"é\"");
        format!("\u{feff}{}", named.replace('\n', "\r\n"))
    };
    assert_eq!(pinned(&disguise(BEFORE), Some(100)), disguise(AFTER));
}

#[test]
fn what_is_pinned_stays_as_it_is() {
    let text = include_str!("../images/minimal.kdl");
    let parsed = parse("x.kdl", text.as_bytes(), Mode::Strict).unwrap();
    let locations = parsed
        .recipe
        .sources
        .iter()
        .flat_map(|source| &source.locations);
    let same: Vec<Pin> = locations
        .map(|location| Pin {
            location: location.span.clone(),
            sha256: location.sha256.as_ref().unwrap().value,
            size: location.size.as_ref().map(|size| size.value),
            drop_snapshot: false,
        })
        .collect();
    assert_eq!(same.len(), 4);
    assert_eq!(
        pin("x.kdl", text.as_bytes(), &same).unwrap(),
        text.as_bytes()
    );
    assert_eq!(pin("x.kdl", text.as_bytes(), &[]).unwrap(), text.as_bytes());
}

#[test]
fn a_size_that_is_not_given_is_left_alone() {
    let text = BEFORE.replace("image \"é\"", "image \"e\"");
    let after = pinned(&text, None);
    assert!(after.contains("size=7 // seven") && after.contains("size = \"1MiB\""));
    assert_eq!(after.matches("size").count(), text.matches("size").count());
    assert_eq!(after.matches(&"d".repeat(64)).count(), 4);
}

#[test]
fn a_pin_of_another_text_is_refused() {
    let text = include_str!("../images/minimal.kdl");
    let stray = Pin {
        location: (3..9).into(),
        sha256: digest("d"),
        size: None,
        drop_snapshot: false,
    };
    let error = pin("x.kdl", text.as_bytes(), &[stray]).unwrap_err();
    assert!(matches!(error, PinError::NoLocation(3)), "{error}");
    let error = pin("x.kdl", b"image", &[]).unwrap_err();
    assert_eq!(error.to_string(), "`x.kdl` has 3 errors");
}

#[test]
fn mirrors_that_would_disagree_are_refused() {
    let text = r#"image a
        source b { local "c"; local "d" sha256="1111111111111111111111111111111111111111111111111111111111111111"; }
        kernel from=b
        initramfs { dir "/x"; }"#;
    let parsed = parse("x.kdl", text.as_bytes(), Mode::Pin).unwrap();
    let first = pins(&parsed, None).swap_remove(0);
    let error = pin("x.kdl", text.as_bytes(), &[first]).unwrap_err();
    assert!(matches!(error, PinError::Invalid(_)), "{error}");
}

#[test]
fn a_snapshot_is_taken_out_and_nothing_else() {
    let text = BEFORE.replace("image \"é\"", "image \"e\"");
    let parsed = parse("x.kdl", text.as_bytes(), Mode::Pin).unwrap();
    let mut pins = pins(&parsed, Some(100));
    for pin in &mut pins {
        pin.drop_snapshot = true;
    }
    let after = pin("x.kdl", text.as_bytes(), &pins).unwrap();
    let expected = pinned(&text, Some(100)).replace(" snapshot=\"20260711T101637Z\"", "");
    assert!(expected.len() < pinned(&text, Some(100)).len());
    assert_eq!(String::from_utf8(after).unwrap(), expected);
}
