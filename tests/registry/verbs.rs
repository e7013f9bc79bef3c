//! `mkimg push` and `mkimg pull`, as a user runs them, against Debian's registry.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::{Project, fails, json, run, stdout};
use crate::debian::{Debian, skopeo};
use crate::disturbed::disturbances;
pub use crate::tiny::two;
use crate::tiny::{arm64_kernel, kernel};
use mkimg::digest::Digest;

/// `REGISTRY/team/two:TAG`
pub fn at(debian: &Debian, tag: &str) -> String {
    format!("{}/team/two:{tag}", debian.address())
}

/// Pushes the recipe, and returns the reference by digest.
pub fn push(project: &Project, to: &str) -> String {
    let output = run(&mut project.mkimg(["push", "images/two.kdl", to]));
    stdout(&output).trim_end().to_owned()
}

/// The lines that a pull prints: the reference by digest, and the path.
fn pull(project: &Project, args: &[&str]) -> (String, PathBuf) {
    let output = run(project.mkimg(["pull"]).args(args));
    let text = stdout(&output);
    let (reference, path) = text.trim_end().split_once('\n').unwrap();
    (reference.to_owned(), PathBuf::from(path))
}

fn digest_of(reference: &str) -> &str {
    reference.split_once('@').unwrap().1
}

#[test]
fn what_one_pushes_another_pulls_by_tag_and_by_digest() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let project = two("a");
    let output = run(&mut project.mkimg(["push", "two", &at(&debian, "1")]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let name = format!("{}/team/two", debian.address());
    assert!(said.contains(&format!("{name}:1: sent ")), "{said}");
    let reference = stdout(&output).trim_end().to_owned();
    assert!(
        reference.starts_with(&format!("{name}@sha256:")),
        "{reference}"
    );
    let realized = json(&run(
        &mut project.mkimg(["realize", "two", "--arch", "x86_64", "--json"])
    ));
    // Two caches, by tag and by digest.
    for what in [
        at(&debian, "1"),
        reference.clone(),
        format!("{}@{}", at(&debian, "gone"), digest_of(&reference)),
    ] {
        let other = Project::new();
        let (found, path) = pull(&other, &[&what, "--arch", "x86_64"]);
        assert_eq!(found, reference);
        assert!(path.starts_with(other.path("cache")), "{path:?}");
        for file in ["vmlinuz", "initramfs.cpio.gz", "image.json"] {
            let theirs = PathBuf::from(realized["path"].as_str().unwrap()).join(file);
            assert_eq!(
                fs::read(path.join(file)).unwrap(),
                fs::read(theirs).unwrap(),
                "{file}"
            );
        }
        let arm = json(&run(
            &mut other.mkimg(["pull", &what, "--arch", "aarch64", "--json"])
        ));
        assert_eq!(arm["arch"], "aarch64");
        assert_eq!(arm["reference"], reference);
        assert_eq!(arm["digest"], digest_of(&reference));
    }
    let plan = format!("{name}:plan-{}", realized["plan"].as_str().unwrap());
    let (_, path) = pull(&Project::new(), &[&plan]);
    assert!(path.display().to_string().contains(&format!(
        "/imports-v1/{}-two-",
        realized["plan"].as_str().unwrap()
    )));
}

#[test]
fn a_second_push_sends_nothing() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let first = push(&two("a"), &at(&debian, "1"));
    let sent = |method: &str| debian.requests(method).len();
    let before = (sent("POST"), sent("PUT"), sent("PATCH"));
    assert!(before.0 > 5, "{before:?}");
    // Another cache, as another machine has.
    let output = run(&mut two("a").mkimg(["push", "two", &at(&debian, "1"), "--json"]));
    assert_eq!((sent("POST"), sent("PUT"), sent("PATCH")), before);
    let value: Value = json(&output);
    assert_eq!(value["sent"]["blobs"], 0);
    assert_eq!(value["sent"]["bytes"], 0);
    assert!(value["kept"]["blobs"].as_u64().unwrap() > 5);
    assert_eq!(value["reference"], first);
    // Another tag is one manifest, and what changed is what is sent.
    assert_eq!(push(&two("a"), &at(&debian, "2")), first);
    assert_eq!((sent("POST"), sent("PUT")), (before.0, before.1 + 1));
    let other = push(&two("b"), &at(&debian, "2"));
    assert_ne!(other, first);
    let kernels =
        [kernel(), arm64_kernel()].map(|kernel| format!("sha256:{}", Digest::of(&kernel)));
    let again = debian.requests("PUT").split_off(before.1 + 1);
    assert!(
        again
            .iter()
            .all(|request| !kernels.iter().any(|kernel| request.contains(kernel)))
    );
}

// pitfalls 3, 49, 61
#[test]
fn the_digest_is_the_same_from_every_user_umask_time_zone_and_thread_count() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let reference = push(&two("a"), &at(&debian, "1"));
    for disturbance in disturbances() {
        let project = two("a");
        let probe = disturbance.reach(&project);
        // A repository of its own: nothing there says what to find.
        let to = format!(
            "{}/fresh/{}:1",
            debian.address(),
            probe.split(' ').next().unwrap()
        );
        let found = stdout(&run(
            &mut disturbance.mkimg(&project, &["push", "images/two.kdl", &to])
        ));
        assert_eq!(
            digest_of(found.trim_end()),
            digest_of(&reference),
            "{probe}"
        );
    }
}

#[test]
fn skopeo_shows_an_image_and_copies_it_as_it_is() {
    let (Some(debian), Some(second)) = (Debian::start(), Debian::start()) else {
        return;
    };
    let project = two("a");
    let reference = push(&project, &at(&debian, "1"));
    let home = project.path("home");
    let skopeo = |args: &[&str]| {
        let mut command = skopeo(args)?;
        // What it learnt of one registry is not to help it with the other.
        project.prepare(&mut command);
        let _ = fs::remove_dir_all(&home);
        fs::create_dir(&home).unwrap();
        Some(stdout(&run(&mut command)))
    };
    let image = format!("docker://{}", at(&debian, "1"));
    let Some(text) = skopeo(&["inspect", "--tls-verify=false", &image]) else {
        return;
    };
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        shown["Architecture"],
        if cfg!(target_arch = "x86_64") {
            "amd64"
        } else {
            "arm64"
        }
    );
    assert_eq!(shown["Labels"]["org.opencontainers.image.title"], "two");
    assert_eq!(shown["Digest"], digest_of(&reference));
    let layout = |name: &str| format!("oci:{}:1", project.path(name).display());
    for (all, to) in [(true, "all"), (false, "one")] {
        let back = format!("docker://{}/copied/{to}:1", second.address());
        let (there, mut options) = (layout(to), vec!["copy", "-q"]);
        if all {
            options.push("--all");
        }
        let from = [&options[..], &["--src-tls-verify=false", &image, &there]].concat();
        skopeo(&from).unwrap();
        let into = [&options[..], &["--dest-tls-verify=false", &there, &back]].concat();
        skopeo(&into).unwrap();
        let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &back]).unwrap();
        let digest = format!("sha256:{}", Digest::of(raw.as_bytes()));
        if all {
            assert_eq!(digest, digest_of(&reference));
        } else {
            let index = skopeo(&["inspect", "--raw", "--tls-verify=false", &image]).unwrap();
            assert!(index.contains(&digest), "{digest} is none of {index}");
        }
        // What was copied is pulled and verified like any other.
        let other = Project::new();
        let copied = format!("{}/copied/{to}", second.address());
        let (found, _) = pull(&other, &[&format!("{copied}@{digest}")]);
        assert_eq!(found, format!("{copied}@{digest}"));
        run(&mut Project::new().mkimg(["verify", &found]));
    }
}

#[test]
fn credentials_are_taken_from_dockers_and_podmans_files_and_helpers() {
    let Some(debian) = Debian::start_known() else {
        return;
    };
    let project = two("a");
    let to = at(&debian, "1");
    let pushing = || project.mkimg(["push", "two", &to]);
    let said = fails(&mut pushing(), 1);
    for words in [
        "401 Unauthorized",
        "without credentials",
        ".docker/config.json",
        "docker login",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let address = debian.address();
    // base64 of `user:pass word` and of `user:wrong`.
    let good = format!(r#"{{"auths": {{"{address}": {{"auth": "dXNlcjpwYXNzIHdvcmQ="}}}}}}"#);
    let bad = format!(r#"{{"auths": {{"{address}/team": {{"auth": "dXNlcjp3cm9uZw=="}}}}}}"#);
    let write = |path: &str, text: &str| {
        let path = project.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let file = write("home/.docker/config.json", &bad);
    let said = fails(pushing().arg("-v"), 1);
    assert!(
        said.contains(&format!("with the credentials of `{}`", file.display())),
        "{said}"
    );
    assert!(
        !said.contains("dXNlcjp3cm9uZw") && !said.contains("wrong"),
        "{said}"
    );
    // Podman's file comes before Docker's own, and a variable before both.
    for (path, variable, value) in [
        ("home/.config/containers/auth.json", "UNUSED", ""),
        ("run/containers/auth.json", "XDG_RUNTIME_DIR", "run"),
        ("docker/config.json", "DOCKER_CONFIG", "docker"),
        ("auth.json", "REGISTRY_AUTH_FILE", "auth.json"),
    ] {
        let path = write(path, &good);
        let output = run(pushing().env(variable, project.path(value)).arg("-v"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !said.contains("dXNlcjpwYXNz") && !said.contains("pass word"),
            "{said}"
        );
        fs::remove_file(path).unwrap();
        fails(&mut pushing(), 1);
    }
    // What a tool of theirs writes itself.
    fs::write(&file, "{}").unwrap();
    fs::create_dir_all(project.path("run")).unwrap();
    let login = [
        "login",
        "--tls-verify=false",
        "-u",
        "user",
        "-p",
        "pass word",
        address,
    ];
    if let Some(mut skopeo) = skopeo(&login) {
        project.prepare(&mut skopeo);
        run(skopeo.env("XDG_RUNTIME_DIR", project.path("run")));
        assert!(project.path("run/containers/auth.json").exists());
        run(pushing().env("XDG_RUNTIME_DIR", project.path("run")));
    }
    // A helper, on a PATH of the test's own.
    let helper = write(
        "bin/docker-credential-ours",
        &format!(
            "#!/bin/sh\nread -r server\n[ \"$1 $server\" = \"get {address}\" ] || exit 1\necho '{{\"Username\":\"user\",\"Secret\":\"pass word\"}}'\n"
        ),
    );
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    for text in [
        format!(r#"{{"credHelpers": {{"{address}": "ours"}}}}"#),
        r#"{"credsStore": "ours"}"#.to_owned(),
    ] {
        write("home/.docker/config.json", &text);
        let path = format!("{}:/usr/bin:/bin", project.path("bin").display());
        run(pushing().env("PATH", &path));
        run(project.mkimg(["pull", &to]).env("PATH", &path));
    }
}

#[test]
fn a_push_needs_a_tag_and_a_pull_needs_something_to_be_there() {
    let Some(debian) = Debian::start() else {
        return;
    };
    let project = two("a");
    let said = fails(&mut project.mkimg(["push", "two", "two:1"]), 2);
    assert!(said.contains("names no registry"), "{said}");
    let pinned = format!("{}@sha256:{}", at(&debian, "1"), Digest::of(b""));
    let said = fails(&mut project.mkimg(["push", "two", &pinned]), 2);
    assert!(said.contains("what is pushed gets a tag"), "{said}");
    for kind in ["plan", "sha256"] {
        let reserved = at(&debian, &format!("{kind}-{}", Digest::of(b"")));
        let said = fails(&mut project.mkimg(["push", "two", &reserved]), 2);
        assert!(said.contains("a tag that mkimg itself writes"), "{said}");
    }
    let said = fails(&mut project.mkimg(["pull", &at(&debian, "1")]), 1);
    assert!(
        said.contains(&format!(
            "the tag `1` is not in `{}/team/two`",
            debian.address()
        )),
        "{said}"
    );
    let said = fails(&mut project.mkimg(["pull", &pinned]), 1);
    assert!(said.contains("an image with the digest sha256:"), "{said}");
    let said = fails(
        &mut project.mkimg(["pull", &at(&debian, "1"), "--offline"]),
        1,
    );
    assert!(said.contains("not asked: `--offline`"), "{said}");
    // Without a tag it is `latest`.
    let name = format!("{}/team/two", debian.address());
    let reference = push(&project, &name);
    assert_eq!(pull(&Project::new(), &[&name]).0, reference);
    assert_eq!(
        pull(&Project::new(), &[&at(&debian, "latest")]).0,
        reference
    );
}
