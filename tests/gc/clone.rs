//! A cache that somebody else made: in a clone, or restored by CI.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::cli::{fails, json, run};
use crate::support::{is_root, skip, tool};
use crate::tiny::{self, Tiny};
use crate::{objects, said};

const HONEST: &[u8] = b"an honest thing, honestly";
const FORGED: &[u8] = b"a forged thing, obviously";
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is a cache of mkimg. Everything in it can be made again.\n";

/// A clone of a project whose `cache/` was made by somebody who means harm.
struct Clone {
    tiny: Tiny,
}

fn path_of(digest: &mkimg::digest::Digest) -> String {
    let text = digest.to_string();
    format!("{}/{}", &text[..2], &text[2..])
}

impl Clone {
    /// Every trick at once: links out of each place that is written or opened, a FIFO, and a forged image.
    fn new() -> Clone {
        let tiny = Tiny::new();
        tiny.takes(HONEST, "file \"/thing\" from=\"thing\"");
        let author = tiny.path("author");
        let made = run(tiny.realize(&["--json", "--cache"]).arg(&author));
        let image = PathBuf::from(json(&made)["path"].as_str().unwrap());
        let clone = Clone { tiny };
        let home = clone.path("home");
        fs::create_dir_all(home.join("documents")).unwrap();
        fs::write(home.join("documents/letter"), "dear").unwrap();
        fs::write(home.join("key"), "SECRET").unwrap();
        fs::set_permissions(home.join("key"), fs::Permissions::from_mode(0o600)).unwrap();

        let cache = clone.path("cache");
        let forged = cache.join(
            image
                .strip_prefix(fs::canonicalize(&author).unwrap())
                .unwrap(),
        );
        fs::create_dir_all(&forged).unwrap();
        for file in fs::read_dir(&image).unwrap() {
            let file = file.unwrap();
            let mut bytes = fs::read(file.path()).unwrap();
            if file.file_name() == "initramfs.cpio.gz" {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            fs::write(forged.join(file.file_name()), bytes).unwrap();
        }
        fs::remove_dir_all(&author).unwrap();
        fs::write(cache.join("lock"), "").unwrap();
        for (name, to) in [
            ("CACHEDIR.TAG", "../home/written"),
            (".gitignore", "../home/ignored"),
            ("gate", "../home/key"),
            ("blobs-v1", "../home/documents"),
            ("members-v1", "../home/documents"),
            ("notes-v1", "../home/documents"),
            ("roots", "../home/documents"),
            ("tmp", "../home/documents"),
            ("recipes-v1", "../home/documents"),
        ] {
            symlink(to, cache.join(name)).unwrap();
        }
        fs::create_dir(cache.join("partial")).unwrap();
        let part = |bytes: &[u8]| {
            let digest = mkimg::digest::Digest::of(bytes);
            cache.join(format!("partial/{digest}.part"))
        };
        symlink("../../home/key", part(HONEST)).unwrap();
        let fifo = part(&tiny::kernel());
        mknodat(CWD, fifo, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        let tool = mkimg::tools::pinned_digest(mkimg::arch::Arch::X86_64);
        let tool = cache.join(format!("tools-v1/{tool}"));
        fs::create_dir_all(&tool).unwrap();
        fs::write(tool.join("manifest"), FORGED).unwrap();
        clone
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tiny.path(name)
    }

    /// Returns a command of the user's that must come to an end.
    fn mkimg(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["20", env!("CARGO_BIN_EXE_mkimg")]).args(args);
        self.tiny.project.prepare(&mut command);
        command
    }

    /// Takes care that nothing outside was written, made or made readable.
    fn assert_untouched(&self, what: &str) {
        let home = self.path("home");
        assert_eq!(fs::read(home.join("key")).unwrap(), b"SECRET", "{what}");
        let mode = fs::metadata(home.join("key")).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{what}");
        assert_eq!(tiny::files(&home.join("documents")).len(), 1, "{what}");
        for name in ["written", "ignored"] {
            assert!(!home.join(name).exists(), "{what}: {name}");
        }
    }

    fn is_honest(&self, image: &Path) -> bool {
        let list = fs::read(image.join("initramfs.cpio.gz")).unwrap();
        let mut text = Vec::new();
        let read =
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&list[..]), &mut text);
        read.is_ok() && text.windows(HONEST.len()).any(|window| window == HONEST)
    }
}

#[test]
fn the_cache_of_a_clone_is_not_used_and_that_is_said() {
    let clone = Clone::new();
    let before = fs::read_dir(clone.path("cache")).unwrap().count();
    for args in [
        &["realize", "tiny", "--json"][..],
        &["realize", "tiny", "--verify", "--json"],
        &["show", "tiny"],
        &["ls", "tiny"],
        &["lock", "tiny"],
        &["export", "tiny", "-o", "tiny.mkimg"],
        &["import", "tiny.mkimg"],
        &["add", "images/thing"],
        &["gc"],
        &["gc", "--all"],
    ] {
        let output = run(&mut clone.mkimg(args));
        let text = said(&output);
        let told = text
            .matches("was not made by mkimg on this machine")
            .count();
        assert_eq!(told, 1, "{args:?}: {text}");
        assert!(text.contains("mkimg cache adopt"), "{text}");
        clone.assert_untouched(&format!("{args:?}"));
        if args.contains(&"--json") {
            let path = json(&output)["path"].as_str().unwrap().to_owned();
            assert!(path.contains("/home/.cache/mkimg/"), "{path}");
            assert!(clone.is_honest(Path::new(&path)));
        }
    }
    assert_eq!(fs::read_dir(clone.path("cache")).unwrap().count(), before);
}

#[test]
fn the_cache_of_a_clone_that_is_named_leads_nowhere_and_what_is_in_the_way_is_said() {
    let clone = Clone::new();
    let cache = clone.path("cache");
    fs::remove_dir_all(cache.join("images-v1")).unwrap();
    let named = |args: &[&str]| {
        let mut command = clone.mkimg(args);
        command.args(["--cache", "cache"]);
        command
    };
    // One thing after the other is in the way, and is removed as the message says.
    let mut removed = Vec::new();
    loop {
        let output = named(&["realize", "tiny", "--offline", "--json"])
            .output()
            .unwrap();
        clone.assert_untouched(&format!("{removed:?}"));
        if output.status.success() {
            break;
        }
        let text = said(&output);
        assert_ne!(output.status.code(), Some(124), "{text}");
        let (front, _) = text
            .split_once("` is a ")
            .unwrap_or_else(|| panic!("{text}"));
        let (_, path) = front.rsplit_once('`').unwrap();
        assert!(text.contains("remove it"), "{text}");
        assert!(Path::new(path).starts_with(&cache), "{text}");
        fs::remove_file(path).unwrap();
        removed.push(path.to_owned());
        assert!(removed.len() < 20);
    }
    assert!(removed.len() > 3, "{removed:?}");
    fs::remove_file(cache.join("CACHEDIR.TAG")).unwrap();
    fs::write(cache.join("CACHEDIR.TAG"), TAG).unwrap();
    for _ in 0..6 {
        let output = named(&["gc", "--all"]).output().unwrap();
        clone.assert_untouched("gc");
        assert_ne!(output.status.code(), Some(124));
        for name in ["gate", "roots"] {
            if said(&output).contains(&format!("/{name}` is a symlink")) {
                fs::remove_file(cache.join(name)).unwrap();
            }
        }
    }
    run(&mut named(&["gc", "--all"]));
}

#[test]
fn an_adopted_cache_has_the_right_blobs_and_nothing_else() {
    let clone = Clone::new();
    let cache = clone.path("cache");
    // A link in the place of the tag, or of the bucket: nothing behind it is a blob.
    let text = fails(&mut clone.mkimg(&["cache", "adopt", "cache"]), 1);
    assert!(text.contains("CACHEDIR.TAG` is a symlink"), "{text}");
    fs::remove_file(cache.join("CACHEDIR.TAG")).unwrap();
    fs::write(cache.join("CACHEDIR.TAG"), TAG).unwrap();
    fs::remove_file(cache.join("blobs-v1")).unwrap();
    let blob = |name: &[u8], bytes: &[u8]| {
        let path = cache
            .join("blobs-v1")
            .join(path_of(&mkimg::digest::Digest::of(name)));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    let right = blob(HONEST, HONEST);
    fs::hard_link(&right, clone.path("second name")).unwrap();
    blob(b"other", FORGED);
    let link = blob(b"link", b"");
    fs::remove_file(&link).unwrap();
    symlink(clone.path("images/kernel"), &link).unwrap();
    let fifo = blob(b"fifo", b"");
    fs::remove_file(&fifo).unwrap();
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    fs::create_dir(cache.join("added-v1")).unwrap();
    for name in [HONEST, b"other"] {
        let digest = mkimg::digest::Digest::of(name);
        fs::write(cache.join(format!("added-v1/{digest}")), "").unwrap();
    }

    let found = json(&run(
        &mut clone.mkimg(&["cache", "adopt", "cache", "--json"])
    ));
    clone.assert_untouched("adopt");
    assert_eq!(found["kept"], 1, "{found:#}");
    assert_eq!(found["copied"], 1, "{found:#}");
    assert_eq!(found["kept_bytes"], HONEST.len());
    let digest = mkimg::digest::Digest::of(HONEST);
    assert_eq!(
        objects(&cache),
        [
            format!("added-v1/{digest}"),
            format!("blobs-v1/{}", path_of(&digest))
        ]
    );
    assert_eq!(fs::metadata(&right).unwrap().nlink(), 1);
    assert_eq!(fs::metadata(&right).unwrap().mode() & 0o7777, 0o444);

    // From now on it serves, without its having been named.
    let output = run(&mut clone.mkimg(&["realize", "tiny", "--json"]));
    assert_eq!(said(&output).matches("not used").count(), 0);
    let path = json(&output)["path"].as_str().unwrap().to_owned();
    assert!(Path::new(&path).starts_with(&cache) && clone.is_honest(Path::new(&path)));
    clone.assert_untouched("realize");
    let text = crate::cli::stdout(&run(&mut clone.mkimg(&["cache", "adopt", "cache"])));
    assert!(
        text.contains("kept 2 blobs") && text.contains("removed images-v1"),
        "{text}"
    );
    fails(&mut clone.mkimg(&["cache", "adopt", "images"]), 2);
    assert!(clone.path("images/kernel").exists());
}

#[test]
fn a_folder_with_nothing_in_it_is_taken_at_its_first_use_and_a_copy_of_it_is_not() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    fs::write(tiny.path("cache/.gitignore"), "*\n").unwrap();
    // gc has nothing to do there, however often.
    for _ in 0..2 {
        let output = run(&mut tiny.project.mkimg(["gc", "--all", "--json"]));
        assert_eq!(json(&output)["before"], 0);
    }
    for _ in 0..2 {
        let output = run(&mut tiny.realize(&[]));
        assert_eq!(said(&output).matches("not used").count(), 0);
    }
    assert_eq!(tiny::images(&tiny.path("cache")), 1);
    fs::rename(tiny.path("cache"), tiny.path("before")).unwrap();
    run(Command::new("cp")
        .arg("-a")
        .args([tiny.path("before"), tiny.path("cache")]));
    let text = said(&run(&mut tiny.realize(&[])));
    assert!(
        text.contains("was not made by mkimg on this machine"),
        "{text}"
    );
    fs::remove_dir_all(tiny.path("cache")).unwrap();
    symlink("before", tiny.path("cache")).unwrap();
    let text = said(&run(&mut tiny.realize(&[])));
    assert!(text.contains("is a symlink: not used"), "{text}");
    // Without a place for the record nothing is taken.
    fs::remove_file(tiny.path("cache")).unwrap();
    fs::create_dir(tiny.path("cache")).unwrap();
    fs::write(tiny.path("state"), "a file").unwrap();
    let text = said(&run(tiny
        .realize(&[])
        .env("XDG_STATE_HOME", tiny.path("state"))));
    assert!(text.contains("cannot be told from one"), "{text}");
    assert_eq!(fs::read_dir(tiny.path("cache")).unwrap().count(), 0);
    let text = fails(tiny.realize(&[]).env_remove("HOME"), 2);
    assert!(text.contains("HOME is not set"), "{text}");
}

#[test]
fn a_named_cache_that_others_can_write_is_refused_unless_the_user_says_otherwise() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let shared = tiny.path("shared");
    fs::create_dir(&shared).unwrap();
    let set = |mode| fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
    set(0o777);
    let text = fails(
        tiny.realize(&["--cache", "shared"])
            .env("MKIMG_SHARED_CACHE", "0"),
        2,
    );
    assert!(
        text.contains("can be written by others (mode 777)"),
        "{text}"
    );
    assert!(text.contains("--shared-cache"), "{text}");
    fails(tiny.realize(&[]).env("MKIMG_CACHE", &shared), 2);
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
    run(&mut tiny.realize(&["--cache", "shared", "--shared-cache"]));
    run(tiny
        .realize(&["--cache", "shared"])
        .env("MKIMG_SHARED_CACHE", "1"));
    set(0o755);
    run(&mut tiny.realize(&["--cache", "shared"]));

    let Some(setpriv) = tool("setpriv") else {
        return;
    };
    if !is_root() {
        return skip("needs root to become another user");
    }
    // Root's is taken to read from, another user's is not.
    let program = tiny.path("mkimg");
    fs::copy(env!("CARGO_BIN_EXE_mkimg"), &program).unwrap();
    fs::set_permissions(tiny.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let nobody = || {
        let mut command = Command::new(&setpriv);
        tiny.project.prepare(&mut command);
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["realize", "images/tiny.kdl", "--cache", "shared"]);
        command
    };
    run(&mut nobody());
    std::os::unix::fs::chown(&shared, Some(1234), None).unwrap();
    for command in [&mut nobody(), &mut tiny.realize(&["--cache", "shared"])] {
        let text = fails(command, 2);
        assert!(
            text.contains("belongs to another user (uid 1234)"),
            "{text}"
        );
    }
}

/// Replaces the honest bytes by the forged ones of the same length.
fn forge(bytes: &[u8]) -> Vec<u8> {
    assert_eq!(HONEST.len(), FORGED.len());
    let at = bytes.windows(HONEST.len()).position(|part| part == HONEST);
    let at = at.expect("the honest bytes are in it");
    [&bytes[..at], FORGED, &bytes[at + HONEST.len()..]].concat()
}

/// Forges, in a cache that others can write, the image and what was read out of its archive: right by all that lies beside them.
fn forge_cache(tiny: &Tiny, cache: &Path, image: &Path) {
    use mkimg::digest::Digest;
    let writable = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    };
    // A listing, and the bytes that it is about.
    for path in objects(cache) {
        let path = cache.join(path);
        if path.starts_with(cache.join("members-v1")) {
            writable(&path);
            let bytes = fs::read(&path).unwrap();
            if path.extension().is_some_and(|end| end == "data") {
                fs::write(&path, forge(&bytes)).unwrap();
                continue;
            }
            let text = String::from_utf8(bytes).unwrap();
            let (_, body) = text.split_once('\n').unwrap();
            let names = [HONEST, FORGED].map(|bytes| Digest::of(bytes).to_string());
            assert!(body.contains(&names[0]));
            let body = body.replace(&names[0], &names[1]);
            let sum = Digest::of(body.as_bytes());
            fs::write(&path, format!("mkimg-members 1 {sum}\n{body}")).unwrap();
        }
    }
    // The image that this gives, in the place of the other, with its record.
    fs::remove_dir_all(image).unwrap();
    let made = run(tiny.realize(&["--json", "--offline", "--cache"]).arg(cache));
    assert_eq!(Path::new(json(&made)["path"].as_str().unwrap()), image);
}

#[test]
fn in_a_cache_that_others_can_write_nothing_is_believed_but_what_a_lock_expects() {
    let tiny = Tiny::new();
    let archive = tiny::Tar::default().file("thing", HONEST).end();
    tiny.takes(&archive, "tree \"/\" from=\"thing\"");
    let clone = Clone { tiny };
    let tiny = &clone.tiny;
    let cache = tiny.path("shared");
    let made = json(&run(tiny.realize(&["--json", "--cache"]).arg(&cache)));
    let image = PathBuf::from(made["path"].as_str().unwrap());
    assert!(clone.is_honest(&image));
    forge_cache(tiny, &cache, &image);
    // As long as it counts as the user's own the forgery arrives.
    let realize = |more: &[&str]| {
        let mut command = tiny.realize(&["--json", "--offline", "--cache"]);
        command.arg(&cache).args(more);
        command
    };
    run(&mut realize(&[]));
    assert!(!clone.is_honest(&image));

    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    fails(&mut realize(&[]), 2);
    run(&mut realize(&["--shared-cache"]));
    assert!(clone.is_honest(&image));
    // And once more: what this user made there may be somebody else's by now.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    forge_cache(tiny, &cache, &image);
    run(tiny
        .project
        .mkimg(["lock", "tiny"])
        .env("MKIMG_CACHE", "own"));
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let output = run(&mut realize(&["--shared-cache", "--locked"]));
    assert!(clone.is_honest(&image), "{}", said(&output));
    // What the lock expects is taken, after it was hashed.
    let again = json(&run(&mut realize(&["--shared-cache", "--locked"])));
    assert_eq!(again["up_to_date"], true);
}
