//! Locks: written, read by default, refused where they are stale, of another format, edited by hand or half merged.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "lock/stale.rs"]
mod stale;
#[path = "support/mod.rs"]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli::{fails, repository, run, stdout};
use mkimg::digest::Digest;
use mkimg::lock::{Lock, VERSION};
use mkimg::realize::ArtifactRole;
use rustix::fs::inotify;
use tiny::{Tiny, images, noise, two};

const RECIPE: &str = "images/tiny.kdl";
const ACCEPT: &str = "`mkimg lock images/tiny.kdl` accepts it";

/// Returns a project with a locked recipe that has a source, a text and a file beside it.
fn locked() -> Tiny {
    let tiny = Tiny::new();
    tiny.takes(b"thing", "file \"/thing\" from=\"thing\"");
    let mut text = fs::read_to_string(tiny.path(RECIPE)).unwrap();
    text.push_str("test \"it starts\" { expect \"ready\"; }\n");
    fs::write(tiny.path(RECIPE), text).unwrap();
    run(&mut tiny.project.mkimg(["lock", RECIPE]));
    tiny
}

fn lock_of(tiny: &Tiny) -> PathBuf {
    tiny.path("images/tiny.lock")
}

fn edit(path: &PathBuf, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}\n{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Changes a digit of a digest of the lock.
fn swap_digit(tiny: &Tiny, node: &str) {
    let path = lock_of(tiny);
    let text = fs::read_to_string(&path).unwrap();
    let start = text.find(&format!("{node}\"")).unwrap() + node.len() + 1;
    let other = if text.as_bytes()[start] == b'0' {
        "1"
    } else {
        "0"
    };
    let mut text = text;
    text.replace_range(start..=start, other);
    fs::write(path, text).unwrap();
}

#[test]
fn a_lock_is_optional_until_it_is_asked_for_and_update_accepts() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    run(&mut tiny.realize(&[]));
    let said = fails(&mut tiny.realize(&["--locked"]), 4);
    assert!(
        said.contains("there is no lock `images/tiny.lock`"),
        "{said}"
    );
    assert!(
        said.contains("`mkimg lock images/tiny.kdl` writes it"),
        "{said}"
    );
    assert!(!lock_of(&tiny).exists(), "`--locked` writes nothing");

    run(&mut tiny.realize(&["--update-lock"]));
    run(&mut tiny.realize(&["--locked"]));
    edit(
        &tiny.path(RECIPE),
        "initramfs {",
        "initramfs {\n    dir \"/new\"",
    );
    fails(&mut tiny.realize(&[]), 4);
    run(&mut tiny.realize(&["--update-lock"]));
    run(&mut tiny.realize(&["--locked"]));
    fails(&mut tiny.realize(&["--locked", "--update-lock"]), 2);
}

#[test]
fn an_equal_lock_is_not_written_again_and_another_replaces_it_whole() {
    let tiny = locked();
    let path = lock_of(&tiny);
    let before = fs::metadata(&path).unwrap();
    let printed = stdout(&run(&mut tiny.project.mkimg(["lock", RECIPE])));
    assert_eq!(printed, "images/tiny.lock\n");
    run(&mut tiny.realize(&["--update-lock"]));
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec())
    );

    edit(
        &tiny.path(RECIPE),
        "initramfs {",
        "initramfs {\n    dir \"/new\"",
    );
    fails(&mut tiny.project.mkimg(["lock", RECIPE, "--check"]), 4);
    assert_eq!(
        fs::metadata(&path).unwrap().ino(),
        before.ino(),
        "`--check` writes nothing"
    );
    run(&mut tiny.project.mkimg(["lock", RECIPE]));
    assert_ne!(
        fs::metadata(&path).unwrap().ino(),
        before.ino(),
        "a new file, by rename"
    );
    run(&mut tiny.project.mkimg(["lock", RECIPE, "--check"]));
}

#[test]
fn a_stale_lock_is_found_before_anything_is_fetched() {
    let tiny = locked();
    edit(
        &tiny.path(RECIPE),
        "initramfs {",
        "initramfs {\n    dir \"/new\"",
    );
    let made = images(&tiny.path("cache"));
    let mut realize = tiny.realize(&["--cache", "empty"]);
    fails(&mut realize, 4);
    assert!(!tiny.path("empty/blobs-v1").exists());
    assert_eq!(images(&tiny.path("cache")), made);
}

/// Returns how often a program that succeeds opens a file and reads in it.
fn reads(path: &Path, command: &mut Command) -> usize {
    let seen = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let events = inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS;
    inotify::add_watch(&seen, path, events).unwrap();
    run(command);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(seen, &mut buffer);
    let (mut opened, mut count) = (false, 0);
    while let Ok(event) = reader.next() {
        let is_open = event.events().contains(inotify::ReadFlags::OPEN);
        count += usize::from(opened && !is_open);
        opened = is_open;
    }
    count
}

#[test]
fn a_file_beside_the_recipe_is_read_once_whatever_the_verb_the_lock_and_the_architectures() {
    let project = two("once");
    let recipe = project.path("images/two.kdl");
    edit(
        &recipe,
        "initramfs {",
        "initramfs {\n    file \"/large\" local=\"large\"",
    );
    let large = project.path("images/large");
    fs::write(&large, noise(300_000)).unwrap();
    let verb = |words: &[&str]| {
        let mut command = project.mkimg(words);
        command.arg(&recipe);
        command
    };
    run(&mut verb(&["lock"]));
    assert_eq!(reads(&large, Command::new("cat").arg(&large)), 1);
    let cases: [&[&str]; 5] = [
        &["realize"],
        &["realize", "--locked"],
        &["realize", "--update-lock"],
        &["lock"],
        &["lock", "--check"],
    ];
    for words in cases {
        assert_eq!(reads(&large, &mut verb(words)), 1, "{words:?}");
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_leave_the_lock_as_it_is() {
    let tiny = locked();
    let text = fs::read_to_string(tiny.path(RECIPE)).unwrap();
    let other = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    fs::write(tiny.path(RECIPE), other).unwrap();
    run(&mut tiny.realize(&["--locked"]));
    run(&mut tiny.project.mkimg(["lock", RECIPE, "--check"]));
}

#[test]
fn the_recipe_digest_is_what_sha256sum_gives_for_the_lines_of_the_page() {
    let tiny = locked();
    let sum = |path: &str| Digest::of(&fs::read(tiny.path(path)).unwrap());
    let listed = format!("{}  recipe\n{}  sh\n", sum(RECIPE), sum("images/sh"));
    let expected = format!("recipe=\"sha256:{}\"", Digest::of(listed.as_bytes()));
    let text = fs::read_to_string(lock_of(&tiny)).unwrap();
    assert!(text.contains(&expected), "{expected}\n{text}");
}

#[test]
fn a_lock_is_sorted_and_knows_neither_directory_nor_cache() {
    let text = fs::read_to_string(lock_of(&locked())).unwrap();
    let again = fs::read_to_string(lock_of(&locked())).unwrap();
    assert_eq!(text, again, "two directories, two caches");
    assert!(
        text.starts_with("// The lock of the recipe \"tiny\""),
        "{text}"
    );
    let nodes: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("//"))
        .collect();
    let statements: Vec<&&str> = nodes
        .iter()
        .filter(|line| line.starts_with("statement"))
        .collect();
    assert!(statements.len() > 3 && statements.is_sorted(), "{text}");
}

/// Returns a lock as version 1 had it.
fn version_1(lock: &Lock) -> String {
    let mut text = format!(
        "// The lock of the recipe \"{0}\": ..\nlock \"{0}\" format={1} recipe=\"{2}\"\n",
        lock.name, lock.format, lock.recipe
    );
    for (key, image) in &lock.images {
        let arch = key.arch;
        text += &format!(
            "image \"{arch}\" {{\n    compressor \"{}\"\n",
            image.compressor
        );
        for (role, (digest, size)) in &image.artifacts {
            text += &format!("    {role} \"{digest}\" size={size}\n");
        }
        text += &format!("    plan \"{}\"\n", image.plan);
        for (name, digest) in &image.inputs {
            text += &format!("    source \"{name}\" \"{digest}\"\n");
        }
        let (sources, tree, size) = (image.sources, image.tree, image.archive_size);
        text += &format!("    sources \"{sources}\"\n    tree \"{tree}\" size={size}\n}}\n");
    }
    for (word, pairs) in [("statement", &lock.statements), ("file", &lock.files)] {
        for (name, digest) in pairs {
            text += &format!("{word} {name:?} \"{digest}\"\n");
        }
    }
    text
}

#[test]
fn a_lock_of_version_1_holds_the_recipe_as_before_and_is_renewed_by_mkimg_lock() {
    let tiny = locked();
    let renewed = fs::read_to_string(lock_of(&tiny)).unwrap();
    let lock = Lock::parse("tiny.lock", renewed.as_bytes()).unwrap();
    let old = version_1(&lock);
    assert_eq!(
        Lock::parse("tiny.lock", old.as_bytes()).unwrap(),
        Lock { version: 1, ..lock }
    );
    fs::write(lock_of(&tiny), &old).unwrap();
    let said = run(&mut tiny.realize(&["--locked"]));
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("is of version 1, which the next release does not read: `mkimg lock images/tiny.kdl` renews it"),
        "{said}"
    );
    swap_digit(&tiny, "tree ");
    fails(&mut tiny.realize(&["--locked"]), 4);
    edit(&lock_of(&tiny), "    tree", "    tre");
    let said = fails(&mut tiny.realize(&[]), 2);
    assert!(said.contains("line 11 is another"), "{said}");

    fs::write(lock_of(&tiny), &old).unwrap();
    fails(&mut tiny.project.mkimg(["lock", RECIPE, "--check"]), 4);
    assert_eq!(fs::read_to_string(lock_of(&tiny)).unwrap(), old);
    run(&mut tiny.project.mkimg(["lock", RECIPE]));
    assert_eq!(fs::read_to_string(lock_of(&tiny)).unwrap(), renewed);
}

#[test]
fn the_recipes_here_carry_locks_that_say_what_the_golden_files_say() {
    let mut names = Vec::new();
    for golden in fs::read_dir(repository().join("tests/golden")).unwrap() {
        let golden = golden.unwrap().path();
        let name = golden.file_stem().unwrap().to_str().unwrap().to_owned();
        let arch = golden.extension().unwrap().to_str().unwrap().to_owned();
        let lock = repository()
            .join("images")
            .join(&name)
            .with_extension("lock");
        let lock = fs::read(lock).unwrap();
        let lock = Lock::parse(&name, &lock).unwrap();
        assert_eq!(lock.version, VERSION, "{name}");
        let locked = lock.of_image(None, arch.parse().unwrap()).unwrap();
        let expected = format!(
            "sources   {}\ntree      {}\ninitramfs {}\nkernel    {}\n",
            locked.sources,
            locked.tree,
            locked.artifacts[&ArtifactRole::Initramfs].0,
            locked.artifacts[&ArtifactRole::Kernel].0
        );
        assert_eq!(
            fs::read_to_string(&golden).unwrap(),
            expected,
            "{}",
            golden.display()
        );
        names.push(name);
    }
    names.sort();
    names.dedup();
    assert_eq!(names, ["minimal", "minimal-riscv64", "modules", "net"]);
}
