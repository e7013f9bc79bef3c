//! `sign`, `push --sign`, `export --sign` and `verify`, as a user runs them.

use std::fs;

use crate::bed::{Bed, digest_of};
use crate::cli::{Project, fails, json, run, stdout};
use crate::debian::skopeo;
use crate::keys::{generate, ssh_sign};
use crate::tiny::two;

#[test]
fn what_is_pushed_signed_or_signed_later_is_verified_in_one_table() {
    let Some(bed) = Bed::start() else { return };
    let first = bed.push("a", "1", &["--sign", &bed.key("ann")]);
    let (_project, mut command) = bed.verify(&bed.at("1"), &[]);
    let table = stdout(&run(&mut command));
    assert!(table.starts_with(&format!("{first}\n")), "{table}");
    for line in [
        "x86_64   bytes       ok",
        "aarch64  signature   ok      signed by ann (SHA256:",
    ] {
        assert!(table.contains(line), "{table}");
    }
    // Again: Ed25519 gives the same signature, so that nothing is sent.
    let writes = bed.debian.requests("PUT").len();
    assert_eq!(bed.push("a", "1", &["--sign", &bed.key("ann")]), first);
    assert_eq!(bed.debian.requests("PUT").len(), writes);
    let other = bed.push("b", "2", &[]);
    let (_project, mut command) = bed.verify(&other, &[]);
    let said = fails(&mut command, 3);
    assert!(
        said.contains("signed by no trusted key: nobody has signed it"),
        "{said}"
    );
    let signer = Project::new();
    let signed = run(&mut signer.mkimg(["sign", &other, "--key", &bed.key("bob")]));
    assert_eq!(stdout(&signed).trim_end(), other);
    let (_project, mut command) = bed.verify(&other, &["--json"]);
    let value = json(&run(&mut command));
    assert_eq!(value["holds"], true);
    assert_eq!(value["digest"], digest_of(&other));
    assert_eq!(value["checks"].as_array().unwrap().len(), 4);
    assert_eq!(value["checks"][1]["by"][0]["principals"], "bob");
    assert_eq!(value["signatures_judged"], true);
    // Without --trust the bytes alone are looked at, which is said.
    let table = stdout(&run(&mut Project::new().mkimg(["verify", &other])));
    assert!(
        table.contains("x86_64   signature   -       not judged: without `--trust FILE`"),
        "{table}"
    );
    let value = json(&run(&mut Project::new().mkimg(["verify", &other, "--json"])));
    assert_eq!(value["signatures_judged"], false);
    assert_eq!(value["checks"].as_array().unwrap().len(), 2);
    // Nothing of it became an image of the cache.
    assert!(!signer.path("cache/images-v1").exists());
}

#[test]
fn a_bundle_carries_its_signatures_and_is_the_same_each_time() {
    let Some(bed) = Bed::start() else { return };
    let project = two("a");
    let export = |name: &str, more: &[&str]| {
        let mut command = project.mkimg(["export", "two", "-o", name]);
        run(command.args(more));
        fs::read(project.path(name)).unwrap()
    };
    let signed = export("signed.mkimg", &["--sign", &bed.key("ann")]);
    export("later.mkimg", &[]);
    run(&mut project.mkimg(["sign", "later.mkimg", "--key", &bed.key("ann")]));
    assert_eq!(fs::read(project.path("later.mkimg")).unwrap(), signed);
    let path = project.path("later.mkimg").display().to_string();
    let (_project, mut command) = bed.verify(&path, &[]);
    let table = stdout(&run(&mut command));
    assert!(
        table.contains("signature   ok      signed by ann"),
        "{table}"
    );
    run(&mut Project::new().mkimg(["import", &path]));
    // A byte of the signature: the bundle itself is refused.
    let mut bytes = signed.clone();
    let at = bytes.windows(5).position(|part| part == b"U1NIU").unwrap();
    bytes[at + 100] ^= 1;
    fs::write(project.path("bad.mkimg"), bytes).unwrap();
    let (_other, mut command) = bed.verify(&project.path("bad.mkimg").display().to_string(), &[]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.contains("blobs/sha256/"), "{said}");
    assert!(stdout(&output).contains("bytes       FAILED"), "{output:?}");
}

#[test]
fn every_kind_of_key_signs_and_what_cannot_be_a_key_is_said() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &[]);
    let mut trust = String::new();
    for (name, kind) in [
        ("p256", &["ecdsa", "-b", "256"][..]),
        ("p384", &["ecdsa", "-b", "384"]),
        ("rsa", &["rsa", "-b", "2048"]),
    ] {
        generate(bed.keys.path(), name, kind).unwrap();
        trust.push_str(&format!("{name} {}", bed.public(name)));
        run(&mut Project::new().mkimg(["sign", &reference, "--key", &bed.key(name)]));
    }
    bed.trust(&trust);
    let (_project, mut command) = bed.verify(&reference, &["--arch", "x86_64"]);
    let table = stdout(&run(&mut command));
    for name in ["p256 (", "p384 (", "rsa ("] {
        assert!(table.contains(name), "{table}");
    }
    generate(bed.keys.path(), "p521", &["ecdsa", "-b", "521"]).unwrap();
    for (name, words) in [
        ("p521", "sign with an Ed25519"),
        ("gone", "could not read the key"),
        ("allowed", "`ssh-keygen` did not sign"),
        // The other half is in no agent.
        ("ann.pub", "`ssh-keygen` did not sign"),
    ] {
        if name == "ann.pub" {
            fs::rename(bed.key("ann"), bed.key("elsewhere")).unwrap();
        }
        let project = Project::new();
        let said = fails(
            &mut project.mkimg(["sign", &reference, "--key", &bed.key(name)]),
            2,
        );
        assert!(said.contains(words), "{name}: {said}");
    }
}

#[test]
fn a_key_in_an_agent_signs_by_its_public_half() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &[]);
    let socket = bed.key("socket");
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a", &socket])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert!(agent.try_wait().unwrap().is_none());
    }
    let added = std::process::Command::new("ssh-add")
        .args(["-q", &bed.key("ann")])
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    fs::remove_file(bed.key("ann")).unwrap();
    let project = Project::new();
    let mut command = project.mkimg(["sign", &reference, "--key", &bed.key("ann.pub")]);
    let output = command.env("SSH_AUTH_SOCK", &socket).output();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(added.unwrap().success());
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let (_project, mut command) = bed.verify(&reference, &[]);
    assert!(stdout(&run(&mut command)).contains("signed by ann"));
}

#[test]
fn a_signature_can_be_checked_by_hand() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &["--sign", &bed.key("ann")]);
    let image = bed.manifest(&reference);
    let kind = "application/vnd.mkimg.signature.v1";
    let found = bed.referrers(&image, kind);
    assert_eq!(found.len(), 1);
    let dir = bed.keys.path();
    let statement = bed.layer(&found[0], 0);
    fs::write(dir.join("statement.json"), &statement).unwrap();
    fs::write(dir.join("statement.json.sig"), bed.layer(&found[0], 1)).unwrap();
    // As docs/signatures.md has it.
    let script = "ssh-keygen -Y verify -f allowed -I ann -n mkimg-image-v1 -s statement.json.sig < statement.json";
    run(std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(dir));
    let text = String::from_utf8(statement.clone()).unwrap();
    assert!(
        text.contains(&format!("\"manifest\":\"sha256:{}\"", image.digest)),
        "{text}"
    );
    let manifest = bed.json(&format!("sha256:{}", image.digest));
    for (layer, key) in [(0, "kernel"), (1, "initramfs")] {
        let digest = manifest["layers"][layer]["digest"].as_str().unwrap();
        let sum = run(std::process::Command::new("sha256sum").arg(bed.debian.file(digest)));
        let sum = stdout(&sum);
        let hex = sum.split(' ').next().unwrap();
        assert!(
            text.contains(&format!("\"{key}\":\"sha256:{hex}\"")),
            "{text}"
        );
    }
    assert_eq!(
        ssh_sign(&dir.join("ann"), "mkimg-image-v1", &statement).into_bytes(),
        bed.layer(&found[0], 1)
    );
}

#[test]
fn a_bundle_can_be_checked_by_hand() {
    let Some(bed) = Bed::start() else { return };
    let project = two("a");
    let path = bed.key("two.mkimg");
    let args = ["export", "two", "--arch", "x86_64", "-o", &path, "--sign"];
    run(project.mkimg(args).arg(bed.key("ann")));
    // As docs/signatures.md has it.
    let script = r#"set -e
        tar xf two.mkimg
        statement=$(grep -la '"claim":"signature"' blobs/sha256/*)
        signature=$(grep -la 'BEGIN SSH SIGNATURE' blobs/sha256/*)
        ssh-keygen -Y verify -f allowed -I ann -n mkimg-image-v1 -s "$signature" < "$statement"
        for file in blobs/sha256/*; do
            [ "$(sha256sum < "$file")" = "${file##*/}  -" ]
        done
        field() { grep -o "\"$1\":\"sha256:[0-9a-f]*" "$statement" | grep -o '[0-9a-f]*$'; }
        for part in manifest kernel initramfs; do
            [ -f "blobs/sha256/$(field $part)" ]
        done
        [ "$(zcat < blobs/sha256/$(field initramfs) | sha256sum)" = "$(field tree)  -" ]
    "#;
    let mut command = std::process::Command::new("sh");
    run(command.args(["-c", script]).current_dir(bed.keys.path()));
}

#[test]
fn skopeo_keeps_the_image_and_the_tag_of_its_signatures_is_copied_beside_it() {
    let Some(bed) = Bed::start() else { return };
    let reference = bed.push("a", "1", &["--sign", &bed.key("ann")]);
    let copy = |what: &str| {
        let from = format!("docker://{}", bed.at(what));
        let to = format!("docker://{}/other/two:{what}", bed.debian.address());
        let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        let mut args = vec!["copy", "--all", "-q"];
        args.extend(tls);
        args.extend([from.as_str(), to.as_str()]);
        skopeo(&args).map(|mut command| run(&mut command))
    };
    if copy("1").is_none() {
        return;
    }
    let other = format!(
        "{}/other/two@{}",
        bed.debian.address(),
        digest_of(&reference)
    );
    run(&mut Project::new().mkimg(["verify", &other]));
    let (_project, mut command) = bed.verify(&other, &[]);
    let said = fails(&mut command, 3);
    assert!(said.contains("nobody has signed it"), "{said}");
    let index = bed.json(digest_of(&reference));
    for entry in index["manifests"].as_array().unwrap() {
        let digest = entry["digest"].as_str().unwrap();
        copy(&digest.replace(':', "-"));
    }
    let (_project, mut command) = bed.verify(&other, &[]);
    assert!(stdout(&run(&mut command)).contains("signed by ann"));
}

#[test]
fn a_recipe_is_told_from_a_damaged_bundle() {
    let project = Project::with("minimal");
    let directory = project.path("home");
    if generate(&directory, "ann", &["ed25519"]).is_none() {
        return;
    }
    let key = directory.join("ann").display().to_string();
    for args in [
        &["verify", "images/minimal.kdl"][..],
        &["sign", "images/minimal.kdl", "--key", &key],
        &["attest", "images/minimal.kdl", "--key", &key],
    ] {
        let said = fails(&mut project.mkimg(args), 2);
        assert!(
            said.contains("is a recipe, not a shared image") && said.contains("`mkimg export`"),
            "{args:?}: {said}"
        );
    }
}
