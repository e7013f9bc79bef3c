//! Caches on disks that are full or cannot be written.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::cli::{fails, run, stdout};
use crate::says;
use crate::server::{Reply, Server};
use crate::support::{is_root, skip, tool};
use crate::tiny::{Tar, Tiny, assert_clean, files, noise, recipe, urls};

/// Returns the command that runs a shell script in a mount namespace of its own, in the project, with `mkimg` as `$1`; nothing
/// where that cannot be had.
fn in_namespace(tiny: &Tiny, script: &str) -> Option<Command> {
    let unshare = tool("unshare")?;
    let can = is_root()
        && Command::new(&unshare)
            .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
            .status()
            .is_ok_and(|status| status.success());
    if !can {
        skip("needs root, and the right to mount, for a disk of its own");
        return None;
    }
    let mut command = Command::new(unshare);
    tiny.project.prepare(&mut command);
    command.args([
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_mkimg"),
    ]);
    Some(command)
}

/// Writes a recipe and what it takes.
type Prepare<'a> = Box<dyn Fn(&Tiny) + 'a>;

/// Mounts a small disk as the cache, realizes, says the code, what is left, and realizes again when the disk has grown.
const SMALL: &str = "
    mount -t tmpfs -o size=3m,mode=755 none cache
    \"$1\" realize images/tiny.kdl
    echo \"code $?\"
    find cache -type f -size +4k
    find cache/tmp cache/partial cache/images-v1 -mindepth 1 2>/dev/null
    mount -o remount,size=64m cache
    \"$1\" realize images/tiny.kdl || exit
    find cache/tmp cache/partial -mindepth 1
";

#[test]
fn a_full_disk_is_named_with_what_was_to_be_written_and_works_when_it_has_grown() {
    let thing = noise(4_000_000);
    let served = thing.clone();
    let server = Server::start(move |request| Reply::file(request, &served));
    // Full while it is downloaded, copied, read out of an archive, and packed.
    let whole = noise(1_600_000);
    let archive = Tar::default().file("a", &whole).end();
    let cases: Vec<(&str, Prepare<'_>, Vec<&str>)> = vec![
        (
            "download",
            Box::new(|tiny| {
                tiny.recipe(
                    &urls("thing", &thing, &[server.url("/thing")]),
                    "file \"/thing\" from=\"thing\"",
                );
            }),
            vec![
                "`thing`",
                "(4000000 bytes)",
                "no space left to write `DIR/cache/partial/",
                "--cache DIR",
            ],
        ),
        (
            "copy",
            Box::new(|tiny| tiny.takes(&thing, "file \"/thing\" from=\"thing\"")),
            vec![
                "`thing`",
                "no space left to write `DIR/cache/partial/",
                "--cache DIR",
            ],
        ),
        (
            "members",
            Box::new(|tiny| tiny.takes(&archive, "tree \"/\" from=\"thing\"")),
            vec![
                "no space left to write into the cache `DIR/cache`",
                "--cache DIR",
            ],
        ),
        (
            "pack",
            Box::new(|tiny| tiny.takes(&whole, "file \"/thing\" from=\"thing\"")),
            vec![
                "no space left to write",
                "`DIR/cache/tmp/",
                "initramfs.cpio.gz",
                "--cache DIR",
            ],
        ),
    ];
    for (name, prepare, pieces) in cases {
        let tiny = Tiny::new();
        prepare(&tiny);
        let Some(mut command) = in_namespace(&tiny, SMALL) else {
            return;
        };
        let output = run(&mut command);
        let (out, said) = (stdout(&output), String::from_utf8(output.stderr).unwrap());
        let said = said.replace(tiny.path("").to_str().unwrap().trim_end_matches('/'), "DIR");
        says(&said, &pieces);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "code 2", "{name}: {out}{said}");
        // Nothing but whole blobs in between, and nothing but the image's path at the end.
        let blobs = lines
            .iter()
            .filter(|line| line.starts_with("cache/blobs-v1/"))
            .count();
        let path = lines.last().unwrap();
        assert!(
            path.starts_with("cache/images-v1/") || path.contains("/cache/images-v1/"),
            "{name}: {out}"
        );
        assert_eq!(lines.len(), blobs + 2, "{name}: {out}");
    }
}

#[test]
fn a_disk_without_room_for_a_single_file_is_named() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let script = "mount -t tmpfs -o nr_inodes=1,mode=755 none cache
        exec \"$1\" realize images/tiny.kdl --cache cache";
    let Some(mut command) = in_namespace(&tiny, script) else {
        return;
    };
    let said = fails(&mut command, 2);
    says(
        &said,
        &[
            "no space left to write",
            "cache/CACHEDIR.TAG`",
            "--cache DIR",
        ],
    );
}

// pitfall 57
#[test]
fn a_cache_that_is_mounted_read_only_still_serves_what_it_has() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    run(&mut tiny.realize(&[]));
    tiny.project.recipe("other", &recipe("", "dir \"/other\""));
    let before = files(&tiny.path("cache"));
    let script = "mount --bind cache cache && mount -o remount,ro,bind cache || exit 99
        \"$1\" realize images/tiny.kdl --verify || exit 98
        \"$1\" ls images/tiny.kdl || exit 97
        \"$1\" realize images/tiny.kdl --out-link link || exit 96
        exec \"$1\" realize images/other.kdl";
    let Some(mut command) = in_namespace(&tiny, script) else {
        return;
    };
    let said = fails(&mut command, 2);
    says(
        &said,
        &[
            "up to date",
            "warning: `link` does not keep the image",
            "the cache cannot be written: could not",
            "cache/",
            "Read-only file system",
            "--cache DIR",
        ],
    );
    assert_eq!(files(&tiny.path("cache")), before);
    run(&mut tiny.project.mkimg(["realize", "other"]));
    assert_clean(&tiny.path("cache"));
}

// pitfall 57
#[test]
fn a_cache_of_another_user_still_serves_what_it_has() {
    let Some(setpriv) = tool("setpriv") else {
        return;
    };
    if !is_root() {
        return skip("needs root to become another user");
    }
    let tiny = Tiny::new();
    tiny.recipe("", "");
    run(&mut tiny.realize(&[]));
    tiny.project.recipe("other", &recipe("", "dir \"/other\""));
    fs::set_permissions(tiny.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new(&setpriv);
        tiny.project.prepare(&mut command);
        command.env("MKIMG_CACHE", "cache");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_mkimg"),
        ]);
        command.args(args);
        command
    };
    let output = run(&mut as_nobody(&["realize", "tiny", "--verify"]));
    says(&String::from_utf8(output.stderr).unwrap(), &["up to date"]);
    let said = fails(&mut as_nobody(&["realize", "other"]), 2);
    says(
        &said,
        &[
            "the cache cannot be written: could not",
            "Permission denied",
            "--cache DIR",
        ],
    );
    // The cache is there but not even its lock: somebody else's, or from a read-only medium.
    fs::remove_file(tiny.path("cache/lock")).unwrap();
    run(&mut as_nobody(&["realize", "tiny"]));
    // A cache that cannot be made at all.
    let said = fails(
        &mut as_nobody(&["realize", "tiny", "--cache", "new/cache"]),
        2,
    );
    says(
        &said,
        &[
            "the cache cannot be written: could not create the directory `new`",
            "--cache DIR",
        ],
    );
    assert_clean(&tiny.path("cache"));
}

#[test]
fn a_cache_that_is_no_directory_is_refused() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    tiny.write("file", b"");
    symlink("loop", tiny.path("loop")).unwrap();
    symlink("nowhere", tiny.path("dangling")).unwrap();
    let long = "n".repeat(300);
    for cache in [
        "file",
        "file/below",
        "/dev/null",
        "loop",
        "dangling",
        "/proc/cache",
        &long,
    ] {
        let said = fails(&mut tiny.realize(&["--cache", cache]), 2);
        says(&said, &[cache, "--cache DIR"]);
    }
    // What is in the way below is not the choice of a wrong cache.
    tiny.write("cache/tmp", b"");
    let said = fails(&mut tiny.realize(&["--cache", "cache"]), 1);
    says(
        &said,
        &[
            "could not create the directory",
            "cache/tmp",
            "check what is at that path",
        ],
    );
}

#[test]
fn a_machine_that_gives_no_thread_or_one_is_told_of_or_served() {
    let (Some(setpriv), Some(prlimit)) = (tool("setpriv"), tool("prlimit")) else {
        return;
    };
    if !is_root() {
        return skip("needs root to become a user without processes");
    }
    let tiny = Tiny::new();
    tiny.takes(&noise(2_000_000), "file \"/thing\" from=\"thing\"");
    for path in ["", "cache", "home"] {
        fs::set_permissions(tiny.path(path), fs::Permissions::from_mode(0o777)).unwrap();
    }
    for (threads, user, code) in [("0", "64123", 1), ("4", "64124", 0), ("5", "64125", 0)] {
        let mut command = Command::new(&setpriv);
        tiny.project.prepare(&mut command);
        command.args([
            &format!("--reuid={user}"),
            "--regid=64123",
            "--clear-groups",
        ]);
        command
            .arg(&prlimit)
            .arg(format!("--nproc={threads}"))
            .arg(env!("CARGO_BIN_EXE_mkimg"));
        command.args([
            "realize",
            "images/tiny.kdl",
            "--jobs",
            "8",
            "--cache",
            &format!("cache/{threads}"),
        ]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{threads}: {said}");
        assert!(!said.contains("panic"), "{said}");
        if code == 1 {
            says(
                &said,
                &[
                    "no thread to compress with",
                    "Resource temporarily unavailable",
                ],
            );
        }
        assert_clean(&tiny.path(&format!("cache/{threads}")));
    }
}
