//! What `mkimg import` makes of a good bundle, on caches that are shared, damaged, full or not to be written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::cli::{Project, fails, json, run, stdout};
use crate::parts::{export, of_two};
use crate::support::{is_root, skip, tool};
use crate::tiny::{Tiny, assert_clean, assert_whole, files, noise};

#[test]
fn the_recipe_inside_comes_out_with_its_lock_and_the_files_beside_it() {
    let tiny = Tiny::new();
    fs::create_dir(tiny.path("files")).unwrap();
    tiny.write("files/motd", b"hello\n");
    tiny.recipe("", "file \"/etc/motd\" local=\"../files/motd\"");
    let bundle = export(&tiny.project, "tiny", &["--with-sources"]);
    let project = Project::new();
    let mut import = project.mkimg(["import", "--extract", "theirs", "--json"]);
    let value = json(&run(import.arg(&bundle)));
    assert_eq!(value["recipe"], "theirs/images/tiny.kdl");
    let names: Vec<String> = files(&project.path("theirs"))
        .iter()
        .map(|path| {
            path.strip_prefix(project.path("theirs"))
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    assert_eq!(
        names,
        [
            "files/motd",
            "images/sh",
            "images/tiny.kdl",
            "images/tiny.lock"
        ]
    );
    let same = |theirs: &str, ours: &str| {
        assert!(fs::read(project.path(theirs)).unwrap() == fs::read(tiny.path(ours)).unwrap());
    };
    same("theirs/images/tiny.kdl", "images/tiny.kdl");
    same("theirs/files/motd", "files/motd");
    // It is a recipe as any other: the same image, and a bundle of it the same bundle.
    let mut realize = project.mkimg(["realize", "theirs/images/tiny.kdl", "--json", "--locked"]);
    realize.args(["--offline", "--cache", "cache"]);
    let realized = json(&run(&mut realize));
    assert_eq!(realized["identities"], value["images"][0]["identities"]);
    run(&mut project.mkimg([
        "export",
        "theirs/images/tiny.kdl",
        "--cache",
        "cache",
        "--with-sources",
        "-o",
        "again",
    ]));
    assert!(fs::read(project.path("again")).unwrap() == fs::read(&bundle).unwrap());
    // Again is no mistake; over somebody's own file it is.
    run(project
        .mkimg(["import", "--extract", "theirs"])
        .arg(&bundle));
    fs::write(project.path("theirs/files/motd"), "mine").unwrap();
    let said = fails(
        project
            .mkimg(["import", "--extract", "theirs"])
            .arg(&bundle),
        2,
    );
    assert!(
        said.contains("`theirs/files/motd` is there already, with other bytes"),
        "{said}"
    );
    assert_eq!(
        fs::read(project.path("theirs/files/motd")).unwrap(),
        b"mine"
    );
}

#[test]
fn what_a_cache_has_damaged_is_made_good_by_the_next_import() {
    let (_project, bundle) = of_two();
    let project = Project::new();
    let import = || project.mkimg(["import", &bundle.display().to_string(), "--json"]);
    let value = json(&run(&mut import()));
    let image = project.path(value["images"][0]["path"].as_str().unwrap());
    let recipe = project.path(value["recipe"].as_str().unwrap());
    let blob = files(&project.path("cache/blobs-v1")).swap_remove(0);
    let lock = recipe.with_extension("lock");
    for path in [
        image.join("vmlinuz"),
        image.join("initramfs.cpio.gz"),
        image.join("image.json"),
        recipe,
        lock,
        blob,
    ] {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        for bad in [Some(&bad[..]), Some(b""), None] {
            fs::remove_file(&path).unwrap();
            if let Some(bad) = bad {
                fs::write(&path, bad).unwrap();
            }
            run(&mut import());
            assert!(fs::read(&path).unwrap() == good, "{}", path.display());
        }
    }
    assert_clean(&project.path("cache"));
}

#[test]
fn a_cache_that_cannot_be_written_still_serves_what_it_has() {
    let Some(setpriv) = tool("setpriv") else {
        return;
    };
    if !is_root() {
        return skip("needs root, to be another user");
    }
    let (_project, bundle) = of_two();
    let project = Project::new();
    run(project.mkimg(["import"]).arg(&bundle));
    // Another user's cache, and a bundle that everybody may read.
    fs::copy(&bundle, project.path("two.mkimg")).unwrap();
    fs::set_permissions(project.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let nobody = |args: &[&str]| {
        let mut command = Command::new(&setpriv);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(env!("CARGO_BIN_EXE_mkimg")).args(args);
        project.prepare(&mut command);
        // Root's cache: nobody's own one is elsewhere.
        command.env("MKIMG_CACHE", "cache");
        command
    };
    run(&mut nobody(&["import", "two.mkimg"]));
    run(&mut nobody(&["ls", "two.mkimg"]));
    let other = Tiny::new();
    other.recipe("", "");
    fs::copy(
        export(&other.project, "tiny", &[]),
        project.path("tiny.mkimg"),
    )
    .unwrap();
    let said = fails(&mut nobody(&["import", "tiny.mkimg"]), 2);
    assert!(
        said.contains("the cache cannot be written") && said.contains("--cache"),
        "{said}"
    );
}

#[test]
fn a_full_disk_is_named_and_leaves_no_image() {
    let Some(unshare) = tool("unshare") else {
        return;
    };
    let mount = ["-m", "mount", "-t", "tmpfs", "none", "/mnt"];
    let can = is_root()
        && Command::new(&unshare)
            .args(mount)
            .status()
            .unwrap()
            .success();
    if !can {
        return skip("needs root, and the right to mount, for a disk of its own");
    }
    let tiny = Tiny::new();
    tiny.takes(&noise(4 << 20), "file \"/thing\" from=\"thing\"");
    let bundle = export(&tiny.project, "tiny", &["--with-sources"]);
    let project = Project::new();
    let script = format!(
        "mount -t tmpfs -o size=2m,mode=755 none cache && {{ {mkimg} import {bundle}; code=$?; find cache -path '*images-v1*' -o -path '*imports-v1*' -o -path 'cache/tmp/*'; \
         {mkimg} import - <{bundle}; echo codes $code $?; find cache -path '*images-v1*' -o -path '*imports-v1*' -o -path 'cache/tmp/*'; \
         {mkimg} export {recipe} --cache {own} -o cache/out.mkimg; echo code $?; ls -A cache | grep out; true; }}",
        mkimg = env!("CARGO_BIN_EXE_mkimg"),
        bundle = bundle.display(),
        recipe = tiny.path("images/tiny.kdl").display(),
        own = tiny.path("cache").display(),
    );
    let mut command = Command::new(unshare);
    command.args(["-m", "sh", "-c", &script]);
    project.prepare(&mut command);
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(stdout(&output), "codes 2 2\ncode 2\n", "{said}");
    assert_eq!(said.matches("No space left on device").count(), 3, "{said}");
    assert_eq!(said.matches("help: make room there").count(), 3, "{said}");
}

#[test]
fn imports_that_are_killed_or_run_at_once_leave_a_cache_that_works() {
    let tiny = Tiny::new();
    tiny.takes(&noise(8 << 20), "file \"/thing\" from=\"thing\"");
    let bundle = export(&tiny.project, "tiny", &["--with-sources"]);
    let bundle = bundle.display().to_string();
    let project = Project::new();
    let import = |from: &str| {
        let mut command = project.mkimg(["import", from]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    for wait in (0..60).step_by(5) {
        let mut child = import(&bundle).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let _ = child.kill();
        child.wait().unwrap();
        assert_whole(&project.path("cache"));
    }
    let children: Vec<_> = (0..4).map(|_| import(&bundle).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    run(&mut project.mkimg(["realize", &bundle, "--offline", "--verify"]));
    assert_whole(&project.path("cache"));
}

#[test]
fn a_bundle_comes_through_a_pipe_and_under_any_name() {
    let (project, path) = of_two();
    let bundle = fs::read(&path).unwrap();
    let image = json(&run(&mut project.mkimg(["realize", "two", "--json"])));
    let taken = |value: &serde_json::Value| {
        value["images"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["plan"] == image["plan"])
    };
    let other = Project::new();
    fs::write(other.path("odd \n\u{fc}"), &bundle).unwrap();
    fs::write(other.path("-"), "no bundle").unwrap();
    assert!(taken(&json(&run(&mut other.mkimg([
        "import",
        "odd \n\u{fc}",
        "--json"
    ])))));
    for name in ["-", "/dev/stdin"] {
        let fresh = Project::new();
        let mut child = fresh
            .mkimg(["import", name, "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, &bundle).unwrap();
        drop(input);
        assert!(taken(&json(&child.wait_with_output().unwrap())));
        assert_clean(&fresh.path("cache"));
    }
    // What is no bundle makes no cache, and an endless one no end.
    let fresh = Project::new();
    fs::remove_dir(fresh.path("cache")).unwrap();
    for (name, code) in [
        ("nothing", 2),
        ("images", 2),
        ("/dev/zero", 3),
        ("/dev/null", 3),
    ] {
        let said = fails(&mut fresh.mkimg(["import", name, "--cache", "cache"]), code);
        assert!(said.contains(&format!("`{name}`")), "{said}");
        assert!(!fresh.path("cache").exists(), "{said}");
    }
}

#[test]
fn a_recipe_out_of_a_bundle_is_not_changed_in_the_cache() {
    let (_project, path) = of_two();
    let project = Project::new();
    let bundle = path.display().to_string();
    run(&mut project.mkimg(["realize", &bundle]));
    for args in [
        &["pin", &bundle][..],
        &["lock", &bundle],
        &["realize", &bundle, "--update-lock"],
    ] {
        let said = fails(&mut project.mkimg(args), 2);
        assert!(
            said.contains("stays what it is") && said.contains("--extract"),
            "{said}"
        );
    }
    run(&mut project.mkimg(["lock", "--check", &bundle]));
}

#[test]
fn an_architecture_that_a_bundle_does_not_have_is_told_with_those_that_it_has() {
    let (project, _) = of_two();
    let one = export(&project, "two", &["--arch", "aarch64"]);
    let other = Project::new();
    let import = || {
        let mut command = other.mkimg(["import", "--arch"]);
        command.current_dir(one.parent().unwrap());
        command
    };
    let said = fails(import().args(["x86_64", "two.mkimg"]), 2);
    assert!(
        said.contains("`two.mkimg` has no image for x86_64"),
        "{said}"
    );
    assert!(said.contains("help: it has one for aarch64"), "{said}");
    run(import().args(["aarch64", "two.mkimg"]));
}
