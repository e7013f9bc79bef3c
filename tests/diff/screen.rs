//! What is printed: golden texts, and the promise that one screen is enough. `MKIMG_GOLDEN=write cargo test --test diff`
//! writes them anew.

use std::fs;

use mkimg::diff::Difference;

use crate::cli::{Project, fails, run, stdout};
use crate::newc::{Archive, Files, archive, compare, elf};

/// Lines and columns of a terminal that nobody has made larger.
pub const SCREEN: (usize, usize) = (24, 80);

/// Returns what `find . | cpio -o -H newc | gzip -9` makes of the same files on somebody's disk.
pub fn classic() -> Archive {
    archive().with(|b| {
        let root = b.entry("etc").clone();
        b.entries.insert(0, root);
        b.entries[0].name = ".".to_owned();
        b.entries[1..].rotate_left(3);
        let inodes = [
            4501, 4502, 4507, 4511, 4503, 4504, 4505, 4506, 4510, 4509, 4508,
        ];
        for (entry, ino) in b.entries.iter_mut().zip(inodes) {
            (entry.ino, entry.dev, entry.mtime) = (ino, 8, 1_700_000_000 + ino % 7);
            (entry.uid, entry.gid) = (1000, 1000);
        }
        b.entry("etc").nlink = 3;
        b.entry("etc/conf").nlink = 3;
        b.entry("init").mode = 0o100775;
        b.gzip = Some((1_700_000_123, None, 3, 9));
    })
}

#[allow(clippy::disallowed_methods)]
fn golden(name: &str, text: &str) {
    let path = crate::cli::repository()
        .join("tests/diff/golden")
        .join(name);
    if std::env::var_os("MKIMG_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{name} is now:\n{text}\ninstead of:\n{expected}"
    );
}

pub fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Says that a text fits on one screen; the two lines that name the sides may be as long as the names are.
pub fn fits(text: &str) {
    assert!(
        text.lines().count() < SCREEN.0,
        "{} lines:\n{text}",
        text.lines().count()
    );
    for line in text.lines().skip(2) {
        assert!(line.chars().count() <= SCREEN.1, "{line}");
    }
}

#[test]
fn the_texts_are_the_golden_ones_and_fit_on_a_screen() {
    let contents = archive().with(|b| {
        b.entry("etc/motd").data = b"hello\nthere\nworld\n".to_vec();
        b.entry("bin/tool").data = elf(b"first", b"tent");
        b.entry("bin/sh").data = b"/bin/tool".to_vec();
        b.entry("etc/zone").data = vec![0; 200_000];
    });
    let one = archive().with(|b| b.entry("init").data = b"#!/bin/sh\nexec bash\n".to_vec());
    let cases: [(&str, Difference); 6] = [
        ("classic", compare(&archive(), &classic())),
        ("contents", compare(&archive(), &contents)),
        ("one-file", compare(&archive(), &one)),
        (
            "level",
            compare(
                &archive(),
                &archive().with(|b| b.gzip = Some((0, None, 255, 1))),
            ),
        ),
        ("same", compare(&archive(), &archive())),
        (
            "umask",
            compare(
                &archive(),
                &archive().with(|b| b.each(|entry| entry.mode &= !0o077)),
            ),
        ),
    ];
    for (name, difference) in &cases {
        let lines = text(&difference.lines(false));
        fits(&lines);
        golden(&format!("{name}.txt"), &lines);
    }
    golden("classic.stat", &text(&cases[0].1.counts()));
    golden("contents.verbose", &text(&cases[1].1.lines(true)));
    golden("one-file.json", &format!("{:#}\n", cases[2].1.json()));
}

#[test]
fn the_exit_code_and_the_form_are_what_was_asked_for() {
    let project = Project::new();
    let files = Files::new(&archive().bytes(), &classic().bytes());
    let [a, b] = ["a", "b"].map(|name| fs::read(files.path(name)).unwrap());
    fs::write(project.path("a.cpio.gz"), a).unwrap();
    fs::write(project.path("b.cpio.gz"), b).unwrap();
    let diff = |more: &[&str]| {
        let mut command = project.mkimg(["diff", "a.cpio.gz", "b.cpio.gz"]);
        command.args(more).output().unwrap()
    };
    for more in [vec![], vec!["--stat"], vec!["--json"], vec!["-v"]] {
        let output = diff(&more);
        assert_eq!(output.status.code(), Some(4), "{more:?}");
        assert!(
            output.stderr.is_empty() && !output.stdout.is_empty(),
            "{more:?}"
        );
    }
    assert!(stdout(&diff(&["-v"])).lines().count() > stdout(&diff(&[])).lines().count() + 20);
    let json: serde_json::Value = serde_json::from_slice(&diff(&["--json"]).stdout).unwrap();
    assert_eq!(json["same"], false);
    assert_eq!(json["a"]["name"], "a.cpio.gz");
    run(&mut project.mkimg(["diff", "a.cpio.gz", "a.cpio.gz"]));
    fails(&mut project.mkimg(["diff", "a.cpio.gz"]), 2);
    fails(
        &mut project.mkimg(["diff", "a.cpio.gz", "b.cpio.gz", "--stat", "--json"]),
        2,
    );
}
