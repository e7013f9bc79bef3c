//! What `mkimg export` writes: the same bytes from everywhere, a tar and an image layout that others read, into whatever it is
//! told to.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use mkimg::share::bundle::{Bundle, write};
use mkimg::share::{Document, Origin as _, attach, find};
use mkimg::store::Store;
use serde_json::Value;

use crate::cli::{Project, fails, json, run, stdout};
use crate::disturbed::disturbances;
use crate::parts::{export, hex, of_two};
use crate::support::tool;
use crate::tiny::{noise, two};

// pitfalls 3, 49, 61
#[test]
fn the_bytes_are_the_same_from_every_user_umask_time_zone_and_thread_count() {
    let (_project, path) = of_two();
    let bundle = fs::read(path).unwrap();
    for disturbance in disturbances() {
        let project = two("a");
        let probe = disturbance.reach(&project);
        run(&mut disturbance.mkimg(&project, &["export", "two", "--with-sources"]));
        let file = project.path("two.mkimg");
        assert!(fs::read(&file).unwrap() == bundle, "{probe}");
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o644, "{probe}");
        // A second time, of what is made already.
        run(&mut disturbance.mkimg(
            &project,
            &["export", "two", "--with-sources", "-o", "again"],
        ));
        assert!(
            fs::read(project.path("again")).unwrap() == bundle,
            "{probe}"
        );
    }
    // What is another image is another bundle: the comparison can fail.
    let other = two("b");
    assert!(fs::read(export(&other, "two", &["--with-sources"])).unwrap() != bundle);
}

#[test]
fn a_bundle_of_a_bundle_is_that_bundle() {
    let (project, path) = of_two();
    let bundle = fs::read(&path).unwrap();
    let other = Project::new();
    let name = path.display().to_string();
    let mut again = other.mkimg([
        "export",
        &name,
        "--offline",
        "--with-sources",
        "-o",
        "a.mkimg",
    ]);
    run(&mut again);
    assert!(fs::read(other.path("a.mkimg")).unwrap() == bundle);
    // Without the sources and for one architecture it is what the recipe gives, too, where it is locked for both.
    run(&mut project.mkimg(["lock", "two"]));
    let one = ["--arch", "aarch64", "-o", "one.mkimg"];
    run(other.mkimg(["export", &name, "--offline"]).args(one));
    run(project.mkimg(["export", "two"]).args(one));
    let [ours, theirs] =
        [&project, &other].map(|project| fs::read(project.path("one.mkimg")).unwrap());
    assert!(ours == theirs);
    assert!(ours.len() < bundle.len());
}

#[test]
fn other_tools_read_the_tar_and_the_image_layout_in_it() {
    let (Some(tar), Some(sha256sum)) = (tool("tar"), tool("sha256sum")) else {
        return;
    };
    let (project, path) = of_two();
    let listed = stdout(&run(Command::new(&tar)
        .arg("-tvf")
        .arg(&path)
        .env("TZ", "UTC")));
    assert!(listed.lines().count() > 12);
    for line in listed.lines() {
        assert!(line.starts_with("-rw-r--r-- 0/0 "), "{line}");
        assert!(line.contains(" 1970-01-01 00:00 "), "{line}");
    }
    fs::create_dir(project.path("layout")).unwrap();
    run(Command::new(&tar)
        .arg("-xf")
        .arg(&path)
        .arg("-C")
        .arg(project.path("layout")));
    for blob in fs::read_dir(project.path("layout/blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let sum = stdout(&run(Command::new(&sha256sum).arg(blob.path())));
        assert!(sum.starts_with(blob.file_name().to_str().unwrap()), "{sum}");
    }
    let Some(skopeo) = tool("skopeo") else {
        return;
    };
    let index: Value =
        serde_json::from_slice(&fs::read(project.path("layout/index.json")).unwrap()).unwrap();
    let root = &index["manifests"][0]["digest"];
    for image in ["oci:layout:two", "oci-archive:two.mkimg:two"] {
        let mut inspect = Command::new(&skopeo);
        project.prepare(&mut inspect);
        let shown = json(&run(inspect.args(["inspect", image])));
        assert_eq!(
            shown["Labels"]["org.opencontainers.image.title"], "two",
            "{image}"
        );
        let mut raw = Command::new(&skopeo);
        project.prepare(&mut raw);
        let raw = run(raw.args(["inspect", "--raw", image])).stdout;
        assert_eq!(*root, format!("sha256:{}", hex(&raw)), "{image}");
    }
    // What skopeo packs of it is taken in again.
    let mut copy = Command::new(&skopeo);
    project.prepare(&mut copy);
    let from = [
        "--insecure-policy",
        "copy",
        "--all",
        "oci-archive:two.mkimg:two",
    ];
    run(copy.args(from).arg("oci-archive:theirs.mkimg:two"));
    let ours = fs::read(&path).unwrap();
    assert!(fs::read(project.path("theirs.mkimg")).unwrap() != ours);
    let other = Project::new();
    let args = ["import", "--json"];
    let taken = json(&run(other.mkimg(args).arg(project.path("theirs.mkimg"))));
    assert_eq!(taken["digest"], *root);
}

#[test]
fn it_goes_where_it_is_told_and_replaces_files_alone() {
    let project = two("a");
    let bundle = fs::read(export(&project, "two", &[])).unwrap();
    let to = |output: &str| {
        let mut command = project.mkimg(["export", "two", "-q", "-o", output]);
        command.stdout(Stdio::piped());
        command
    };
    for name in ["-", "/dev/stdout"] {
        assert!(run(&mut to(name)).stdout == bundle, "{name}");
    }
    // A name that only looks like one of ours, and one that is no text.
    run(&mut to("./-"));
    assert!(fs::read(project.path("-")).unwrap() == bundle);
    run(&mut to("odd \n name"));
    assert!(fs::read(project.path("odd \n name")).unwrap() == bundle);
    // A symlink leads to the file.
    fs::write(project.path("old"), "old").unwrap();
    symlink("old", project.path("link")).unwrap();
    run(&mut to("link"));
    assert!(project.path("link").is_symlink());
    assert!(fs::read(project.path("old")).unwrap() == bundle);
    // A pipe and a device stay what they are.
    run(Command::new("mkfifo").arg(project.path("pipe")));
    let reader = std::thread::spawn({
        let path = project.path("pipe");
        move || {
            let mut bytes = Vec::new();
            File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        }
    });
    run(&mut to("pipe"));
    assert!(reader.join().unwrap() == bundle);
    let kind = |name: &str| {
        fs::symlink_metadata(project.path(name))
            .unwrap()
            .file_type()
    };
    assert!(kind("pipe").is_fifo());
    if let Some(mknod) = tool("mknod") {
        // Where that is not allowed there is no device to lose.
        let made = Command::new(mknod)
            .arg(project.path("null"))
            .args(["c", "1", "3"])
            .output();
        if made.unwrap().status.success() {
            run(&mut to("null"));
            assert!(kind("null").is_char_device());
        }
    }
    let said = fails(&mut to("/dev/full"), 2);
    assert!(
        said.contains("could not write `/dev/full`") && said.contains("help: "),
        "{said}"
    );
    // What cannot be written leaves what was there.
    for (output, words) in [
        (
            "no/such/dir/two.mkimg",
            "could not write `no/such/dir/two.mkimg`",
        ),
        ("old/two.mkimg", "could not write `old/two.mkimg`"),
    ] {
        let said = fails(&mut to(output), 2);
        assert!(said.contains(words) && said.contains("help: "), "{said}");
    }
    let said = fails(
        &mut project.mkimg(["export", "two", "-o", "-", "--json"]),
        2,
    );
    assert!(said.contains("both write to standard output"), "{said}");
    let left: Vec<_> = crate::tiny::files(&project.path(""))
        .into_iter()
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(".two")
        })
        .collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_signal_leaves_nothing_unfinished_beside_the_bundle() {
    // Large enough to be met while it is written.
    let tiny = crate::tiny::Tiny::new();
    tiny.takes(&noise(40 << 20), "file \"/thing\" from=\"thing\"");
    run(&mut tiny.realize(&[]));
    let out = tiny.path("out");
    fs::create_dir(&out).unwrap();
    let mut met = 0;
    for round in 0..50 {
        let mut command =
            tiny.project
                .mkimg(["export", "tiny", "--with-sources", "-o", "out/tiny.mkimg"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while fs::read_dir(&out).unwrap().count() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let code = child.wait().unwrap().code();
        let left: Vec<_> = fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        match code {
            Some(143) => {
                assert!(left.iter().all(|name| name == "tiny.mkimg"), "{left:?}");
                met += usize::from(left.is_empty());
            }
            // It was faster.
            code => assert_eq!(
                (code, left),
                (Some(0), vec!["tiny.mkimg".into()]),
                "{round}"
            ),
        }
        for name in fs::read_dir(&out).unwrap() {
            fs::remove_file(name.unwrap().path()).unwrap();
        }
        if met == 3 {
            return;
        }
    }
    panic!("no signal came while it was being written");
}

#[test]
fn what_a_bundle_says_about_its_images_goes_on_with_them() {
    let (project, path) = of_two();
    let bundle = Bundle::open(&path).unwrap();
    let store = Store::open(&project.path("cache")).unwrap();
    let images = find(&bundle, "two").unwrap().images;
    for image in &images {
        let document = Document {
            media_type: "text/x-note",
            title: "note.txt",
            bytes: b"looked at",
        };
        attach(&bundle.layout, image, document, &store).unwrap();
    }
    let noted = project.path("noted.mkimg");
    write(&bundle.layout, &noted).unwrap();
    let noted_bytes = fs::read(&noted).unwrap();
    assert!(noted_bytes != fs::read(&path).unwrap());
    let other = Project::new();
    let noted = noted.display().to_string();
    run(&mut other.mkimg(["export", &noted, "--with-sources", "-o", "again.mkimg"]));
    assert!(fs::read(other.path("again.mkimg")).unwrap() == noted_bytes);
    // For one architecture, what is said about its image; without the sources it is another image, and the rest is told.
    let one = ["--arch", "aarch64", "-o", "one.mkimg"];
    for (more, count) in [(&["--with-sources"][..], 1), (&[], 0)] {
        let output = run(other.mkimg(["export", &noted]).args(one).args(more));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.matches("is left out").count(), 1 - count, "{said}");
        let bundle = Bundle::open(&other.path("one.mkimg")).unwrap();
        let image = find(&bundle, "two").unwrap().images.swap_remove(0);
        assert_eq!(bundle.referrers(&image.digest).unwrap().len(), count);
        // And of a bundle for one architecture, no more than is in it.
        run(other
            .mkimg(["export", "one.mkimg", "-o", "same.mkimg"])
            .args(more));
        let [one, same] =
            ["one.mkimg", "same.mkimg"].map(|name| fs::read(other.path(name)).unwrap());
        assert!(one == same);
    }
}

#[test]
fn files_that_have_no_place_on_another_machine_are_refused_before_anything_is_written() {
    let tiny = crate::tiny::Tiny::new();
    // From the root on, and so far up that it comes to the same.
    let motd = tiny.write("motd", b"hello");
    let far = format!("{}{}", "../".repeat(40), &motd.to_str().unwrap()[1..]);
    for path in [motd.to_str().unwrap(), &far] {
        tiny.recipe("", &format!("file \"/etc/motd\" local=\"{path}\""));
        let mut export = tiny
            .project
            .mkimg(["export", "tiny", "--allow-local", "motd"]);
        let said = fails(&mut export, 2);
        assert!(said.contains(path) && said.contains("help: "), "{said}");
        assert!(!tiny.path("tiny.mkimg").exists());
    }
}
