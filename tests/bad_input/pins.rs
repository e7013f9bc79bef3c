//! `pin`: what it says of bytes that nobody vouched for, and what it does not write into a recipe.

use std::fs;

use mkimg::digest::Digest;

use crate::cli::{fails, run};
use crate::server::{Reply, Server};
use crate::tiny::Tiny;
use crate::{flat, says};

fn said(output: &std::process::Output) -> String {
    flat(&String::from_utf8_lossy(&output.stderr))
}

#[test]
fn bytes_without_a_sha256_are_first_seen_and_a_second_pin_names_refresh() {
    let server = Server::start(|_| Reply::ok(b"whatever came"));
    let tiny = Tiny::new();
    let url = server.url("/x");
    tiny.recipe(
        &format!("source \"a\" {{ url \"{url}\"; }}\n"),
        "file \"/x\" from=\"a\"",
    );
    let first = said(&run(&mut tiny.project.mkimg(["pin", "images/tiny.kdl"])));
    assert!(
        first.contains(&format!("first seen, from {url}")),
        "{first}"
    );
    // The kernel has a sha256 to be compared with.
    assert_eq!(first.matches("verified").count(), 1, "{first}");
    assert!(
        first.contains("fetched kernel: 4.1 kB, verified"),
        "{first}"
    );
    let text = fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
    assert!(text.contains(&Digest::of(b"whatever came").to_string()));
    let second = said(&run(&mut tiny.project.mkimg(["pin", "images/tiny.kdl"])));
    assert!(
        second.contains("`--refresh`") && second.contains("`--source NAME`"),
        "{second}"
    );
}

#[test]
fn a_page_is_not_pinned_for_the_archive_that_the_recipe_unpacks() {
    let server = Server::start(|_| Reply::ok(b"<html>Sign in</html>"));
    let source = format!("source \"a\" {{ url \"{}\"; }}\n", server.url("/x.deb"));
    for entry in [
        "tree \"/x\" from=\"a\"",
        "file \"/x\" from=\"a\" path=\"usr/bin/x\"",
    ] {
        let tiny = Tiny::new();
        let path = tiny.recipe(&source, entry);
        let before = fs::read_to_string(&path).unwrap();
        let error = fails(&mut tiny.project.mkimg(["pin", "images/tiny.kdl"]), 1);
        says(
            &error,
            &["is no archive", "begins with `<html>Sign in</html>`"],
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }
}

#[test]
fn a_snapshot_of_the_old_bytes_is_taken_out() {
    let server = Server::start(|_| Reply::ok(b"the new package"));
    let tiny = Tiny::new();
    let (old, new) = (
        Digest::of(b"the old package"),
        Digest::of(b"the new package"),
    );
    let source = |digest: &Digest| {
        format!(
            "source \"a\" {{ debian \"pool/x_1_all.deb\" snapshot=\"20260711T101637Z\" sha256=\"{digest}\"; }}\n"
        )
    };
    let mirror = server.url("");
    let refresh = || {
        let args = ["pin", "--refresh", "--source", "a", "images/tiny.kdl"];
        let mut command = tiny.project.mkimg(args);
        command.args(["--debian-mirror", &mirror]);
        said(&run(&mut command))
    };
    let path = tiny.recipe(&source(&old), "file \"/x\" from=\"a\"");
    let told = refresh();
    assert!(told.contains("snapshot=\"20260711T101637Z\""), "{told}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        !text.contains("snapshot") && text.contains(&new.to_string()),
        "{text}"
    );
    // The same bytes: the time stamp stays right.
    tiny.recipe(&source(&new), "file \"/x\" from=\"a\"");
    refresh();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("snapshot=\"20260711T101637Z\""), "{text}");
}
