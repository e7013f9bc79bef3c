//! What stays, and what goes.

use std::fs;
use std::os::unix::fs::symlink;

use crate::cli::{fails, run};
use crate::tiny::{self, noise};
use crate::{Bed, age, disk, objects, said};

#[test]
fn what_no_root_and_no_lock_needs_goes_and_a_locked_project_realizes_offline_from_the_rest() {
    let bed = Bed::new();
    let (locked, other) = (bed.project("locked", 50_000), bed.project("other", 70_000));
    locked.lock();
    let before = locked.made(&["--locked"]);
    other.made(&[]);
    locked.lose_sources();
    let found = bed.collect(&[]);
    assert_eq!(found["kinds"]["images"]["removed"], 1);
    assert_eq!(found["kinds"]["images"]["kept"], 1);
    assert_eq!(tiny::images(&bed.cache()), 1);
    // Of the other project only the kernel is left, which is the same.
    let thing = mkimg::digest::Digest::of(&other.thing).to_string();
    assert!(
        !bed.cache()
            .join("blobs-v1")
            .join(&thing[..2])
            .join(&thing[2..])
            .exists()
    );
    assert_eq!(
        locked.made(&["--locked", "--verify"])["identities"],
        before["identities"]
    );
    // And made again, of nothing but the blobs.
    locked.forget_image();
    bed.collect(&[]);
    assert_eq!(
        locked.made(&["--locked"])["identities"],
        before["identities"]
    );
    tiny::assert_clean(&bed.cache());
}

#[test]
fn each_way_to_keep_keeps_the_image_and_its_sources() {
    type Keep = fn(&crate::Place) -> Vec<String>;
    let path = |place: &crate::Place| place.image().display().to_string();
    let cases: [(&str, Keep); 7] = [
        ("the image's directory", |place| {
            vec![place.image().display().to_string()]
        }),
        ("the plan id", |place| {
            vec![place.made(&[])["plan"].as_str().unwrap().to_owned()]
        }),
        ("the plan id as registries write it", |place| {
            vec![format!(
                "sha256:{}",
                place.made(&[])["plan"].as_str().unwrap()
            )]
        }),
        ("the recipe", |place| {
            vec![place.path("images/tiny.kdl").display().to_string()]
        }),
        ("the lock", |place| {
            place.lock();
            let elsewhere = place.path("kept.lock");
            fs::rename(place.path("images/tiny.lock"), &elsewhere).unwrap();
            vec![elsewhere.display().to_string()]
        }),
        ("a symlink to the image", |place| {
            let link = place.path("link");
            symlink(place.image(), &link).unwrap();
            vec![link.display().to_string()]
        }),
        ("an out-link, without a word", |place| {
            place.made(&["--out-link", "result"]);
            vec![]
        }),
    ];
    for (name, keep) in cases {
        let bed = Bed::new();
        let place = bed.project("kept", 50_000);
        bed.project("other", 60_000).made(&[]);
        place.made(&[]);
        let image = path(&place);
        let whats = keep(&place);
        let args: Vec<&str> = whats.iter().flat_map(|what| ["--keep", what]).collect();
        let recipe = fs::read(place.path("images/tiny.kdl")).unwrap();
        let found = bed.collect(&args);
        assert_eq!(found["kinds"]["images"]["removed"], 1, "{name}");
        fs::write(place.path("images/tiny.kdl"), recipe).unwrap();
        place.lose_sources();
        assert_eq!(path(&place), image, "{name}");
        place.forget_image();
        assert_eq!(path(&place), image, "{name}: its sources");
    }
}

#[test]
fn a_blob_that_is_kept_by_its_digest_stays_alone() {
    let bed = Bed::new();
    let place = bed.project("a", 50_000);
    place.made(&[]);
    let digest = mkimg::digest::Digest::of(&place.thing).to_string();
    bed.collect(&["--keep", &digest]);
    let left = objects(&bed.cache());
    assert_eq!(
        left,
        [format!("blobs-v1/{}/{}", &digest[..2], &digest[2..])]
    );
}

#[test]
fn what_is_to_be_kept_and_is_not_there_is_an_error_before_anything_goes() {
    let bed = Bed::new();
    let place = bed.project("a", 5_000);
    place.made(&[]);
    let before = objects(&bed.cache());
    let digest = mkimg::digest::Digest::of(b"typo").to_string();
    let bundle = place.path("a.mkimg");
    run(place
        .mkimg(["export", "images/tiny.kdl", "-o"])
        .arg(&bundle));
    let before_gc = objects(&bed.cache());
    assert!(before_gc.len() >= before.len());
    for (what, said) in [
        (digest.as_str(), "names nothing in the cache"),
        ("/", "is no image's directory"),
        ("nothing-here", "there is no recipe"),
        (bundle.to_str().unwrap(), "is a bundle"),
    ] {
        let text = fails(&mut bed.gc(&["--keep", what]), 2);
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(objects(&bed.cache()), before_gc);
}

#[test]
fn a_lock_that_cannot_be_parsed_keeps_what_both_its_sides_are_about() {
    let bed = Bed::new();
    let place = bed.project("a", 50_000);
    place.lock();
    let lock = place.path("images/tiny.lock");
    let ours = fs::read_to_string(&lock).unwrap();
    let first = place.made(&[]);
    place
        .tiny
        .takes(&noise(60_000), "file \"/thing\" from=\"thing\"");
    place.made(&["--update-lock"]);
    let theirs = fs::read_to_string(&lock).unwrap();
    fs::write(
        &lock,
        format!("<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> b\n"),
    )
    .unwrap();
    let found = bed.collect(&[]);
    assert_eq!(found["kinds"]["images"]["removed"], 0);
    assert_eq!(found["kinds"]["images"]["kept"], 2);
    fs::write(&lock, ours).unwrap();
    place
        .tiny
        .takes(&place.thing, "file \"/thing\" from=\"thing\"");
    place.lose_sources();
    assert_eq!(place.made(&["--locked"])["identities"], first["identities"]);
}

#[test]
fn a_root_goes_with_its_project_but_not_with_its_disk() {
    let bed = Bed::new();
    let (deleted, away) = (bed.project("deleted", 5_000), bed.project("away", 6_000));
    for place in [&deleted, &away] {
        place.lock();
    }
    let disk = away.path("");
    let elsewhere = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&disk).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), elsewhere.path().join(entry.file_name())).unwrap();
    }
    fs::remove_dir_all(deleted.path("images")).unwrap();
    let garbage = bed.cache().join("partial/x.part");
    fs::create_dir_all(garbage.parent().unwrap()).unwrap();
    fs::write(&garbage, b"x").unwrap();

    // Nobody knows what the project on the empty mount point needs: nothing goes but garbage.
    let output = run(&mut bed.gc(&["--json"]));
    let text = said(&output);
    assert!(
        text.contains("is empty, as where a disk is not mounted"),
        "{text}"
    );
    assert!(text.contains("--forget"), "{text}");
    assert!(!garbage.exists());
    assert_eq!(tiny::images(&bed.cache()), 2);
    let roots = fs::read_dir(bed.cache().join("roots")).unwrap().count();
    assert_eq!(roots, 1, "that of the deleted project is dropped");

    let lock = disk.join("images/tiny.lock");
    let found = bed.collect(&["--forget", lock.to_str().unwrap()]);
    assert_eq!(found["kinds"]["images"]["kept"], 0);
    assert_eq!(tiny::images(&bed.cache()), 0);
    assert_eq!(fs::read_dir(bed.cache().join("roots")).unwrap().count(), 0);
}

#[test]
fn a_project_that_was_moved_keeps_what_it_needs_and_so_does_one_behind_a_symlink() {
    let tiny = tiny::Tiny::new();
    tiny.recipe("", "");
    run(&mut tiny.project.mkimg(["lock", "tiny"]));
    let moved = tempfile::tempdir().unwrap();
    for name in ["images", "cache"] {
        let done = std::process::Command::new("cp")
            .arg("-a")
            .arg(tiny.path(name))
            .arg(moved.path())
            .status();
        assert!(done.unwrap().success());
    }
    fs::remove_dir_all(tiny.path("images")).unwrap();
    fs::rename(moved.path().join("cache"), moved.path().join("disk")).unwrap();
    symlink("disk", moved.path().join("cache")).unwrap();
    let gc = |args: &[&str]| {
        let mut command = tiny.project.mkimg(["gc", "--json", "--cache", "cache"]);
        crate::cli::json(&run(command.args(args).current_dir(moved.path())))
    };
    let found = gc(&["--all"]);
    assert_eq!(found["kinds"]["images"]["kept"], 1, "{found:#}");
    assert_eq!(found["roots"][0]["state"], "gone");
    assert_eq!(found["after"], disk(&moved.path().join("disk")));
    fs::remove_file(moved.path().join("images/tiny.lock")).unwrap();
    assert_eq!(gc(&["--max", "1MiB"])["freed"], 0);
    assert_eq!(gc(&["--all"])["kinds"]["images"]["removed"], 1);
}

#[test]
fn garbage_of_every_kind_goes_and_what_is_not_mkimgs_stays() {
    let bed = Bed::new();
    let place = bed.project("a", 5_000);
    place.lock();
    let cache = bed.cache();
    let digest = mkimg::digest::Digest::of(b"x").to_string();
    let garbage = [
        format!("partial/{digest}.part"),
        "tmp/7/1".to_owned(),
        "tmp/8.lock".to_owned(),
        format!(
            "members-v1/{}/{}-0123456789abcdef0123456789abcdef.data",
            &digest[..2],
            &digest[2..]
        ),
        format!("tools-v1/{digest}.lock"),
        format!("tools-v1/{digest}/manifest"),
        format!("notes-v1/vmlinux-{digest}"),
        "notes-v1/kvm-old".to_owned(),
    ];
    let others = [
        "notes-v1/kvm-new",
        "mine/file",
        "blobs-v1/readme",
        "images-v1/odd/file",
        "file",
    ];
    for path in garbage.iter().map(String::as_str).chain(others) {
        let path = cache.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"some bytes").unwrap();
    }
    for old in [&garbage[5], &garbage[6], &garbage[7]] {
        let old = cache.join(old);
        age(
            old.parent()
                .filter(|tool| tool.ends_with(&digest))
                .unwrap_or(&old),
            31,
        );
    }
    symlink("/nowhere/at/all", cache.join("roots/dangling")).unwrap();
    let before = objects(&cache).len();
    run(&mut bed.plain(&[]));
    for path in &garbage {
        assert!(!cache.join(path).exists(), "{path}");
    }
    for path in others {
        assert!(cache.join(path).exists(), "{path}");
    }
    assert!(fs::symlink_metadata(cache.join("roots/dangling")).is_err());
    assert_eq!(objects(&cache).len(), before - 5);
    place.lose_sources();
    place.made(&["--locked"]);
}

#[test]
fn an_import_and_the_pinned_tool_stay_until_age_or_size_lets_them_go_whole() {
    let bed = Bed::new();
    let maker = Bed::new();
    let source = maker.project("a", 50_000);
    let bundle = source.path("a.mkimg");
    run(source
        .mkimg(["export", "images/tiny.kdl", "--with-sources", "-o"])
        .arg(&bundle));
    let place = bed.project("b", 1_000);
    run(place.mkimg(["import"]).arg(&bundle));
    let cache = bed.cache();
    let pinned = mkimg::tools::pinned_digest(mkimg::arch::Arch::X86_64).to_string();
    let old = mkimg::digest::Digest::of(b"an older QEMU").to_string();
    for tool in [&pinned, &old] {
        fs::create_dir_all(cache.join("tools-v1").join(tool)).unwrap();
        fs::write(cache.join("tools-v1").join(tool).join("manifest"), b"x").unwrap();
    }
    let tools = || fs::read_dir(cache.join("tools-v1")).unwrap().count();
    let imports = || fs::read_dir(cache.join("recipes-v1")).unwrap().count();

    for kind in ["tools-v1", "recipes-v1", "imports-v1"] {
        for entry in fs::read_dir(cache.join(kind)).unwrap() {
            age(&entry.unwrap().path(), 40);
        }
    }
    run(&mut bed.plain(&[]));
    assert_eq!((tools(), imports(), tiny::images(&cache)), (1, 1, 1));
    // The recipe inside realizes, with its sources alone.
    let recipe = tiny::files(&cache.join("recipes-v1"));
    let recipe = recipe
        .iter()
        .find(|path| path.extension().is_some_and(|end| end == "kdl"));
    fs::remove_dir_all(cache.join("imports-v1")).unwrap();
    run(place.mkimg(["realize", "--locked"]).arg(recipe.unwrap()));
    // A recipe of the cache is no root of the cache.
    assert!(!cache.join("roots").exists());

    age(&cache.join("tools-v1").join(&pinned), 0);
    bed.collect(&["--older", "1h"]);
    assert_eq!((tools(), imports(), tiny::images(&cache)), (1, 1, 1));
    bed.collect(&["--older", "0s"]);
    assert_eq!((tools(), imports(), tiny::images(&cache)), (0, 0, 0));
    assert_eq!(objects(&cache), Vec::<String>::new());
    // Imported again it is whole again.
    run(place.mkimg(["realize"]).arg(&bundle));
    assert_eq!((imports(), tiny::images(&cache)), (1, 1));
}

#[test]
fn what_was_freed_is_what_the_disk_has_more_and_a_dry_run_says_so_before() {
    let bed = Bed::new();
    let (kept, other) = (bed.project("kept", 50_000), bed.project("other", 300_000));
    kept.lock();
    other.made(&[]);
    let before = objects(&bed.cache());
    let planned = bed.collect(&["--dry-run"]);
    assert_eq!(objects(&bed.cache()), before);
    assert!(
        !bed.cache().join("gate").exists(),
        "a dry run locks nobody out"
    );
    let disk_before = disk(&bed.cache());
    assert_eq!(planned["before"], disk_before);
    let found = bed.collect(&[]);
    assert_eq!(planned["removed"], found["removed"]);
    assert_eq!(planned["freed"], found["freed"]);
    let gone = disk_before - disk(&bed.cache());
    let freed = found["freed"].as_u64().unwrap();
    // The directories `ab/` that became empty are not counted, and take 40 bytes or 4 KiB.
    assert!(
        freed > 300_000 && gone >= freed && gone - freed < 64 * 1024,
        "{gone} {freed}"
    );
    // The text says the same.
    let output = run(&mut bed.gc(&["--dry-run"]));
    assert!(crate::cli::stdout(&output).contains("would free 0 B"));
}

/// Gives everything in a cache that has a use the same age.
fn age_all(cache: &std::path::Path, days: u64) {
    for bucket in ["blobs-v1", "members-v1"] {
        for file in tiny::files(&cache.join(bucket)) {
            age(&file, days);
        }
    }
    for image in fs::read_dir(cache.join("images-v1")).unwrap() {
        age(&image.unwrap().path(), days);
    }
}

#[test]
fn without_a_word_what_was_used_lately_stays_and_what_was_added_stays_for_good() {
    let bed = Bed::new();
    let place = bed.project("a", 50_000);
    let evidence = place.path("evidence");
    fs::write(&evidence, b"cannot be had again").unwrap();
    run(place.mkimg(["add"]).arg(&evidence));
    place.made(&[]);
    let digest = mkimg::digest::Digest::of(b"cannot be had again").to_string();
    let added = bed
        .cache()
        .join("blobs-v1")
        .join(&digest[..2])
        .join(&digest[2..]);
    let plain = |args: &[&str]| crate::cli::json(&run(bed.plain(args).arg("--json")));

    // Two blobs and the image of the project, and the added one.
    age_all(&bed.cache(), 29);
    let found = plain(&[]);
    assert_eq!(found["freed"], 0);
    assert_eq!(found["kept"]["added"]["objects"], 1, "{found:#}");
    assert_eq!(found["kept"]["recent"]["objects"], 3, "{found:#}");
    let text = crate::cli::stdout(&run(&mut bed.plain(&[])));
    for part in [
        "kept 1 object, ",
        "`mkimg add` put it in",
        "used in the last 30 days",
    ] {
        assert!(text.contains(part), "{text}");
    }

    age_all(&bed.cache(), 31);
    let found = plain(&[]);
    assert_eq!(found["kinds"]["images"]["removed"], 1, "{found:#}");
    assert_eq!(found["kinds"]["blobs"]["kept"], 1, "{found:#}");
    for args in [&["--older", "0s"][..], &["--max", "1GiB"]] {
        plain(args);
        assert!(added.exists(), "{args:?}");
    }
    // It is known by its digest, in a cache that was emptied of the rest.
    assert!(fails(&mut bed.plain(&["--max", "1"]), 1).contains("more than `--max` allows"));
    assert_eq!(plain(&["--all"])["kinds"]["blobs"]["removed"], 1);
    assert_eq!(objects(&bed.cache()), Vec::<String>::new());
    fails(&mut bed.plain(&["--all", "--older", "1d"]), 2);
}
