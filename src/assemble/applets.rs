//! The applets of a BusyBox, read out of its ELF file: no program is run, so the architecture does not matter.
//!
//! BusyBox keeps the names of its applets in one table of its read-only data, each ended by a NUL, sorted by bytes
//! (`applet_names` in its generated `include/applet_tables.h`; the order is what its own binary search relies on). The table
//! is the longest sorted run of such names that holds an applet which every useful BusyBox has. Its first name may have bytes of
//! another table right before it: it is told from them by being one of the names that can be the first in an ordinary build, or
//! by those bytes.

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

/// A run of ascending names, perhaps with one that bytes of another table stand before.
#[derive(Default)]
struct Run<'d> {
    names: Vec<&'d [u8]>,
    /// The bytes that stand right before the first name, where that name is believed only if they are what BusyBox keeps there.
    before: Option<&'d [u8]>,
}

impl<'d> Run<'d> {
    /// Returns the run that begins with the end of a piece.
    fn beginning(piece: &'d [u8]) -> Run<'d> {
        let names = |name: &'d [u8]| vec![name];
        if is_name(piece) {
            return Run {
                names: names(piece),
                before: None,
            };
        }
        if let Some(name) = first_name(piece) {
            return Run {
                names: names(name),
                before: None,
            };
        }
        let start = (0..piece.len()).find(|at| is_name(&piece[*at..]));
        start.map_or_else(Run::default, |at| Run {
            names: names(&piece[at..]),
            before: Some(&piece[..at]),
        })
    }

    /// Returns the names, without a first one that is not believed.
    fn table(mut self) -> Vec<&'d [u8]> {
        if let Some(before) = self.before
            && !ends_with_places(before, self.names.len())
        {
            self.names.remove(0);
        }
        if is_table(&self.names) {
            self.names
        } else {
            Vec::new()
        }
    }
}

/// Says whether bytes end with `applet_install_loc`: the directory of each applet in four bits, 0 to 4. With FEATURE_INSTALLER
/// that table may stand right before the names.
fn ends_with_places(bytes: &[u8], applets: usize) -> bool {
    let is_place = |byte: &u8| byte & 15 <= 4 && byte >> 4 <= 4;
    let size = applets.div_ceil(2);
    let places = bytes.len().checked_sub(size).map(|at| &bytes[at..]);
    places.is_some_and(|places| places.iter().all(is_place))
}

/// Returns the longest strictly ascending run of names in `data` that holds a known applet; empty where there is none.
fn longest_table(data: &[u8]) -> Vec<&[u8]> {
    let mut best = Vec::new();
    let mut run = Run::default();
    // The empty piece at the end closes the last run.
    for piece in data.split(|byte| *byte == 0).chain([&data[..0]]) {
        let ascends = run.names.last().is_none_or(|last| *last < piece);
        if is_name(piece) && ascends {
            run.names.push(piece);
            continue;
        }
        let found = std::mem::take(&mut run).table();
        if found.len() > best.len() {
            best = found;
        }
        // The table's first name may stand right behind the bytes of another table.
        run = Run::beginning(piece);
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
    let good = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'+');
    let begins = name.first().is_some_and(u8::is_ascii_lowercase);
    let is_plain = begins && name.len() <= LONGEST_NAME && name.iter().all(good);
    // The one applet with brackets, by its two names.
    is_plain || matches!(name, b"[" | b"[[")
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
        let cases: [(&[u8], &[&str]); 10] = [
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
            // The bytes of `applet_install_loc`: one for every two names, letters among them.
            (
                b"/bin/\0\x11\x33cat\0hush\0mount\0",
                &["cat", "hush", "mount"],
            ),
            (
                b"\x11\x34\x03cat\0date\0hush\0mount\0sh\0",
                &["cat", "date", "hush", "mount", "sh"],
            ),
            // Text, or too few such bytes: another string.
            (
                b"PATH=/bin\0cat\0hush\0mount\0sh\0",
                &["cat", "hush", "mount", "sh"],
            ),
            (
                b"\x11\x03bin\0cat\0hush\0mount\0sh\0",
                &["cat", "hush", "mount", "sh"],
            ),
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
