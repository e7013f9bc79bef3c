//! Archives that are hostile, broken, or merely odd.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::cli::{fails, json, run, stdout};
use crate::says;
use crate::support::tool;
use crate::tiny::{Tar, Tiny, ar, assert_clean, deb, images};

/// The entry that takes a whole archive, and the line of a recipe that it is on.
const TREE: &str = "tree \"/t\" from=\"thing\"";
const AT: &str = "images/tiny.kdl:12:5";

/// Returns what a program makes of its standard input.
fn through(program: &str, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(tool(program)?)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}");
    Some(output.stdout)
}

fn tar() -> Tar {
    Tar::default()
}

// pitfall 10, 11, 12, 24, 25, 47
#[test]
fn a_tar_that_could_not_become_an_image_faithfully_is_refused_with_the_member_and_the_way_out() {
    let exclude = "exclude \"..\"";
    // Where that would change nothing it is not the advice.
    let always = "every member of an archive is checked for this";
    let cases: Vec<(&str, Tar, Vec<&str>)> = vec![
        (
            "..",
            tar().file("../etc/passwd", b"x"),
            vec![
                "`../etc/passwd` in `thing` is refused: its name has a `..`",
                always,
            ],
        ),
        (
            ".. inside",
            tar().file("a/../../b", b"x"),
            vec!["its name has a `..`", always],
        ),
        (
            "absolute",
            tar().file("/etc/passwd", b"x"),
            vec!["`/etc/passwd` in `thing` is refused: its name is absolute"],
        ),
        (
            "newline",
            tar().file("a\nb", b"x"),
            vec!["`a\\nb` in `thing` is refused: its name has a line break"],
        ),
        (
            "symlink above",
            tar().link(b'2', "d", "/etc").file("d/passwd", b"x"),
            vec![
                "`d/passwd`",
                "`d` above it is a symlink that leads to no directory",
            ],
        ),
        (
            "file above",
            tar().file("d", b"").file("d/passwd", b"x"),
            vec!["`d/passwd`", "`d` above it is a file, not a directory"],
        ),
        (
            "file below first",
            tar().file("d/passwd", b"x").link(b'2', "d", "/etc"),
            vec!["`d` in `thing` is refused", "`d/passwd` below it"],
        ),
        (
            "dangling hard link",
            tar().link(b'1', "a", "nowhere"),
            vec![
                "`a`",
                "hard link to `nowhere`, which does not stand before it",
            ],
        ),
        ("hard link out", tar().link(b'1', "a", "../x"), vec!["`..`"]),
        (
            "fifo",
            tar().raw(b'6', b"p", b"", 0, b""),
            vec!["`p` in `thing` is refused: it is a named pipe", exclude],
        ),
        (
            "4 GiB",
            tar().raw(b'0', b"big", b"", 1 << 32, b""),
            vec![
                "`big`",
                "it has 4294967296 bytes, and an initramfs holds files below 4 GiB",
            ],
        ),
        (
            "2^62",
            tar().raw(b'0', b"big", b"", 1 << 62, b""),
            vec!["`big`", "files below 4 GiB"],
        ),
        (
            "xattr",
            tar()
                .pax("SCHILY.xattr.security.capability", b"\x01")
                .file("ping", b"x"),
            vec![
                "`ping`",
                "extended attribute `SCHILY.xattr.security.capability`, which an initramfs cannot hold",
            ],
        ),
        (
            "acl",
            tar().pax("SCHILY.acl.access", b"u::rwx").file("a", b"x"),
            vec!["`a`", "SCHILY.acl.access"],
        ),
    ];
    for (name, archive, pieces) in cases {
        let tiny = Tiny::new();
        tiny.takes(&archive.end(), TREE);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(&said, &[AT, "help: "]);
        says(&said, &pieces);
        assert_clean(&tiny.path("cache"));
        assert_eq!(images(&tiny.path("cache")), 0, "{name}");
    }
}

#[test]
fn a_broken_archive_is_named_with_the_place_that_is_broken() {
    let good = tar().file("a", b"x").end();
    let mut sum = good.clone();
    sum[0] = b'b';
    let mut trailing = good.clone();
    trailing.extend([b'x'; 512]);
    let mut junk = deb("data.tar", &good);
    junk.extend(b"junk behind the end");
    let mut xz = through("xz", &[], &good).unwrap_or_default();
    if let Some(byte) = xz.get_mut(20) {
        *byte ^= 0x55;
    }
    let gz = through("gzip", &["-n"], &good).unwrap_or_default();
    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        (
            "no archive",
            b"hello".to_vec(),
            vec!["`thing` is not an archive", "zstd"],
        ),
        ("empty", Vec::new(), vec!["`thing` is not an archive"]),
        ("inside a member", good[..700].to_vec(), vec!["truncated"]),
        ("checksum", sum, vec!["not"]),
        (
            "trailing",
            trailing,
            vec!["something follows the end of the archive"],
        ),
        (
            "cut gzip",
            gz[..gz.len().saturating_sub(9)].to_vec(),
            vec!["could not decompress `thing` (gzip)"],
        ),
        (
            "no data member",
            ar(&[("debian-binary", b"2.0\n"), ("control.tar", b"")]),
            vec!["`thing` is no valid .deb: it has no data member"],
        ),
        ("junk behind", junk, vec!["`thing` is no valid .deb"]),
        (
            "corrupt xz",
            deb("data.tar.xz", &xz),
            vec!["could not decompress `thing` (xz)"],
        ),
        (
            "xz that is none",
            deb("data.tar.xz", b"hello"),
            vec![
                "`thing` is no valid .deb",
                "`data.tar.xz` are not what its name says",
            ],
        ),
        (
            "version",
            ar(&[
                ("debian-binary", b"3.0\n"),
                ("control.tar", b""),
                ("data.tar", &good),
            ]),
            vec!["version is `3.0"],
        ),
    ];
    for (name, archive, pieces) in cases {
        let tiny = Tiny::new();
        tiny.takes(&archive, TREE);
        let said = fails(&mut tiny.realize(&[]), 2);
        says(&said, &[AT, "help: "]);
        says(&said, &pieces);
        assert_clean(&tiny.path("cache"));
        assert_eq!(images(&tiny.path("cache")), 0, "{name}");
    }
}

// pitfall 1, 9
#[test]
fn hard_links_devices_and_long_names_of_either_kind_arrive() {
    let long = |first: char| format!("{first}/{}/{}", "n".repeat(150), "m".repeat(150));
    let (pax, gnu) = (long('p'), long('g'));
    let mut body = gnu.clone().into_bytes();
    body.push(0);
    let archive = tar()
        .file("first", b"the bytes")
        .link(b'1', "second", "first")
        .link(b'1', "./third", "./first")
        .raw(b'3', b"console", b"", 0, b"")
        .pax("path", pax.as_bytes())
        .file("short", b"pax")
        .raw(b'L', b"././@LongLink", b"", body.len() as u64, &body)
        .file("short", b"gnu")
        .pax("mtime", b"1.5")
        .file("with spaces and \u{e9}", b"")
        .end();
    let tiny = Tiny::new();
    tiny.takes(&archive, TREE);
    run(&mut tiny.realize(&[]));
    for (path, bytes) in [
        ("second", "the bytes"),
        ("third", "the bytes"),
        (&pax, "pax"),
        (&gnu, "gnu"),
    ] {
        let mut cat = tiny
            .project
            .mkimg(["cat", "images/tiny.kdl", &format!("/t/{path}")]);
        assert_eq!(stdout(&run(&mut cat)), bytes, "{path}");
    }
    let mut ls = tiny
        .project
        .mkimg(["ls", "images/tiny.kdl", "/t/console", "--json"]);
    let listed = json(&run(&mut ls));
    let device = ["type", "major", "minor"].map(|key| listed[0][key].to_string());
    assert_eq!(device, ["\"char\"", "5", "1"]);
}

#[test]
fn a_pattern_that_matches_no_member_or_several_says_what_there_is() {
    let archive = tar()
        .dir("boot")
        .file("boot/vmlinuz-1", b"x")
        .file("boot/vmlinuz-2", b"x")
        .end();
    let cases = [
        (
            "boot/vmlinux-*",
            vec!["no file in `thing` matches `boot/vmlinux-*`"],
        ),
        (
            "boot/vmlinuz-*",
            vec![
                "2 files in `thing` match `boot/vmlinuz-*`, exactly one must",
                "boot/vmlinuz-1",
                "boot/vmlinuz-2",
                "make the pattern narrower",
            ],
        ),
        ("boot", vec!["`boot` in `thing` is a directory, not a file"]),
    ];
    for (path, pieces) in cases {
        let tiny = Tiny::new();
        tiny.takes(
            &archive,
            &format!("file \"/k\" from=\"thing\" path=\"{path}\""),
        );
        let said = fails(&mut tiny.realize(&[]), 2);
        says(&said, &["images/tiny.kdl:12:33", "help: ", path]);
        says(&said, &pieces);
        assert_clean(&tiny.path("cache"));
    }
    for glob in ["boot/none/**", "nothing"] {
        let tiny = Tiny::new();
        tiny.takes(
            &archive,
            &format!("tree \"/\" from=\"thing\" {{ include \"{glob}\"; }}"),
        );
        let said = fails(&mut tiny.realize(&[]), 2);
        says(
            &said,
            &[
                "images/tiny.kdl:12:",
                &format!("no member in `thing` matches `{glob}`"),
            ],
        );
    }
}

#[test]
fn a_small_bomb_is_stopped_by_the_limit_and_runs_with_a_higher_one() {
    let archive = tar().file("zeros", &vec![0; 3 << 20]).end();
    for (program, args) in [
        ("xz", vec![]),
        ("gzip", vec!["-n"]),
        ("zstd", vec!["-q", "-c"]),
    ] {
        let Some(packed) = through(program, &args, &archive) else {
            continue;
        };
        let tiny = Tiny::new();
        tiny.takes(&packed, TREE);
        let said = fails(&mut tiny.realize(&["--max-unpacked", "2MiB"]), 2);
        says(
            &said,
            &[
                AT,
                "`thing` has more than 2097152 bytes when it is decompressed",
                "--max-unpacked",
            ],
        );
        assert_clean(&tiny.path("cache"));
        run(&mut tiny.realize(&["--max-unpacked", "4MiB"]));
        assert_clean(&tiny.path("cache"));
    }
}

#[test]
fn a_bomb_of_four_gigabytes_is_stopped_by_the_limit_in_little_memory() {
    let Some(time) = tool("time") else {
        return;
    };
    // One gzip member of 4 MB of zeros, deflated to 4 kB, a thousand times over: readers take them as one stream.
    let Some(zeros) = through("gzip", &["-n9"], &vec![0; 4 << 20]) else {
        return;
    };
    let head = tar().raw(b'0', b"zeros", b"", 4 << 30 >> 1, b"").end();
    let mut bomb = through("gzip", &["-n"], &head[..512]).unwrap();
    for _ in 0..1024 {
        bomb.extend_from_slice(&zeros);
    }
    let tiny = Tiny::new();
    tiny.takes(&bomb, TREE);
    let plain = tiny.realize(&["--max-unpacked", "256MiB"]);
    let mut command = Command::new(time);
    command
        .args(["-f", "peak %M"])
        .arg(plain.get_program())
        .args(plain.get_args());
    tiny.project.prepare(&mut command);
    let said = fails(&mut command, 2);
    says(&said, &[AT, "more than 268435456 bytes", "--max-unpacked"]);
    let peak = said
        .split("peak ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    assert!(peak.parse::<u64>().unwrap() < 100_000, "{peak} kB");
    assert_clean(&tiny.path("cache"));
    // What the limit is unless somebody says otherwise.
    let help = stdout(&run(&mut tiny.project.mkimg(["help", "options"])));
    let option = help.split("--max-unpacked").nth(1).unwrap();
    assert!(
        option
            .split("--")
            .next()
            .unwrap()
            .contains("[default: 2GiB]"),
        "{help}"
    );
}
