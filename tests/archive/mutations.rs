//! Thousands of broken archives of every kind: an error or members, never a panic, and never more than the limit.

use mkimg::source::Limits;

use super::bed::{Bed, Tar, all, ar, deb, filter, one};

/// A xorshift generator: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

fn mutated(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = at + random.below(bytes.len() - at).min(64);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            2 => bytes[at..end].fill(0),
            3 => bytes.truncate(at.max(1)),
            4 => {
                let part = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, part);
            }
            _ => {
                bytes.drain(at..end);
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

#[test]
fn no_broken_archive_makes_it_panic_or_read_without_end() {
    let text: Vec<u8> = (0..3000u32).map(|n| (n * n / 7 % 251) as u8).collect();
    let tar = Tar::new()
        .pax(b'g', &[("comment", b"c")])
        .dir("./")
        .dir("d")
        .file("d/f", &text)
        .header(b"L", b'L', &[b'n'; 120], |_| {})
        .file("short", b"long")
        .pax(b'x', &[("path", b"p"), ("size", b"5"), ("mtime", b"1.5")])
        .file("short", b"12345")
        .link("s", b'2', "d/f")
        .link("h", b'1', "d/f")
        .header(b"tty", b'3', b"", |_| {})
        .end();
    let mut archives = vec![tar.clone(), deb(&tar)];
    for (program, arguments) in [
        ("gzip", &["-c"][..]),
        ("xz", &["-c"]),
        ("xz", &["-c", "-T2", "--block-size=2KiB"]),
        ("zstd", &["-c", "--check"]),
    ] {
        let Some(bytes) = filter(program, arguments, &tar) else {
            return;
        };
        let suffix = match program {
            "gzip" => "gz",
            "zstd" => "zst",
            other => other,
        };
        archives.push(ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar.xz", b""),
            (&format!("data.tar.{suffix}"), &bytes),
        ]));
        archives.push(bytes);
    }
    let limits = Limits {
        max_unpacked: 1 << 20,
        jobs: 2,
    };
    let bed = Bed::new();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut good, mut bad) = (0, 0);
    for archive in &archives {
        assert_eq!(bed.read_limited(archive, &all(), &limits).unwrap().len(), 7);
        for turn in 0..400 {
            let bytes = mutated(archive, &mut random);
            let want = match turn % 3 {
                0 => one("h"),
                1 => one("d/*"),
                _ => all(),
            };
            match bed.read_limited(&bytes, &want, &limits) {
                Ok(members) => {
                    // Digests and sizes hold for whatever was found.
                    super::bed::dump(&members);
                    good += 1;
                }
                Err(_) => bad += 1,
            }
        }
    }
    assert!(good > 100 && bad > 1000, "{good} {bad}");
}
