//! Locks: written, read by default, refused where they are stale, of another format, edited by hand or half merged.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
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
use tiny::{Tiny, images, local, noise, two};

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

/// A change of a project, and what is said of it.
type Case<'a> = (&'a str, &'a dyn Fn(&Tiny), i32, &'a [&'a str]);

#[test]
fn whatever_no_longer_fits_is_named_with_the_line_and_the_command_that_accepts_it() {
    let recipe = |tiny: &Tiny| tiny.path(RECIPE);
    let cases: &[Case<'_>] = &[
        (
            "a statement of the recipe",
            &|tiny| edit(&recipe(tiny), "text=\"#!/bin/sh", "text=\"#!/bin/sh -x"),
            4,
            &[
                "images/tiny.lock` is out of date",
                "`file \"/init\"` changed",
                ACCEPT,
                "--update-lock",
            ],
        ),
        (
            "a new statement",
            &|tiny| {
                edit(
                    &recipe(tiny),
                    "initramfs {",
                    "initramfs {\n    dir \"/new\"",
                )
            },
            4,
            &["is out of date", "`dir \"/new\"` is new", ACCEPT],
        ),
        (
            "a statement that is gone",
            &|tiny| edit(&recipe(tiny), "file \"/thing\" from=\"thing\"", ""),
            4,
            &["is out of date", "`file \"/thing\"` is gone", ACCEPT],
        ),
        (
            "a source",
            &|tiny| {
                tiny.write("images/thing", b"other");
                edit(
                    &recipe(tiny),
                    &local("thing", b"thing"),
                    &local("thing", b"other"),
                );
            },
            4,
            &["source `thing`: the lock says", "this is", ACCEPT],
        ),
        (
            "a file beside the recipe",
            &|tiny| {
                let mut bytes = fs::read(tiny.path("images/sh")).unwrap();
                bytes.push(0);
                tiny.write("images/sh", &bytes);
            },
            4,
            &["is out of date", "the file `sh` changed", ACCEPT],
        ),
        (
            "a comment",
            &|tiny| edit(&recipe(tiny), "kernel from", "// why\nkernel from"),
            4,
            &[
                "though the image stays the same",
                "only comments, layout",
                ACCEPT,
            ],
        ),
        (
            "the tree",
            &|tiny| edit(&lock_of(tiny), "tree=\"", "tree=\"0000"),
            // Four digits more make no sha256.
            2,
            &[
                "images/tiny.lock` is not as mkimg wrote it: line 6",
                "`mkimg lock` writes it anew",
            ],
        ),
        (
            "the tree, by hand",
            &|tiny| swap_digit(tiny, "tree="),
            4,
            &[
                "is not the image that the lock",
                "the tree: the lock says",
                "mkimg check images/tiny.kdl",
            ],
        ),
        (
            "the kernel, by hand",
            &|tiny| swap_digit(tiny, "artifact \"x86_64\" \"kernel\" sha256="),
            4,
            &[
                "is not the image that the lock",
                "the kernel: the lock says",
            ],
        ),
        (
            "the initramfs, by hand",
            &|tiny| swap_digit(tiny, "artifact \"x86_64\" \"initramfs\" sha256="),
            4,
            &[
                "is not the image that the lock",
                "the initramfs: the lock says",
            ],
        ),
        (
            "the compressor, by hand",
            &|tiny| edit(&lock_of(tiny), "level 7", "level 8"),
            4,
            &["the compressor: the lock says", "level 8", "level 7"],
        ),
        (
            "the plan, by hand",
            &|tiny| swap_digit(tiny, "plan="),
            4,
            &["the plan: the lock says", "another mkimg wrote it", ACCEPT],
        ),
        (
            "a source, by hand",
            &|tiny| swap_digit(tiny, "source \"x86_64\" \"thing\" sha256="),
            4,
            &[
                "source `thing`: the lock says",
                "another mkimg wrote it",
                ACCEPT,
            ],
        ),
        (
            "the sources, by hand",
            &|tiny| swap_digit(tiny, "sources"),
            4,
            &["the identity of the sources: the lock says", ACCEPT],
        ),
        (
            "the archive's size, by hand",
            &|tiny| resize(tiny, "tree"),
            4,
            &["the tree: the lock says", " bytes)", ACCEPT],
        ),
        (
            "the kernel's size, by hand",
            &|tiny| resize(tiny, "kernel"),
            4,
            &["the kernel: the lock says", " bytes)"],
        ),
        (
            "the initramfs's size, by hand",
            &|tiny| resize(tiny, "initramfs"),
            4,
            &["the initramfs: the lock says", " bytes)"],
        ),
        (
            "the architecture",
            &|tiny| {
                let text = fs::read_to_string(lock_of(tiny)).unwrap();
                fs::write(lock_of(tiny), text.replace("x86_64", "aarch64")).unwrap();
            },
            4,
            &["has nothing for x86_64", ACCEPT],
        ),
        (
            "a newer format",
            &|tiny| edit(&lock_of(tiny), "format=1", "format=2"),
            4,
            &[
                "is of format 2, this mkimg makes format 1",
                "a newer mkimg wrote it",
            ],
        ),
        (
            "a newer format with fields that this mkimg does not know",
            &|tiny| edit(&lock_of(tiny), "format=1", "format=7 flavour=\"new\""),
            4,
            &["is of format 7, this mkimg makes format 1"],
        ),
        (
            "an older format",
            &|tiny| edit(&lock_of(tiny), "format=1", "format=0"),
            4,
            &["is of format 0", "the bytes changed with the format"],
        ),
        (
            "a merge",
            &|tiny| {
                let path = lock_of(tiny);
                edit(&path, "lock 2", "<<<<<<< HEAD\nlock 2");
                edit(
                    &path,
                    "image \"x86_64\"",
                    "=======\n>>>>>>> theirs\nimage \"x86_64\"",
                );
            },
            2,
            &[
                "has the marks of an unfinished merge at line 3",
                "finish the merge of the recipe first",
            ],
        ),
        (
            "a newer version",
            &|tiny| edit(&lock_of(tiny), "lock 2", "lock 3"),
            4,
            &[
                "is of version 3, this mkimg reads up to version 2",
                "a newer mkimg wrote it",
            ],
        ),
        (
            "a line that is added",
            &|tiny| edit(&lock_of(tiny), "statement", "// mine\nstatement"),
            2,
            &["is not as mkimg wrote it: line 9", "a lock is not edited"],
        ),
        (
            "a lock that is empty",
            &|tiny| fs::write(lock_of(tiny), "").unwrap(),
            2,
            &[
                "line 1 is another, or missing",
                "`mkimg lock` writes it anew",
            ],
        ),
        (
            "a lock that was cut off",
            &|tiny| {
                let text = fs::read_to_string(lock_of(tiny)).unwrap();
                fs::write(lock_of(tiny), &text[..text.len() / 2]).unwrap();
            },
            2,
            &["images/tiny.lock"],
        ),
        (
            "a lock that is a directory",
            &|tiny| {
                fs::remove_file(lock_of(tiny)).unwrap();
                fs::create_dir(lock_of(tiny)).unwrap();
            },
            2,
            &["is where the recipe's lock would be, and is none"],
        ),
        (
            "a lock of another recipe",
            &|tiny| {
                edit(&recipe(tiny), "image \"tiny\"", "image \"other\"");
            },
            4,
            &["the image is `other`, the lock is that of `tiny`", ACCEPT],
        ),
    ];
    for (name, change, code, words) in cases {
        let tiny = locked();
        run(&mut tiny.realize(&["--locked"]));
        change(&tiny);
        // `realize`, `run` and `test` alike, by default and with `--locked`.
        for args in [
            &["realize", RECIPE][..],
            &["realize", RECIPE, "--locked"],
            &["run", RECIPE, "--dry-run"],
            &["test", RECIPE, "--locked"],
        ] {
            let said = fails(&mut tiny.project.mkimg(args), *code);
            for word in *words {
                assert!(
                    said.contains(word),
                    "{name}, {args:?}: no `{word}` in\n{said}"
                );
            }
        }
        // What the message names puts it right, except where no file can be written.
        if !lock_of(&tiny).is_dir() {
            run(&mut tiny.project.mkimg(["lock", RECIPE]));
            run(&mut tiny.realize(&["--locked"]));
        }
    }
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

/// Adds a 1 in front of a size of the lock.
fn resize(tiny: &Tiny, node: &str) {
    let path = lock_of(tiny);
    let text = fs::read_to_string(&path).unwrap();
    let start = text.find(&format!("    {node} \"")).unwrap();
    let (before, line) = text.split_at(start);
    fs::write(
        &path,
        format!("{before}{}", line.replacen("size=", "size=1", 1)),
    )
    .unwrap();
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
    for (arch, image) in &lock.images {
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
        let locked = &lock.images[&arch.parse().unwrap()];
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
