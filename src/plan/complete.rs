//! Nothing that a recipe can say is missing in the plan's canonical text: each argument, property and child node that the
//! language's own forms list is changed, one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{LocalFile, Plan};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::recipe::{Mode, language, parse};

/// A recipe that says everything; `1@` is a sha256 of ones. What is below `/t` may take the place of something in that tree, so
/// that `override` can be written there or left out.
const RECIPE: &str = r#"
image "complete" description="one" epoch=7
source "one" {
    url "http://h.example/a" sha256="1@" size=5
    url "http://h.example/b" sha256="1@" size=5
    debian "pool/a.deb" sha256="1@" size=5 archive="debian" snapshot="20260711T101637Z"
    local "a" sha256="1@" size=5
}
source "two" {
    url "http://h.example/c" sha256="2@" arch="x86_64"
    url "http://h.example/d" sha256="2@" arch="x86_64"
    debian "pool/c.deb" sha256="2@" arch="x86_64"
    local "c" sha256="2@" arch="x86_64"
    url "http://h.example/e" sha256="2@" arch="aarch64"
}
source "url" { url "http://h.example/f" sha256="3@"; }
source "deb" { debian "pool/d.deb" sha256="4@"; }
source "local" { local "e" sha256="5@"; }
source "img" { oci "r.example/a:1" digest="sha256:6@"; oci "r.example/b" digest="sha256:6@"; oci local="i" digest="sha256:6@"; }
source "img2" { oci "r.example/d" digest="sha256:7@"; }
source "img3" { oci "r.example/e" digest="sha256:7@" arch="x86_64"; oci "r.example/f" digest="sha256:7@" arch="x86_64"; oci "r.example/g" digest="sha256:7@" arch="aarch64"; }
kernel from="one" path="boot/vmlinuz"
initramfs compress="gzip" level=7 {
    tree "/t" from="one"
    tree "/t/t" from="two" strip=1 uid=1 gid=1 { include "a/**"; exclude "a/b"; modes { "a/c" 0o600; }; }
    tree "/d" local="dir" git=#true
    tree "/i" from="img" owners=#false
    tree "/j" from="img2"
    tree "/" from="img3"
    init from="img2" busybox="url"
    file "/t/f" from="one" path="f" mode=0o644 uid=1 gid=1
    file "/t/text" text="g"
    file "/t/local" local="here"
    file "/t/u" from="url"
    file "/t/d" from="deb"
    file "/t/l" from="local"
    dir "/t/dir" mode=0o700 uid=1 gid=1
    symlink "/t/s" target="f" uid=1 gid=1
    device "/t/c" "char" major=5 minor=1 mode=0o600 uid=1 gid=1
    applets "/t/bin" of="/t/f" except="init" uid=1 gid=1
}
boot memory="128MiB" cpus=1 cmdline="quiet"
budget kernel="1MiB" initramfs="1MiB" total="2MiB"
test "it" within="5s" { expect "a"; expect regex="b"; expect line="h"; absent "c"; absent regex="d"; absent line="i"; send "e"; serve "/f" text="g"; exit "poweroff"; }
"#;

/// A node's argument (in the words of its form), property or child node; a text that the recipe has once, and what to write there.
type Change = (&'static str, &'static str, &'static str, &'static str);

/// What decides no byte of an image and no word of its `image.json`: a size bounds a download, a budget refuses what is made, a test
/// runs it.
#[rustfmt::skip]
const FREE: &[Change] = &[
    ("image", "description", r#"description="one""#, r#"description="two""#),
    ("url", "size", r#"size=5
    debian"#, r#"
    debian"#),
    ("debian", "size", "size=5 archive", "archive"),
    ("local", "size", r#"local "a" sha256="1@" size=5"#, r#"local "a" sha256="1@""#),
    ("budget", "kernel", r#"kernel="1MiB""#, ""),
    ("budget", "initramfs", r#"initramfs="1MiB""#, ""),
    ("budget", "total", r#"total="2MiB""#, ""),
    ("test", "the name", r#"test "it""#, r#"test "other""#),
    ("test", "within", r#"within="5s""#, r#"within="6s""#),
    ("test", "expect", r#"expect "a"; "#, ""),
    ("test", "absent", r#"absent "c"; "#, ""),
    ("test", "send", r#"send "e"; "#, ""),
    ("test", "serve", r#"serve "/f" text="g"; "#, ""),
    ("test", "exit", r#"exit "poweroff"; "#, ""),
    ("expect", "the text", r#"expect "a""#, r#"expect "A""#),
    ("expect", "regex", r#"regex="b""#, r#"regex="B""#),
    ("expect", "line", r#"line="h""#, r#"line="H""#),
    ("absent", "line", r#"line="i""#, r#"line="I""#),
    ("absent", "the text", r#"absent "c""#, r#"absent "C""#),
    ("absent", "regex", r#"regex="d""#, r#"regex="D""#),
    ("send", "the line", r#"send "e""#, r#"send "E""#),
    ("serve", "the path", r#"serve "/f""#, r#"serve "/F""#),
    ("serve", "text", r#"serve "/f" text="g""#, r#"serve "/f" text="G""#),
    ("exit", "the ending", r#"exit "poweroff""#, r#"exit "panic""#),
];

/// What says where nodes come from, when they count and what stands in their texts: part of the plan through what it changes, which
/// `tests/recipe_files.rs` shows.
const COMPOSING: &[&str] = &["param", "set", "when", "variant"];
const COMPOSING_FIELDS: &[(&str, &str)] = &[
    ("include", "the path"),
    ("source", "override"),
    ("test", "override"),
];

/// Everything else.
#[rustfmt::skip]
const DECIDING: &[Change] = &[
    ("image", "the name", r#"image "complete""#, r#"image "other""#),
    ("image", "epoch", "epoch=7", "epoch=8"),
    ("source", "the name", r#""url""#, r#""other""#),
    ("source", "url", r#"    url "http://h.example/d" sha256="2@" arch="x86_64""#, ""),
    ("source", "debian", r#"    debian "pool/c.deb" sha256="2@" arch="x86_64""#, ""),
    ("source", "local", r#"    local "c" sha256="2@" arch="x86_64""#, ""),
    ("url", "the address", "http://h.example/b", "http://h.example/B"),
    ("url", "sha256", r#"f" sha256="3@""#, r#"f" sha256="9@""#),
    ("url", "arch", r#"d" sha256="2@" arch="x86_64""#, r#"d" sha256="2@" arch="aarch64""#),
    ("debian", "the path", "pool/a.deb", "pool/b.deb"),
    ("debian", "sha256", "4@", "9@"),
    ("debian", "arch", r#"c.deb" sha256="2@" arch="x86_64""#, r#"c.deb" sha256="2@" arch="aarch64""#),
    ("debian", "snapshot", "20260711T101637Z", "20260712T101637Z"),
    ("debian", "archive", r#"archive="debian""#, r#"archive="debian-security""#),
    ("local", "the path", r#"local "a""#, r#"local "b""#),
    ("local", "sha256", "5@", "9@"),
    ("local", "arch", r#"local "c" sha256="2@" arch="x86_64""#, r#"local "c" sha256="2@" arch="aarch64""#),
    ("kernel", "from", r#"kernel from="one""#, r#"kernel from="two""#),
    ("kernel", "path", "boot/vmlinuz", "boot/vmlinux"),
    ("kernel", "local", r#"kernel from="one" path="boot/vmlinuz""#, r#"kernel local="here""#),
    ("initramfs", "compress", r#"compress="gzip" level=7"#, r#"compress="none""#),
    ("initramfs", "level", "level=7", "level=8"),
    ("initramfs", "file", r#"file "/t/text" text="g""#, ""),
    ("initramfs", "dir", r#"dir "/t/dir" mode=0o700 uid=1 gid=1"#, ""),
    ("initramfs", "symlink", r#"symlink "/t/s" target="f" uid=1 gid=1"#, ""),
    ("initramfs", "device", r#"device "/t/c" "char" major=5 minor=1 mode=0o600 uid=1 gid=1"#, ""),
    ("initramfs", "applets", r#"applets "/t/bin" of="/t/f" except="init" uid=1 gid=1"#, ""),
    ("initramfs", "tree", r#"tree "/t" from="one""#, ""),
    ("file", "the path", r#""/t/text""#, r#""/t/other""#),
    ("file", "from", r#"file "/t/u" from="url""#, r#"file "/t/u" from="deb""#),
    ("file", "path", r#"path="f""#, r#"path="F""#),
    ("file", "text", r#"text="g"
"#, r#"text="G"
"#),
    ("file", "local", r#"local="here""#, r#"local="there""#),
    ("file", "mode", "mode=0o644", "mode=0o640"),
    ("file", "uid", "mode=0o644 uid=1", "mode=0o644 uid=2"),
    ("file", "gid", "mode=0o644 uid=1 gid=1", "mode=0o644 uid=1 gid=2"),
    ("file", "override", r#"file "/t/text""#, r#"file "/t/text" override=#true"#),
    ("dir", "the path", r#""/t/dir""#, r#""/t/other""#),
    ("dir", "mode", "mode=0o700", "mode=0o701"),
    ("dir", "uid", "mode=0o700 uid=1", "mode=0o700 uid=2"),
    ("dir", "gid", "mode=0o700 uid=1 gid=1", "mode=0o700 uid=1 gid=2"),
    ("dir", "override", r#""/t/dir""#, r#""/t/dir" override=#true"#),
    ("symlink", "the path", r#""/t/s""#, r#""/t/other""#),
    ("symlink", "target", r#"target="f""#, r#"target="F""#),
    ("symlink", "uid", r#"target="f" uid=1"#, r#"target="f" uid=2"#),
    ("symlink", "gid", r#"target="f" uid=1 gid=1"#, r#"target="f" uid=1 gid=2"#),
    ("symlink", "override", r#""/t/s""#, r#""/t/s" override=#true"#),
    ("device", "the path", r#""/t/c""#, r#""/t/other""#),
    ("device", "the class", r#""char""#, r#""block""#),
    ("device", "major", "major=5", "major=6"),
    ("device", "minor", "minor=1", "minor=2"),
    ("device", "mode", "mode=0o600", "mode=0o601"),
    ("device", "uid", "mode=0o600 uid=1", "mode=0o600 uid=2"),
    ("device", "gid", "mode=0o600 uid=1 gid=1", "mode=0o600 uid=1 gid=2"),
    ("device", "override", r#""/t/c""#, r#""/t/c" override=#true"#),
    ("applets", "the directory", r#""/t/bin""#, r#""/t/other""#),
    ("applets", "of", r#"of="/t/f""#, r#"of="/t/u""#),
    ("applets", "except", r#"except="init""#, r#"except="sh""#),
    ("applets", "uid", r#"except="init" uid=1"#, r#"except="init" uid=2"#),
    ("applets", "gid", r#"except="init" uid=1 gid=1"#, r#"except="init" uid=1 gid=2"#),
    ("applets", "override", r#""/t/bin""#, r#""/t/bin" override=#true"#),
    ("tree", "the directory", r#""/t/t""#, r#""/t/other""#),
    ("tree", "from", r#""/t/t" from="two""#, r#""/t/t" from="one""#),
    ("tree", "local", r#"local="dir""#, r#"local="other""#),
    ("tree", "git", " git=#true", ""),
    ("tree", "modes", r#"modes { "a/c" 0o600; }; "#, ""),
    ("modes", "GLOB", r#""a/c" 0o600; "#, ""),
    ("GLOB", "the mode", r#""a/c" 0o600"#, r#""a/c" 0o601"#),
    ("source", "oci", r#" oci "r.example/b" digest="sha256:6@";"#, ""),
    ("oci", "the reference", "r.example/a:1", "r.example/a:2"),
    ("oci", "local", r#"local="i""#, r#"local="j""#),
    ("oci", "digest", r#"d" digest="sha256:7@""#, r#"d" digest="sha256:8@""#),
    ("oci", "arch", r#"f" digest="sha256:7@" arch="x86_64""#, r#"f" digest="sha256:7@" arch="aarch64""#),
    ("initramfs", "init", r#"    init from="img2" busybox="url""#, ""),
    ("init", "from", r#"init from="img2""#, r#"init from="img""#),
    ("init", "busybox", r#" busybox="url""#, ""),
    ("init", "override", r#"init from="img2""#, r#"init override=#true from="img2""#),
    ("tree", "owners", " owners=#false", ""),
    ("tree", "strip", "strip=1", "strip=2"),
    ("tree", "uid", "strip=1 uid=1", "strip=1 uid=2"),
    ("tree", "gid", "strip=1 uid=1 gid=1", "strip=1 uid=1 gid=2"),
    ("tree", "override", r#""/t/t""#, r#""/t/t" override=#true"#),
    ("tree", "include", r#"include "a/**"; "#, ""),
    ("tree", "exclude", r#"exclude "a/b"; "#, ""),
    ("include", "the glob", r#""a/**""#, r#""b/**""#),
    ("exclude", "the glob", r#""a/b""#, r#""a/c""#),
    ("boot", "memory", "128MiB", "129MiB"),
    ("boot", "cpus", "cpus=1", "cpus=2"),
    ("boot", "cmdline", "quiet", "loud"),
];

/// Returns the plan of a recipe.
fn plan(text: &str) -> Result<Plan, String> {
    let mut text = text.to_owned();
    for digit in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        text = text.replace(&format!("{digit}@"), &digit.repeat(64));
    }
    let parsed = parse("complete.kdl", text.as_bytes(), Mode::Strict);
    let recipe = parsed.map_err(|error| format!("{error:?}"))?.recipe;
    let local = |name: &str| LocalFile {
        path: PathBuf::from("/anywhere"),
        digest: Digest::of(name.as_bytes()),
        size: 5,
    };
    let locals = ["here", "there", "dir/", "dir/ (git)", "other/ (git)"];
    let locals = locals.map(|name| (name.to_owned(), local(name)));
    let plan = Plan::lower(&recipe, Arch::X86_64, &BTreeMap::from(locals));
    plan.map_err(|error| format!("{error:?}"))
}

#[test]
fn everything_that_the_language_has_is_in_the_plan_or_known_to_decide_no_byte() {
    let (roots, forms) = language();
    let named: BTreeSet<&str> = forms.iter().map(|form| form.name).collect();
    let children = forms.iter().flat_map(|form| form.children);
    let nodes: BTreeSet<&str> = roots.iter().chain(children).copied().collect();
    assert_eq!(named, nodes, "each node has its form in `recipe::language`");

    let fields = forms.iter().flat_map(|form| {
        let fields = [form.arguments, form.properties, form.children].concat();
        fields.into_iter().map(|field| (form.name, field))
    });
    let fields: BTreeSet<(&str, &str)> = fields
        .filter(|field| !COMPOSING.contains(&field.0) && !COMPOSING_FIELDS.contains(field))
        .collect();
    let rows = FREE.iter().chain(DECIDING);
    let known: Vec<(&str, &str)> = rows.map(|(node, field, ..)| (*node, *field)).collect();
    let once: BTreeSet<(&str, &str)> = known.iter().copied().collect();
    assert_eq!(known.len(), once.len(), "a field is in the tables once");
    assert_eq!(
        fields, once,
        "what the language has and what is tried here are the same: a new field goes into the plan's text and into `DECIDING`"
    );

    let whole = plan(RECIPE).unwrap();
    for (deciding, rows) in [(false, FREE), (true, DECIDING)] {
        for (node, field, from, to) in rows {
            let what = format!("`{field}` of `{node}`");
            // A new name of a source is one wherever the source is named.
            let times = if (*node, *field) == ("source", "the name") {
                3
            } else {
                1
            };
            assert_eq!(RECIPE.matches(from).count(), times, "{what}: `{from}`");
            let changed =
                plan(&RECIPE.replace(from, to)).unwrap_or_else(|error| panic!("{what}: {error}"));
            let differs = changed.id() != whole.id();
            assert_eq!(differs, deciding, "{what}: {changed}");
        }
    }
    // A kernel beside the recipe counts by its bytes.
    let own = |name| {
        let local = format!("kernel local=\"{name}\"");
        let text = RECIPE.replace(r#"kernel from="one" path="boot/vmlinuz""#, &local);
        plan(&text).unwrap().id()
    };
    assert_ne!(own("here"), own("there"));
    // Of the architecture the text says the name, too.
    let other = Plan {
        arch: Arch::Aarch64,
        ..whole.clone()
    };
    assert_ne!(other.id(), whole.id());
}
