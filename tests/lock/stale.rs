//! What no longer fits a lock, and what is said of it.

use std::fs;

use super::cli::{fails, run};
use super::tiny::{Tiny, local};
use super::{ACCEPT, RECIPE, edit, lock_of, locked, swap_digit};

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
            &|tiny| swap_digit(tiny, "sources="),
            4,
            &["the identity of the sources: the lock says", ACCEPT],
        ),
        (
            "the archive's size, by hand",
            &|tiny| resize(tiny, "image \"x86_64\" "),
            4,
            &["the tree: the lock says", " bytes)", ACCEPT],
        ),
        (
            "the kernel's size, by hand",
            &|tiny| resize(tiny, "artifact \"x86_64\" \"kernel\""),
            4,
            &["the kernel: the lock says", " bytes)"],
        ),
        (
            "the initramfs's size, by hand",
            &|tiny| resize(tiny, "artifact \"x86_64\" \"initramfs\""),
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

/// Adds a 1 in front of the size in a line of the lock.
fn resize(tiny: &Tiny, node: &str) {
    let path = lock_of(tiny);
    let text = fs::read_to_string(&path).unwrap();
    let start = text.find(node).unwrap();
    let (before, line) = text.split_at(start);
    fs::write(
        &path,
        format!("{before}{}", line.replacen("size=", "size=1", 1)),
    )
    .unwrap();
}
