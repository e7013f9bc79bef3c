//! Trees to pack, and programs to ask about the result.
#![allow(dead_code)]

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};

use mkimg::digest::Digest;
use mkimg::pack::{Compression, Packed, pack};
use mkimg::tree::{Content, Entry, EntryPath, Kind, Tree};

pub(crate) const BLOCK: usize = 512 * 1024;

pub(crate) fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

pub(crate) fn packed(tree: &Tree, compression: Compression, count: usize) -> (Vec<u8>, Packed) {
    let mut out = Vec::new();
    let packed = pack(tree, compression, jobs(count), &mut out, &mut |_| {}).unwrap();
    assert_eq!(packed.output, Digest::of(&out));
    assert_eq!(packed.output_size, out.len() as u64);
    (out, packed)
}

pub(crate) fn entry(kind: Kind) -> Entry {
    Entry {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        origin: Some(0),
    }
}

pub(crate) fn tree(entries: impl IntoIterator<Item = (&'static str, Kind)>) -> Tree {
    let mut tree = Tree::new(0);
    for (path, kind) in entries {
        let path = EntryPath::new(path.as_bytes()).unwrap();
        tree.insert(path, entry(kind)).unwrap();
    }
    tree
}

pub(crate) fn file(bytes: Vec<u8>) -> Kind {
    Kind::File(Content::memory(bytes))
}

pub(crate) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Words, runs, numbers and noise in turns, as an image has them.
pub(crate) fn mixture(size: usize) -> Vec<u8> {
    let mut next = random(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(size + 4096);
    while bytes.len() < size {
        let value = next();
        match value % 5 {
            0 => bytes.extend((0..300).map(|_| next() as u8)),
            1 => bytes.resize(bytes.len() + value as usize % 3000, 0),
            2 => (0..400).for_each(|n: u32| bytes.extend((value as u32 + 24 * n).to_le_bytes())),
            _ => (0..200).for_each(|_| {
                let words = ["kernel ", "module ", "symbol\0", "return ", "struct ", "0x"];
                bytes.extend(words[next() as usize % words.len()].as_bytes());
            }),
        }
    }
    bytes.truncate(size);
    bytes
}

/// Runs a program with some input; returns its output. It must succeed and say nothing on standard error.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.is_empty(),
        "{command:?}: {said}"
    );
    output.stdout
}
