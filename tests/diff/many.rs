//! Very many large contents that differ: memory is bounded, and every one is told all the same.

use crate::newc::{archive, compare};

#[test]
fn of_more_contents_than_are_held_the_block_is_told() {
    let large = |changed: u8| {
        archive().with(|a| {
            let model = a.entry("etc/motd").clone();
            a.gzip = None;
            for number in 0..900u32 {
                let mut entry = model.clone();
                entry.name = format!("many/{number:04}");
                entry.ino = 100 + number;
                entry.data = vec![7; 100_000];
                entry.data[90_000] = changed;
                a.entries.push(entry);
            }
        })
    };
    let difference = compare(&large(1), &large(2));
    let lines = difference.lines(true);
    let with = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    let (exact, block) = (
        with("first at byte 90000"),
        with("first in the 64 KiB from byte 65536"),
    );
    // 24 MiB of whole contents, then 384 blocks.
    assert_eq!((exact, block), (251 + 384, 900 - 251 - 384));
}
