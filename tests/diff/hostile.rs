//! What is damaged, cut off or no archive: an error that says so, never a panic.

use mkimg::diff::{self, Side};

use crate::cli::{Project, fails};
use crate::newc::{Files, archive};

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
    write("text.txt", b"hello");
    std::fs::create_dir(project.path("dir")).unwrap();
    std::fs::create_dir(project.path("odd")).unwrap();
    write("odd/image.json", b"{}");
    let cases = [
        ("cut.cpio.gz", 1, "no archive that the kernel would unpack"),
        ("cut.cpio", 1, "the archive ends inside"),
        ("empty.cpio", 1, "the input is empty or has only zeros"),
        ("zeros.cpio", 1, "the input is empty or has only zeros"),
        ("lz4.cpio.lz4", 1, "begins neither"),
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
