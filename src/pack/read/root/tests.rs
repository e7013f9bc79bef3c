//! What a real kernel (6.1) made of the same entries, written down.

use super::*;

fn entry(name: &str, mode: u32, size: u32) -> Record {
    Record {
        name: name.as_bytes().to_vec(),
        mode,
        nlink: 1,
        size,
        ..Record::default()
    }
}

fn linked(name: &str, size: u32) -> Record {
    Record {
        ino: 7,
        nlink: 2,
        ..entry(name, 0o100644, size)
    }
}

/// Unpacks entries; a symlink's target stands behind ` -> ` in its name.
fn unpacked(entries: &[(usize, Record)]) -> Root {
    let mut root = Root::default();
    for (number, (segment, record)) in entries.iter().enumerate() {
        let text = String::from_utf8(record.name.clone()).unwrap();
        let (name, target) = text.split_once(" -> ").unwrap_or((&text, ""));
        let record = Record {
            name: name.as_bytes().to_vec(),
            ..record.clone()
        };
        root.unpack(number, *segment, &record, Some(target.as_bytes()));
    }
    root
}

/// What is there in the end: the path, the mode, the number of the entry with its bytes.
fn seen(entries: &[Record]) -> Vec<String> {
    let entries: Vec<_> = entries.iter().map(|record| (1, record.clone())).collect();
    told(&unpacked(&entries))
}

fn told(root: &Root) -> Vec<String> {
    let tell = |seen: Seen| {
        let path = String::from_utf8(seen.record.name).unwrap();
        match (seen.record.mode & KIND, seen.target) {
            (FILE, _) => format!(
                "{path} {:o} {} of {}",
                seen.record.mode & 0o7777,
                seen.record.size,
                seen.data
            ),
            (_, Some(target)) => format!("{path} -> {}", String::from_utf8(target).unwrap()),
            _ => format!("{path} {:o}", seen.record.mode),
        }
    };
    root.files().into_iter().map(tell).collect()
}

#[test]
fn the_last_entry_of_a_path_is_what_the_kernel_has() {
    let dir = |name| entry(name, 0o40755, 0);
    let cases: Vec<(Vec<Record>, &[&str])> = vec![
        (
            vec![entry("a", 0o100644, 1), entry("a", 0o100600, 2)],
            &["a 600 2 of 1"],
        ),
        (
            vec![entry("a", 0o100644, 1), entry("./a", 0o100600, 0)],
            &["a 600 0 of 1"],
        ),
        (
            vec![
                dir("d"),
                entry("d/a", 0o100644, 1),
                entry("/d//x/../a", 0o100644, 2),
            ],
            &["d 40755", "d/a 644 1 of 1"],
        ),
        (
            vec![
                dir("d"),
                dir("d/x"),
                entry("d/a", 0o100644, 1),
                entry("/d/./x/../a", 0o100644, 2),
            ],
            &["d 40755", "d/x 40755", "d/a 644 2 of 3"],
        ),
        // A symlink is replaced, not followed; but one on the way is followed.
        (
            vec![
                entry("a", 0o100644, 1),
                entry("l -> a", 0o120777, 1),
                entry("l", 0o100644, 2),
            ],
            &["a 644 1 of 0", "l 644 2 of 2"],
        ),
        (
            vec![
                dir("usr"),
                entry("lib -> usr", 0o120777, 3),
                entry("lib/x", 0o100644, 1),
            ],
            &["usr 40755", "lib -> usr", "usr/x 644 1 of 2"],
        ),
        (
            vec![
                dir("usr"),
                entry("lib -> /../../usr", 0o120777, 3),
                entry("usr/x", 0o100644, 1),
                entry("lib/x", 0o100644, 2),
            ],
            &["usr 40755", "lib -> /../../usr", "usr/x 644 2 of 3"],
        ),
        // A directory that has something in it stays.
        (
            vec![dir("d"), entry("d/a", 0o100644, 1), entry("d", 0o100644, 2)],
            &["d 40755", "d/a 644 1 of 1"],
        ),
        (vec![dir("d"), entry("d", 0o100644, 2)], &["d 644 2 of 1"]),
        (
            vec![dir("d"), entry("d/a", 0o100644, 1), entry("d", 0o40700, 0)],
            &["d/a 644 1 of 1", "d 40700"],
        ),
        (
            vec![entry("a", 0o100644, 1), dir("a"), entry("a/b", 0o100644, 1)],
            &["a 40755", "a/b 644 1 of 2"],
        ),
        // What has no directory is dropped, but for those that every kernel brings.
        (
            vec![
                entry("no/a", 0o100644, 1),
                dir("no"),
                entry("dev/x", 0o100644, 1),
            ],
            &["no 40755", "dev/x 644 1 of 2"],
        ),
        (
            vec![
                entry("a -> b", 0o120777, 1),
                entry("b -> a", 0o120777, 1),
                entry("a/x", 0o100644, 1),
            ],
            &["a -> b", "b -> a"],
        ),
        (
            vec![
                entry("a/", 0o100644, 1),
                entry("a/.", 0o100644, 1),
                entry("..", 0o100644, 1),
            ],
            &[],
        ),
        (vec![entry("a", 0, 0), entry("s -> ", 0o120777, 0)], &[]),
        // Hard links: the data may be with any of the names.
        (
            vec![linked("a", 0), linked("b", 5)],
            &["a 644 5 of 1", "b 644 5 of 1"],
        ),
        (
            vec![linked("a", 5), linked("b", 0)],
            &["a 644 5 of 0", "b 644 5 of 0"],
        ),
        (
            vec![linked("a", 5), linked("b", 0), entry("a", 0o100600, 1)],
            &["b 600 1 of 2", "a 600 1 of 2"],
        ),
    ];
    for (entries, expected) in cases {
        assert_eq!(seen(&entries), expected, "{entries:?}");
    }
}

#[test]
fn a_device_that_is_there_keeps_its_number() {
    let device = |major, mode| Record {
        rdev: (major, 0),
        ..entry("c", mode, 0)
    };
    let root = unpacked(&[(1, device(1, 0o20600)), (1, device(9, 0o20666))]);
    let files = root.files();
    assert_eq!(
        (files[0].record.rdev, files[0].record.mode),
        ((1, 0), 0o20666)
    );
    // One of another kind is a new one.
    let root = unpacked(&[(1, device(1, 0o20600)), (1, device(9, 0o60600))]);
    assert_eq!(root.files()[0].record.rdev, (9, 0));
}

#[test]
fn hard_links_end_with_their_archive() {
    let root = unpacked(&[(1, linked("a", 5)), (2, linked("b", 0))]);
    assert_eq!(told(&root), ["a 644 5 of 0", "b 644 0 of 1"]);
}

#[test]
fn a_symlink_is_followed_within_the_root_and_not_for_ever() {
    let entries = [
        entry("bin", 0o40755, 0),
        entry("bin/tool", 0o100755, 1),
        entry("bin/ls -> tool", 0o120777, 4),
        entry("sh -> /bin/ls", 0o120777, 4),
        entry("out -> ../../../bin/tool", 0o120777, 4),
        entry("loop -> loop", 0o120777, 4),
        entry("none -> bin/none", 0o120777, 4),
    ];
    let root = unpacked(&entries.map(|record| (1, record)));
    for path in [
        "bin/tool",
        "/bin/ls",
        "sh",
        "out",
        "bin/../sh",
        "/bin//./tool",
    ] {
        let found = root.find(path.as_bytes());
        assert_eq!(found.map(|found| found.data), Some(1), "{path}");
    }
    for path in ["loop", "none", "bin/tool/x", "bin/none", "", "/.."] {
        assert_eq!(root.find(path.as_bytes()), None, "{path}");
    }
}

#[test]
fn as_many_symlinks_are_followed_as_the_kernel_follows() {
    for (count, expected) in [(40, Some(0)), (41, None)] {
        let mut entries = vec![(1, entry("l0", 0o100755, 1))];
        for number in 1..=count {
            let link = format!("l{number} -> l{}", number - 1);
            entries.push((1, entry(&link, 0o120777, 2)));
        }
        let root = unpacked(&entries);
        let found = root.find(format!("l{count}").as_bytes());
        assert_eq!(found.map(|found| found.data), expected, "{count}");
    }
}
