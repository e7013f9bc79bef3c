//! Limits of the process, and what killed processes leave beside outputs.

use std::fs;
use std::process::Command;

use crate::cli::{fails, run};
use crate::says;
use crate::tiny::{Tiny, noise};

/// Returns a command that runs mkimg after a shell set a limit.
fn limited(tiny: &Tiny, limit: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    tiny.project.prepare(&mut command);
    let script = format!("{limit} && exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_mkimg")]);
    command.args(args);
    command
}

#[test]
fn a_limit_on_the_size_of_files_is_told_and_leaves_nothing() {
    let tiny = Tiny::new();
    tiny.takes(&noise(3 << 20), "file \"/thing\" from=\"thing\"");
    // Blocks of 512 bytes.
    let realize = ["realize", "images/tiny.kdl"];
    let error = fails(&mut limited(&tiny, "ulimit -f 2048", &realize), 1);
    says(&error, &["ulimit -f"]);
    let left =
        |bucket: &str| fs::read_dir(tiny.path("cache").join(bucket)).map_or(0, Iterator::count);
    assert_eq!(left("partial"), 0);
    run(&mut tiny.realize(&[]));
    let export = ["export", "images/tiny.kdl", "-o", "x.mkimg"];
    let error = fails(&mut limited(&tiny, "ulimit -f 2048", &export), 1);
    says(&error, &["ulimit -f"]);
    let names: Vec<String> = fs::read_dir(tiny.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names.iter().all(|name| !name.contains("x.mkimg")),
        "{names:?}"
    );
}

#[test]
fn a_limit_of_open_files_is_told_as_that() {
    let tiny = Tiny::new();
    tiny.takes(b"thing", "file \"/thing\" from=\"thing\"");
    let realize = ["realize", "images/tiny.kdl", "--jobs", "1"];
    let error = fails(&mut limited(&tiny, "ulimit -n 8", &realize), 1);
    says(&error, &["ulimit -n"]);
    assert!(!error.contains("correct the path"), "{error}");
    run(&mut limited(&tiny, "ulimit -n 64", &realize));
}

#[test]
fn what_a_killed_process_left_beside_an_output_goes_with_the_next_run() {
    let tiny = Tiny::new();
    tiny.recipe("", "");
    // No process has this number.
    let left = |name: &str| {
        let (directory, name) = name.rsplit_once('/').unwrap();
        tiny.write(
            &format!("{directory}/.{name}.mkimg-{}.0", i32::MAX),
            b"half",
        )
    };
    let unpinned = fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
    let unpinned = unpinned.replacen("sha256=", "sha256=\"\" // ", 1);
    let cases: [(&str, &[&str]); 4] = [
        ("./x.mkimg", &["export", "images/tiny.kdl", "-o", "x.mkimg"]),
        ("images/tiny.lock", &["lock", "images/tiny.kdl"]),
        ("images/other.kdl", &["new", "other"]),
        ("images/tiny.kdl", &["pin", "images/tiny.kdl"]),
    ];
    for (output, args) in cases {
        let left = left(output);
        if args[0] == "pin" {
            tiny.write("images/tiny.kdl", unpinned.as_bytes());
        }
        run(&mut tiny.project.mkimg(args));
        assert!(!left.exists(), "{args:?}");
        assert!(tiny.path(output).exists());
    }
}
