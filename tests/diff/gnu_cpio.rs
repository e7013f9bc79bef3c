//! `mkimg ls --format gnu-cpio`: the script gives the archive's bytes.

use std::fs;
use std::path::Path;
use std::process::Command;

use mkimg::digest::Digest;

use crate::cli::{Project, fails, json, run, stdout};
use crate::support::{is_root, tool};
use crate::tiny::{Tiny, record};

/// Unpacks the image of a recipe, runs the script over it, and compares.
fn rebuild(project: &Project, recipe: &str, realized: &serde_json::Value) {
    let path = realized["path"].as_str().unwrap();
    let name = realized["initramfs"]["name"].as_str().unwrap();
    let script = run(&mut project.mkimg(["ls", recipe, "--offline", "--format", "gnu-cpio"]));
    fs::write(project.path("rebuild.sh"), &script.stdout).unwrap();
    fs::create_dir(project.path("tree")).unwrap();
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-ec", script])
            .env("IMAGE", format!("{path}/{name}"));
        project.prepare(&mut command);
        command.env("IMAGE", format!("{path}/{name}"));
        run(&mut command)
    };
    shell(
        "gzip -dc \"$IMAGE\" > archive; cd tree; umask 077; cpio -idm --quiet --no-absolute-filenames < ../archive",
    );
    let said = shell("umask 027; TZ=Asia/Tokyo sh rebuild.sh tree out.cpio");
    assert!(
        stdout(&said).ends_with("out.cpio: OK\n"),
        "{}",
        stdout(&said)
    );
    assert!(
        fs::read(project.path("out.cpio")).unwrap() == fs::read(project.path("archive")).unwrap()
    );
}

#[test]
fn the_script_rebuilds_minimal_byte_for_byte() {
    if tool("cpio").is_none() || tool("xargs").is_none() {
        return;
    }
    if !is_root() {
        crate::support::skip("unpacking device nodes takes root");
        return;
    }
    let project = Project::with("minimal");
    let realized = project.realize("images/minimal.kdl", &[]);
    rebuild(&project, "images/minimal.kdl", &realized);
}

#[test]
fn the_script_is_right_about_directories_in_directories_and_odd_names() {
    if tool("cpio").is_none() {
        return;
    }
    let tiny = Tiny::new();
    tiny.recipe(
        "",
        "dir \"/a/b/c\"\ndir \"/a/b/d\"\nfile \"/a/$(touch x) 'y' \\\"z\\\"\" text=\"1\"\nfile \"/END-OF-NAMES\" text=\"2\"\n\
         file \"/-rf\" text=\"3\" mode=0o4755\nsymlink \"/é\" target=\"nowhere\"",
    );
    let realized = json(&run(&mut tiny.realize(&["--json"])));
    rebuild(&tiny.project, "images/tiny.kdl", &realized);
}

#[test]
fn what_gnu_cpio_cannot_write_is_refused() {
    let tiny = Tiny::new();
    tiny.recipe("", "file \"/own\" text=\"1\" uid=7");
    let command = ["ls", "images/tiny.kdl", "--format", "gnu-cpio"];
    assert!(fails(&mut tiny.project.mkimg(command), 2).contains("several owners"));
}

#[test]
fn no_name_becomes_a_command_of_the_script() {
    let command = ["ls", "images/tiny.kdl", "--format", "gnu-cpio"];
    for (name, evil) in [("aXtouch x", "a\ntouch x"), ("XX/up", "../up")] {
        let tiny = Tiny::new();
        let path = tiny.recipe("", &format!("dir \"/XX\"\nfile \"/{name}\" text=\"1\""));
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replacen("initramfs {", "initramfs compress=\"none\" {", 1);
        fs::write(&path, text).unwrap();
        let realized = json(&run(&mut tiny.realize(&["--json"])));
        let archive = Path::new(realized["path"].as_str().unwrap()).join("initramfs.cpio");
        let mut bytes = fs::read(&archive).unwrap();
        let mut places = bytes.windows(name.len());
        let at = places.position(|place| place == name.as_bytes()).unwrap();
        bytes[at..at + name.len()].copy_from_slice(evil.as_bytes());
        // Whole, by all that the cache says of it.
        let described = archive.with_file_name("image.json");
        let text = fs::read_to_string(&described).unwrap();
        let old = Digest::of(&fs::read(&archive).unwrap()).to_string();
        let new = Digest::of(&bytes).to_string();
        for (path, bytes) in [
            (&archive, bytes),
            (&described, text.replace(&old, &new).into()),
        ] {
            fs::remove_file(path).unwrap();
            fs::write(path, bytes).unwrap();
        }
        record(&tiny.path("cache"), archive.parent().unwrap());
        let said = fails(&mut tiny.project.mkimg(command), 2);
        assert!(said.contains("do not trust the image"), "{said}");
    }
}
