//! Ctrl-C and `kill` in the middle, and two runs at once.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mkimg::digest::Digest;
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{json, run};
use crate::server::{Reply, Server};
use crate::tiny::{Tiny, assert_clean, assert_whole, files, images, noise, urls};

// pitfall 56
#[test]
fn a_signal_ends_a_slow_download_at_once_and_the_next_run_goes_on_with_it() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let thing = noise(300_000);
        let served = thing.clone();
        let server = Server::start(move |request| match request.before {
            0 => Reply::ok(&served).cut(100_000).hang(),
            _ => Reply::file(request, &served),
        });
        let tiny = Tiny::new();
        tiny.recipe(
            &urls("thing", &thing, &[server.url("/thing")]),
            "file \"/thing\" from=\"thing\"",
        );
        let mut command = tiny.realize(&["--json"]);
        let child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let partial = tiny.path("cache/partial");
        let have = || -> u64 {
            files(&partial)
                .iter()
                .filter_map(|path| path.metadata().ok())
                .map(|found| found.len())
                .sum()
        };
        while have() < 100_000 {
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(output.stdout, b"");
        assert!(!said.contains("rror"), "{said}");
        assert!(files(&tiny.path("cache/tmp")).is_empty());
        assert_eq!(images(&tiny.path("cache")), 0);
        let kept = partial.join(format!("{}.part", Digest::of(&thing)));
        assert_eq!(kept.metadata().unwrap().len(), 100_000);

        run(&mut command);
        assert_eq!(
            server.asked(),
            [
                ("/thing".to_owned(), None),
                ("/thing".to_owned(), Some(100_000))
            ]
        );
        assert_clean(&tiny.path("cache"));
    }
}

#[test]
fn a_signal_at_any_moment_of_the_work_leaves_no_scratch_and_says_130() {
    let thing = noise(6_000_000);
    let archive = crate::tiny::Tar::default().file("a", &thing).end();
    let tiny = Tiny::new();
    tiny.takes(&archive, "tree \"/t\" from=\"thing\"");
    let start = Instant::now();
    run(&mut tiny.realize(&[]));
    let mut whole = start.elapsed();
    let mut interrupted = 0;
    for step in 0..40u32 {
        let mut command = tiny.realize(&["--quiet"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let delay = whole.mul_f64(f64::from(step) / 40.0);
        std::thread::sleep(delay);
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
        let status = child.wait().unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        // A signal that comes before anything was begun ends the process as it ends any other.
        let (code, signal) = (status.code(), status.signal());
        assert!(
            matches!((code, signal), (Some(0 | 130), _) | (_, Some(2))),
            "{status}: {said}"
        );
        assert_eq!(said, "");
        match status.code() {
            // It had ended before: the machine has become faster, or what was left made it short.
            Some(0) => whole = whole.mul_f64(0.95),
            code => interrupted += usize::from(code == Some(130)),
        }
        assert!(
            files(&tiny.path("cache/tmp")).is_empty(),
            "{:?}",
            files(&tiny.path("cache/tmp"))
        );
        assert_whole(&tiny.path("cache"));
        // Every run has something to do, half of them everything.
        let _ = std::fs::remove_dir_all(tiny.path("cache/images-v1"));
        if step % 2 == 0 {
            std::fs::remove_dir_all(tiny.path("cache")).unwrap();
            std::fs::create_dir(tiny.path("cache")).unwrap();
        }
    }
    assert!(
        interrupted >= 5,
        "{interrupted} of 40 runs were still at work"
    );
    run(&mut tiny.realize(&[]));
    assert_clean(&tiny.path("cache"));
}

// pitfall 55
#[test]
fn two_recipes_at_once_share_a_source_and_do_not_meet() {
    let thing = noise(300_000);
    let served = thing.clone();
    let server = Server::start(move |request| Reply::file(request, &served));
    let tiny = Tiny::new();
    let source = urls("thing", &thing, &[server.url("/thing")]);
    for path in ["/one", "/two"] {
        let text = crate::tiny::recipe(&source, &format!("file \"{path}\" from=\"thing\""));
        tiny.project.recipe(&path[1..], &text);
    }
    let start = |name: &str| {
        let mut command = tiny.project.mkimg(["realize", name, "--json"]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let running = [start("one"), start("two")];
    let plans = running.map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        json(&output)["plan"].to_string()
    });
    assert_ne!(plans[0], plans[1]);
    assert_eq!(server.asked(), [("/thing".to_owned(), None)]);
    assert_eq!(images(&tiny.path("cache")), 2);
    assert_clean(&tiny.path("cache"));
}
