//! Processes that are killed, that run all at once, and objects that rot: the cache works on, and gives the same bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    dead_code,
    unreachable_pub
)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/server.rs"]
mod server;
#[path = "support/mod.rs"]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::{Project, identities, json, repository, repository_recipe, run};
use mkimg::digest::Digest;
use server::{Reply, Server};
use tempfile::TempDir;
use tiny::{Tar, Tiny, assert_clean, assert_whole, files, images, noise, urls};

const RECIPE: &str = "images/minimal.kdl";

/// Returns a server with the packages of the minimal recipe, at the places where a Debian mirror has them.
fn debian_mirror() -> Server {
    let recipe = repository_recipe("minimal");
    let mut packages: BTreeMap<String, Arc<Vec<u8>>> = BTreeMap::new();
    let mut path = String::new();
    for word in recipe.split_whitespace() {
        if word.starts_with("\"pool/") {
            path = format!("/{}", word.trim_matches('"'));
        } else if let Some(digest) = word.strip_prefix("sha256=") {
            let file = cli::mirror().join(digest.trim_matches('"'));
            packages.insert(path.clone(), Arc::new(fs::read(file).unwrap()));
        }
    }
    assert_eq!(packages.len(), 4);
    Server::start(move |request| match packages.get(&request.target) {
        Some(package) => Reply::file(request, package),
        None => Reply::new("404 Not Found", b""),
    })
}

/// Returns a directory for caches: in memory where there is such a place, since a disk that syncs is slow.
fn fast_dir() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// A cache that is used by one run after the other.
struct Lane<'a> {
    project: &'a Project,
    cache: PathBuf,
    server: &'a Server,
}

impl Lane<'_> {
    fn command(&self) -> Command {
        let mirror = self.server.url("/");
        let cache = self.cache.to_str().unwrap();
        let mut command = self.project.mkimg([
            "realize",
            RECIPE,
            "--arch",
            "x86_64",
            "--json",
            "--cache",
            cache,
            "--debian-mirror",
            &mirror,
        ]);
        command.stdin(Stdio::null());
        command
    }

    fn remove(&self, bucket: &str) {
        let _ = fs::remove_dir_all(self.cache.join(bucket));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Kills runs of a lane and lets each be followed by one that is left alone. Returns how many were hit.
fn kill_runs(lane: &Lane<'_>, runs: usize, mut random: u64, golden: &str) -> usize {
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
        let state = match number % 20 {
            0 => 0,
            10 => 1,
            _ => 2,
        };
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
        hit += usize::from(child.wait().unwrap().signal() == Some(9));
        if state < 2 {
            assert_whole(&lane.cache);
        }

        let output = run(&mut lane.command());
        assert_eq!(identities(&json(&output)), golden);
        // Nothing half-written was found under a name: nothing had to be mended.
        assert!(!said(&output).contains("damaged"), "{}", said(&output));
    }
    hit
}

// pitfall 41, 56
#[test]
fn runs_that_are_killed_at_random_moments_leave_a_cache_that_works() {
    let golden = fs::read_to_string(repository().join("tests/golden/minimal.x86_64")).unwrap();
    let (project, server, dir) = (Project::with("minimal"), debian_mirror(), fast_dir());
    let lane = |name: &str| Lane {
        project: &project,
        cache: dir.path().join(name),
        server: &server,
    };
    let lanes = [
        (lane("one"), 0x9e37_79b9_7f4a_7c15),
        (lane("two"), 0x2545_f491_4f6c_dd1d),
    ];
    let hit: usize = std::thread::scope(|scope| {
        let running = lanes
            .iter()
            .map(|(lane, seed)| scope.spawn(|| kill_runs(lane, 100, *seed, &golden)));
        let running: Vec<_> = running.collect();
        running.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    assert!(
        hit >= 100,
        "{hit} of 200 runs were still at work when they were killed"
    );
    for (lane, _) in &lanes {
        lane.remove("images-v1");
        run(&mut lane.command());
        assert_clean(&lane.cache);
        let output = run(lane.command().arg("--verify"));
        assert!(
            said(&output).contains("every byte verified"),
            "{}",
            said(&output)
        );
        assert_eq!(identities(&json(&output)), golden);
    }
}

/// Starts commands all at once and returns what they print as JSON.
fn at_once(commands: Vec<Command>) -> Vec<serde_json::Value> {
    let children: Vec<_> = commands
        .into_iter()
        .map(|mut command| {
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            json(&output)
        })
        .collect()
}

// pitfall 55
#[test]
fn eight_processes_on_an_empty_cache_download_each_blob_once_and_agree() {
    let golden = fs::read_to_string(repository().join("tests/golden/minimal.x86_64")).unwrap();
    let (project, server, dir) = (Project::with("minimal"), debian_mirror(), fast_dir());
    let lane = Lane {
        project: &project,
        cache: dir.path().join("cache"),
        server: &server,
    };
    let made = at_once((0..8).map(|_| lane.command()).collect());
    for image in &made {
        assert_eq!(image["path"], made[0]["path"]);
        assert_eq!(identities(image), golden);
    }
    let mut asked = server.asked();
    asked.sort();
    asked.dedup();
    assert_eq!(
        (asked.len(), server.asked().len()),
        (2, 2),
        "{:?}",
        server.asked()
    );
    assert_clean(&lane.cache);
    assert_eq!(images(&lane.cache), 1);
}

// pitfall 55
#[test]
fn eight_processes_with_recipes_of_their_own_share_sources() {
    let (plain, archive) = (
        noise(200_000),
        Tar::default().file("a", &noise(100_000)).dir("d").end(),
    );
    let served = [plain.clone(), archive.clone()];
    let server = Server::start(move |request| match request.target.as_str() {
        "/plain" => Reply::file(request, &served[0]),
        _ => Reply::file(request, &served[1]),
    });
    let tiny = Tiny::new();
    let sources = [
        urls("plain", &plain, &[server.url("/plain")]),
        urls("archive", &archive, &[server.url("/archive")]),
    ]
    .concat();
    let commands = (0..8).map(|number| {
        let entries = format!(
            "file \"/plain{number}\" from=\"plain\"\n    tree \"/t{number}\" from=\"archive\"\n    \
             file \"/a\" from=\"archive\" path=\"a\""
        );
        let name = format!("r{number}");
        tiny.project
            .recipe(&name, &tiny::recipe(&sources, &entries));
        tiny.project.mkimg(["realize", &name, "--json"])
    });
    let made = at_once(commands.collect());
    let plans: std::collections::BTreeSet<String> =
        made.iter().map(|image| image["plan"].to_string()).collect();
    assert_eq!(plans.len(), 8);
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
    assert_eq!(images(&tiny.path("cache")), 8);
    assert_clean(&tiny.path("cache"));
}

/// A realized recipe whose objects are of every kind, and the server that it came from.
struct Rot {
    tiny: Tiny,
    server: Server,
    plain: Digest,
    archive: Digest,
    member: Digest,
    image: String,
}

impl Rot {
    fn new() -> Rot {
        let (plain, member) = (noise(10_000), noise(5_000));
        let archive = Tar::default()
            .file("a", &member)
            .file("b", &noise(7_000))
            .end();
        let served = [plain.clone(), archive.clone()];
        let server = Server::start(move |request| match request.target.as_str() {
            "/plain" => Reply::file(request, &served[0]),
            _ => Reply::file(request, &served[1]),
        });
        let tiny = Tiny::new();
        let sources = [
            urls("plain", &plain, &[server.url("/plain")]),
            urls("archive", &archive, &[server.url("/archive")]),
        ]
        .concat();
        let entries = "file \"/plain\" from=\"plain\"\n    tree \"/t\" from=\"archive\"\n    \
                       file \"/a\" from=\"archive\" path=\"a\"";
        tiny.recipe(&sources, entries);
        let output = run(&mut tiny.realize(&["--json"]));
        Rot {
            image: json(&output)["path"].as_str().unwrap().to_owned(),
            tiny,
            server,
            plain: Digest::of(&plain),
            archive: Digest::of(&archive),
            member: Digest::of(&member),
        }
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.tiny
            .path("cache/blobs-v1")
            .join(&hex[..2])
            .join(&hex[2..])
    }

    fn members(&self, data: bool) -> Vec<PathBuf> {
        let mut found = files(&self.tiny.path("cache/members-v1"));
        found.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "data")
                == data
        });
        assert!(!found.is_empty());
        found
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.image).join(name)
    }

    fn remove(&self, bucket: &str) {
        fs::remove_dir_all(self.tiny.path("cache").join(bucket)).unwrap();
    }
}

/// Changes a read-only file in place, as a failing disk would.
fn rot(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    run(Command::new("chmod").arg("u+w").arg(path));
    fs::write(path, bytes).unwrap();
}

fn flip(bytes: &mut Vec<u8>) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

type Case = (
    &'static str,
    fn(&Rot) -> PathBuf,
    &'static [&'static str],
    usize,
);

/// What rots (and the path that is then named), what else is asked for, and how many blobs must be downloaded again.
const CASES: &[Case] = &[
    (
        "a blob",
        |it| {
            it.remove("images-v1");
            rot(&it.blob(&it.plain), flip);
            it.blob(&it.plain)
        },
        &[],
        1,
    ),
    (
        "a cut blob",
        |it| {
            it.remove("images-v1");
            rot(&it.blob(&it.plain), |bytes| bytes.truncate(9));
            it.blob(&it.plain)
        },
        &[],
        1,
    ),
    (
        "an empty blob",
        |it| {
            it.remove("images-v1");
            rot(&it.blob(&it.plain), Vec::clear);
            it.blob(&it.plain)
        },
        &[],
        1,
    ),
    (
        "a longer blob",
        |it| {
            it.remove("images-v1");
            rot(&it.blob(&it.plain), |bytes| bytes.push(0));
            it.blob(&it.plain)
        },
        &[],
        1,
    ),
    (
        "a member's blob",
        |it| {
            it.remove("images-v1");
            rot(&it.blob(&it.member), flip);
            it.blob(&it.member)
        },
        &[],
        0,
    ),
    (
        "a cut member's blob",
        |it| {
            it.remove("images-v1");
            rot(&it.blob(&it.member), |bytes| bytes.truncate(9));
            it.blob(&it.member)
        },
        &[],
        0,
    ),
    (
        "members' data",
        |it| {
            it.remove("images-v1");
            rot(&it.members(true)[0], flip);
            it.members(true).remove(0)
        },
        &[],
        0,
    ),
    (
        "cut members' data",
        |it| {
            it.remove("images-v1");
            rot(&it.members(true)[0], |bytes| bytes.truncate(9));
            it.members(true).remove(0)
        },
        &[],
        0,
    ),
    (
        "a listing",
        |it| {
            it.remove("images-v1");
            rot(&it.members(false)[0], flip);
            it.members(false).remove(0)
        },
        &[],
        0,
    ),
    (
        "another listing",
        |it| {
            it.remove("images-v1");
            rot(&it.members(false)[1], flip);
            it.members(false).remove(1)
        },
        &[],
        0,
    ),
    (
        "an empty listing",
        |it| {
            it.remove("images-v1");
            rot(&it.members(false)[0], Vec::clear);
            it.members(false).remove(0)
        },
        &[],
        0,
    ),
    (
        "an archive whose members are gone",
        |it| {
            it.remove("images-v1");
            it.remove("members-v1");
            rot(&it.blob(&it.archive), flip);
            it.blob(&it.archive)
        },
        &[],
        1,
    ),
    (
        "a cut archive",
        |it| {
            it.remove("images-v1");
            it.remove("members-v1");
            rot(&it.blob(&it.archive), |bytes| bytes.truncate(700));
            it.blob(&it.archive)
        },
        &[],
        1,
    ),
    (
        "an archive's first bytes",
        |it| {
            it.remove("images-v1");
            it.remove("members-v1");
            rot(&it.blob(&it.archive), |bytes| bytes[..600].fill(b'x'));
            it.blob(&it.archive)
        },
        &[],
        1,
    ),
    (
        "an initramfs",
        |it| {
            rot(&it.file("initramfs.cpio.gz"), flip);
            it.file("")
        },
        &["--verify"],
        0,
    ),
    (
        "a kernel",
        |it| {
            rot(&it.file("vmlinuz"), flip);
            it.file("")
        },
        &["--verify"],
        0,
    ),
    (
        "a cut initramfs",
        |it| {
            rot(&it.file("initramfs.cpio.gz"), |bytes| bytes.truncate(9));
            it.file("")
        },
        &[],
        0,
    ),
    (
        "no kernel",
        |it| {
            fs::remove_file(it.file("vmlinuz")).unwrap();
            it.file("")
        },
        &[],
        0,
    ),
    (
        "an empty image.json",
        |it| {
            rot(&it.file("image.json"), Vec::clear);
            it.file("")
        },
        &[],
        0,
    ),
    (
        "no image.json",
        |it| {
            fs::remove_file(it.file("image.json")).unwrap();
            it.file("")
        },
        &[],
        0,
    ),
    (
        "a command line",
        |it| {
            rot(&it.file("image.json"), |bytes| {
                *bytes = String::from_utf8_lossy(bytes)
                    .replace("\"cmdline\": \"", "\"cmdline\": \"x")
                    .into_bytes()
            });
            it.file("")
        },
        &[],
        0,
    ),
    (
        "a name that leads elsewhere",
        |it| {
            rot(&it.file("image.json"), |bytes| {
                *bytes = String::from_utf8_lossy(bytes)
                    .replace("\"vmlinuz\"", "\"../../lock\"")
                    .into_bytes()
            });
            it.file("")
        },
        &[],
        0,
    ),
    (
        "a tree's identity",
        |it| {
            rot(&it.file("image.json"), |bytes| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let at = text.find("\"tree\": \"").unwrap() + 9;
                bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            });
            it.file("")
        },
        &["--verify"],
        0,
    ),
    (
        "a file instead of the image",
        |it| {
            let path = PathBuf::from(&it.image);
            fs::remove_dir_all(&path).unwrap();
            fs::write(&path, "").unwrap();
            path
        },
        &[],
        0,
    ),
];

#[test]
fn whatever_rots_in_the_cache_is_named_and_made_again() {
    for (name, damage, args, downloads) in CASES {
        let it = Rot::new();
        let before: Vec<Vec<u8>> = files(Path::new(&it.image))
            .iter()
            .map(|path| fs::read(path).unwrap())
            .collect();
        let named = damage(&it);
        let mut more = vec!["--json"];
        more.extend(*args);
        let output = run(&mut it.tiny.realize(&more));
        let said = said(&output);
        let shown = named.display().to_string();
        let named = said.lines().any(|line| {
            line.starts_with("warning: damaged ") && line.contains(shown.trim_end_matches('/'))
        });
        assert!(named, "{name}: {shown}: {said}");
        let image = json(&output);
        assert_eq!(
            (&image["up_to_date"], &image["path"]),
            (&false.into(), &it.image.as_str().into()),
            "{name}"
        );
        let after: Vec<Vec<u8>> = files(Path::new(&it.image))
            .iter()
            .map(|path| fs::read(path).unwrap())
            .collect();
        assert!(before == after, "{name}: other bytes");
        assert_eq!(it.server.asked().len(), 2 + downloads, "{name}");
        assert_clean(&it.tiny.path("cache"));
        let verified = run(&mut it.tiny.realize(&["--verify"]));
        let verified = String::from_utf8(verified.stderr).unwrap();
        assert!(
            verified.contains("every byte verified"),
            "{name}: {verified}"
        );
    }
}

#[test]
fn what_somebody_removed_or_put_in_the_way_is_made_again() {
    let cases: &[(&str, fn(&Rot), usize)] = &[
        (
            "a blob",
            |it| fs::remove_file(it.blob(&it.plain)).unwrap(),
            1,
        ),
        (
            "an archive that was read",
            |it| fs::remove_file(it.blob(&it.archive)).unwrap(),
            1,
        ),
        (
            "a member",
            |it| fs::remove_file(it.blob(&it.member)).unwrap(),
            0,
        ),
        (
            "data",
            |it| fs::remove_file(&it.members(true)[0]).unwrap(),
            0,
        ),
        ("all blobs", |it| it.remove("blobs-v1"), 2),
        ("all members", |it| it.remove("members-v1"), 0),
        (
            "the lock",
            |it| fs::remove_file(it.tiny.path("cache/lock")).unwrap(),
            0,
        ),
        (
            "a directory at a blob's name",
            |it| {
                let blob = it.blob(&it.plain);
                fs::remove_file(&blob).unwrap();
                fs::create_dir(blob).unwrap();
            },
            1,
        ),
        (
            "a directory at a listing's name",
            |it| {
                let path = it.members(false).remove(0);
                fs::remove_file(&path).unwrap();
                fs::create_dir(path).unwrap();
            },
            0,
        ),
        (
            "an empty directory at the image's name",
            |it| fs::create_dir_all(&it.image).unwrap(),
            0,
        ),
        (
            "scratch of a dead process",
            |it| {
                fs::create_dir_all(it.tiny.path("cache/tmp/0/1")).unwrap();
                fs::write(it.tiny.path("cache/tmp/0.lock"), "").unwrap();
            },
            0,
        ),
    ];
    for (name, damage, downloads) in cases {
        let it = Rot::new();
        it.remove("images-v1");
        damage(&it);
        let output = run(&mut it.tiny.realize(&["--json"]));
        assert_eq!(json(&output)["path"], it.image.as_str(), "{name}");
        assert_eq!(it.server.asked().len(), 2 + downloads, "{name}");
        assert_clean(&it.tiny.path("cache"));
    }
}
