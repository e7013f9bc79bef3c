//! Sources in files of this machine, and the cache that they go into.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use mkimg::digest::Digest;
use mkimg::progress::{Event, Silent};
use mkimg::recipe::Place;
use mkimg::source::fetch::{FetchError, FetchOptions, Fetcher, Kind, Mirror};
use mkimg::store::{Store, StoreError};

use crate::bed::{Bed, bytes, files_below, places, skipped, told_to};
use crate::server::{Reply, Server};

fn local(path: &str) -> [Place; 1] {
    [Place::Local(path.to_owned())]
}

#[test]
fn a_local_file_is_copied_into_the_cache_where_its_hash_is_right() {
    let (bed, file) = (Bed::new(), bytes(200_000));
    let path = bed.dir.path().join("kernel");
    fs::write(&path, &file).unwrap();
    let absolute = path.to_str().unwrap();
    let digest = Digest::of(&file);
    for text in ["kernel", "./sub/../kernel", absolute] {
        fs::create_dir_all(bed.dir.path().join("sub")).unwrap();
        let blob = bed.fetch(digest, Some(200_000), &local(text)).unwrap();
        assert!(fs::read(&blob.path).unwrap() == file);
        bed.store.remove_blob(&digest).unwrap();
    }
    assert_eq!(bed.litter(), Vec::<PathBuf>::new());
}

#[test]
fn a_bad_local_file_is_named_with_the_reason() {
    let bed = Bed::new();
    let base = bed.dir.path();
    fs::write(base.join("text"), "#!/bin/sh\nexit\n").unwrap();
    let made = Command::new("mkfifo").arg(base.join("pipe")).status();
    assert!(made.unwrap().success());
    let digest = Digest::of(b"");
    let wrong = format!(
        "wrong bytes: expected sha256 {digest}, got {} in 15 bytes of 15; it is text that begins with `#!/bin/sh`",
        Digest::of(b"#!/bin/sh\nexit\n")
    );
    let cases = [
        ("text", Some(15), Kind::Mismatch, wrong.as_str()),
        (
            "text",
            Some(14),
            Kind::Mismatch,
            "too long: expected at most 14 bytes, it has 15",
        ),
        (
            "none",
            None,
            Kind::Refused,
            "No such file or directory (os error 2)",
        ),
        (".", None, Kind::Refused, "it is a directory"),
        ("pipe", None, Kind::Refused, "it is no regular file"),
    ];
    for (path, size, kind, reason) in cases {
        let error = bed.fetch(digest, size, &local(path)).unwrap_err();
        assert_eq!(error.kind(), kind, "{path}");
        let text = error.to_string();
        let shown = format!("\n  `{}`: {reason}", base.join(path).display());
        assert!(text.ends_with(&shown), "{text}\nexpected{shown}");
        assert_eq!(error.help().len(), 1, "{path}");
    }
    assert_eq!(bed.blobs(), Vec::<PathBuf>::new());
    assert_eq!(bed.litter(), Vec::<PathBuf>::new());
}

#[test]
fn a_local_file_is_read_again_only_when_it_may_have_changed_and_then_compared() {
    let (mut bed, file) = (Bed::new(), bytes(200_000));
    let path = bed.dir.path().join("kernel");
    fs::write(&path, &file).unwrap();
    let wanted = [bed.wanted(Digest::of(&file), None, &local("kernel"))];
    let notes = |bed: &Bed| files_below(&bed.store.root().join("notes-v1")).len();
    let check = |bed: &Bed| bed.fetcher().check_local(&wanted);
    let changed = fs::metadata(&path).unwrap().ctime();
    // Without a clock, or just after a change, the times say too little.
    for now in [None, Some(changed)] {
        bed.options.now = now;
        check(&bed).unwrap();
        assert_eq!(notes(&bed), 0);
    }
    bed.options.now = Some(changed + 60);
    for _ in 0..2 {
        check(&bed).unwrap();
        assert_eq!(notes(&bed), 1);
    }
    // Other bytes of the same length, and the same time of modification.
    let times = fs::FileTimes::new().set_modified(fs::metadata(&path).unwrap().modified().unwrap());
    let mut other = file.clone();
    other[100_000] ^= 1;
    fs::write(&path, &other).unwrap();
    let opened = fs::File::options().write(true).open(&path).unwrap();
    opened.set_times(times).unwrap();
    let error = check(&bed).unwrap_err();
    assert_eq!(error.kind(), Kind::Mismatch);
    let text = error.to_string();
    for digest in [Digest::of(&file), Digest::of(&other)] {
        assert!(text.contains(&digest.to_string()), "{text}");
    }
    fs::remove_file(&path).unwrap();
    check(&bed).unwrap();
}

#[test]
fn a_mirror_directory_is_asked_first_and_by_three_names() {
    let file = bytes(5_000);
    let digest = Digest::of(&file);
    for name in [
        digest.to_string(),
        "c.bin".to_owned(),
        "a/b/c.bin".to_owned(),
    ] {
        let mut bed = Bed::new();
        let server = Server::start(|_| Reply::new("404 Not Found", b""));
        let mirror = bed.dir.path().join("mirror one");
        let path = mirror.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &file).unwrap();
        let url = format!("file://{}", mirror.display()).replace(' ', "%20");
        bed.options.mirrors = vec![Mirror(bed.dir.path().join("missing")), url.parse().unwrap()];
        bed.fetch_whole(&file, &[server.url("/a/b/c.bin")]);
        assert_eq!(server.connections(), 0, "{name}");
        let started = Event::DownloadStarted {
            name: "thing".to_owned(),
            url: path.display().to_string(),
            size: Some(5_000),
            have: 0,
        };
        assert_eq!(bed.seen.events()[0], started, "{name}");
    }
}

#[test]
fn a_mirror_with_another_file_is_reported_and_passed_over() {
    let (mut bed, file) = (Bed::new(), bytes(5_000));
    let mirror = bed.dir.path().join("mirror");
    fs::create_dir(&mirror).unwrap();
    fs::write(mirror.join("file"), b"stale").unwrap();
    bed.options.mirrors = vec![Mirror(mirror.clone())];
    let served = file.clone();
    let server = Server::start(move |request| Reply::file(request, &served));
    bed.fetch_whole(&file, &[server.url("/file")]);
    let given_up: Vec<Event> = bed
        .seen
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::DownloadGivenUp { .. }))
        .collect();
    assert_eq!(
        given_up,
        [Event::DownloadGivenUp {
            name: "thing".to_owned(),
            url: mirror.display().to_string(),
            reason: format!(
                "wrong bytes: expected sha256 {}, got {} in 5 bytes of 5000; it is text that begins with `stale`",
                Digest::of(&file),
                Digest::of(b"stale")
            ),
        }]
    );
}

#[test]
fn what_the_cache_has_is_taken_without_a_thread_a_socket_or_a_write() {
    // pitfall 57
    let (bed, file) = (Bed::new(), bytes(5_000));
    let digest = Digest::of(&file);
    bed.store.blob_from(&mut &file[..], Path::new("x")).unwrap();
    let cache = bed.store.root();
    let before = files_below(cache);
    let mode = |mode| fs::set_permissions(cache, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    let server = Server::start(|_| Reply::new("404 Not Found", b""));
    let blob = bed.fetch(digest, Some(5_000), &places(&[server.url("/file")]));
    assert_eq!(blob.unwrap().size, 5_000);
    mode(0o755);
    assert_eq!(server.connections(), 0);
    assert_eq!(bed.seen.events(), []);
    assert_eq!(files_below(cache), before);
}

#[test]
fn a_cached_file_that_cannot_be_right_is_fetched_again_and_one_that_is_too_long_is_refused() {
    let (bed, file) = (Bed::new(), bytes(5_000));
    let digest = Digest::of(&file);
    let served = file.clone();
    let server = Server::start(move |request| Reply::file(request, &served));
    let path = bed.store.blob_path(&digest);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // pitfall 41: an empty file, as a power cut leaves it; a longer one, as nothing but a broken disk does.
    for damaged in [vec![], vec![0; 5_001]] {
        fs::write(&path, damaged).unwrap();
        bed.fetch_whole(&file, &[server.url("/file")]);
        bed.store.remove_blob(&digest).unwrap();
    }
    assert_eq!(server.requests().len(), 2);
    // The recipe's size is wrong: cached or not, the answer is the same.
    let urls = places(&[server.url("/file")]);
    let cold = bed.fetch(digest, Some(4_999), &urls).unwrap_err();
    bed.fetch(digest, None, &urls).unwrap();
    let warm = bed.fetch(digest, Some(4_999), &urls).unwrap_err();
    assert_eq!((cold.kind(), warm.kind()), (Kind::Mismatch, Kind::Mismatch));
    let too_long = "too long: expected at most 4999 bytes, it has 5000";
    assert!(cold.to_string().ends_with(too_long), "{cold}");
    assert!(warm.to_string().ends_with(too_long), "{warm}");
}

/// Runs in a process of its own, in a directory on a disk of 1 MiB.
#[test]
#[ignore = "run by the test below"]
fn fetch_more_than_the_disk_holds() {
    if told_to("MKIMG_TEST_SMALL_DISK").is_none() {
        return;
    }
    let file = bytes(3 << 20);
    let served = file.clone();
    let server = Server::start(move |request| Reply::file(request, &served));
    let store = Store::open(Path::new("cache")).unwrap();
    let fetcher = Fetcher::new(&store, &Silent, FetchOptions::default());
    let places = places(&[server.url("/file")]);
    let wanted = Bed::new().wanted(Digest::of(&file), Some(3 << 20), &places);
    let pinned = fetcher.fetch_all(&[wanted]).unwrap_err();
    let unpinned = fetcher.fetch_unpinned("thing", &places[0], Path::new("."), Some(3 << 20));
    for (what, error) in [("write", pinned), ("write into", unpinned.unwrap_err())] {
        assert_eq!(error.kind(), Kind::Store);
        let text = error.to_string();
        let start = format!(
            "could not keep `thing` in the cache (3145728 bytes): no space left to {what} `{}",
            store.root().display()
        );
        assert!(text.starts_with(&start), "{text}");
        let FetchError::Store { error: cause, .. } = error else {
            panic!("{error}");
        };
        assert!(matches!(*cause, StoreError::NoSpace { .. }));
        // pitfall 56: a full disk does not stay full because of us.
        assert_eq!(
            files_below(Path::new("cache/partial")),
            Vec::<PathBuf>::new()
        );
    }
    let small = bytes(500_000);
    store.blob_from(&mut &small[..], Path::new("x")).unwrap();
}

#[test]
fn a_full_disk_is_named_with_the_size_and_not_left_full() {
    let dir = tempfile::tempdir().unwrap();
    // A name space of its own: nothing stays mounted, whatever happens, and a plain user can do it too.
    let in_small_disk = |script: &str| {
        let script = format!("mount -t tmpfs -o size=1m tmpfs . && cd \"$PWD\" && {script}");
        Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                &script,
                "sh",
            ])
            .arg(std::env::current_exe().unwrap())
            .current_dir(dir.path())
            .env("MKIMG_TEST_SMALL_DISK", "1")
            .status()
            .is_ok_and(|status| status.success())
    };
    if !in_small_disk("true") {
        return skipped("a small disk cannot be mounted here");
    }
    let test = "files::fetch_more_than_the_disk_holds";
    assert!(in_small_disk(&format!(
        "exec \"$1\" --exact {test} --include-ignored"
    )));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    // A file where the directory of partial downloads should be: what stops root as well.
    let (bed, file) = (Bed::new(), bytes(10));
    fs::write(bed.store.root().join("partial"), "").unwrap();
    let error = bed
        .fetch(
            Digest::of(&file),
            None,
            &places(&["http://127.0.0.1:1/".to_owned()]),
        )
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert_eq!(
        error.to_string(),
        format!(
            "could not keep `thing` in the cache: could not create the directory `{0}`: `{0}` is a file, no directory: \
             remove it",
            bed.store.root().join("partial").display()
        )
    );
    assert!(error.help()[0].contains("--cache DIR"));
}

#[test]
fn a_place_without_a_hash_is_fetched_whole_for_pinning() {
    let (bed, file) = (Bed::new(), bytes(50_000));
    let served = file.clone();
    let server = Server::start(
        move |request| match (request.target.as_str(), request.before) {
            ("/file", 0) => Reply::ok(&served).cut(20_000),
            ("/page", _) => Reply::ok(b"<html>Sign in</html>"),
            _ => Reply::file(request, &served),
        },
    );
    let fetch = |path: &str, size| {
        let place = Place::Url(server.url(path));
        bed.fetcher()
            .fetch_unpinned("thing", &place, bed.dir.path(), size)
    };
    let seen = fetch("/file", None).unwrap();
    assert_eq!(seen.from, server.url("/file"));
    let told = |event: &Event| matches!(event, Event::DownloadFirstSeen { from, .. } if *from == seen.from);
    assert!(bed.seen.events().iter().any(told));
    let blob = seen.blob;
    assert_eq!((blob.digest, blob.size), (Digest::of(&file), 50_000));
    // Nothing could tell whether two halves belong together, so the second request is for the whole.
    let asked: Vec<Option<usize>> = server.asked().into_iter().map(|(_, from)| from).collect();
    assert_eq!(asked, [None, None]);
    assert_eq!(
        fetch("/file", Some(49_999)).unwrap_err().kind(),
        Kind::Mismatch
    );
    // pitfall 43
    fetch("/page", None).unwrap();
    let warning =
        "what came for `thing` looks like a web page: it begins with `<html>Sign in</html>`";
    assert!(
        bed.seen
            .events()
            .contains(&Event::Warning(warning.to_owned()))
    );
}
