//! An initramfs as the kernel and `mkimg ls` read it.

use std::io::{self, BufReader, Read as _};

use crate::pack::read::{Reader, Root, sole};

/// The most bytes of bodies that are read out of one input.
const UNPACKED: u64 = 32 << 20;

pub(super) fn run(data: &[u8]) {
    read(data);
    for compressed in [false, true] {
        let _ = sole(BufReader::new(data), compressed, UNPACKED);
    }
}

fn read(data: &[u8]) {
    let mut archive = Reader::new(data);
    let mut root = Root::default();
    let (mut entry, mut left) = (0, UNPACKED);
    while let Ok(Some(record)) = archive.next_record() {
        let target = match record.is_symlink() {
            true => match archive.target() {
                Ok(target) => Some(target),
                Err(_) => return,
            },
            false => None,
        };
        let body = io::copy(&mut archive.body().take(left), &mut io::sink());
        left -= body.unwrap_or(left);
        if left == 0 {
            return;
        }
        let segment = archive.segments().len();
        root.unpack(entry, segment, &record, target.as_deref());
        let _ = root.find(record.path());
        entry += 1;
    }
    for seen in root.files() {
        assert!(seen.entry < entry && seen.data < entry);
    }
}
