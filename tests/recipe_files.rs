//! Recipes of several files, with parameters, architectures and variants: what they mean, and that every verb knows all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/mod.rs"]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cli::{fails, json, run, stdout};
use mkimg::arch::Arch;
use mkimg::plan::Plan;
use mkimg::recipe::{
    Documents, EntryKind, Files, Found, Mode, NoFiles, Options, Origin, Parsed, Refusal,
};
use rustix::fs::inotify;
use tiny::{Tiny, arm64_kernel, local};

/// Files in memory.
struct Texts(&'static [(&'static str, &'static str)]);

impl Files for Texts {
    fn read(&mut self, path: &str) -> Result<Found, Refusal> {
        let path = path.trim_start_matches("../images/");
        let found = self.0.iter().find(|(name, _)| *name == path);
        let bytes = found.map(|(_, text)| text.as_bytes().to_vec());
        bytes
            .map(|bytes| Found {
                at: PathBuf::from(path),
                bytes,
            })
            .ok_or_else(|| Refusal {
                reason: "read".to_owned(),
                help: String::new(),
            })
    }
}

const SOURCE: &str = "source \"s\" { url \"http://h.example/s\" sha256=\"1111111111111111111111111111111111111111111111111111111111111111\"; }\n";

fn parsed(text: &str, files: &mut dyn Files, values: &[(&str, &str)]) -> Parsed {
    let at = Path::new("main.kdl");
    let documents = Documents::read("main.kdl", text.as_bytes(), at, files);
    let options = Options {
        values: values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Options::from(Mode::Strict)
    };
    documents.unwrap().recipe(&options).unwrap()
}

/// Returns the plan id of a recipe that is one file.
fn id(text: &str, arch: Arch, values: &[(&str, &str)], variant: Option<&str>) -> String {
    let mut parsed = parsed(&format!("{SOURCE}{text}"), &mut NoFiles, values);
    if let Some(variant) = variant {
        parsed = parsed.select(variant).unwrap();
    }
    let plan = Plan::lower(parsed.of(arch), arch, &BTreeMap::new()).unwrap();
    plan.id().to_string()
}

#[test]
fn what_composes_a_recipe_is_in_the_plan_through_what_it_changes_and_no_other_way() {
    let (x86, arm) = (Arch::X86_64, Arch::Aarch64);
    let plain = |host: &str, memory: &str| {
        format!(
            "image \"a\"\nkernel from=\"s\"\ninitramfs {{ file \"/init\" text=\"{host}\"; }}\nboot memory=\"{memory}\"\n"
        )
    };
    let base = plain("{host}", "64MiB");
    let with = |more: &str| format!("{base}{more}");
    let expected = |host: &str, memory: &str, arch| id(&plain(host, memory), arch, &[], None);
    let param = "param \"host\" default=\"box\"\n";
    // A text with braces in a recipe without parameters stays what it is.
    assert_eq!(id(&base, x86, &[], None), expected("{host}", "64MiB", x86));
    assert_eq!(
        id(&with("param \"other\" default=1"), x86, &[], None),
        expected("{host}", "64MiB", x86)
    );
    assert_eq!(
        id(&with(param), x86, &[], None),
        expected("box", "64MiB", x86)
    );
    assert_eq!(
        id(&with(param), x86, &[("host", "web")], None),
        expected("web", "64MiB", x86)
    );
    let set = with(&format!("{param}set \"host\" \"set\"\n"));
    assert_eq!(id(&set, x86, &[], None), expected("set", "64MiB", x86));
    assert_eq!(
        id(&set, x86, &[("host", "web")], None),
        expected("web", "64MiB", x86)
    );
    let when = with("when arch=\"aarch64\" { boot memory=\"99MiB\"; }\n");
    assert_eq!(id(&when, x86, &[], None), expected("{host}", "64MiB", x86));
    assert_eq!(id(&when, arm, &[], None), expected("{host}", "99MiB", arm));
    let variants = with(&format!(
        "{param}variant \"a\"\nvariant \"b\" {{ set \"host\" \"b\"; boot memory=\"98MiB\"; when arch=\"aarch64\" {{ boot memory=\"97MiB\"; }}\n}}\n"
    ));
    for (variant, arch, host, memory) in [
        (None, x86, "box", "64MiB"),
        (Some("a"), arm, "box", "64MiB"),
        (Some("b"), x86, "b", "98MiB"),
        (Some("b"), arm, "b", "97MiB"),
    ] {
        let found = id(&variants, arch, &[], variant);
        assert_eq!(found, expected(host, memory, arch), "{variant:?} {arch}");
    }
}

#[test]
fn the_file_that_includes_another_one_wins_and_paths_start_at_the_file_that_names_them() {
    const FILES: Texts = Texts(&[
        (
            "../common/base.kdl",
            "image \"base\"\nsource \"s\" { local \"k\" sha256=\"1111111111111111111111111111111111111111111111111111111111111111\"; }\nkernel from=\"s\"\ninclude \"deep/more.kdl\"\ninitramfs compress=\"none\" { file \"/init\" local=\"init\"; file \"/a\" text=\"base\"; }\nboot memory=\"64MiB\"\ntest \"t\" { expect \"base\"; }\n",
        ),
        (
            "../common/deep/more.kdl",
            "include \"../../images/last.kdl\"\ninitramfs { file \"/more\" local=\"../x\"; }\nboot memory=\"32MiB\"\n",
        ),
        ("last.kdl", "initramfs { dir \"/last\"; }\n"),
    ]);
    let text = "image \"main\"\ninclude \"last.kdl\"\ninclude \"../common/base.kdl\"\ninitramfs { file \"/a\" text=\"main\" override=#true; }\ntest \"t\" override=#true { expect \"main\"; }\n";
    let mut files = FILES;
    let found = parsed(text, &mut files, &[]);
    let recipe = &found.recipe;
    assert_eq!(recipe.name.value, "main");
    assert_eq!(recipe.boot.memory, 64 << 20);
    assert_eq!(recipe.initramfs.compress, mkimg::recipe::Compress::None);
    assert_eq!(recipe.tests.len(), 1);
    let test = &recipe.tests[0].name;
    assert_eq!(found.source.name(&test.span), "main.kdl");
    // Each file once, at the place where it is named first.
    let entries: Vec<(&str, &str, usize)> = recipe
        .initramfs
        .entries
        .iter()
        .map(|entry| {
            let (path, span) = (entry.path.value.as_str(), &entry.span);
            (path, found.source.name(span), found.source.line(span))
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("/last", "last.kdl", 1),
            ("/more", "../common/deep/more.kdl", 2),
            ("/init", "../common/base.kdl", 5),
            ("/a", "../common/base.kdl", 5),
            ("/a", "main.kdl", 4),
        ]
    );
    let locals: Vec<&str> = recipe
        .initramfs
        .entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            EntryKind::File {
                origin: Origin::Local(name),
                ..
            } => Some(name.value.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(locals, ["../common/x", "../common/init"]);
    assert_eq!(found.source.included().len(), 3);
}

/// Returns a project whose recipe is three files: `images/web.kdl` includes `common/base.kdl` and that `common/parts/net.kdl`.
fn project() -> Tiny {
    let tiny = Tiny::new();
    for directory in ["common", "common/parts"] {
        fs::create_dir_all(tiny.path(directory)).unwrap();
    }
    fs::rename(tiny.path("images/sh"), tiny.path("common/sh")).unwrap();
    fs::rename(tiny.path("images/kernel"), tiny.path("common/kernel")).unwrap();
    let kernel = local("kernel", &tiny::kernel()).replace(" sha256", " arch=\"x86_64\" sha256");
    tiny.write(
        "common/base.kdl",
        format!(
            "image \"base\"\nparam \"hostname\" default=\"box\"\n{kernel}kernel from=\"kernel\"\ninclude \"parts/net.kdl\"\ninclude \"../images/more.kdl\"\n\
             initramfs {{\n    file \"/init\" mode=0o755 text=\"#!/bin/sh\\n\"\n    file \"/bin/sh\" local=\"sh\" mode=0o755\n    \
             file \"/etc/hostname\" text=\"{{hostname}}\"\n}}\n"
        )
        .as_bytes(),
    );
    tiny.write(
        "common/parts/net.kdl",
        b"initramfs {\n    dir \"/net\"\n}\n",
    );
    tiny.write("images/more.kdl", b"test \"more\" { expect \"x\"; }\n");
    tiny.write(
        "images/web.kdl",
        b"image \"web\"\ninclude \"../common/base.kdl\"\ninclude \"more.kdl\"\nset \"hostname\" \"web1\"\nvariant \"small\"\nvariant \"large\" {\n    \
          initramfs { dir \"/large\"; }\n}\n",
    );
    tiny
}

const WEB: &str = "images/web.kdl";

#[test]
fn a_recipe_of_three_files_locks_exports_imports_checks_and_why_names_the_file() {
    let tiny = project();
    let mkimg = |words: &[&str]| tiny.project.mkimg(words);
    run(&mut mkimg(&["lock", WEB]));
    run(&mut mkimg(&["lock", "--check", WEB]));
    let lock = fs::read_to_string(tiny.path("images/web.lock")).unwrap();
    for line in [
        "image \"x86_64\" variant=\"large\"",
        "image \"x86_64\" variant=\"small\"",
        "file \"../common/base.kdl\"",
        "file \"../common/parts/net.kdl\"",
        "file \"../common/sh\"",
        "statement \"dir \\\"/net\\\"\"",
    ] {
        assert!(lock.contains(line), "{line}\n{lock}");
    }
    let both = stdout(&run(&mut mkimg(&[
        "realize",
        WEB,
        "--all-variants",
        "--locked",
    ])));
    assert_eq!(both.lines().count(), 2, "{both}");
    let why = json(&run(&mut mkimg(&["why", WEB, "/net", "--json"])));
    let file = why["file"].as_str().unwrap();
    assert!(file.ends_with("common/parts/net.kdl"), "{why}");
    assert_eq!(why["line"], 2);
    let checked = json(&run(&mut mkimg(&[
        "check",
        WEB,
        "--variant",
        "large",
        "--rounds",
        "1",
        "--json",
    ])));
    assert_eq!(checked["verdict"], "equal", "{checked}");

    let bundle = tiny.path("web.mkimg").display().to_string();
    run(&mut mkimg(&[
        "export",
        WEB,
        "-o",
        &bundle,
        "--variant",
        "large",
    ]));
    let extracted = tiny.path("extracted").display().to_string();
    run(&mut mkimg(&["import", &bundle, "--extract", &extracted]));
    for file in [
        "images/web.kdl",
        "images/web.lock",
        "common/base.kdl",
        "common/parts/net.kdl",
        "common/sh",
    ] {
        let same = fs::read(tiny.path(file)).unwrap()
            == fs::read(Path::new(&extracted).join(file)).unwrap();
        assert!(same, "{file}");
    }
    // In another cache the bundle is all that there is, and its variant the one that it has.
    let elsewhere = tiny.path("elsewhere").display().to_string();
    let listed = run(&mut mkimg(&["ls", &bundle, "--cache", &elsewhere]));
    assert!(stdout(&listed).contains("/large"), "{}", stdout(&listed));
    run(&mut mkimg(&[
        "verify",
        &bundle,
        "--rebuild",
        "--cache",
        &elsewhere,
    ]));
}

#[test]
fn values_of_parameters_are_kept_in_the_lock_and_come_along() {
    let tiny = project();
    let mkimg = |words: &[&str]| tiny.project.mkimg(words);
    let host = |words: &[&str]| {
        let mut command = mkimg(&["cat"]);
        stdout(&run(command.args(words).arg("/etc/hostname")))
    };
    assert_eq!(host(&[WEB]), "web1");
    assert_eq!(host(&[WEB, "--set", "hostname=x=y"]), "x=y");
    run(&mut mkimg(&["lock", WEB, "--set", "hostname=locked"]));
    assert_eq!(host(&[WEB]), "locked");
    run(&mut mkimg(&["realize", WEB, "--locked"]));
    let said = fails(
        &mut mkimg(&["realize", WEB, "--locked", "--set", "hostname=other"]),
        4,
    );
    assert!(
        said.contains("hostname=locked, not hostname=other"),
        "{said}"
    );
    // Without --locked another value is another image, to which the lock says nothing.
    run(&mut mkimg(&["realize", WEB, "--set", "hostname=other"]));
    let bundle = tiny.path("web.mkimg").display().to_string();
    run(&mut mkimg(&[
        "export",
        WEB,
        "-o",
        &bundle,
        "--set",
        "hostname=shared",
    ]));
    assert_eq!(host(&[&bundle]), "shared");
    let said = fails(&mut mkimg(&["realize", WEB, "--set", "hostnmae=x"]), 2);
    assert!(said.contains("did you mean `hostname`?"), "{said}");
    let said = fails(&mut mkimg(&["realize", WEB, "--variant", "larg"]), 2);
    assert!(said.contains("did you mean `large`?"), "{said}");
}

#[test]
fn an_included_file_that_changed_after_the_lock_is_named_with_its_line() {
    let tiny = project();
    run(&mut tiny.project.mkimg(["lock", WEB]));
    let net = tiny.path("common/parts/net.kdl");
    fs::write(&net, "initramfs {\n    dir \"/net\" mode=0o700\n}\n").unwrap();
    for verb in [&["realize", WEB][..], &["lock", "--check", WEB]] {
        let said = fails(&mut tiny.project.mkimg(verb), 4);
        assert!(said.contains("`dir \"/net\"` changed"), "{said}");
        assert!(said.contains("common/parts/net.kdl:2:5"), "{said}");
    }
    // A comment changes the recipe digest, and the file is named that has it.
    fs::write(&net, "// net\ninitramfs {\n    dir \"/net\"\n}\n").unwrap();
    let said = fails(&mut tiny.project.mkimg(["realize", WEB]), 4);
    assert!(
        said.contains("the file `../common/parts/net.kdl` changed"),
        "{said}"
    );
    // Line ends are no change.
    fs::write(&net, "initramfs {\r\n    dir \"/net\"\r\n}\r\n").unwrap();
    run(&mut tiny.project.mkimg(["realize", WEB, "--locked"]));
}

#[test]
fn an_included_file_is_read_once_in_a_run() {
    let tiny = project();
    run(&mut tiny.project.mkimg(["lock", WEB]));
    let net = tiny.path("common/parts/net.kdl");
    for verb in [
        &["realize", WEB][..],
        &["lock", "--check", WEB],
        &["realize", WEB, "--all-variants"],
    ] {
        let seen = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&seen, &net, inotify::WatchFlags::OPEN).unwrap();
        run(&mut tiny.project.mkimg(verb));
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(seen, &mut buffer);
        let mut opened = 0;
        while reader.next().is_ok() {
            opened += 1;
        }
        assert_eq!(opened, 1, "{verb:?}");
    }
}

#[test]
fn what_lies_outside_of_the_project_is_not_included_unless_the_user_says_so() {
    let tiny = project();
    let outside = tiny::Tiny::new();
    outside.write(
        "images/secret.kdl",
        b"initramfs {\n    dir \"/secret\"\n}\n",
    );
    let secret = outside.path("images/secret.kdl");
    fs::remove_file(tiny.path("common/parts/net.kdl")).unwrap();
    symlink(&secret, tiny.path("common/parts/net.kdl")).unwrap();
    let said = fails(&mut tiny.project.mkimg(["realize", WEB]), 2);
    assert!(said.contains("cannot be included: it leads to"), "{said}");
    assert!(said.contains("common/base.kdl:"), "{said}");
    assert!(!said.contains("dir \"/secret\""), "{said}");
    let allowed = secret.display().to_string();
    run(&mut tiny
        .project
        .mkimg(["realize", WEB, "--allow-local", &allowed]));
    fs::remove_file(tiny.path("common/parts/net.kdl")).unwrap();
    symlink("/proc/self/environ", tiny.path("common/parts/net.kdl")).unwrap();
    let said = fails(&mut tiny.project.mkimg(["realize", WEB]), 2);
    assert!(said.contains("cannot be included"), "{said}");
    // A symlink within the project is as good as the file.
    fs::remove_file(tiny.path("common/parts/net.kdl")).unwrap();
    tiny.write("common/other.kdl", b"initramfs {\n    dir \"/net\"\n}\n");
    symlink("../other.kdl", tiny.path("common/parts/net.kdl")).unwrap();
    run(&mut tiny.project.mkimg(["realize", WEB]));
}

#[test]
fn pin_writes_into_the_file_that_has_the_location() {
    let tiny = project();
    let base = tiny.path("common/base.kdl");
    let before = fs::read_to_string(&base).unwrap();
    let digest = mkimg::digest::Digest::of(&tiny::kernel()).to_string();
    fs::write(&base, before.replace(&format!(" sha256=\"{digest}\""), "")).unwrap();
    let web = tiny.path(WEB);
    let mut text = fs::read_to_string(&web).unwrap();
    let arm = arm64_kernel();
    tiny.write("images/arm", &arm);
    text.push_str("when arch=\"aarch64\" {\n    source \"arm\" { local \"arm\"; }\n    kernel from=\"arm\"\n}\n");
    fs::write(&web, &text).unwrap();
    fails(&mut tiny.project.mkimg(["realize", WEB]), 2);
    run(&mut tiny.project.mkimg(["pin", WEB]));
    let pinned = fs::read_to_string(&base).unwrap();
    assert!(
        pinned.contains(&format!("sha256=\"{digest}\" size=4096")),
        "{pinned}"
    );
    let pinned = fs::read_to_string(&web).unwrap();
    let digest = mkimg::digest::Digest::of(&arm).to_string();
    assert!(
        pinned.contains(&format!("local \"arm\" sha256=\"{digest}\" size=4096")),
        "{pinned}"
    );
}
