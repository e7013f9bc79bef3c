//! What strangers write steers no terminal, wherever it comes in.

use std::process::Command;

use mkimg::text::{is_unsafe, shown};

use crate::server::{Reply, Server};
use crate::tiny::{Tar, Tiny, urls};

/// One of each kind, as KDL takes it in a text: ESC, BEL, CR, DEL, C1, marks of direction, line separators, no width, no character.
const NASTY: &str = "\u{1b}]0;owned\u{7}\u{1b}[31m\rx\u{7f}\u{9b}31m\u{61c}\u{202e}gnp.\u{2066}\u{2028}\u{2029}\u{200b}\u{feff}\u{ffff}";

/// Runs a command that may fail, and returns what it says: nothing raw, and `arrived` in it.
fn says(command: &mut Command, arrived: &str) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let said = said.concat();
    let raw: Vec<char> = said
        .chars()
        .filter(|c| is_unsafe(*c) && !matches!(c, '\n' | '\t'))
        .collect();
    assert!(raw.is_empty(), "{raw:?} in {said}");
    let flat = crate::flat(&said).replace(' ', "");
    assert!(flat.contains(arrived), "`{arrived}` did not arrive: {said}");
    said
}

/// The text as a KDL string, without what is refused before anything else is looked at: a line break, half of a glob's range.
fn kdl() -> String {
    let escaped = NASTY
        .chars()
        .filter(|c| !matches!(c, '\r' | '['))
        .map(|c| format!("\\u{{{:x}}}", u32::from(c)));
    format!("n{}", escaped.collect::<String>())
}

#[test]
fn a_recipe() {
    let tiny = Tiny::new();
    let text = kdl();
    let nodes = [
        format!("file \"/x\" local=\"{text}\""),
        format!("applets \"/bin\" of=\"/{text}\""),
        format!("file \"/x\" from=\"{text}\""),
        format!("file \"/x\" from=\"thing\" path=\"{text}\""),
        format!("file \"/{text}\" text=\"\"; file \"/{text}\" text=\"\""),
        format!("\"{text}\""),
        format!("file \"/x\" \"{text}\"=1 text=\"\""),
        format!("symlink \"/{text}\" target=\"x\"; dir \"/{text}/x\""),
    ];
    for node in nodes {
        tiny.takes(&Tar::default().file("a", b"").end(), &node);
        says(&mut tiny.realize(&[]), "\\x1b");
    }
    tiny.recipe(
        "",
        &format!("file \"/{text}\" text=\"\"; symlink \"/l\" target=\"{text}x\""),
    );
    let recipe = std::fs::read_to_string(tiny.path("images/tiny.kdl")).unwrap();
    let more = format!("{recipe}\nboot cmdline=\"{text}\"\ntest \"{text}\" {{ expect \"x\"; }}\n");
    std::fs::write(tiny.path("images/tiny.kdl"), more).unwrap();
    for args in [
        &["show", "tiny"][..],
        &["show", "tiny", "--json"],
        &["ls", "tiny"],
        &["ls", "tiny", "--json"],
        &["cat", "tiny", "l"],
        &["why", "tiny", "l"],
        &["sbom", "tiny"],
        &["test", "tiny", "--filter", "nothing"],
        &["run", "tiny", "--dry-run", "--accel", "tcg"],
    ] {
        let mut command = tiny.project.mkimg(args);
        // Whether a QEMU is there or not.
        says(&mut command, if args[0] == "run" { "" } else { "owned" });
    }
}

#[test]
fn a_member_of_an_archive() {
    let tiny = Tiny::new();
    let name = NASTY.replace(['\n', '/'], "");
    let target = Tar::default()
        .file(&name, b"x")
        .link(b'2', "link", &name)
        .end();
    tiny.takes(&target, "tree \"/t\" from=\"thing\"");
    let shown = shown(&name).replace(' ', "");
    for args in [
        &["ls", "tiny"][..],
        &["cat", "tiny", "t/none"],
        &["show", "tiny"],
        &["ls", "tiny", "--json"],
    ] {
        says(&mut tiny.project.mkimg(args), "");
    }
    says(&mut tiny.project.mkimg(["ls", "tiny"]), &shown);
    tiny.project.recipe(
        "other",
        &crate::tiny::recipe("", "").replace("tiny", "other"),
    );
    says(
        &mut tiny.project.mkimg(["diff", "tiny", "other", "-v"]),
        "\\x1b",
    );
    for refused in [
        Tar::default().file(&format!("../{name}"), b""),
        Tar::default().link(b'1', "a", &name),
        Tar::default().link(b'6', &name, ""),
        Tar::default()
            .pax(&format!("SCHILY.xattr.{name}"), b"x")
            .file("a", b""),
    ] {
        tiny.takes(&refused.end(), "tree \"/t\" from=\"thing\"");
        says(&mut tiny.realize(&[]), "\\x1b");
    }
}

#[test]
fn a_server() {
    let pages: [fn() -> Reply; 4] = [
        || {
            Reply::ok(
                format!(
                    "<html>captive portal {}",
                    &NASTY.replace(['\u{1b}', '\u{7}', '\u{7f}', '\u{9b}'], "")
                )
                .as_bytes(),
            )
        },
        || Reply::ok(format!("<html>captive portal {NASTY}").as_bytes()),
        || Reply::new("404 Not Found", NASTY.as_bytes()),
        || Reply::to("/\u{202e}\u{9b}elsewhere"),
    ];
    for page in pages {
        let server = Server::start(move |_| page());
        let tiny = Tiny::new();
        tiny.recipe(
            &urls("thing", b"what is wanted", &[server.url("/thing")]),
            "file \"/x\" from=\"thing\"",
        );
        says(&mut tiny.realize(&["-v"]), "");
        assert!(!server.requests().is_empty(), "nobody asked");
    }
}
