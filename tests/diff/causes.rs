//! Each cause is told where it holds, and by its name: one case for each, and no cause without a case.

use std::collections::BTreeSet;
use std::fs;

use mkimg::diff::{self, Difference, Field, Side};

use crate::newc::{Archive, Files, archive, compare, elf};
use crate::tiny::Tiny;

/// A cause, the field that shows it, and what is done to the second archive.
type Case = (&'static str, Field, fn(&mut Archive));

#[rustfmt::skip]
const CASES: [Case; 38] = [
    ("umask", Field::Mode, |b| b.each(|entry| if entry.mode & 0o170000 != 0o120000 { entry.mode &= !0o077 })),
    ("umask", Field::Mode, |b| b.each(|entry| if entry.mode & 0o170000 != 0o120000 { entry.mode &= !0o027 })),
    ("write-protected", Field::Mode, |b| b.each(|entry| if entry.mode & 0o170000 == 0o100000 { entry.mode &= !0o222 })),
    ("owner", Field::Owner, |b| b.each(|entry| (entry.uid, entry.gid) = (1000, 100))),
    ("recipe-epoch", Field::Mtime, |b| b.each(|entry| entry.mtime = 1_700_000_000)),
    ("host-mtime", Field::Mtime, |b| b.each(|entry| entry.mtime = 1_700_000_000 + entry.ino)),
    ("temp-path", Field::Content, |b| b.entry("etc/motd").data = b"hello\nbuilt in /tmp/tmp.Xy12/root\n".to_vec()),
    ("environment", Field::Content, |b| b.entry("init").data = b"#!/bin/sh\nexport HOME=/nonexistent\nexec sh\n".to_vec()),
    ("line-ends", Field::Content, |b| b.entry("etc/motd").data = b"hello \nworld\n".to_vec()),
    ("build-id", Field::Content, |b| b.entry("bin/tool").data = elf(b"other", b"text")),
    ("debug-link", Field::Content, |b| {
        let tool = &mut b.entry("bin/tool").data;
        let at = tool.windows(4).position(|window| window == b"crc4").unwrap();
        tool[at] = b'C';
    }),
    ("no-section", Field::Content, |b| b.entry("bin/tool").data.extend(b"~Module signature appended~")),
    ("root-entry", Field::Added, |b| {
        let root = b.entry("bin").clone();
        b.entries.insert(0, root);
        b.entries[0].name = ".".to_owned();
    }),
    ("name-prefix", Field::Name, |b| b.each(|entry| entry.name.insert_str(0, "./"))),
    ("order", Field::Order, |b| b.entries.swap(1, 4)),
    ("inode-shift", Field::Inode, |b| {
        b.entries.retain(|entry| entry.name != "bin/sh");
        for (entry, ino) in b.entries.iter_mut().zip(0..) {
            entry.ino = ino;
        }
    }),
    ("inode-start", Field::Inode, |b| b.each(|entry| entry.ino += 721)),
    ("host-inode", Field::Inode, |b| b.each(|entry| entry.ino = 99_000 - 7 * entry.ino)),
    ("directory-nlink", Field::Nlink, |b| { b.entry("etc").nlink = 3; b.entry("etc/conf").nlink = 3; }),
    ("directory-nlink", Field::Nlink, |b| b.each(|entry| entry.nlink = 1)),
    ("hard-links", Field::Nlink, |b| b.entry("etc/motd").nlink = 2),
    ("hard-links", Field::Links, |b| {
        let ino = b.entry("etc/motd").ino;
        b.entry("etc/motd").nlink = 2;
        let mut other = b.entry("etc/motd").clone();
        b.entries.retain(|entry| entry.name != "etc/zone");
        (other.name, other.ino, other.data) = ("etc/zone".to_owned(), ino, Vec::new());
        b.entries.insert(8, other);
    }),
    ("host-device", Field::Host, |b| b.each(|entry| entry.dev = 38)),
    ("target-nul", Field::TargetSize, |b| b.entry("bin/sh").data.push(0)),
    ("hex-digits", Field::Digits, |b| b.lower_case = true),
    ("padding", Field::Padding, |b| b.pad = 4),
    ("gzip-time", Field::Time, |b| b.gzip = Some((1_700_000_000, None, 255, 9))),
    ("gzip-name", Field::FileName, |b| b.gzip = Some((0, Some("initramfs.cpio"), 255, 9))),
    ("gzip-system", Field::System, |b| b.gzip = Some((0, None, 3, 9))),
    ("gzip-effort", Field::Effort, |b| b.gzip = Some((0, None, 255, 1))),
    ("compressor", Field::Stream, |b| b.gzip = Some((0, None, 255, 1))),
    ("format", Field::Format, |b| b.gzip = None),
    // What is turned round is found too.
    ("time", Field::Content, |b| b.entry("init").data = b"#!/bin/sh\n# 2026-01-02 03:04:06\n".to_vec()),
    ("time", Field::Content, |b| b.entry("init").data = b"#!/bin/sh\n# 2027-01-02 03:04:05\n".to_vec()),
    ("temp-path", Field::Content, |b| b.entry("etc/motd").data = b"hello\n/home/mallory/work\n".to_vec()),
    ("environment", Field::Content, |b| b.entry("etc/zone").data = b"TZ=Pacific/Kiritimati\n".to_vec()),
    ("order", Field::Order, |b| b.entries.sort_by_key(|entry| entry.name.replace(['/', '.'], "").to_lowercase())),
    ("umask", Field::Mode, |b| b.entry("etc/motd").mode = 0o100640),
];

/// Returns the names of the causes that a field is given.
fn named(difference: &Difference, field: Field) -> BTreeSet<&'static str> {
    let groups = difference
        .layers()
        .iter()
        .flat_map(|layered| &layered.groups);
    groups
        .filter(|group| group.field == field)
        .filter_map(|group| group.cause.as_ref().map(|(name, _)| *name))
        .collect()
}

#[test]
fn every_cause_is_found_from_both_sides() {
    // Each of these has a test of its own below.
    let mut seen: BTreeSet<&str> = ["sources", "architecture", "link-data"].into();
    for (number, (cause, field, change)) in CASES.iter().enumerate() {
        let a = match *cause {
            "time" => archive().with(|a| {
                a.entry("init").data = b"#!/bin/sh\n# 2026-01-02 03:04:05\n".to_vec();
            }),
            _ => archive(),
        };
        let b = a.clone().with(change);
        let expected: BTreeSet<_> = [*cause].into();
        let found = compare(&a, &b);
        assert_eq!(
            named(&found, *field),
            expected,
            "case {number}: {:#?}",
            found.lines(true)
        );
        let back = compare(&b, &a);
        let field = if *field == Field::Added {
            Field::Removed
        } else {
            *field
        };
        assert_eq!(
            named(&back, field),
            expected,
            "case {number}, turned round: {:#?}",
            back.lines(true)
        );
        seen.insert(cause);
    }
    assert_eq!(seen, diff::causes().collect(), "each cause has a case");
}

#[test]
fn a_change_of_one_field_is_told_as_that_and_nothing_else() {
    for (number, (cause, field, change)) in CASES.iter().enumerate() {
        // These change more than one thing: an entry, a time in both, or the level, which is in header and stream.
        let several = [
            "root-entry",
            "inode-shift",
            "hard-links",
            "time",
            "gzip-effort",
            "compressor",
            "directory-nlink",
        ];
        if several.contains(cause) {
            continue;
        }
        let difference = compare(&archive(), &archive().with(change));
        let fields: BTreeSet<Field> = difference
            .layers()
            .iter()
            .flat_map(|layered| &layered.groups)
            .map(|group| group.field)
            .collect();
        let mut expected: BTreeSet<Field> = [*field].into();
        if *cause == "order" {
            // Who numbers entries in another order gives them other numbers; here they kept theirs.
            expected.remove(&Field::Inode);
        }
        assert_eq!(
            fields,
            expected,
            "case {number} ({cause}): {:#?}",
            difference.lines(true)
        );
    }
}

#[test]
fn data_at_another_name_of_a_hard_link_is_no_other_compression() {
    let linked = |with_data: usize| {
        archive().with(|a| {
            let data = a.entry("etc/motd").data.clone();
            for (number, name) in ["etc/motd", "etc/zone"].into_iter().enumerate() {
                let entry = a.entry(name);
                (entry.ino, entry.nlink) = (7, 2);
                entry.data = match number == with_data {
                    true => data.clone(),
                    false => Vec::new(),
                };
            }
            a.gzip = None;
        })
    };
    let difference = compare(&linked(0), &linked(1));
    assert_eq!(
        named(&difference, Field::LinkData),
        ["link-data"].into(),
        "{:#?}",
        difference.lines(true)
    );
    let changes: Vec<(Field, usize)> = difference
        .layers()
        .iter()
        .flat_map(|layered| &layered.groups)
        .map(|group| (group.field, group.changes.len()))
        .collect();
    assert_eq!(changes, [(Field::LinkData, 2)]);
}

#[test]
fn the_header_of_a_later_archive_is_told_as_that_alone() {
    let member = |time: u32, comment: &str| {
        let mut builder = flate2::GzBuilder::new().mtime(time);
        if !comment.is_empty() {
            builder = builder.comment(comment).extra(b"ab".to_vec());
        }
        let mut writer = builder.write(Vec::new(), flate2::Compression::new(9));
        std::io::Write::write_all(&mut writer, &archive().plain()).unwrap();
        [archive().plain(), writer.finish().unwrap()].concat()
    };
    for (bytes, field) in [
        (member(2, ""), Field::Time),
        (member(1, "by hand"), Field::Comment),
    ] {
        let difference = Files::new(&member(1, ""), &bytes).compare();
        let found: Vec<(Field, &str)> = difference
            .layers()
            .iter()
            .flat_map(|layered| &layered.groups)
            .map(|group| (group.field, group.changes[0].path.as_str()))
            .collect();
        assert_eq!(
            found,
            [(field, "archive 2")],
            "{:#?}",
            difference.lines(true)
        );
    }
    let (one, other) = (member(1, "by hand"), member(1, "by mind"));
    let lines = Files::new(&one, &other).compare().lines(true).join("\n");
    assert!(
        lines.contains("comment `by hand`") && !lines.contains("stream"),
        "{lines}"
    );
}

#[test]
fn two_architectures_are_the_cause_of_other_packages() {
    let project = crate::cli::Project::with("minimal");
    let sides = ["x86_64", "aarch64"].map(|arch| {
        let made = project.realize("images/minimal.kdl", &["--arch", arch]);
        Side::open(made["path"].as_str().unwrap().as_ref()).unwrap()
    });
    let difference = diff::compare(&sides[0], &sides[1]).unwrap();
    assert_eq!(named(&difference, Field::Source), ["architecture"].into());
    let lines = difference.lines(false);
    // Both digests of each are on the screen.
    let source = lines.iter().find(|line| line.contains("busybox: "));
    assert!(
        source.is_some_and(|line| line.contains(" to ")),
        "{lines:#?}"
    );
}

#[test]
fn other_pins_another_plan_and_another_kernel_are_told_of_images() {
    let image = |thing: &[u8], more: &str| {
        let tiny = Tiny::new();
        tiny.takes(thing, &format!("file \"/thing\" from=\"thing\"\n{more}"));
        let output = tiny.realize(&[]).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let path = String::from_utf8(output.stdout).unwrap();
        (tiny, Side::open(path.trim_end().as_ref()).unwrap())
    };
    let (_one, a) = image(b"thing one\n", "");
    let (_other, b) = image(b"thing two\n", "dir \"/more\" mode=0o700");
    let same = diff::compare(&a, &a).unwrap();
    assert!(same.is_same(), "{:#?}", same.lines(true));
    let difference = diff::compare(&a, &b).unwrap();
    assert_eq!(named(&difference, Field::Source), ["sources"].into());
    let different: Vec<&str> = difference
        .layers()
        .iter()
        .filter(|layered| !layered.groups.is_empty())
        .map(|layered| layered.layer.name())
        .collect();
    assert_eq!(different, ["sources", "plan", "tree", "archive form"]);
    // The kernel is compared by its bytes, whatever image.json says of it.
    let kernel = b.archive().with_file_name("vmlinuz");
    let mut bytes = fs::read(&kernel).unwrap();
    bytes[7] ^= 1;
    fs::remove_file(&kernel).unwrap();
    fs::write(&kernel, bytes).unwrap();
    let lines = diff::compare(&a, &b).unwrap().lines(false).join("\n");
    assert!(
        lines.contains("the kernel: content") && lines.contains("first at byte 7"),
        "{lines}"
    );
}
