//! Runs that are killed at random moments.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cli::{Project, identities, json, run};
use crate::tiny::{assert_clean, assert_whole};
use crate::{Lane, RECIPE, debian_mirror, fast_dir, golden, said, small};

/// Kills runs of a lane, by turns of those that begin with nothing, without members and without the image, and lets each be
/// followed by one that is left alone. Returns how many were hit.
fn kill_runs(lane: &Lane<'_>, runs: usize, mut random: u64, right: &str) -> usize {
    // How long a run takes when it begins with nothing, without members, and without the image.
    let mut whole = [Duration::ZERO; 3];
    for (took, bucket) in whole
        .iter_mut()
        .zip(["blobs-v1", "members-v1", "images-v1"])
    {
        lane.remove(bucket);
        lane.remove("images-v1");
        let start = Instant::now();
        run(&mut lane.command());
        *took = start.elapsed();
    }
    let mut hit = 0;
    for number in 0..runs {
        let state = number % 3;
        match state {
            0 => fs::remove_dir_all(&lane.cache).unwrap(),
            1 => lane.remove("members-v1"),
            _ => {}
        }
        lane.remove("images-v1");
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let delay = whole[state].mul_f64((random % 1000) as f64 / 1000.0);
        let mut command = lane.command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        if child.wait().unwrap().signal() == Some(9) {
            hit += 1;
        } else {
            // It had ended before: the machine has become faster.
            whole[state] = whole[state].min(delay);
        }
        if state < 2 {
            assert_whole(&lane.cache);
        }

        let output = run(&mut lane.command());
        assert_eq!(identities(&json(&output)), right);
        // Nothing half-written was found under a name: nothing had to be mended.
        assert!(!said(&output).contains("damaged"), "{}", said(&output));
    }
    hit
}

// pitfall 41, 56
#[test]
fn runs_that_are_killed_at_random_moments_leave_a_cache_that_works() {
    let (project, server, dir) = (Project::with("minimal"), debian_mirror(), fast_dir());
    let (tiny, other) = small();
    let minimal = Lane {
        project: &project,
        recipe: RECIPE,
        cache: dir.path().join("one"),
        server: &server,
    };
    let small = Lane {
        project: &tiny.project,
        recipe: "images/tiny.kdl",
        cache: dir.path().join("two"),
        server: &other,
    };
    let right = identities(&json(&run(&mut small.command())));
    let lanes = [
        (minimal, 12, 0x9e37_79b9_7f4a_7c15, golden()),
        (small, 90, 0x2545_f491_4f6c_dd1d, right),
    ];
    let hit: usize = std::thread::scope(|scope| {
        let running = lanes
            .iter()
            .map(|(lane, runs, seed, right)| scope.spawn(|| kill_runs(lane, *runs, *seed, right)));
        let running: Vec<_> = running.collect();
        running.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    assert!(
        hit >= 50,
        "{hit} of 102 runs were still at work when they were killed"
    );
    for (lane, .., right) in &lanes {
        lane.remove("images-v1");
        run(&mut lane.command());
        assert_clean(&lane.cache);
        let output = run(lane.command().arg("--verify"));
        assert!(
            said(&output).contains("every byte verified"),
            "{}",
            said(&output)
        );
        assert_eq!(&identities(&json(&output)), right);
    }
}
