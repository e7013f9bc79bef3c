//! Objects of the cache that rot, or are gone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mkimg::digest::Digest;

use crate::cli::{fails, json, run};
use crate::said;
use crate::server::{Reply, Server};
use crate::support;
use crate::tiny::{Tar, Tiny, assert_clean, files, noise, urls};

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

#[allow(clippy::ptr_arg, reason = "a table has it beside `Vec::clear`")]
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
        &[],
        0,
    ),
    (
        "a kernel",
        |it| {
            rot(&it.file("vmlinuz"), flip);
            it.file("")
        },
        &[],
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
        &[],
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
    type Case = (&'static str, fn(&Rot), usize);
    let cases: &[Case] = &[
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

#[test]
fn an_image_of_which_nothing_is_recorded_counts_where_a_lock_expects_it_and_else_is_made_again() {
    let it = Rot::new();
    let realize = |more: &[&str]| {
        let mut words = vec!["--json"];
        words.extend(more);
        let output = run(&mut it.tiny.realize(&words));
        (json(&output)["up_to_date"] == true, said(&output))
    };
    assert!(realize(&[]).0);
    // As a cache that an older mkimg filled.
    it.remove("stamps-v1");
    let (up_to_date, said) = realize(&[]);
    assert!(!up_to_date && said.contains("nothing says"), "{said}");
    assert!(realize(&[]).0);
    run(&mut it.tiny.project.mkimg(["lock", "tiny"]));
    it.remove("stamps-v1");
    // It is hashed then, and needs no source.
    it.remove("blobs-v1");
    let offline = ["--locked", "--offline"];
    let (up_to_date, said) = realize(&offline);
    assert!(up_to_date && !said.contains("warning"), "{said}");
    // And it is recorded: from here on it counts without the lock, too.
    assert!(files(&it.tiny.path("cache/stamps-v1")).len() == 1);
    fs::remove_file(it.tiny.path("images/tiny.lock")).unwrap();
    assert!(realize(&[]).0);
    // Other bytes of the same size are not what a lock expects.
    run(&mut it.tiny.project.mkimg(["lock", "tiny"]));
    it.remove("stamps-v1");
    rot(&it.file("initramfs.cpio.gz"), flip);
    let (up_to_date, said) = realize(&["--locked"]);
    assert!(!up_to_date && said.contains("damaged image"), "{said}");
}

#[test]
fn a_damaged_image_that_cannot_be_removed_is_not_said_to_be() {
    let Some(setpriv) = support::tool("setpriv") else {
        return;
    };
    if !support::is_root() {
        return support::skip("needs root, to be another user");
    }
    let it = Rot::new();
    rot(&it.file("initramfs.cpio.gz"), flip);
    let project = it.tiny.path("");
    fs::set_permissions(&project, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(setpriv);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(env!("CARGO_BIN_EXE_mkimg"));
    command.args(["realize", "images/tiny.kdl"]);
    it.tiny.project.prepare(&mut command);
    command.env("MKIMG_CACHE", "cache");
    let told = fails(&mut command, 2);
    assert!(told.contains("damaged image"), "{told}");
    assert!(
        !told.contains("removed;") && !told.contains("; removed"),
        "{told}"
    );
    assert!(it.file("initramfs.cpio.gz").exists());
}

#[test]
fn a_source_that_is_too_long_for_its_size_is_refused_wherever_its_bytes_are() {
    let tiny = Tiny::new();
    let bytes = noise(9);
    tiny.takes(&bytes, "file \"/thing\" from=\"thing\"");
    run(&mut tiny.realize(&[]));
    let path = tiny.path("images/tiny.kdl");
    let text = fs::read_to_string(&path).unwrap();
    let with = |size: usize| {
        let text = text.replace("local \"thing\"", &format!("local \"thing\" size={size}"));
        fs::write(&path, text).unwrap();
    };
    // A bound that it keeps is fine.
    for size in [9, 10] {
        with(size);
        run(&mut tiny.realize(&[]));
    }
    with(8);
    let said = fails(&mut tiny.realize(&[]), 3);
    assert!(said.contains("at most 8 bytes"), "{said}");
    let other = tiny.path("other").display().to_string();
    fails(&mut tiny.realize(&["--cache", &other]), 3);
    // A damaged blob is no witness.
    let blob = Digest::of(&bytes).to_string();
    let blob = tiny
        .path("cache/blobs-v1")
        .join(&blob[..2])
        .join(&blob[2..]);
    with(9);
    rot(&blob, |bytes| bytes.push(0));
    run(&mut tiny.realize(&[]));
}

#[test]
fn sources_that_are_handed_on_are_repaired_as_those_that_are_realized() {
    let it = Rot::new();
    let export = ["export", "tiny", "--with-sources", "-o", "out.mkimg"];
    run(&mut it.tiny.project.mkimg(export));
    let right = fs::read(it.tiny.path("out.mkimg")).unwrap();
    for (verb, digest) in [(&export[..], it.plain), (&["sbom", "tiny"], it.archive)] {
        let asked = it.server.asked().len();
        rot(&it.blob(&digest), flip);
        let output = run(&mut it.tiny.project.mkimg(verb));
        let said = said(&output);
        assert!(said.contains("removed, it is made again"), "{said}");
        assert_eq!(it.server.asked().len(), asked + 1);
    }
    assert!(fs::read(it.tiny.path("out.mkimg")).unwrap() == right);
    assert_clean(&it.tiny.path("cache"));
}
