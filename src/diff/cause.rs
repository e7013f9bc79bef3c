//! What is likely to have happened, in one table: the first cause that fits a group is told.

use std::collections::BTreeSet;

use super::change::{Change, Field, Group};
use super::entries::{Sorted, sorted};
use super::scan::Scan;

/// What the causes know of both archives beside the group.
#[derive(Debug)]
pub(super) struct Facts {
    /// The entries that both have.
    pub(super) shared: usize,
    /// By what the entries are in order.
    pub(super) orders: [Sorted; 2],
    /// The first inode number, where they are counted in the order of the entries.
    pub(super) counted: [Option<u32>; 2],
    /// How many different times there are.
    pub(super) times: [usize; 2],
    /// The trees are the same.
    pub(super) same_tree: bool,
    /// Headers and padding are the same.
    pub(super) same_form: bool,
    /// Both are compressed, at least in part.
    compressed: bool,
    /// The images are for two architectures.
    architectures: bool,
}

impl Facts {
    /// Returns the facts of two archives.
    pub(super) fn of(scans: [&Scan; 2], shared: usize, same_tree: bool, same_form: bool) -> Facts {
        let times = scans.map(|scan| {
            let times = scan.entries.iter().map(|entry| entry.record.mtime);
            times.collect::<BTreeSet<_>>().len()
        });
        Facts {
            shared,
            orders: scans.map(sorted),
            counted: scans.map(counted),
            times,
            same_tree,
            same_form,
            compressed: scans.iter().all(|scan| {
                let mut segments = scan.segments.iter();
                segments.any(|segment| segment.compression != "none")
            }),
            architectures: false,
        }
    }

    /// Adds whether the images are for two architectures.
    pub(super) fn across(mut self, architectures: bool) -> Facts {
        self.architectures = architectures;
        self
    }
}

/// Returns the first inode number, where each is the one after that of the entry before.
fn counted(scan: &Scan) -> Option<u32> {
    let mut inodes = scan.entries.iter().map(|entry| entry.record.ino);
    let first = inodes.next()?;
    let mut last = first;
    for inode in inodes {
        if last.checked_add(1) != Some(inode) {
            return None;
        }
        last = inode;
    }
    Some(first)
}

/// A cause: its name, the field that shows it, and what it says where it fits.
type Cause = (&'static str, Field, fn(&Group, &Facts) -> Option<String>);

/// All causes; of one field the more particular come first.
#[rustfmt::skip]
const CAUSES: [Cause; 35] = [
    ("architecture", Field::Source, |_, facts| all_of([facts.architectures],
        "two architectures: each has its own packages, and what follows comes of that")),
    ("sources", Field::Source, |_, _| said("the recipes pin other bytes; what follows may come of that")),
    ("umask", Field::Mode, umask),
    ("write-protected", Field::Mode, |group, _| every(group, |[old, new]| old & !0o222 == new || new & !0o222 == old,
        "no write bits: a store such as Nix's takes them away")),
    ("owner", Field::Owner, owner),
    ("recipe-epoch", Field::Mtime, epoch),
    ("host-mtime", Field::Mtime, host_times),
    ("temp-path", Field::Content, |group, _| told(group, temp_path, "a path of the place where it was made got into")),
    ("environment", Field::Content, |group, _| told(group, environment, "a value of the environment it was made in got into")),
    ("time", Field::Content, |group, _| told(group, date, "the time when it was made got into")),
    ("line-ends", Field::Content, |group, _| told(group, |lines| pairwise(lines, |old, new| old.trim_end() == new.trim_end()),
        "blanks or line ends alone differ in")),
    ("build-id", Field::Content, |group, _| section(group, ".note.gnu.build-id",
        "the build id differs first: the program was linked anew")),
    ("debug-link", Field::Content, |group, _| section(group, ".gnu_debuglink", "the checksum of the debug file alone differs")),
    ("no-section", Field::Content, |group, _| section(group, "no section",
        "what differs lies behind the sections, as a module's signature does")),
    ("root-entry", Field::Added, |group, _| root(group)),
    ("root-entry", Field::Removed, |group, _| root(group)),
    ("name-prefix", Field::Name, |group, _| any_name(group, "./",
        "`find .` puts `./` before names; `find . -printf '%P\\n'` does not")),
    ("order", Field::Order, order),
    ("inode-shift", Field::Inode, |_, facts| all_of([facts.counted[0].is_some(), facts.counted[1].is_some(),
        facts.counted[0] == facts.counted[1]], "they are counted: what came, went or moved shifts those behind it")),
    ("inode-start", Field::Inode, |_, facts| all_of([facts.counted[0].is_some(), facts.counted[1].is_some()],
        "both count inode numbers, but from another one: another packer")),
    ("host-inode", Field::Inode, |_, facts| {
        let side = side_of(facts.counted.map(|counted| counted.is_none()))?;
        said(unreproducible(side))
    }),
    ("directory-nlink", Field::Nlink, directory_links),
    ("hard-links", Field::Nlink, |group, _| every(group, |[old, new]| old == 1 || new == 1,
        "hard links of its disk; mkimg makes each name a file of its own")),
    ("hard-links", Field::Links, |_, _| said("hard links of its disk; mkimg makes each name a file of its own")),
    ("host-device", Field::Host, |group, _| {
        let has = |side: usize| group.changes.iter().any(|change| [&change.old, &change.new][side] != "0:0");
        said(unreproducible(side_of([has(0), has(1)])?))
    }),
    ("link-data", Field::LinkData, |_, _| said("GNU cpio has the data of hard links with the last name, gen_init_cpio with the first")),
    ("target-nul", Field::TargetSize, |group, _| every(group, |[old, new]| old.abs_diff(new) == 1,
        "gen_init_cpio ends a symlink's target with a NUL, others do not")),
    ("hex-digits", Field::Digits, |_, _| said("another packer: bsdcpio writes lower case, GNU cpio upper case")),
    ("padding", Field::Padding, |_, _| said("GNU cpio and mkimg pad to 512 bytes, others otherwise (cpio -C)")),
    ("gzip-time", Field::Time, |_, facts| said(format!("gzip without -n stores a file's time{}", only(facts)))),
    ("gzip-name", Field::FileName, |_, facts| said(format!("gzip without -n stores the file's name{}", only(facts)))),
    ("gzip-system", Field::System, |_, _| said("another program: gzip writes 3 (Unix), mkimg 255 (unknown)")),
    ("gzip-effort", Field::Effort, |_, _| said("another level or program: 2 is the slowest, 4 the fastest level")),
    ("compressor", Field::Stream, |_, facts| all_of([facts.same_tree, facts.same_form, facts.compressed],
        "the same archive from another compressor, level or cut in blocks")),
    ("format", Field::Format, |_, facts| said(format!("compressed otherwise{}", only(facts)))),
];

/// Returns the names of all causes.
pub fn causes() -> impl Iterator<Item = &'static str> {
    CAUSES.iter().map(|(name, ..)| *name)
}

/// Returns the likely cause of a group: its name, and what it says.
pub(super) fn likely(group: &Group, facts: &Facts) -> Option<(&'static str, String)> {
    let mut causes = CAUSES.iter().filter(|(_, field, _)| *field == group.field);
    causes.find_map(|(name, _, says)| Some((*name, says(group, facts)?)))
}

fn said(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

fn all_of(conditions: impl IntoIterator<Item = bool>, text: &str) -> Option<String> {
    conditions
        .into_iter()
        .all(|holds| holds)
        .then(|| text.to_owned())
}

/// Inode and device numbers have one cause, which is then told once.
fn unreproducible(side: &str) -> String {
    format!("{side} has numbers of its disk: packed without --reproducible")
}

/// Says that nothing else differs, where nothing does.
fn only(facts: &Facts) -> &'static str {
    match facts.same_tree && facts.same_form {
        true => "; the archive inside is the same",
        false => "",
    }
}

/// Returns the side that something is true of, where it is not true of the other.
fn side_of(sides: [bool; 2]) -> Option<&'static str> {
    match sides {
        [true, false] => Some("a"),
        [false, true] => Some("b"),
        [true, true] => Some("each"),
        [false, false] => None,
    }
}

fn pairs(group: &Group) -> Option<Vec<[u64; 2]>> {
    group.changes.iter().map(|change| change.numbers).collect()
}

fn every(group: &Group, holds: fn([u64; 2]) -> bool, text: &str) -> Option<String> {
    pairs(group)?
        .into_iter()
        .all(holds)
        .then(|| text.to_owned())
}

fn umask(group: &Group, _: &Facts) -> Option<String> {
    let pairs = pairs(group)?;
    for (side, of, to) in [("b", 0, 1), ("a", 1, 0)] {
        for mask in [0o077u64, 0o027, 0o007, 0o022, 0o002] {
            if pairs.iter().all(|pair| pair[of] & !mask == pair[to]) {
                return said(format!("umask {mask:03o} where {side}'s tree was made"));
            }
        }
    }
    None
}

fn owner(group: &Group, _: &Facts) -> Option<String> {
    let of = |change: &Change, side: usize| [&change.old, &change.new][side].clone();
    for (side, name) in [(1, "b"), (0, "a")] {
        let owners: BTreeSet<String> = group
            .changes
            .iter()
            .map(|change| of(change, side))
            .collect();
        let others = group
            .changes
            .iter()
            .all(|change| of(change, 1 - side) == "0:0");
        if let (Some(owner), 1, true) = (owners.first(), owners.len(), others) {
            return said(format!(
                "{name} belongs to who packed it ({owner}): without --owner=+0:+0"
            ));
        }
    }
    None
}

fn epoch(_: &Group, facts: &Facts) -> Option<String> {
    all_of(
        facts.times.map(|times| times == 1),
        "each has one time for all: another `epoch`, or made in one second",
    )
}

fn host_times(group: &Group, facts: &Facts) -> Option<String> {
    let side = side_of(facts.times.map(|times| times > 1))?;
    said(match group.changes.len() * 2 > facts.shared {
        true => format!("{side} has the times of the files on disk (touch -h -d @0 sets them)"),
        false => format!("{side} has times of files on disk"),
    })
}

fn directory_links(group: &Group, _: &Facts) -> Option<String> {
    let counts: Option<Vec<([u64; 2], u64)>> = group
        .changes
        .iter()
        .map(|change| Some((change.numbers?, change.directories?)))
        .collect();
    let counts = counts?;
    for (side, host) in [("b", 1), ("a", 0)] {
        if counts.iter().any(|(numbers, _)| numbers[1 - host] != 2) {
            continue;
        }
        let count = if counts.iter().all(|(numbers, _)| numbers[host] == 1) {
            " (1, as on btrfs and overlayfs)"
        } else if counts
            .iter()
            .all(|(numbers, inside)| numbers[host] == inside + 2)
        {
            " (2 and one per subdirectory)"
        } else {
            ""
        };
        return said(format!(
            "{side} has its file system's count of links{count}"
        ));
    }
    None
}

fn order(_: &Group, facts: &Facts) -> Option<String> {
    let has = |sorted| side_of(facts.orders.map(|order| order == sorted));
    if let Some(side) = has(Sorted::Not) {
        return said(format!(
            "{side} is in the order of its disk: `find` without `LC_ALL=C sort`"
        ));
    }
    if let Some(side) = has(Sorted::Locale) {
        return said(format!(
            "{side} was sorted by a locale: `sort` without LC_ALL=C"
        ));
    }
    let side = has(Sorted::Components)?;
    said(format!(
        "{side} was sorted name by name within each directory: another packer"
    ))
}

fn root(group: &Group) -> Option<String> {
    let root = group.changes.iter().any(|change| change.path == "/");
    root.then(|| "`find .` lists the root too; `find . -mindepth 1` does not".to_owned())
}

fn any_name(group: &Group, prefix: &str, text: &str) -> Option<String> {
    let has = |change: &Change| change.old == prefix || change.new == prefix;
    group.changes.iter().any(has).then(|| text.to_owned())
}

fn section(group: &Group, name: &str, text: &str) -> Option<String> {
    let first = |change: &Change| change.detail.section.as_deref() == Some(name);
    group.changes.iter().all(first).then(|| text.to_owned())
}

/// Says of the first content that a test of its lines holds for, which.
fn told(group: &Group, holds: fn(&[String]) -> bool, text: &str) -> Option<String> {
    let found = group
        .changes
        .iter()
        .find(|change| holds(&change.detail.lines))?;
    said(format!("{text} {}", found.path))
}

/// Returns the lines that went and those that came.
fn changed(lines: &[String]) -> impl Iterator<Item = &str> {
    let body = lines
        .iter()
        .filter(|line| !line.starts_with("---") && !line.starts_with("+++"));
    body.filter(|line| line.starts_with(['-', '+']))
        .map(String::as_str)
}

fn temp_path(lines: &[String]) -> bool {
    let places = [
        "/tmp/",
        "/var/tmp/",
        "/dev/shm/",
        "/home/",
        "/root/",
        "/build/",
    ];
    let has = |line: &str| places.iter().any(|place| line.contains(place));
    changed(lines).any(has)
}

fn environment(lines: &[String]) -> bool {
    const NAMES: [&str; 12] = [
        "HOME", "USER", "LOGNAME", "HOSTNAME", "PATH", "PWD", "LANG", "LC_ALL", "TZ", "TMPDIR",
        "SHELL", "TERM",
    ];
    let has = |line: &str| {
        let text = line[1..].trim_start().trim_start_matches("export ");
        text.split_once('=')
            .is_some_and(|(name, _)| NAMES.contains(&name.trim()))
    };
    changed(lines).any(has)
}

/// Finds a time of day, a date, or seconds since 1970 of this century, that differs between two lines alike but for digits.
fn date(lines: &[String]) -> bool {
    let without = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "");
    let is_time = |line: &str| {
        let pattern = |pattern: &str| {
            let shape: String = line
                .chars()
                .map(|c| if c.is_ascii_digit() { '9' } else { c })
                .collect();
            shape.contains(pattern)
        };
        pattern("99:99:99") || pattern("9999-99-99") || pattern("9999999999")
    };
    pairwise(lines, |old, new| {
        is_time(old) && is_time(new) && without(old) == without(new)
    })
}

/// Says whether as many lines went as came, at least one, and something holds for each two of them.
fn pairwise(lines: &[String], holds: impl Fn(&str, &str) -> bool) -> bool {
    let old: Vec<&str> = changed(lines)
        .filter_map(|line| line.strip_prefix('-'))
        .collect();
    let new: Vec<&str> = changed(lines)
        .filter_map(|line| line.strip_prefix('+'))
        .collect();
    !old.is_empty()
        && old.len() == new.len()
        && old.iter().zip(&new).all(|(old, new)| holds(old, new))
}
