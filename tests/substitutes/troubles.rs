//! What happens in the middle: a registry that is killed, a signal, and two at once.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cli::{Project, json, mirror, run};
use crate::debian::Debian;
use crate::server::Reply;
use crate::team::{Team, realize, repository, sign, tiny};
use crate::tiny::{assert_clean, assert_whole, files, images};

/// A way to a server that kills it once so many bytes came from there: `HOST:PORT`.
fn deadly_way(debian: Debian, after: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let to = debian.address().to_owned();
    let (debian, came) = (
        Arc::new(Mutex::new(Some(debian))),
        Arc::new(AtomicU64::new(0)),
    );
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            // Once it is dead nobody is there any more.
            let Ok(mut server) = TcpStream::connect(&to) else {
                continue;
            };
            let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut up, &mut down));
            let (debian, came) = (debian.clone(), came.clone());
            thread::spawn(move || {
                let mut buffer = vec![0; 16 << 10];
                while let Ok(count @ 1..) = server.read(&mut buffer) {
                    if client.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                    if came.fetch_add(count as u64, Ordering::SeqCst) > after {
                        // Dropping it is SIGKILL.
                        debian.lock().unwrap().take();
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn a_registry_that_is_killed_in_the_middle_of_a_blob_costs_a_warning() {
    let (Some(team), Some(debian)) = (Team::new(), Debian::start()) else {
        return;
    };
    let maker = Project::with("minimal");
    let built = maker.realize("images/minimal.kdl", &["--arch", "x86_64"]);
    let mirror = mirror().display().to_string();
    let pushed = format!("{}/team/minimal", debian.address());
    let to = format!("{pushed}:1");
    let mut push = maker.mkimg(["push", "images/minimal.kdl", &to, "--mirror", &mirror]);
    run(&mut push);
    sign(&pushed, &team.path("trusted"));
    let place = format!("{}/team/minimal", deadly_way(debian, 1 << 20));

    let taker = Project::with("minimal");
    let mut command = taker.mkimg([
        "realize",
        "images/minimal.kdl",
        "--json",
        "--arch",
        "x86_64",
    ]);
    command.args(["--mirror", &mirror]);
    let output = run(command.args(team.ask(&place)));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = json(&output);
    assert_eq!(found["from"], Value::Null, "{said}");
    assert_eq!(found["identities"], built["identities"]);
    let warning = said.lines().find(|line| line.contains("warning")).unwrap();
    assert!(
        warning.contains(&place) && warning.contains("the blob `sha256:"),
        "{said}"
    );
    assert_whole(&taker.path("cache"));
}

#[test]
fn a_signal_during_a_substitution_ends_it_and_the_next_run_takes_the_image() {
    let Some(team) = Team::new() else { return };
    let fake = team.fake(Some("trusted"));
    let kernel = team.built["kernel"]["sha256"].as_str().unwrap().to_owned();
    let hanging = fake.serve_but(move |request| {
        let cut = || Reply::ok(&crate::tiny::kernel()).cut(1000).hang();
        request.target.ends_with(&kernel).then(cut)
    });
    let good = fake.serve();
    let directory = team.maker.path("bundles");
    let bundle = std::fs::read(team.bundle(&directory, Some("trusted"))).unwrap();
    let web = crate::server::Server::start(move |_| Reply::ok(&bundle).cut(5000).hang());
    for (place, arrived) in [
        (repository(&hanging), "cache/partial"),
        (web.url("/"), "cache/tmp"),
    ] {
        let taker = tiny();
        let mut command = taker.realize(&["--json"]);
        command.args(team.ask(&place));
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let have = || -> u64 {
            let found = files(&taker.path(arrived));
            found
                .iter()
                .filter_map(|path| path.metadata().ok())
                .map(|found| found.len())
                .sum()
        };
        while have() < 1000 {
            thread::sleep(Duration::from_millis(2));
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert_eq!(output.stdout, b"");
        assert!(files(&taker.path("cache/tmp")).is_empty(), "{place}");
        assert_eq!(images(&taker.path("cache")), 0);
        let (found, said) = realize(&taker, &team.ask(&repository(&good)));
        assert_eq!(found["from"]["place"], repository(&good), "{said}");
        team.assert_same(&found, &place);
        assert_clean(&taker.path("cache"));
    }
}

#[test]
fn two_at_once_take_one_image() {
    let Some(team) = Team::new() else { return };
    let server = team.fake(Some("trusted")).serve();
    for _ in 0..5 {
        let taker = tiny();
        let children: Vec<_> = (0..4)
            .map(|_| {
                let mut command = taker.realize(&["--json"]);
                command.args(team.ask(&repository(&server)));
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            assert!(!said.contains("warning"), "{said}");
            team.assert_same(&json(&output), &said);
        }
        assert_clean(&taker.path("cache"));
        assert_eq!(images(&taker.path("cache")), 1);
    }
}
