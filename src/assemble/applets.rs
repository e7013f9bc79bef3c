//! The applets of a BusyBox, read out of its ELF file: no program is run, so the architecture does not matter.
//!
//! BusyBox keeps the names of its applets in one table of its read-only data, each ended by a NUL, sorted by bytes
//! (`applet_names` in its generated `include/applet_tables.h`; the order is what its own binary search relies on). The table
//! is the longest sorted run of such names that holds an applet which every useful BusyBox has.

use object::read::{Object as _, ObjectSection as _, ObjectSegment as _};

/// Why no applets could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppletsError {
    /// The file is no ELF file.
    #[error("it is no ELF file ({0})")]
    NotElf(String),
    /// The file is a whole package: its entry says no `path=`.
    #[error("it is a package, not a file out of one")]
    Archive,
    /// No table of names was found.
    #[error("it holds no table of applet names: it may be packed, or no BusyBox")]
    NoTable,
}

/// The fewest names that count as a table: fewer could be a coincidence.
const FEWEST: usize = 3;
/// The longest name of an applet that is believed.
const LONGEST_NAME: usize = 32;
/// One of these is in every BusyBox that can be of use in an image; a sorted run without any is another table.
const KNOWN: [&[u8]; 8] = [
    b"ash", b"busybox", b"cat", b"echo", b"hush", b"init", b"mount", b"sh",
];

/// The names that can be the first of a table, in the order of BusyBox's `--list` with everything configured.
const FIRST: [&[u8]; 22] = [
    b"[",
    b"[[",
    b"acpid",
    b"add-shell",
    b"addgroup",
    b"adduser",
    b"adjtimex",
    b"ar",
    b"arch",
    b"arp",
    b"arping",
    b"ascii",
    b"ash",
    b"awk",
    b"base32",
    b"base64",
    b"basename",
    b"bash",
    b"bc",
    b"beep",
    b"blkid",
    b"busybox",
];

/// Returns the names of the applets that an ELF file of BusyBox has, sorted by bytes.
///
/// # Errors
/// [`AppletsError`] where the file is no ELF file or has no such table.
pub fn applets(elf: &[u8]) -> Result<Vec<String>, AppletsError> {
    if elf.starts_with(b"!<arch>\n") {
        return Err(AppletsError::Archive);
    }
    let file = object::File::parse(elf).map_err(|error| AppletsError::NotElf(error.to_string()))?;
    let mut best: Vec<&[u8]> = Vec::new();
    for data in read_only_data(&file) {
        let found = longest_table(data);
        if found.len() > best.len() {
            best = found;
        }
    }
    if best.is_empty() {
        return Err(AppletsError::NoTable);
    }
    // Every byte of a name passed `is_name`, so nothing is lost here.
    Ok(best
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

/// Returns the parts of the file that hold constants: the `.rodata` sections, or the loaded segments where the section
/// table was stripped off.
fn read_only_data<'d>(file: &object::File<'d>) -> Vec<&'d [u8]> {
    let sections = file.sections();
    let constants =
        sections.filter(|section| section.name().is_ok_and(|name| name.starts_with(".rodata")));
    let data: Vec<&[u8]> = constants
        .filter_map(|section| section.data().ok())
        .collect();
    if !data.is_empty() {
        return data;
    }
    file.segments()
        .filter_map(|segment| segment.data().ok())
        .collect()
}

/// Returns the longest strictly ascending run of names in `data` that holds a known applet; empty where there is none.
fn longest_table(data: &[u8]) -> Vec<&[u8]> {
    let mut best = Vec::new();
    let mut run: Vec<&[u8]> = Vec::new();
    // The empty piece at the end closes the last run.
    for piece in data.split(|byte| *byte == 0).chain([&data[..0]]) {
        let ascends = run.last().is_none_or(|last| *last < piece);
        if is_name(piece) && ascends {
            run.push(piece);
            continue;
        }
        if is_table(&run) && run.len() > best.len() {
            best = std::mem::take(&mut run);
        }
        run.clear();
        // The table's first name may stand right behind the bytes of another table.
        run.extend(if is_name(piece) {
            Some(piece)
        } else {
            first_name(piece)
        });
    }
    best
}

fn is_table(run: &[&[u8]]) -> bool {
    run.len() >= FEWEST && run.iter().any(|name| KNOWN.contains(name))
}

/// Returns the name of a first applet that the bytes end with, the longest of them.
fn first_name(piece: &[u8]) -> Option<&[u8]> {
    let fitting = FIRST.iter().filter(|name| piece.ends_with(name));
    let longest = fitting.map(|name| name.len()).max()?;
    Some(&piece[piece.len() - longest..])
}

fn is_name(name: &[u8]) -> bool {
    let good =
        |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'[' | b'_' | b'-' | b'.' | b'+');
    let begins = name
        .first()
        .is_some_and(|first| matches!(first, b'a'..=b'z' | b'['));
    begins && name.len() <= LONGEST_NAME && name.iter().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(data: &[u8]) -> Vec<String> {
        let names = longest_table(data).into_iter();
        names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    #[test]
    fn the_table_is_found_between_other_strings() {
        let cases: [(&[u8], &[&str]); 6] = [
            (
                b"\xbb\x82\0[\0[[\0ash\0cat\0zcat\0\0more",
                &["[", "[[", "ash", "cat", "zcat"],
            ),
            (b"8\0[\0[[\0ash\0Usage: ", &["[", "[[", "ash"]),
            (b"\x12\x90[\0[[\0ash\0", &["[", "[[", "ash"]),
            (b"\x12\x90ash\0cat\0ls\0cat\0", &["ash", "cat", "ls"]),
            (
                b"alpha\0beta\0gamma\0delta\0ash\0cat\0ls",
                &["ash", "cat", "ls"],
            ),
            (b"alpha\0beta\0gamma\0", &[]),
        ];
        for (data, names) in cases {
            assert_eq!(table(data), names, "{}", data.escape_ascii());
        }
    }

    #[test]
    fn a_file_that_is_no_busybox_is_refused_with_the_reason() {
        assert!(matches!(
            applets(b"#!/bin/sh\n"),
            Err(AppletsError::NotElf(_))
        ));
    }
}
