//! What is damaged, cut off or no archive: an error that says so, never a panic.

use mkimg::diff::{self, Side};

use crate::cli::{Project, fails};
use crate::newc::{Files, archive, compare};

#[test]
fn what_cannot_be_compared_is_said_with_its_exit_code() {
    let project = Project::new();
    let whole = archive().bytes();
    let plain = archive().plain();
    let write = |name: &str, bytes: &[u8]| std::fs::write(project.path(name), bytes).unwrap();
    write("good.cpio.gz", &whole);
    write("cut.cpio.gz", &whole[..whole.len() / 2]);
    write("cut.cpio", &plain[..300]);
    write("empty.cpio", b"");
    write("zeros.cpio", &[0; 4096]);
    write("lz4.cpio.lz4", b"\x02\x21\x4c\x18 and what follows");
    write("frame.lz4", b"\x04\x22\x4d\x18 and what follows");
    write("data.bz2", b"BZh91AY");
    write("data.lzma", b"\x5d\0\0\x80\0");
    write("odc.cpio", &[b"070707", &plain[6..]].concat());
    write("bin.cpio", b"\xc7\x71 and what follows");
    write("odd.cpio", &[b"070709", &plain[6..]].concat());
    write("text.txt", b"hello");
    std::fs::create_dir(project.path("dir")).unwrap();
    std::fs::create_dir(project.path("odd")).unwrap();
    write("odd/image.json", b"{}");
    let cases = [
        ("cut.cpio.gz", 1, "cannot be read as an archive"),
        ("cut.cpio", 1, "the archive ends inside"),
        ("empty.cpio", 1, "the input is empty or has only zeros"),
        ("zeros.cpio", 1, "the input is empty or has only zeros"),
        ("lz4.cpio.lz4", 1, "lz4 -dc"),
        ("frame.lz4", 1, "the kernel does not unpack"),
        ("data.bz2", 1, "bzip2 -dc"),
        ("data.lzma", 1, "xz --format=lzma -dc"),
        ("odc.cpio", 1, "old format (odc)"),
        ("bin.cpio", 1, "oldest format (bin)"),
        ("odd.cpio", 1, "`070709`"),
        ("-", 2, "put it into a file"),
        ("nowhere.cpio", 2, "there is no file"),
        ("text.txt", 2, "text.txt"),
        ("dir", 2, "it has no image.json"),
        ("odd", 1, "no image of this mkimg"),
        ("/dev/null", 2, "is no regular file"),
        ("nowhere", 2, "nowhere"),
    ];
    for (name, code, expected) in cases {
        for pair in [[name, "good.cpio.gz"], ["good.cpio.gz", name]] {
            let said = fails(&mut project.mkimg(["diff", pair[0], pair[1]]), code);
            assert!(said.contains(expected), "{name}: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

#[test]
fn any_byte_of_an_archive_may_be_another_one() {
    let plain = archive().plain();
    let good = Files::new(&plain, &plain);
    assert!(good.compare().is_same());
    for at in 0..plain.len() {
        let mut bytes = plain.clone();
        bytes[at] ^= 0x11;
        let files = Files::new(&plain, &bytes);
        let sides = ["a", "b"].map(|name| Side::open(&files.path(name)).unwrap());
        // An error is fine where the archive is none any more, sameness never.
        if let Ok(difference) = diff::compare(&sides[0], &sides[1]) {
            assert!(!difference.is_same(), "byte {at} was passed over");
            assert!(!difference.lines(true).is_empty() && difference.json()["same"] == false);
        }
    }
}

#[test]
fn nothing_of_an_archive_moves_the_cursor() {
    let evil = archive().with(|b| {
        b.entry("etc/motd").name = "etc/\u{1b}[2Jmotd".to_owned();
        b.entry("etc/zone").data = b"\x1b]0;title\x07\n\xe2\x80\xae\n".to_vec();
        b.entry("bin/sh").data = b"\x1b[31m".to_vec();
    });
    let difference = crate::newc::compare(&archive(), &evil);
    for line in difference.lines(true) {
        assert!(
            !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
    }
}

#[test]
fn of_two_entries_of_a_path_the_later_is_compared() {
    let mut first = archive().entry("etc/motd").clone();
    first.data = b"what nobody sees\n".to_vec();
    for name in ["etc/motd", "./etc/motd", "/etc//conf/../motd"] {
        first.name = name.to_owned();
        let hidden = archive().with(|b| {
            let at = b
                .entries
                .iter()
                .position(|entry| entry.name == "etc/motd")
                .unwrap();
            b.entries.insert(at, first.clone());
        });
        let difference = compare(&archive(), &hidden);
        let names = |layer: &diff::Layered| -> Vec<&str> {
            layer
                .groups
                .iter()
                .map(|group| group.field.name())
                .collect()
        };
        let layers: Vec<_> = difference
            .layers()
            .iter()
            .map(|layer| (layer.layer.name(), names(layer)))
            .collect();
        assert!(layers.contains(&("tree", vec![])), "{name}: {layers:?}");
        assert!(
            layers.contains(&("archive form", vec!["replaced entry"])),
            "{name}: {layers:?}"
        );
        // The other way round, the path has another content.
        let shown = archive().with(|b| {
            let at = b
                .entries
                .iter()
                .position(|entry| entry.name == "etc/motd")
                .unwrap();
            b.entries.insert(at + 1, first.clone());
        });
        let lines = compare(&archive(), &shown).lines(true).join("\n");
        assert!(lines.contains("+what nobody sees"), "{name}: {lines}");
    }
}

#[test]
fn what_nothing_comes_out_of_differs_too() {
    use std::io::Write as _;
    let project = Project::new();
    let write = |name: &str, bytes: &[u8]| {
        let mut file = std::fs::File::create(project.path(name)).unwrap();
        file.write_all(bytes).unwrap();
        Side::open(&project.path(name)).unwrap()
    };
    let whole = archive().bytes();
    let empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let a = write("a.cpio.gz", &whole);
    let b = write(
        "b.cpio.gz",
        &[empty.finish().unwrap(), whole.clone()].concat(),
    );
    assert!(diff::compare(&a, &a).unwrap().is_same());
    let difference = diff::compare(&a, &b).unwrap();
    assert!(!difference.is_same(), "{:#?}", difference.lines(true));
}

#[test]
fn a_recipe_called_like_an_initrd_is_a_recipe() {
    let tiny = crate::tiny::Tiny::new();
    let recipe = tiny.recipe("", "file \"/a\" text=\"1\"");
    let (project, named) = (&tiny.project, "images/initrd.cpio.kdl");
    std::fs::copy(recipe, project.path(named)).unwrap();
    crate::cli::run(&mut project.mkimg(["diff", named, "images/tiny.kdl"]));
}

#[test]
fn texts_of_many_short_lines_that_differ_take_no_minutes() {
    let texts = |letter: char| {
        archive().with(|a| {
            let model = a.entry("etc/motd").clone();
            for number in 0..8 {
                let mut entry = model.clone();
                entry.name = format!("text/{number}");
                let lines = (0..30_000).map(|line| format!("{letter}{line:05}\n"));
                entry.data = lines.collect::<String>().into_bytes();
                a.entries.push(entry);
            }
        })
    };
    // Line by line this takes some minutes, which the test's own bound on time would not survive.
    let lines = compare(&texts('a'), &texts('b')).lines(true).join("\n");
    for line in ["-a00000", "+b00000", "too many to compare"] {
        assert_eq!(lines.matches(line).count(), 8, "{line}: {lines}");
    }
}

#[test]
fn each_block_of_shared_data_is_read_that_is_asked_for() {
    // Two names of one large file against two files, each of which differs from it elsewhere.
    let data = |changed: usize| {
        let blocks = (0..80u8).flat_map(|block| vec![block; 64 * 1024]);
        let mut data: Vec<u8> = blocks.collect();
        if let Some(byte) = data.get_mut(changed) {
            *byte = 255;
        }
        data
    };
    let large = |name: &str, number: u32, data: Vec<u8>| {
        let mut entry = archive().entry("etc/motd").clone();
        (entry.name, entry.ino, entry.data) = (name.to_owned(), number, data);
        entry
    };
    let linked = archive().with(|a| {
        a.gzip = None;
        a.entries = vec![
            large("one", 1, Vec::new()),
            large("two", 1, data(usize::MAX)),
        ];
        a.each(|entry| entry.nlink = 2);
    });
    let apart = archive().with(|a| {
        a.gzip = None;
        a.entries = vec![
            large("one", 1, data(3 * 65536 + 5)),
            large("two", 2, data(70 * 65536 + 9)),
        ];
    });
    let lines = compare(&linked, &apart).lines(true).join("\n");
    for offset in [3 * 65536 + 5, 70 * 65536 + 9] {
        assert!(
            lines.contains(&format!("first at byte {offset}")),
            "{lines}"
        );
    }
}

#[test]
fn long_names_and_targets_leave_room_for_what_differs() {
    let long = |letter: &str| {
        archive().with(|a| {
            a.entry("bin/sh").data = letter.repeat(3000).into_bytes();
            a.entry("etc/motd").name = format!("etc/{}", "n".repeat(2000));
            a.entry("init").mode |= if letter == "a" { 0 } else { 0o4000 };
            a.entry("init").name = "i".repeat(1000);
        })
    };
    let difference = compare(&long("a"), &long("b"));
    crate::screen::fits(&crate::screen::text(&difference.lines(false)));
    let all = difference.lines(true).join("\n");
    assert!(all.contains(&"b".repeat(3000)) && all.contains(&"i".repeat(1000)));
}
