//! Beside other processes, running or killed.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::cli::{fails, json, run};
use crate::{Bed, Place, objects, said, tiny};

const ROUNDS: usize = 50;

/// Starts a command with its output kept.
fn start(command: &mut Command) -> std::process::Child {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().unwrap()
}

// Issue 5, must show.
#[test]
fn beside_four_running_realizes_nothing_needed_is_lost_in_fifty_rounds() {
    let bed = Bed::new();
    let places: Vec<Place> = (0..4)
        .map(|number| bed.project(&format!("project {number}"), 40_000))
        .collect();
    let mut expected = Vec::new();
    for place in &places {
        place.lock();
        expected.push(place.made(&["--locked"])["identities"].clone());
        place.lose_sources();
    }
    // An image of an out-link alone.
    let linked = bed.project("linked", 30_000);
    linked.made(&["--out-link", "result"]);
    let link = linked.path("result");
    let mut freed = 0;
    for round in 0..ROUNDS {
        // Some find their image, some make it again of the blobs alone; and each makes another of sources that nobody else
        // needs, and that only the process itself keeps.
        if round % 2 == 1 {
            for place in &places {
                fs::remove_dir_all(place.image()).unwrap();
            }
        }
        let args: &[&str] = match round % 3 {
            0 => &[],
            1 => &["--max", "1"],
            _ => &["--older", "0s"],
        };
        for place in &places {
            write_other(place, round);
        }
        let running = AtomicBool::new(true);
        thread::scope(|scope| {
            let collecting = scope.spawn(|| {
                let mut freed = 0;
                loop {
                    let last = !running.load(Ordering::SeqCst);
                    let output = bed.gc(args).arg("--json").output().unwrap();
                    let code = i32::from(round % 3 == 1);
                    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
                    freed += json(&output)["freed"].as_u64().unwrap();
                    if last {
                        return freed;
                    }
                }
            });
            let mut children = Vec::new();
            for place in &places {
                children.push(start(&mut place.realize(&["--locked"])));
                children.push(start(&mut place.mkimg(["realize", "other", "--json"])));
            }
            let outputs: Vec<Output> = children
                .into_iter()
                .map(|child| child.wait_with_output().unwrap())
                .collect();
            running.store(false, Ordering::SeqCst);
            for (index, output) in outputs.iter().enumerate() {
                assert!(output.status.success(), "round {round}: {}", said(output));
                assert!(!said(output).contains("damaged"), "{}", said(output));
                if index % 2 == 0 {
                    assert_eq!(json(output)["identities"], expected[index / 2]);
                }
            }
            freed += collecting.join().unwrap();
        });
        assert!(link.join("image.json").is_file(), "round {round}");
        tiny::assert_whole(&bed.cache());
    }
    assert!(freed > 50 * 4 * 200_000, "gc removed only {freed} bytes");
    bed.collect(&[]);
    tiny::assert_clean(&bed.cache());
    assert_eq!(tiny::images(&bed.cache()), 5);
}

/// Writes a recipe of a kernel and an archive of its own.
fn write_other(place: &Place, round: usize) {
    let mut bytes = tiny::noise(200_000);
    bytes.extend(format!("{round} {}", place.path("").display()).as_bytes());
    let archive = tiny::Tar::default()
        .file("a", &bytes)
        .file("b", &bytes[7..])
        .end();
    fs::write(place.path("images/archive"), &archive).unwrap();
    let mut kernel = tiny::kernel();
    kernel.extend_from_slice(&bytes);
    let kernel_source = tiny::local("own-kernel", &kernel);
    fs::write(place.path("images/own-kernel"), kernel).unwrap();
    let sources = tiny::local("archive", &archive) + &kernel_source;
    let entries = "tree \"/tree\" from=\"archive\"\n    file \"/b\" from=\"archive\" path=\"b\"";
    let recipe = tiny::recipe(&sources, entries);
    let recipe = recipe.replace("kernel from=\"kernel\"", "kernel from=\"own-kernel\"");
    // The source that is used no more.
    let (before, after) = recipe.split_once("source \"kernel\"").unwrap();
    let (_, after) = after.split_once("}\n").unwrap();
    place
        .tiny
        .project
        .recipe("other", &format!("{before}{after}"));
}

#[test]
fn a_gc_that_is_killed_at_any_moment_leaves_a_cache_that_works() {
    let bed = Bed::new();
    let place = bed.project("kept", 40_000);
    place.lock();
    let expected = place.made(&["--locked"])["identities"].clone();
    place.lose_sources();
    let others: Vec<Place> = (0..6)
        .map(|number| bed.project(&format!("other {number}"), 20_000))
        .collect();
    for round in 0..24 {
        for other in &others {
            other.made(&[]);
        }
        let mut gc = start(&mut bed.gc(&[]));
        thread::sleep(Duration::from_micros(500 * round));
        gc.kill().unwrap();
        gc.wait().unwrap();
        assert_eq!(place.made(&["--locked"])["identities"], expected);
        tiny::assert_whole(&bed.cache());
    }
    bed.collect(&[]);
    tiny::assert_clean(&bed.cache());
    assert_eq!(tiny::images(&bed.cache()), 1);
}

#[test]
fn who_uses_the_cache_is_waited_for_and_who_comes_meanwhile_gets_in() {
    let bed = Bed::new();
    let place = bed.project("a", 5_000);
    place.made(&[]);
    let before = objects(&bed.cache());
    // Another process, as far as locks go.
    let lock = File::open(bed.cache().join("lock")).unwrap();
    lock.lock_shared().unwrap();
    let text = fails(&mut bed.gc(&["--no-wait"]), 1);
    assert!(text.contains("is in use"), "{text}");
    assert_eq!(objects(&bed.cache()), before);
    let mut gc = start(&mut bed.gc(&[]));
    let mut line = String::new();
    let mut errors = BufReader::new(gc.stderr.take().unwrap());
    errors.read_line(&mut line).unwrap();
    assert!(
        line.contains("waiting for 1 other process that uses the cache"),
        "{line}"
    );
    // Neither one that looks nor one that makes waits for the end of the first.
    let other = bed.project("b", 6_000);
    other.made(&[]);
    place.made(&[]);
    assert!(gc.try_wait().unwrap().is_none());
    assert!(objects(&bed.cache()).len() > before.len());
    drop(lock);
    assert!(gc.wait().unwrap().success());
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    // What came meanwhile was looked at anew.
    assert_eq!(objects(&bed.cache()), Vec::<String>::new());
}

#[test]
fn a_running_guest_is_not_waited_for_and_keeps_what_it_was_started_with() {
    let bed = Bed::new();
    let place = bed.project("guest", 5_000);
    let qemu = place.path("qemu");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'QEMU emulator version 7.2.0'; exit; }\n\
                  touch up; while [ ! -e down ]; do sleep 0.05; done\n";
    fs::write(&qemu, script).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = place.mkimg([
        "run",
        "images/tiny.kdl",
        "--accel",
        "tcg",
        "--memory",
        "256MiB",
        "--qemu",
    ]);
    command.arg(&qemu).stdin(Stdio::null());
    let mut guest = start(&mut command);
    let waited = (0..2000).any(|_| {
        thread::sleep(Duration::from_millis(5));
        place.path("up").exists()
    });
    if !waited {
        guest.kill().unwrap();
        panic!(
            "the guest never came up: {}",
            said(&guest.wait_with_output().unwrap())
        );
    }
    bed.project("other", 6_000).made(&[]);
    assert_eq!(tiny::images(&bed.cache()), 2);
    bed.collect(&["--no-wait", "--older", "0s"]);
    assert_eq!(tiny::images(&bed.cache()), 1);
    assert!(place.image().join("vmlinuz").is_file());
    fs::write(place.path("down"), b"").unwrap();
    let ended = guest.wait_with_output().unwrap();
    assert!(ended.status.code().is_some(), "{}", said(&ended));
    bed.collect(&["--no-wait"]);
    assert_eq!(tiny::images(&bed.cache()), 0);
    tiny::assert_clean(&bed.cache());
    run(&mut place.realize(&[]));
}
