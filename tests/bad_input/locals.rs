//! Files of this machine that a recipe names: which it may take, and what is said of one that changed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mkimg::digest::Digest;

use crate::cli::{fails, json, run, stdout};
use crate::tiny::{Tiny, files, images, kernel, local, noise};
use crate::{flat, says};

/// A secret of the user's, beside the project and not in it.
const SECRET: &[u8] = b"-----BEGIN SECRET KEY-----";

/// Returns a project, and a file that is not in it.
fn tiny() -> (Tiny, tempfile::TempDir) {
    let (tiny, outside) = (Tiny::new(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("key"), SECRET).unwrap();
    (tiny, outside)
}

/// Asserts that no cache has taken in the secret.
fn assert_secret(tiny: &Tiny) {
    assert_eq!(images(&tiny.path("cache")), 0);
    for file in files(&tiny.path("cache")) {
        assert_ne!(fs::read(&file).unwrap(), SECRET, "{}", file.display());
    }
}

#[test]
fn a_file_outside_of_the_project_is_refused_with_where_it_leads_and_what_to_do() {
    let (tiny, outside) = tiny();
    let key = outside.path().join("key");
    symlink(&key, tiny.path("images/link")).unwrap();
    symlink(outside.path(), tiny.path("images/folder")).unwrap();
    tiny.write("home/id_ed25519", SECRET);
    let absolute = key.display().to_string();
    let up = format!("{}{}", "../".repeat(20), &absolute[1..]);
    for name in [&absolute, &up, "link", "folder/key", "../home/id_ed25519"] {
        // The disturbance is there: the name does lead to the secret.
        assert_eq!(fs::read(tiny.path("images").join(name)).unwrap(), SECRET);
        let kernel = format!("kernel local=\"{name}\"");
        for recipe in [
            crate::tiny::recipe("", &format!("file \"/k\" local=\"{name}\"")),
            crate::tiny::recipe("", "").replace("kernel from=\"kernel\"", &kernel),
        ] {
            tiny.project.recipe("tiny", &recipe);
            let said = fails(&mut tiny.realize(&[]), 2);
            let leads = fs::canonicalize(tiny.path("images").join(name)).unwrap();
            says(&said, &["which is not the recipe's project"]);
            let joined = flat(&said).replace(' ', "");
            let option = format!("--allow-local{}", leads.display());
            assert!(joined.contains(&option), "{said}\n{option}");
            for verb in ["show", "export", "lock", "check"] {
                let output = tiny.project.mkimg([verb, "tiny"]).output().unwrap();
                assert!(!output.status.success(), "{verb}");
            }
        }
    }
    assert_secret(&tiny);
}

#[test]
fn the_user_may_allow_a_file_and_a_project_may_not() {
    let (tiny, outside) = tiny();
    let key = outside.path().join("key");
    tiny.recipe("", &format!("file \"/k\" local=\"{}\"", key.display()));
    fails(&mut tiny.realize(&["--allow-local", "images"]), 2);
    fails(&mut tiny.realize(&["--allow-local", "nowhere"]), 2);
    let allow = format!("allow-local \"{}\"\n", outside.path().display());
    fs::write(tiny.path("mkimg.kdl"), &allow).unwrap();
    fails(&mut tiny.realize(&["--no-substitutes"]), 2);
    says(
        &fails(&mut tiny.realize(&[]), 2),
        &["which is not the recipe's project"],
    );
    assert_secret(&tiny);
    fs::remove_file(tiny.path("mkimg.kdl")).unwrap();
    run(&mut tiny.realize(&["--allow-local", key.to_str().unwrap()]));
    // The rounds of `check` may read no more and no less.
    let mut check = tiny.project.mkimg(["check", "tiny", "--rounds", "1"]);
    run(check.arg("--allow-local").arg(outside.path()));
    let config = tiny.path("home/.config/mkimg/config.kdl");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, &allow).unwrap();
    run(&mut tiny.realize(&[]));
    run(&mut tiny.project.mkimg(["check", "tiny", "--rounds", "1"]));
}

#[test]
fn a_recipe_through_a_pipe_reaches_no_further() {
    let (tiny, outside) = tiny();
    let key = outside.path().join("key");
    for name in [key.to_str().unwrap(), "fd/0", "null", "self/environ"] {
        let text = crate::tiny::recipe("", &format!("file \"/k\" local=\"{name}\""));
        let mut command = tiny.project.mkimg(["realize", "/dev/stdin"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
    }
    assert_secret(&tiny);
}

#[test]
fn what_the_kernel_makes_up_is_refused_at_once_with_and_without_a_hash() {
    let (tiny, _outside) = tiny();
    symlink("/proc/self", tiny.path("images/self")).unwrap();
    let made = Command::new("mkfifo")
        .arg(tiny.path("images/pipe"))
        .status();
    assert!(made.unwrap().success());
    let digest = Digest::of(b"");
    for (name, wanted) in [
        ("/proc/self/environ", "nothing of /proc goes into an image"),
        ("/proc/self/pagemap", "nothing of /proc"),
        ("self/environ", "nothing of /proc"),
        ("self/root/etc/passwd", ""),
        ("/sys/kernel", "nothing of /sys"),
        ("/dev/zero", "nothing of /dev"),
        ("/dev/../dev/zero", "nothing of /dev"),
        ("pipe", "it is no regular file"),
    ] {
        let source = format!("source \"it\" {{ local \"{name}\" sha256=\"{digest}\"; }}\n");
        for (sources, entry) in [
            ("", format!("file \"/x\" local=\"{name}\"")),
            (&*source, "file \"/x\" from=\"it\"".to_owned()),
        ] {
            tiny.recipe(sources, &entry);
            let began = Instant::now();
            let more = ["--allow-local", "/"];
            // The link is nothing but a name of the root.
            let code = match (wanted.is_empty(), sources.is_empty()) {
                (false, _) => 2,
                (true, false) => 3,
                (true, true) => {
                    run(&mut tiny.realize(&more));
                    continue;
                }
            };
            let said = fails(&mut tiny.realize(&more), code);
            assert!(began.elapsed() < Duration::from_secs(20), "{name}");
            says(&said, &[wanted]);
        }
    }
}

#[test]
fn a_source_without_a_size_has_the_users_bound() {
    let tiny = Tiny::new();
    let thing = noise(3000);
    tiny.takes(&thing, "file \"/x\" from=\"thing\"");
    let said = fails(&mut tiny.realize(&["--max-download", "2KiB"]), 2);
    says(
        &said,
        &["at most 2048 bytes, it has 3000", "--max-download"],
    );
    // Also one whose bytes the cache has.
    run(&mut tiny.realize(&[]));
    says(
        &fails(&mut tiny.realize(&["--max-download", "2KiB"]), 2),
        &["at most 2048"],
    );
    let sized = local("thing", &thing).replace(" sha256", " size=3000 sha256");
    tiny.recipe(&sized, "file \"/x\" from=\"thing\"");
    let kernel = format!("sha256=\"{}\"", Digest::of(&kernel()));
    let recipe = fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
    let recipe = recipe.replace(&kernel, &format!("size=4096 {kernel}"));
    tiny.project.recipe("tiny", &recipe);
    run(&mut tiny.realize(&["--max-download", "2KiB"]));
}

#[test]
fn a_local_source_that_changed_is_told_with_both_digests_by_every_verb() {
    // Small, and so large that its times are remembered.
    for size in [100, 200_000] {
        let tiny = Tiny::new();
        let (before, after) = (noise(size), noise(size + 1)[1..].to_vec());
        tiny.takes(&before, "file \"/x\" from=\"thing\"");
        let path = tiny.path("images/thing");
        let past = std::time::SystemTime::now() - Duration::from_secs(3600);
        let set = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(past).unwrap();
        };
        set(&before);
        for _ in 0..2 {
            run(&mut tiny.realize(&[]));
        }
        // The same size and time of modification: only the bytes, and the time of the change, tell.
        set(&after);
        assert_eq!(
            fs::metadata(&path).unwrap().mtime(),
            past.duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs() as i64
        );
        for verb in [
            &["realize"][..],
            &["run", "--dry-run"],
            &["test"],
            &["lock"],
            &["export"],
            &["sbom"],
            &["show"],
            &["why", "/x"],
        ] {
            let mut args = vec![verb[0], "tiny"];
            args.extend(&verb[1..]);
            if verb[0] == "test" {
                let recipe = fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
                tiny.project
                    .recipe("tiny", &format!("{recipe}test \"t\" {{ expect \"x\"; }}\n"));
            }
            let said = fails(&mut tiny.project.mkimg(&args), 3);
            let (old, new) = (Digest::of(&before), Digest::of(&after));
            says(
                &said,
                &[
                    "source `thing` is not what the recipe pins",
                    &format!("expected sha256 {old}, got {new}"),
                    "`mkimg pin --refresh --source thing`",
                ],
            );
        }
        assert!(!tiny.path("images/tiny.lock").exists());
        for more in [&[][..], &["--refetch"]] {
            let mut check = tiny.project.mkimg(["check", "tiny", "--rounds", "1"]);
            let said = fails(check.args(more), 1);
            says(&said, &["is not what the recipe pins"]);
        }
        // What the help says helps; and a file that is gone has nothing to say against the bytes that the cache has.
        run(&mut tiny
            .project
            .mkimg(["pin", "tiny", "--refresh", "--source", "thing"]));
        run(&mut tiny.realize(&[]));
        fs::remove_file(&path).unwrap();
        run(&mut tiny.realize(&[]));
    }
}

#[test]
fn refetch_asks_every_location_and_names_the_one_that_differs() {
    let tiny = Tiny::new();
    let thing = noise(500);
    let digest = Digest::of(&thing);
    let server = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        crate::server::Server::start(move |_| crate::server::Reply::new("200 OK", &bytes))
    };
    let (good, bad) = (server(&thing), server(b"other bytes"));
    let (first, second) = (good.url("/thing"), bad.url("/thing"));
    let gone = "http://127.0.0.1:1/thing";
    let recipe = |urls: &[&str]| {
        let lines: String = urls
            .iter()
            .map(|url| format!("    url \"{url}\" sha256=\"{digest}\"\n"))
            .collect();
        let source = format!("source \"thing\" {{\n{lines}}}\n");
        tiny.recipe(&source, "file \"/x\" from=\"thing\"");
    };
    let check = |more: &[&str]| {
        let mut command = tiny.project.mkimg(["check", "tiny", "--rounds", "1"]);
        command.args(more);
        command
    };
    recipe(&[&first, &second]);
    // The first location is enough to make the image, so nothing else sees the second.
    run(&mut check(&[]));
    assert_eq!(bad.connections(), 0);
    let said = fails(&mut check(&["--refetch"]), 1);
    let got = Digest::of(b"other bytes");
    says(
        &said,
        &[&format!("`{second}`"), &format!("{digest}, got {got}")],
    );
    assert!(bad.connections() > 0);
    // One that gives nothing differs in nothing.
    recipe(&[&first, gone]);
    let output = run(&mut check(&["--refetch"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    says(&said, &["`thing` was not compared at", gone]);
}

#[test]
fn pin_takes_from_outside_what_the_user_named_alone() {
    let (tiny, outside) = tiny();
    let key = outside.path().join("key").display().to_string();
    let source = format!("source \"it\" {{\n    local \"{key}\"\n}}\n");
    tiny.recipe(&source, "file \"/x\" from=\"it\"");
    let before = fs::read(tiny.path("images/tiny.kdl")).unwrap();
    let said = fails(&mut tiny.project.mkimg(["pin", "tiny"]), 2);
    says(&said, &["which is not the recipe's project"]);
    assert_eq!(fs::read(tiny.path("images/tiny.kdl")).unwrap(), before);
    assert_secret(&tiny);
    run(&mut tiny.project.mkimg(["pin", "tiny", "--source", "it"]));
    run(&mut tiny.realize(&[]));
}

#[test]
fn a_kernel_beside_the_recipe_is_copied_and_locked_and_goes_with_a_bundle() {
    let tiny = Tiny::new();
    let mut bytes = kernel();
    tiny.write("bzImage", &bytes);
    let text = crate::tiny::recipe("", "");
    let at = text.find("source").unwrap()..text.find("kernel from").unwrap();
    let text = format!("{}{}", &text[..at.start], &text[at.end..]);
    let text = text.replace("kernel from=\"kernel\"", "kernel local=\"../bzImage\"");
    tiny.project.recipe("tiny", &text);
    let arch = ["--arch", "x86_64"];
    let made = json(&run(tiny.realize(&["--json"]).args(arch)));
    let path = std::path::PathBuf::from(made["path"].as_str().unwrap()).join("vmlinuz");
    // What is written into the user's file later is not in the image.
    let same = |one: &fs::Metadata, other: &fs::Metadata| {
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    let [image, own] = [&path, &tiny.path("bzImage")].map(|path| fs::metadata(path).unwrap());
    assert!(!same(&image, &own));
    run(&mut tiny.project.mkimg(["lock", "tiny"]));
    let lock = fs::read_to_string(tiny.path("images/tiny.lock")).unwrap();
    let short = &Digest::of(&bytes).to_string()[..12];
    assert!(lock.contains(&format!("\"../bzImage\" \"{short}\"")) || lock.contains(short));
    // What leaves the machine says what went in.
    let output = run(&mut tiny
        .project
        .mkimg(["export", "tiny", "--json", "-o", "tiny.mkimg"]));
    let listed: Vec<String> = json(&output)["local_files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| format!("{} {} {}", file["path"], file["sha256"], file["size"]))
        .collect();
    let line =
        |name: &str, bytes: &[u8]| format!("\"{name}\" \"{}\" {}", Digest::of(bytes), bytes.len());
    let sh = fs::read(tiny.path("images/sh")).unwrap();
    assert_eq!(listed, [line("../bzImage", &bytes), line("sh", &sh)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    says(
        &said,
        &[
            "local file `../bzImage` went in",
            "local file `sh` went in",
            &Digest::of(&bytes).to_string(),
        ],
    );
    let sbom = run(&mut tiny.project.mkimg(["sbom", "tiny"]));
    assert!(stdout(&sbom).contains("the local file ../bzImage of the recipe"));
    says(
        &String::from_utf8_lossy(&sbom.stderr),
        &["local file `../bzImage` went in"],
    );
    let slsa = stdout(&run(&mut tiny
        .project
        .mkimg(["sbom", "tiny", "--format", "slsa"])));
    assert!(slsa.contains("\"name\": \"../bzImage\""), "{slsa}");
    let elsewhere = crate::cli::Project::new();
    let mut realize = elsewhere.mkimg(["realize", "--json", "--offline"]);
    let theirs = json(&run(realize.arg(tiny.path("tiny.mkimg"))));
    assert_eq!(theirs["identities"], made["identities"]);
    let mut import = elsewhere.mkimg(["import", "--extract", "out"]);
    run(import.arg(tiny.path("tiny.mkimg")));
    assert_eq!(fs::read(elsewhere.path("out/bzImage")).unwrap(), bytes);
    let mut again = elsewhere.mkimg(["realize", "out/images/tiny.kdl", "--offline", "--locked"]);
    run(again.args(["--cache", "another"]));
    // Rebuilt: another plan, another image, and the lock says which file.
    bytes[4000] = 1;
    tiny.write("bzImage", &bytes);
    says(&fails(&mut tiny.realize(&["--locked"]), 4), &["../bzImage"]);
    fs::remove_file(tiny.path("images/tiny.lock")).unwrap();
    let new = json(&run(tiny.realize(&["--json"]).args(arch)));
    assert_ne!(new["plan"], made["plan"]);
    assert!(fs::read(path).unwrap() != bytes);
}

#[test]
fn a_file_of_this_machine_says_nothing_about_a_bundle_of_another() {
    let tiny = Tiny::new();
    let path = tiny.write("home/vmlinuz", b"theirs");
    let source = local("thing", b"theirs").replace("local \"thing\"", "local \"PATH\"");
    let source = source.replace("PATH", path.to_str().unwrap());
    tiny.recipe(&source, "file \"/x\" from=\"thing\"");
    run(&mut tiny.project.mkimg(["export", "tiny", "--with-sources"]));
    fs::write(&path, b"ours").unwrap();
    fails(&mut tiny.realize(&[]), 3);
    let elsewhere = crate::cli::Project::new();
    for verb in ["realize", "show", "sbom", "why"] {
        let mut command = elsewhere.mkimg([verb, "--offline"]);
        command.arg(tiny.path("tiny.mkimg"));
        if verb == "why" {
            command.arg("/x");
        }
        run(&mut command);
    }
}
