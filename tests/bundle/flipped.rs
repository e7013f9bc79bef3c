//! Any one byte of a bundle changed: refused, whichever it is.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use mkimg::digest::Digest;
use mkimg::fault::{Fault as _, Outcome};
use mkimg::share::bundle::Bundle;

use mkimg::share::{ShareError, find};

use crate::cli::{Project, fails, run};
use crate::parts::{of_tiny, of_two};
use crate::support::tool;

/// A member of a bundle: where its header begins, its name and its size.
struct Part {
    at: usize,
    name: String,
    size: usize,
}

/// Returns the members, and where the zeros behind them begin.
fn members(bundle: &[u8]) -> (Vec<Part>, usize) {
    let mut members = Vec::new();
    let mut at = 0;
    while bundle[at] != 0 {
        let text = |from: usize, length: usize| {
            let field = &bundle[at + from..at + from + length];
            String::from_utf8_lossy(field)
                .trim_end_matches('\0')
                .to_owned()
        };
        let size = usize::from_str_radix(&text(124, 12), 8).unwrap();
        let name = text(0, 100);
        members.push(Part { at, name, size });
        at += 512 + size.next_multiple_of(512);
    }
    (members, at)
}

/// Returns the bytes to change: each one that means something by itself, which are those of headers and of files without a
/// digest. Of a blob, which its digest holds as a whole, and of zeros, which are compared as a whole, each sixteenth and the last.
fn positions(bundle: &[u8]) -> Vec<usize> {
    fn some(of: Range<usize>, positions: &mut Vec<usize>) {
        positions.extend(of.clone().step_by(16).chain(of.last()));
    }
    let mut positions = Vec::new();
    let (members, end) = members(bundle);
    for Part { at, name, size } in members {
        let body = at + 512..at + 512 + size;
        positions.extend(at..body.start);
        match name.contains("blobs/sha256/") {
            true => some(body.clone(), &mut positions),
            false => positions.extend(body.clone()),
        }
        some(
            body.end..at + 512 + size.next_multiple_of(512),
            &mut positions,
        );
    }
    some(end..bundle.len(), &mut positions);
    positions
}

/// Changes bytes in a copy of its own, one at a time, and reads the bundle.
fn flip(bundle: &[u8], path: &Path, positions: &[usize]) {
    fs::write(path, bundle).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    for &at in positions {
        // A bit that makes other text of text, and one that makes none.
        let bit = [0x01, 0x80][at % 2];
        file.write_all_at(&[bundle[at] ^ bit], at as u64).unwrap();
        let error = match Bundle::open(path) {
            Ok(_) => panic!("byte {at} may be {:#x}", bundle[at] ^ bit),
            Err(error) => error,
        };
        assert_eq!(error.outcome(), Outcome::Mismatch, "byte {at}: {error}");
        let said = error.to_string();
        let objects = ["bundle `", "the manifest `sha256:", "the blob `sha256:"];
        let named = objects.iter().any(|object| said.contains(object));
        assert!(named, "byte {at}: {said}");
        file.write_all_at(&bundle[at..=at], at as u64).unwrap();
    }
    Bundle::open(path).unwrap();
}

#[test]
fn each_single_byte_of_a_bundle_is_held_to_something() {
    let (project, path) = of_tiny();
    let bundle = fs::read(path).unwrap();
    let positions = positions(&bundle);
    assert!(positions.len() > 6000, "{}", positions.len());
    let (one, two) = positions.split_at(positions.len() / 2);
    let (first, second) = (project.path("first"), project.path("second"));
    thread::scope(|scope| {
        scope.spawn(|| flip(&bundle, &first, one));
        scope.spawn(|| flip(&bundle, &second, two));
    });
}

#[test]
fn the_program_refuses_a_change_in_every_region_and_names_the_object() {
    let (_project, path) = of_two();
    let bundle = fs::read(&path).unwrap();
    let (members, at) = members(&bundle);
    assert!(members.len() > 12, "{}", members.len());
    // What is changed, and what the message has in it.
    let mut cases = vec![
        (at, format!("the header at byte {at} is damaged")),
        (bundle.len() - 1, "something follows its end".to_owned()),
    ];
    for Part { at, name, size } in &members {
        // Name, mode, size, sum, kind, magic, the part behind.
        for field in [3, 103, 130, 150, 156, 258, 510] {
            cases.push((at + field, "header".to_owned()));
        }
        let bodies = [0, size / 2, size - 1].map(|offset| (at + 512 + offset, name.clone()));
        cases.extend(bodies);
        if size % 512 != 0 {
            let padding = at + 512 + size.next_multiple_of(512) - 1;
            cases.push((padding, format!("the bytes behind `{name}` are not zero")));
        }
    }
    let project = Project::new();
    let broken = project.path("broken.mkimg");
    for (at, words) in cases {
        let mut bytes = bundle.clone();
        bytes[at] ^= 1;
        fs::write(&broken, bytes).unwrap();
        let said = fails(&mut project.mkimg(["import", "broken.mkimg"]), 3);
        if at % 7 == 0 {
            let verified = fails(&mut project.mkimg(["verify", "broken.mkimg"]), 3);
            assert!(verified.contains(&words), "byte {at}, {words}: {verified}");
        }
        assert!(said.contains(&words), "byte {at}, {words}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    // Nothing of all that is in the cache; and the bundle itself is right.
    assert!(!project.path("cache/imports-v1").exists());
    run(project.mkimg(["import"]).arg(path));
}

#[test]
fn no_single_byte_makes_another_image_of_what_another_tool_packed() {
    let (project, path) = of_tiny();
    let Some(tar) = tool("tar") else {
        return;
    };
    let right = found(&path).unwrap();
    run(Command::new(&tar).current_dir(project.path("")).args([
        "xf",
        "tiny.mkimg",
        "--one-top-level=layout",
    ]));
    let packed = project.path("packed.mkimg");
    let mut pack = Command::new(&tar);
    pack.args(["--format=gnu", "-cf"]).arg(&packed);
    run(pack
        .arg("-C")
        .arg(project.path("layout"))
        .args([".", "--sort=name"]));
    assert_eq!(found(&packed).unwrap(), right);
    let bytes = fs::read(&packed).unwrap();
    let file = fs::File::options().write(true).open(&packed).unwrap();
    let mut accepted = 0;
    let positions = positions(&bytes);
    for &at in &positions {
        file.write_all_at(&[bytes[at] ^ 0x20], at as u64).unwrap();
        match found(&packed) {
            // Such as a blank for a NUL behind a number.
            Ok(other) => {
                accepted += 1;
                assert_eq!(other, right, "byte {at}");
            }
            Err(error) => assert_eq!(error.outcome(), Outcome::Mismatch, "byte {at}: {error}"),
        }
        file.write_all_at(&bytes[at..=at], at as u64).unwrap();
    }
    assert!(accepted < positions.len() / 30, "{accepted} are accepted");
}

/// The image that a bundle names, after all of it was read.
fn found(path: &Path) -> Result<Digest, ShareError> {
    let bundle = Bundle::open(path)?;
    Ok(find(&bundle, &bundle.name)?.root.digest)
}
