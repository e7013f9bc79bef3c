//! Directories beside a recipe: what of the host reaches the plan, what is refused, and that nothing changes unseen.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::cli::{fails, json, run, stdout};
use crate::support::tool;
use crate::tiny::Tiny;
use crate::{flat, says};

/// The entries of the directory, in the order in which they are made.
const ENTRIES: [(&str, &str); 7] = [
    ("a/b", "one"),
    ("a-b", "two"),
    ("a/x", "three"),
    ("empty/", ""),
    ("link", "-> /etc/passwd"),
    ("z", ""),
    ("a/deep/er", "four"),
];

/// Makes the directory; `a/x` may be executed.
fn lay_out<'e>(root: &Path, entries: impl Iterator<Item = &'e (&'e str, &'e str)>, modes: u32) {
    for (name, text) in entries {
        let path = root.join(name);
        if name.ends_with('/') {
            fs::create_dir_all(&path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(target) = text.strip_prefix("-> ") {
            symlink(target, &path).unwrap();
            continue;
        }
        fs::write(&path, text).unwrap();
        let mode = if *name == "a/x" { 0o700 | modes } else { modes };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn project(more: &str) -> Tiny {
    let tiny = Tiny::new();
    tiny.recipe("", &format!("tree \"/t\" local=\"../root\" {more}"));
    tiny
}

/// Returns the plan of a project, which realizes it.
fn plan(tiny: &Tiny) -> String {
    let image = json(&run(&mut tiny.realize(&["--json"])));
    image["plan"].as_str().unwrap().to_owned()
}

#[test]
fn nothing_of_the_host_is_in_the_plan_and_all_that_is_in_the_image_is() {
    let tiny = project("");
    let root = tiny.path("root");
    lay_out(&root, ENTRIES.iter(), 0o644);
    let whole = plan(&tiny);
    assert_eq!(plan(&tiny), whole);

    // Another order, umask, time, link count.
    let other = project("");
    let elsewhere = other.path("root");
    lay_out(&elsewhere, ENTRIES.iter().rev(), 0o604);
    fs::create_dir(elsewhere.join(".git")).unwrap();
    fs::write(elsewhere.join(".git/config"), "x").unwrap();
    let linked = elsewhere.join("a/b");
    fs::hard_link(&linked, other.path("another-name")).unwrap();
    let file = fs::File::options().write(true).open(&linked).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let seen = |root: &Path| {
        let found = fs::metadata(root.join("a/b")).unwrap();
        (found.mode() & 0o777, found.nlink(), found.mtime())
    };
    let (one, two) = (seen(&root), seen(&elsewhere));
    assert!(
        one.0 != two.0 && one.1 != two.1 && one.2 != two.2,
        "{one:?} {two:?}"
    );
    let names = |root: &Path| -> Vec<_> {
        let found = fs::read_dir(root).unwrap();
        found.map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_ne!(names(&root), names(&elsewhere), "`.git` is there");
    assert_eq!(plan(&other), whole);

    // Each of these is another plan.
    let at = |name: &str| root.join(name);
    let mode = |mode| fs::set_permissions(at("a/b"), fs::Permissions::from_mode(mode)).unwrap();
    let changes: [(&str, &dyn Fn(), &dyn Fn()); 6] = [
        ("bytes", &|| fs::write(at("a/b"), "oNe").unwrap(), &|| {
            fs::write(at("a/b"), "one").unwrap()
        }),
        ("x bit", &|| mode(0o744), &|| mode(0o644)),
        ("name", &|| fs::rename(at("z"), at("y")).unwrap(), &|| {
            fs::rename(at("y"), at("z")).unwrap()
        }),
        ("new file", &|| fs::write(at("n"), "").unwrap(), &|| {
            fs::remove_file(at("n")).unwrap()
        }),
        (
            "empty directory",
            &|| fs::remove_dir(at("empty")).unwrap(),
            &|| fs::create_dir(at("empty")).unwrap(),
        ),
        (
            "target",
            &|| {
                fs::remove_file(at("link")).unwrap();
                symlink("/etc/shadow", at("link")).unwrap();
            },
            &|| {
                fs::remove_file(at("link")).unwrap();
                symlink("/etc/passwd", at("link")).unwrap();
            },
        ),
    ];
    for (what, change, restore) in changes {
        change();
        assert_ne!(plan(&tiny), whole, "{what}");
        restore();
        assert_eq!(plan(&tiny), whole, "{what}");
    }
}

#[test]
fn a_remembered_directory_is_read_again_where_only_the_time_of_change_tells() {
    let tiny = project("");
    let root = tiny.path("root");
    lay_out(&root, ENTRIES.iter(), 0o644);
    // Nothing is remembered of what changed just now.
    plan(&tiny);
    thread::sleep(Duration::from_millis(4100));
    let whole = plan(&tiny);
    let notes = fs::read_dir(tiny.path("cache/notes-v1")).unwrap();
    let names: Vec<String> = notes
        .map(|note| note.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("directory-"))
            .count(),
        2,
        "{names:?}"
    );
    let path = root.join("a/b");
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, "oNe").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        (before.mtime_nsec(), before.len(), before.ino()),
        (after.mtime_nsec(), after.len(), after.ino())
    );
    assert_ne!(plan(&tiny), whole);
}

#[test]
fn the_entries_are_those_of_the_directory_whatever_their_names_are() {
    let tiny = project("strip=0 { exclude \"a/deep\" \"no\"; }");
    let tiny = {
        tiny.recipe(
            "",
            "tree \"/t\" local=\"../root\" { exclude \"a/deep\"; exclude \"**/*.o\"; modes { \"z\" 0o4711; empty 0o1777; } }",
        );
        tiny
    };
    let root = tiny.path("root");
    lay_out(&root, ENTRIES.iter(), 0o644);
    fs::write(root.join("a/x.o"), "object").unwrap();
    let long = "l".repeat(255);
    fs::write(root.join(&long), "long").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"b\xff ad")), "bytes").unwrap();
    // What is excluded may be anything.
    fs::write(root.join("line\nbreak.o"), "").unwrap();
    run(&mut tiny.realize(&[]));
    let listed = stdout(&run(&mut tiny.project.mkimg(["ls", "tiny"])));
    let own: Vec<String> = listed
        .lines()
        .filter(|line| line.contains("/t"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let long = format!("-rw-r--r-- 0:0 4 /t/{long}");
    assert_eq!(
        own,
        [
            "drwxr-xr-x 0:0 0 /t",
            "drwxr-xr-x 0:0 0 /t/a",
            "-rw-r--r-- 0:0 3 /t/a-b",
            "-rw-r--r-- 0:0 3 /t/a/b",
            "-rwxr-xr-x 0:0 5 /t/a/x",
            "-rw-r--r-- 0:0 5 /t/b\\xff ad",
            "drwxrwxrwt 0:0 0 /t/empty",
            "lrwxrwxrwx 0:0 11 /t/link -> /etc/passwd",
            &long,
            "-rws--x--x 0:0 0 /t/z",
        ]
    );
}

#[test]
fn what_no_image_can_have_is_named_with_its_path() {
    let fifo = |path: &Path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    };
    let cases: [(&dyn Fn(&Path), &[&str]); 4] = [
        (
            &|root| fifo(&root.join("a/pipe")),
            &["`a/pipe` is a named pipe", "`exclude \"..\"`"],
        ),
        (
            &|root| drop(std::os::unix::net::UnixListener::bind(root.join("sock")).unwrap()),
            &["`sock` is a socket"],
        ),
        (
            &|root| fs::write(root.join("two\nlines"), "").unwrap(),
            &["`two\\nlines` has a line break in its name"],
        ),
        (
            &|root| {
                let deep = vec!["d"; 210].join("/");
                fs::create_dir_all(root.join(deep)).unwrap();
            },
            &["is too deep"],
        ),
    ];
    for (make, pieces) in cases {
        let tiny = project("");
        let root = tiny.path("root");
        lay_out(&root, ENTRIES.iter(), 0o644);
        make(&root);
        says(&fails(&mut tiny.realize(&[]), 2), pieces);
    }
    for (more, pieces) in [
        (
            "{ include \"nothing/*\"; }",
            &["no entry in", "matches `nothing/*`"][..],
        ),
        ("{ modes { \"link\" 0o600; }; }", &["matches `link`"]),
        ("git=#true", &["in no git work tree"]),
    ] {
        let tiny = project(more);
        lay_out(&tiny.path("root"), ENTRIES.iter(), 0o644);
        says(&fails(&mut tiny.realize(&[]), 2), pieces);
    }
}

#[test]
fn a_directory_is_within_reach_or_not_as_a_file_is() {
    let tiny = project("");
    let outside = tempfile::tempdir().unwrap();
    lay_out(outside.path(), ENTRIES.iter(), 0o644);
    symlink(outside.path(), tiny.path("root")).unwrap();
    let said = fails(&mut tiny.realize(&[]), 2);
    says(
        &said,
        &[
            "the local directory `../root` cannot be taken",
            "is not the recipe's project",
            "--allow-local",
        ],
    );
    let allowed = outside.path().to_str().unwrap();
    run(&mut tiny.realize(&["--allow-local", allowed]));

    for (name, pieces) in [
        ("/proc/self", "nothing of /proc"),
        ("/sys", "nothing of /sys"),
        ("/dev", "nothing of /dev"),
    ] {
        let tiny = Tiny::new();
        tiny.recipe("", &format!("tree \"/t\" local=\"{name}\""));
        says(
            &fails(&mut tiny.realize(&["--allow-local", "/"]), 2),
            &[pieces],
        );
    }
    // A symlink inside is an entry, wherever it leads.
    let tiny = project("");
    fs::create_dir(tiny.path("root")).unwrap();
    symlink(outside.path(), tiny.path("root/out")).unwrap();
    run(&mut tiny.realize(&[]));
    let listed = stdout(&run(&mut tiny.project.mkimg(["ls", "tiny"])));
    assert!(!listed.contains("deep"), "{listed}");
    // The cache is in the project.
    let tiny = Tiny::new();
    tiny.recipe("", "tree \"/t\" local=\"..\"");
    says(
        &fails(&mut tiny.realize(&[]), 2),
        &["`cache` is mkimg's cache"],
    );
}

#[test]
fn a_bundle_carries_a_directory_and_gives_the_same_image_elsewhere() {
    let tiny = Tiny::new();
    tiny.recipe(
        "",
        "tree \"/t\" local=\"../root\" { exclude \"a/deep\"; }\n    tree \"/u\" local=\"../root\" { include \"a/*\"; exclude \"a/b\"; }",
    );
    lay_out(&tiny.path("root"), ENTRIES.iter(), 0o644);
    let whole = plan(&tiny);
    run(&mut tiny.project.mkimg(["lock", "tiny"]));
    run(&mut tiny
        .project
        .mkimg(["export", "tiny", "--output", "tiny.tar"]));
    let other = Tiny::new();
    fs::rename(tiny.path("tiny.tar"), other.path("tiny.tar")).unwrap();
    fs::remove_dir_all(tiny.path("root")).unwrap();
    let imported = run(&mut other.project.mkimg(["import", "tiny.tar"]));
    assert!(stdout(&imported).contains(&whole));
    // Made again from what came along.
    let checked = run(&mut other.project.mkimg(["check", "tiny.tar", "--rounds", "1"]));
    says(&flat(&stdout(&checked)), &["equal in 1 round"]);
    run(&mut other
        .project
        .mkimg(["import", "tiny.tar", "--extract", "there"]));
    fs::copy(
        other.path("images/kernel"),
        other.path("there/images/kernel"),
    )
    .unwrap();
    let again = json(&run(&mut other.project.mkimg([
        "realize",
        "there/images/tiny.kdl",
        "--json",
    ])));
    assert_eq!(again["plan"], whole.as_str());
}

#[test]
fn of_a_git_work_tree_what_git_tracks_is_taken_and_nothing_it_says_is_run() {
    let Some(git) = tool("git") else { return };
    let tiny = project("git=#true");
    let top = tiny.path("");
    let git = |args: &[&str]| {
        let mut command = Command::new(&git);
        command
            .current_dir(&top)
            .args(args)
            .env("HOME", "/nonexistent");
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        run(&mut command);
    };
    let root = tiny.path("root");
    lay_out(&root, ENTRIES.iter(), 0o644);
    git(&["init", "-q"]);
    git(&["add", "root"]);
    fs::write(root.join("untracked"), "x").unwrap();
    // Modes are git's: this work tree says otherwise.
    fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o755)).unwrap();
    let mark = tiny.path("ran");
    git(&[
        "config",
        "core.fsmonitor",
        &format!("touch {}; false", mark.display()),
    ]);
    let whole = plan(&tiny);
    assert!(!mark.exists());
    let listed = stdout(&run(&mut tiny.project.mkimg(["ls", "tiny"])));
    let has = |text: &str| flat(&listed).contains(text);
    assert!(!has("untracked") && !has("empty"), "{listed}");
    assert!(
        has("-rw-r--r-- 0:0 3 /t/a/b") && has("-rwxr-xr-x 0:0 5 /t/a/x"),
        "{listed}"
    );
    git(&["config", "--unset", "core.fsmonitor"]);
    for version in ["4", "2"] {
        git(&["update-index", "--index-version", version]);
        assert_eq!(plan(&tiny), whole, "version {version}");
    }
    git(&["add", "-N", "root/untracked"]);
    assert_ne!(plan(&tiny), whole);
    fs::remove_file(root.join("untracked")).unwrap();
    let said = fails(&mut tiny.realize(&[]), 2);
    says(
        &said,
        &["git tracks `untracked` as a file, and on the disk is nothing"],
    );
    git(&["update-index", "--split-index"]);
    says(&fails(&mut tiny.realize(&[]), 2), &["is split or sparse"]);
}
