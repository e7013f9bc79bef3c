//! What gc does not do: work on what is no cache, follow links out of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::cli::{fails, json, run};
use crate::support::{is_root, skip, tool};
use crate::{Bed, objects, said, tiny};

#[test]
fn a_directory_without_the_tag_of_mkimg_is_left_alone() {
    let bed = Bed::new();
    let cache = bed.cache();
    let file = cache.join("blobs-v1/ab/cd");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, b"mine").unwrap();
    let foreign =
        "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is another program's.\n";
    for tag in [None, Some(""), Some("x"), Some(foreign)] {
        if let Some(tag) = tag {
            fs::write(cache.join("CACHEDIR.TAG"), tag).unwrap();
        }
        for args in [&[][..], &["--dry-run"], &["--max", "0"]] {
            let text = fails(&mut bed.gc(args), 2);
            assert!(text.contains("is no cache of mkimg"), "{text}");
        }
    }
    assert!(file.exists());
}

#[test]
fn a_cache_that_was_never_used_has_nothing_to_free() {
    let bed = Bed::new();
    assert_eq!(json(&run(bed.gc(&["--json"]).arg("-q")))["freed"], 0);
    assert!(!bed.cache().exists());
    fs::create_dir(bed.cache()).unwrap();
    fs::write(bed.cache().join(".gitignore"), "*\n").unwrap();
    assert_eq!(bed.collect(&["--max", "1"])["before"], 0);
}

#[test]
fn symlinks_are_never_followed_out_of_the_cache() {
    let bed = Bed::new();
    let outside = tempfile::tempdir_in(bed.dir.path()).unwrap();
    let precious = outside.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), b"precious").unwrap();
    bed.project("a", 5_000).made(&[]);
    let cache = bed.cache();
    let digest = mkimg::digest::Digest::of(b"x").to_string();
    let links = [
        format!("images-v1/{digest}-link"),
        format!("blobs-v1/{}/{}", &digest[..2], &digest[2..]),
        format!("tools-v1/{digest}"),
        format!("recipes-v1/{digest}"),
        "partial/link".to_owned(),
        "notes-v1/vmlinux-x".to_owned(),
    ];
    for link in &links {
        let link = cache.join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&precious, link).unwrap();
    }
    bed.collect(&["--older", "0s"]);
    assert_eq!(fs::read(precious.join("file")).unwrap(), b"precious");
    for link in &links[..4] {
        assert!(fs::symlink_metadata(cache.join(link)).is_err(), "{link}");
    }

    // Links of others that lead nowhere, or to a directory, are no roots that are gone.
    let lure = outside.path().join("lure");
    fs::create_dir(&lure).unwrap();
    for (name, to) in [
        ("gone", "/nowhere/at/all"),
        ("there", "/tmp"),
        ("relative", "x"),
    ] {
        symlink(to, lure.join(name)).unwrap();
    }
    let roots = cache.join("roots");
    symlink(&lure, &roots).unwrap();
    let words = fails(&mut bed.gc(&[]), 1);
    assert!(words.contains("is a symlink, none is followed"), "{words}");
    assert_eq!(fs::read_dir(&lure).unwrap().count(), 3);
    fs::remove_file(&roots).unwrap();
    fs::create_dir(&roots).unwrap();
    // Where a relative one leads hangs on where gc is run.
    symlink("nowhere", roots.join("relative")).unwrap();
    bed.collect(&[]);
    assert!(fs::symlink_metadata(roots.join("relative")).is_ok());

    // Scratch directories of others are not swept.
    let theirs = outside.path().join("tmp");
    fs::create_dir_all(theirs.join("0")).unwrap();
    fs::write(theirs.join("0.lock"), b"").unwrap();
    fs::rename(cache.join("tmp"), outside.path().join("kept")).unwrap();
    symlink(&theirs, cache.join("tmp")).unwrap();
    let words = fails(&mut bed.project("c", 5_500).realize(&[]), 1);
    assert!(words.contains("is a symlink, none is followed"), "{words}");
    assert!(theirs.join("0").is_dir());
    fs::remove_file(cache.join("tmp")).unwrap();

    // A bucket that is elsewhere: nothing in it is touched, and it is said.
    let place = bed.project("b", 6_000);
    place.made(&[]);
    let images = outside.path().join("images");
    fs::create_dir(&images).unwrap();
    fs::remove_dir_all(cache.join("images-v1")).unwrap();
    symlink(&images, cache.join("images-v1")).unwrap();
    fails(&mut place.realize(&[]), 1);
    let output = run(&mut bed.gc(&[]));
    assert!(said(&output).contains("is a symlink"), "{}", said(&output));
    assert_eq!(fs::read_dir(&images).unwrap().count(), 0);
}

#[test]
fn a_pipe_in_the_place_of_a_text_is_not_waited_for() {
    let bed = Bed::new();
    let place = bed.project("a", 5_000);
    let image = place.image();
    fs::remove_file(image.join("image.json")).unwrap();
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        image.join("image.json"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    );
    made.unwrap();
    bed.collect(&[]);
    assert_eq!(tiny::images(&bed.cache()), 0);
}

#[test]
fn a_cache_of_another_user_is_looked_at_and_nothing_is_removed() {
    let Some(setpriv) = tool("setpriv") else {
        return;
    };
    if !is_root() {
        return skip("needs root to become another user");
    }
    let bed = Bed::new();
    bed.project("a", 5_000).made(&[]);
    for path in [bed.dir.path(), &bed.cache()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    // The program may lie where nobody else may look.
    let program = bed.dir.path().join("mkimg");
    fs::copy(env!("CARGO_BIN_EXE_mkimg"), &program).unwrap();
    let before = objects(&bed.cache());
    let nobody = |args: &[&str]| {
        let mut command = Command::new(&setpriv);
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["gc", "--cache"])
            .arg(bed.cache())
            .args(args)
            .env_clear()
            .current_dir(bed.dir.path());
        command
    };
    let text = fails(&mut nobody(&["--all"]), 2);
    assert!(text.contains("the cache cannot be written"), "{text}");
    assert_eq!(objects(&bed.cache()), before);
    let found = json(&run(&mut nobody(&["--all", "--dry-run", "--json"])));
    assert_eq!(found["kinds"]["images"]["removed"], 1);
}
