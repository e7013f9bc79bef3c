//! Files that should be a recipe, and ways to name one.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::cli::{fails, json, run};
use crate::says;
use crate::tiny::{Tiny, files, recipe};

/// Returns the plan of the tiny recipe as it should be.
fn plan() -> String {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    json(&run(&mut tiny.realize(&["--json"])))["plan"].to_string()
}

#[test]
fn what_is_no_recipe_is_refused_with_the_reason_and_leaves_no_cache() {
    let deep = |open: &str, close: &str| {
        format!(
            "image \"tiny\"\n{}{}",
            open.repeat(10_000),
            close.repeat(10_000)
        )
        .into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("empty", Vec::new(), vec!["image"]),
        ("binary", crate::tiny::kernel(), vec!["tiny.kdl"]),
        (
            "noise",
            (0..=255).cycle().take(10_000).collect(),
            vec!["`images/tiny.kdl` is a binary file"],
        ),
        (
            "UTF-16",
            "image \"tiny\""
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
            vec!["tiny.kdl"],
        ),
        (
            "50 MB",
            vec![b' '; 50_000_000],
            vec![
                "`images/tiny.kdl` has 50000000 bytes",
                "at most 1048576 bytes",
            ],
        ),
        (
            "50 MB of nodes",
            b"a {".repeat(16_666_667),
            vec!["at most 1048576 bytes"],
        ),
        ("deep", deep("a {\n", "}\n"), vec!["images/tiny.kdl:", "32"]),
        (
            "deep on one line",
            deep("a{", "}"),
            vec!["images/tiny.kdl:", "32"],
        ),
        ("deep comments", deep("/*", "*/"), vec!["images/tiny.kdl:"]),
        ("deep and open", deep("a {", ""), vec!["images/tiny.kdl:"]),
        // Mistakes on one line that is a megabyte long, and more mistakes than anybody reads.
        ("braces", b"a{}".repeat(300_000), vec!["images/tiny.kdl:1"]),
        (
            "closing braces",
            b"}".repeat(1_000_000),
            vec!["images/tiny.kdl:1"],
        ),
        (
            "semicolons",
            b";".repeat(1_000_000),
            vec!["images/tiny.kdl:1"],
        ),
        ("quotes", b"\"".repeat(1_000_000), vec!["images/tiny.kdl:1"]),
        (
            "properties",
            b"a b=1 ".repeat(160_000),
            vec!["images/tiny.kdl:1"],
        ),
        ("lines", b"a\n".repeat(500_000), vec!["images/tiny.kdl:1"]),
        ("signs", b"#".repeat(1_000_000), vec!["images/tiny.kdl:1"]),
    ];
    for (name, bytes, pieces) in cases {
        let tiny = Tiny::new();
        tiny.write("images/tiny.kdl", &bytes);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(&said, &pieces);
        assert!(said.contains("help: "), "{name}: {said}");
        assert!(
            said.len() < 100_000,
            "{name}: {} bytes of message",
            said.len()
        );
        assert!(files(&tiny.path("cache")).is_empty(), "{name}");
    }
}

#[test]
fn a_recipe_that_is_a_directory_or_missing_is_refused() {
    let tiny = Tiny::new();
    fs::create_dir(tiny.path("images/tiny.kdl")).unwrap();
    says(
        &fails(&mut tiny.realize(&[]), 2),
        &["`images/tiny.kdl` is a directory, not a recipe", "help: "],
    );
    let mut missing = tiny.project.mkimg(["realize", "images/none.kdl"]);
    says(
        &fails(&mut missing, 2),
        &["there is no recipe `images/none.kdl`", "help: "],
    );
    // Never ends, and is no recipe.
    let mut endless = tiny.project.mkimg(["realize", "/dev/zero"]);
    says(
        &fails(&mut endless, 2),
        &["/dev/zero", "at most 1048576 bytes"],
    );
    symlink("nowhere", tiny.path("images/dangling.kdl")).unwrap();
    let mut dangling = tiny.project.mkimg(["realize", "images/dangling.kdl"]);
    says(&fails(&mut dangling, 2), &["images/dangling.kdl", "help: "]);
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    let plan = plan();
    let lf = recipe("", "");
    for text in [
        lf.replace('\n', "\r\n"),
        format!("\u{feff}{lf}"),
        format!("\u{feff}{}", lf.replace('\n', "\r\n")),
    ] {
        let tiny = Tiny::new();
        tiny.write("images/tiny.kdl", text.as_bytes());
        assert_eq!(
            json(&run(&mut tiny.realize(&["--json"])))["plan"].to_string(),
            plan
        );
    }
}

#[test]
fn a_recipe_may_come_through_a_symlink_a_pipe_or_an_odd_name() {
    let plan = plan();
    let tiny = Tiny::new();
    let text = recipe("", "");
    let path = tiny.path("images/tiny.kdl");
    fs::write(tiny.path("text"), &text).unwrap();
    symlink("../text", &path).unwrap();
    assert_eq!(
        json(&run(&mut tiny.realize(&["--json"])))["plan"].to_string(),
        plan
    );

    fs::remove_file(&path).unwrap();
    run(Command::new("mkfifo").arg(&path));
    let writer = std::thread::spawn({
        let (path, text) = (path.clone(), text.clone());
        move || fs::write(path, text).unwrap()
    });
    assert_eq!(
        json(&run(&mut tiny.realize(&["--json"])))["plan"].to_string(),
        plan
    );
    writer.join().unwrap();

    let odd = tiny
        .path("images")
        .join(OsStr::from_bytes(b"odd \xff\n.kdl"));
    fs::write(&odd, &text).unwrap();
    let mut command = tiny
        .project
        .mkimg(["realize".as_ref(), odd.as_os_str(), "--json".as_ref()]);
    assert_eq!(json(&run(&mut command))["plan"].to_string(), plan);
    // And a mistake in it is told.
    fs::write(&odd, text.replace("initramfs", "initramf")).unwrap();
    says(&fails(&mut command, 2), &["did you mean `initramfs`"]);

    // Relative paths start where the file that was named is: beside /dev/stdin there is nothing.
    let text = text
        .replace("local=\"sh\"", "text=\"\" ")
        .replace("#!/bin/sh", "#!/bin/no");
    let mut command = tiny.project.mkimg(["realize", "/dev/stdin"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    says(
        &String::from_utf8(output.stderr).unwrap(),
        &[
            "`/dev/kernel`: No such file",
            "a relative one starts at the recipe's own directory",
        ],
    );
}

#[test]
fn names_and_architectures_that_cannot_be_are_refused() {
    let long = "n".repeat(65);
    for name in [
        "",
        ".",
        "..",
        "../up",
        "a/b",
        "-rf",
        "with space",
        "new\\nline",
        "é",
        &long,
    ] {
        let tiny = Tiny::new();
        let text = recipe("", "").replacen("\"tiny\"", &format!("\"{name}\""), 1);
        tiny.project.recipe("tiny", &text);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(&said, &["images/tiny.kdl:1:7", "help: "]);
    }
    let tiny = Tiny::new();
    tiny.recipe("", "");
    says(
        &fails(&mut tiny.realize(&["--arch", "aarch64"]), 2),
        &["aarch64", "x86_64", "help: "],
    );
    says(
        &fails(&mut tiny.realize(&["--arch", "riscv"]), 2),
        &["riscv", "x86_64", "aarch64"],
    );
    assert!(files(&tiny.path("cache")).is_empty());
}
