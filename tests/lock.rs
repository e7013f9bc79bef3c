//! Locks: written, read by default, refused where they are stale, of another format, edited by hand or half merged.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/mod.rs"]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use cli::{fails, repository, run, stdout};
use mkimg::digest::Digest;
use tiny::{Tiny, images, local};

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
            &|tiny| edit(&lock_of(tiny), "tree \"", "tree \"0000"),
            // Four digits more make no sha256.
            2,
            &["this is no sha256", "images/tiny.lock"],
        ),
        (
            "the tree, by hand",
            &|tiny| swap_digit(tiny, "tree"),
            4,
            &[
                "is not the image that the lock",
                "the tree: the lock says",
                "mkimg check images/tiny.kdl",
            ],
        ),
        (
            "the kernel, by hand",
            &|tiny| swap_digit(tiny, "kernel"),
            4,
            &[
                "is not the image that the lock",
                "the kernel: the lock says",
            ],
        ),
        (
            "the initramfs, by hand",
            &|tiny| swap_digit(tiny, "initramfs"),
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
            &|tiny| swap_digit(tiny, "plan"),
            4,
            &["the plan: the lock says", "another mkimg wrote it", ACCEPT],
        ),
        (
            "a source, by hand",
            &|tiny| swap_digit(tiny, "source \"thing\""),
            4,
            &[
                "source `thing`: the lock says",
                "another mkimg wrote it",
                ACCEPT,
            ],
        ),
        (
            "the architecture",
            &|tiny| edit(&lock_of(tiny), "image \"x86_64\"", "image \"aarch64\""),
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
                edit(&path, "lock \"tiny\"", "<<<<<<< HEAD\nlock \"tiny\"");
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
            "a node that is misspelt",
            &|tiny| edit(&lock_of(tiny), "    tree ", "    tre "),
            2,
            &["unknown node `tre`", "did you mean `tree`?"],
        ),
        (
            "a lock that is empty",
            &|tiny| fs::write(lock_of(tiny), "").unwrap(),
            2,
            &["the lock has no `lock` node", "`mkimg lock` writes it anew"],
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
    let start = text.find(&format!("    {node} \"")).unwrap() + node.len() + 6;
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
    let expected = format!("recipe=\"{}\"", Digest::of(listed.as_bytes()));
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
        let lock = mkimg::lock::Lock::parse(&name, &lock).unwrap();
        let locked = &lock.images[&arch.parse().unwrap()];
        let expected = format!(
            "sources   {}\ntree      {}\ninitramfs {}\nkernel    {}\n",
            locked.sources, locked.tree, locked.initramfs.0, locked.kernel.0
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
