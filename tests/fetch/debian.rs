//! `debian` places: roots in order, the snapshot archive last, and the real thing from this machine's own mirrors.

use std::fs;
use std::path::Path;

use mkimg::digest::Digest;
use mkimg::recipe::Place;
use mkimg::source::apt;
use mkimg::source::fetch::{FetchOptions, Kind};

use crate::bed::{Bed, bytes, skipped, told_to};
use crate::server::{Reply, Server};

fn place(path: &str) -> [Place; 1] {
    [Place::Debian {
        path: path.to_owned(),
        snapshot: Some("20260711T101637Z".to_owned()),
        archive: "debian".to_owned(),
    }]
}

#[test]
fn the_roots_are_asked_in_order_and_the_snapshot_archive_last() {
    let (mut bed, file) = (Bed::new(), bytes(1_000));
    let served = file.clone();
    let server = Server::start(move |request| match request.target.as_str() {
        target if target.starts_with("/snapshot/") => Reply::file(request, &served),
        _ => Reply::new("404 Not Found", b""),
    });
    bed.options.debian_mirrors = vec![server.url("/mine")];
    bed.options.apt_roots = vec![server.url("/debian-security"), server.url("/debian/")];
    bed.options.snapshot_root = server.url("/snapshot");
    let digest = Digest::of(&file);
    let blob = bed.fetch(digest, None, &place("pool/x_1+b1.deb")).unwrap();
    assert_eq!(blob.digest, digest);
    let asked: Vec<String> = server.asked().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        asked,
        [
            "/mine/pool/x_1+b1.deb",
            "/mine/pool/x_1%2Bb1.deb",
            "/debian/pool/x_1+b1.deb",
            "/debian/pool/x_1%2Bb1.deb",
            "/debian-security/pool/x_1+b1.deb",
            "/debian-security/pool/x_1%2Bb1.deb",
            "/snapshot/debian/20260711T101637Z/pool/x_1+b1.deb",
        ]
    );
}

#[test]
fn a_debian_archive_in_a_directory_serves_as_a_root() {
    let file = bytes(1_000);
    for url in [true, false] {
        let mut bed = Bed::new();
        let root = bed.dir.path().join("debian");
        fs::create_dir_all(root.join("pool")).unwrap();
        fs::write(root.join("pool/x.deb"), &file).unwrap();
        let path = root.display();
        bed.options.debian_mirrors = vec![if url {
            format!("file://{path}/")
        } else {
            path.to_string()
        }];
        // Even so.
        bed.options.offline = true;
        let digest = Digest::of(&file);
        let blob = bed
            .fetch(digest, Some(1_000), &place("pool/x.deb"))
            .unwrap();
        assert_eq!(blob.digest, digest);
    }
}

#[test]
fn a_debian_path_without_any_root_is_the_recipes_to_mend() {
    let bed = Bed::new();
    let place = [Place::Debian {
        path: "pool/x.deb".to_owned(),
        snapshot: None,
        archive: "debian".to_owned(),
    }];
    let error = bed.fetch(Digest::of(b""), None, &place).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    let text = error.to_string();
    assert!(
        text.ends_with("`pool/x.deb`: no Debian mirror is known for it"),
        "{text}"
    );
    assert!(
        error.help()[0].contains("--debian-mirror"),
        "{:?}",
        error.help()
    );
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "whether a missing network is an error"
)]
fn a_real_package_comes_from_the_mirrors_that_this_machines_apt_uses() {
    let roots = apt::roots_of_machine(Path::new("/etc/apt"));
    if roots.is_empty() {
        skipped("this machine has no apt sources");
        return;
    }
    let mut bed = Bed::new();
    // The patience of a user.
    bed.options = FetchOptions {
        apt_roots: roots,
        ..FetchOptions::default()
    };
    // The one of images/minimal.kdl.
    let digest = "3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744";
    let package = place("pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_amd64.deb");
    let blob = match bed.fetch(digest.parse().unwrap(), Some(928_188), &package) {
        Err(error) if error.kind() == Kind::Unreachable && told_to("CI").is_none() => {
            skipped(&error.to_string());
            return;
        }
        other => other.unwrap(),
    };
    assert_eq!(blob.size, 928_188);
    blob.verify().unwrap();
    // Again: from the cache, without a word.
    let before = bed.seen.events().len();
    assert_eq!(bed.fetch(blob.digest, None, &[]).unwrap(), blob);
    assert_eq!(bed.seen.events().len(), before);
}
