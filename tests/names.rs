//! How a recipe is named on the command line, where `new` puts one, and where the cache is then.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/mod.rs"]
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::fs;

use cli::{Project, fails, run, stdout};
use tiny::{Tar, Tiny};

#[test]
fn new_writes_where_the_other_verbs_look() {
    let project = Project::new();
    fs::remove_dir(project.path("images")).unwrap();
    let written = stdout(&run(&mut project.mkimg(["new", "hello"])));
    assert_eq!(written, "images/hello.kdl\n");
    let text = fs::read_to_string(project.path("images/hello.kdl")).unwrap();
    assert!(text.contains("image \"hello\""), "{text}");
    // Who stands in `images` gets no second one inside; and nothing is written over.
    let mut inside = project.mkimg(["new", "there"]);
    inside.current_dir(project.path("images"));
    assert_eq!(stdout(&run(&mut inside)), "there.kdl\n");
    let said = fails(&mut project.mkimg(["new", "hello"]), 2);
    assert!(
        said.contains("`images/hello.kdl` is there already"),
        "{said}"
    );
}

#[test]
fn a_recipe_is_found_by_its_path_its_name_or_its_file_name() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    fs::copy(tiny.path("images/tiny.kdl"), tiny.path("images/v1.2.kdl")).unwrap();
    // A directory of the same name is no recipe.
    fs::create_dir(tiny.path("tiny")).unwrap();
    let mut images = Vec::new();
    for name in [
        "images/tiny.kdl",
        "tiny",
        "tiny.kdl",
        "v1.2",
        "v1.2.kdl",
        "./images/v1.2.kdl",
    ] {
        images.push(stdout(&run(&mut tiny.project.mkimg(["realize", name]))));
    }
    // Beside the caller too.
    let mut beside = tiny.project.mkimg(["realize", "v1.2"]);
    let beside = stdout(&run(beside.current_dir(tiny.path("images"))));
    assert_eq!(
        fs::canonicalize(beside.trim()).unwrap(),
        fs::canonicalize(tiny.path(images[0].trim())).unwrap()
    );
    images.dedup();
    assert_eq!(images.len(), 1, "{images:?}");
    let said = fails(&mut tiny.project.mkimg(["realize", "images"]), 2);
    assert!(
        said.contains("`images` is a directory, not a recipe"),
        "{said}"
    );
}

#[test]
fn what_is_no_recipe_is_told_with_what_helps() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let image = stdout(&run(&mut tiny.project.mkimg(["realize", "tiny"])));
    let said = fails(&mut tiny.project.mkimg(["show", image.trim()]), 2);
    assert!(
        said.contains("is a finished image") && said.contains("mkimg diff"),
        "{said}"
    );
    let said = fails(
        &mut tiny.project.mkimg(["run", "localhost:5/team/box:1"]),
        2,
    );
    assert!(
        said.contains("`mkimg pull localhost:5/team/box:1`"),
        "{said}"
    );
    let said = fails(&mut tiny.project.mkimg(["run", "nope"]), 2);
    assert!(said.contains("recipes here: images/tiny.kdl"), "{said}");
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_anything_is_made() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    fs::write(tiny.path("file"), "").unwrap();
    let lost = ["nope/x.mkimg", "file/x.mkimg"];
    let exports = lost.map(|place| vec!["export", "tiny", "-o", place]);
    let links = ["file", "nope/link"].map(|place| vec!["realize", "tiny", "--out-link", place]);
    for arguments in exports.into_iter().chain(links) {
        fails(&mut tiny.project.mkimg(&arguments), 2);
        assert!(!tiny.path("cache/images-v1").exists(), "{arguments:?}");
    }
    run(&mut tiny.project.mkimg(["export", "tiny", "-o", "file"]));
}

#[test]
fn completions_know_recipes_and_the_words_of_options() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    let script = stdout(&run(&mut tiny.project.mkimg(["completions", "bash"])));
    let offered = |words: &[&str]| {
        let last = words.last().unwrap();
        let before = words[words.len() - 2];
        let line = words.join("' '");
        let ask = format!(
            "{script}\nCOMP_WORDS=('{line}') COMP_CWORD={}\n_mkimg_recipes mkimg '{last}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1
        );
        let mut bash = std::process::Command::new("bash");
        tiny.project.prepare(&mut bash);
        let output = stdout(&run(bash.args(["-c", &ask])));
        output.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |offered: Vec<String>, word: &str| offered.iter().any(|other| other == word);
    assert!(has(offered(&["mkimg", "run", "t"]), "tiny"));
    assert!(has(offered(&["mkimg", "check", "--locked", ""]), "tiny"));
    assert!(!has(offered(&["mkimg", "run", "--arch", ""]), "tiny"));
    assert!(has(offered(&["mkimg", "run", "--arch", ""]), "aarch64"));
    assert!(has(offered(&["mkimg", "run", "--machine", "q"]), "q35"));
    assert!(!has(offered(&["mkimg", "gc", "t"]), "tiny"));
    assert!(!script.contains("check-round"));
    for shell in ["zsh", "fish"] {
        let script = stdout(&run(&mut tiny.project.mkimg(["completions", shell])));
        assert!(
            script.contains("images/") && !script.contains("check-round"),
            "{shell}"
        );
    }
}

#[test]
fn an_empty_cache_variable_names_no_cache() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    for (cache, expected) in [("", "cache"), ("other", "other")] {
        let mut realize = tiny.realize(&[]);
        realize.env("MKIMG_CACHE", cache);
        let path = stdout(&run(&mut realize));
        let path = fs::canonicalize(tiny.path(path.trim())).unwrap();
        let expected = fs::canonicalize(tiny.path(expected)).unwrap();
        assert!(path.starts_with(&expected), "{path:?} {expected:?}");
    }
}

// pitfall 10
#[test]
fn an_entry_is_named_by_its_bytes_or_as_a_listing_shows_it() {
    let tiny = Tiny::new();
    let archive = Tar::default()
        .file("plain name", b"0")
        .raw(b'0', b"bytes \xff", b"", 1, b"1")
        .file("turned \u{202e}around", b"2")
        .end();
    tiny.takes(&archive, "tree \"/t\" from=\"thing\"");
    run(&mut tiny.realize(&[]));
    let listing = stdout(&run(&mut tiny.project.mkimg(["ls", "tiny", "/t"])));
    let shown: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split_once(" /t/"))
        .map(|(_, name)| name)
        .collect();
    assert_eq!(
        shown,
        ["bytes \\xff", "plain name", "turned \\u{202e}around"]
    );
    for (name, body) in shown.iter().zip(["1", "0", "2"]) {
        let path = format!("/t/{name}");
        let verb = |verb| stdout(&run(&mut tiny.project.mkimg([verb, "tiny", &path])));
        assert_eq!(verb("cat"), body);
        assert_eq!(verb("ls").lines().count(), 1, "{name}");
        assert!(verb("why").contains("tree \"/t\""), "{name}");
    }
}

#[test]
fn two_names_never_look_the_same() {
    let tiny = Tiny::new();
    let names: [&[u8]; 6] = [
        b"a\x1bb", b"a\\x1bb", b"a\xffb", b"a\\xffb", b"a\tb", b"a b",
    ];
    let archive = names.iter().fold(Tar::default(), |tar, name| {
        tar.raw(b'0', name, b"", 1, b"x")
    });
    tiny.takes(&archive.end(), "tree \"/t\" from=\"thing\"");
    run(&mut tiny.realize(&[]));
    let listing = stdout(&run(&mut tiny.project.mkimg(["ls", "tiny", "/t"])));
    let json: serde_json::Value = cli::json(&run(&mut tiny
        .project
        .mkimg(["ls", "tiny", "/t", "--json"])));
    let listed = json
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap());
    for shown in [
        listing
            .lines()
            .filter_map(|line| line.split_once(" /t/"))
            .map(|(_, name)| name)
            .collect::<Vec<_>>(),
        listed.filter_map(|path| path.strip_prefix("/t/")).collect(),
    ] {
        let mut apart = shown.clone();
        apart.sort_unstable();
        apart.dedup();
        assert_eq!(
            (shown.len(), apart.len()),
            (names.len(), names.len()),
            "{shown:?}"
        );
    }
}

#[test]
fn a_symlink_is_followed_within_the_image() {
    let tiny = Tiny::new();
    let outside = tiny.write("outside", b"of the image");
    let entries = format!(
        r#"file "/bin/tool" text="tool"; symlink "/bin/ls" target="tool"; symlink "/usr" target="/../.."
           symlink "/sh" target="usr/bin/ls"; symlink "/loop" target="loop"; symlink "/out" target="{}""#,
        outside.display()
    );
    tiny.recipe("", &entries);
    for path in ["/bin/ls", "sh", "usr/sh", "bin/../bin/tool"] {
        assert_eq!(
            stdout(&run(&mut tiny.project.mkimg(["cat", "tiny", path]))),
            "tool",
            "{path}"
        );
    }
    for path in ["loop", "out"] {
        let said = fails(&mut tiny.project.mkimg(["cat", "tiny", path]), 2);
        assert!(said.contains("leads to no file of the image"), "{said}");
    }
    let said = fails(&mut tiny.project.mkimg(["cat", "tiny", "bin"]), 2);
    assert!(said.contains("is no regular file"), "{said}");
}

#[test]
fn a_debian_mirror_that_can_be_none_is_refused_and_an_empty_one_is_none() {
    let project = Project::with("minimal");
    for odd in [
        "nonsense",
        "ftp://a.test/debian",
        "http://a.test/debian,nonsense",
    ] {
        let mut command = project.mkimg(project.realize_args("minimal"));
        let said = cli::fails(command.args(["--debian-mirror", odd]), 2);
        assert!(said.contains("is no Debian mirror"), "{said}");
    }
    let mut command = project.mkimg(project.realize_args("minimal"));
    cli::run(command.env("MKIMG_DEBIAN_MIRROR", ""));
}
