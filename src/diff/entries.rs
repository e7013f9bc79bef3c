//! Entry by entry and field by field.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, Field, bytes};
use super::scan::{Scan, Scanned};
use crate::digest::Hasher;
use crate::pack::read::Record;
use crate::text::shown;

/// What the entries of two archives gave.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What a guest would see.
    pub(super) tree: Vec<Change>,
    /// What is in the headers alone.
    pub(super) form: Vec<Change>,
    /// Which contents differ: the change in `tree`, and the entries that have the data.
    pub(super) contents: Vec<(usize, [usize; 2])>,
}

/// Compares the entries of two archives.
pub(super) fn compare(a: &Scan, b: &Scan) -> Compared {
    let (one, other) = (by_path(a), by_path(b));
    let directories = [directories(a), directories(b)];
    let mut found = Compared::default();
    for (key, index) in &one {
        let entry = &a.entries[*index];
        match other.get(key) {
            None => found.tree.push(alone(Field::Removed, a, entry)),
            Some(index) => pair(
                &mut found,
                (a, entry),
                (b, &b.entries[*index]),
                &directories,
            ),
        }
    }
    for (key, index) in &other {
        if !one.contains_key(key) {
            found.tree.push(alone(Field::Added, b, &b.entries[*index]));
        }
    }
    found.form.extend(replaced(a, b));
    let order = |scan: &Scan, others: &BTreeMap<(&[u8], usize), usize>| -> Vec<(Vec<u8>, usize)> {
        let keys = counting(scan).map(|entry| (entry.path.clone(), entry.repeated));
        keys.filter(|(path, repeated)| others.contains_key(&(path.as_slice(), *repeated)))
            .collect()
    };
    let orders = [order(a, &other), order(b, &one)];
    if let Some(at) = orders[0]
        .iter()
        .zip(&orders[1])
        .position(|(one, other)| one != other)
    {
        let mut change = Change::new(Field::Order, "", sorted(a).name(), sorted(b).name());
        change.detail.lines = vec![format!(
            "first at entry {at}: {} and {}",
            display(&orders[0][at].0),
            display(&orders[1][at].0)
        )];
        found.form.push(change);
    }
    found
}

fn by_path(scan: &Scan) -> BTreeMap<(&[u8], usize), usize> {
    let entries = scan.entries.iter().enumerate();
    entries
        .filter(|(_, entry)| !entry.replaced)
        .map(|(index, entry)| ((entry.path.as_slice(), entry.repeated), index))
        .collect()
}

pub(super) fn counting(scan: &Scan) -> impl Iterator<Item = &Scanned> {
    scan.entries.iter().filter(|entry| !entry.replaced)
}

/// Compares the entries that a guest sees nothing of, since later ones take their place.
fn replaced(a: &Scan, b: &Scan) -> Vec<Change> {
    let of = |scan: &Scan| {
        let mut texts: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
        for entry in scan.entries.iter().filter(|entry| entry.replaced) {
            let mut hasher = Hasher::new();
            entry.marks.iter().for_each(|mark| hasher.update(mark));
            hasher.update(entry.target.as_deref().unwrap_or_default());
            let Record {
                mode,
                uid,
                gid,
                mtime,
                size,
                ..
            } = entry.record;
            let text = format!(
                "{} {:04o} {uid}:{gid} {mtime}, {}, {}",
                kind(mode),
                mode & 0o7777,
                bytes(u64::from(size)),
                hasher.finish().short()
            );
            texts.entry(entry.path.clone()).or_default().push(text);
        }
        texts
    };
    let [one, other] = [of(a), of(b)];
    let paths: BTreeSet<&Vec<u8>> = one.keys().chain(other.keys()).collect();
    let change = |path: &Vec<u8>| {
        let [old, new] = [&one, &other].map(|texts| {
            texts
                .get(path)
                .map_or_else(|| "none".to_owned(), |texts| texts.join("; "))
        });
        (old != new).then(|| Change::new(Field::Replaced, display(path), old, new))
    };
    paths.into_iter().filter_map(change).collect()
}

/// Returns how many directories each directory has in it.
fn directories(scan: &Scan) -> BTreeMap<Vec<u8>, u64> {
    let mut counted = BTreeMap::new();
    let all: BTreeSet<&[u8]> = scan
        .entries
        .iter()
        .filter(|entry| entry.record.is_directory() && !entry.path.is_empty())
        .map(|entry| entry.path.as_slice())
        .collect();
    for path in all {
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        *counted.entry(path[..end].to_vec()).or_default() += 1;
    }
    counted
}

/// Returns a path as it is shown, with its `/`.
fn display(path: &[u8]) -> String {
    format!("/{}", shown(path))
}

fn alone(field: Field, scan: &Scan, entry: &Scanned) -> Change {
    let size = if entry.record.is_file() {
        format!(", {}", bytes(u64::from(scan.size(entry))))
    } else {
        String::new()
    };
    // The path itself may well be on both sides.
    let repeated = match entry.repeated {
        0 => String::new(),
        before => format!(", entry {} of this path", before + 1),
    };
    let what = format!("{}{size}{repeated}", kind(entry.record.mode));
    let [old, new] = match field {
        Field::Removed => [what, String::new()],
        _ => [String::new(), what],
    };
    Change::new(field, display(&entry.path), old, new)
}

fn kind(mode: u32) -> &'static str {
    match mode & 0o170000 {
        0o040000 => "directory",
        0o100000 => "file",
        0o120000 => "symlink",
        0o020000 => "character device",
        0o060000 => "block device",
        0o010000 => "fifo",
        0o140000 => "socket",
        _ => "unknown kind",
    }
}

fn pair(
    found: &mut Compared,
    (a, one): (&Scan, &Scanned),
    (b, other): (&Scan, &Scanned),
    directories: &[BTreeMap<Vec<u8>, u64>; 2],
) {
    let path = display(&one.path);
    let records = [&one.record, &other.record];
    let number = |field, of: fn(&Record) -> u32| {
        let numbers = records.map(|record| u64::from(of(record)));
        (numbers[0] != numbers[1]).then(|| Change::numbers(field, path.as_str(), numbers))
    };
    let text = |field, [old, new]: [String; 2]| {
        (old != new).then(|| Change::new(field, path.as_str(), old, new))
    };
    let kinds = records.map(|record| kind(record.mode).to_owned());
    let modes = records.map(|record| u64::from(record.mode & 0o7777));
    let same_kind = kinds[0] == kinds[1];
    if same_kind && one.record.is_file() {
        let same = a.size(one) == b.size(other) && a.marks(one) == b.marks(other);
        if !same {
            let sizes = [a.size(one), b.size(other)].map(u64::from);
            let [old, new] = sizes.map(bytes);
            let change = Change::new(Field::Content, path.as_str(), old, new).with(sizes);
            found
                .contents
                .push((found.tree.len(), [one.data, other.data]));
            found.tree.push(change);
        }
    }
    // To the kernel a target ends at its first NUL.
    let target = |entry: &Scanned| {
        let bytes = entry.target.as_deref().unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0);
        shown(&bytes[..end.unwrap_or(bytes.len())])
    };
    let device = |record: &Record| format!("{}:{}", record.rdev.0, record.rdev.1);
    let owner = |record: &Record| format!("{}:{}", record.uid, record.gid);
    found.tree.extend(text(Field::Kind, kinds));
    if same_kind {
        found
            .tree
            .extend(text(Field::Target, [target(one), target(other)]));
        found.tree.extend(text(Field::Device, records.map(device)));
    }
    let octal = modes.map(|mode| format!("{mode:04o}"));
    found
        .tree
        .extend(text(Field::Mode, octal).map(|change| change.with(modes)));
    let users = records.map(|record| u64::from(record.uid));
    found
        .tree
        .extend(text(Field::Owner, records.map(owner)).map(|change| change.with(users)));
    found
        .tree
        .extend(number(Field::Mtime, |record| record.mtime));

    let prefix = |entry: &Scanned| {
        let name = &entry.record.name;
        match entry.record.path().len() {
            0 => shown(name),
            path => shown(&name[..name.len() - path]),
        }
    };
    let host = |record: &Record| format!("{}:{}", record.dev.0, record.dev.1);
    let form = &mut found.form;
    form.extend(text(Field::Name, [prefix(one), prefix(other)]));
    form.extend(number(Field::Inode, |record| record.ino));
    form.extend(
        number(Field::Nlink, |record| record.nlink).map(|mut change| {
            let count = |side: &BTreeMap<Vec<u8>, u64>| side.get(&one.path).copied().unwrap_or(0);
            change.directories = one.record.is_directory().then(|| count(&directories[1]));
            change
        }),
    );
    form.extend(text(Field::Host, records.map(host)));
    form.extend(number(Field::Check, |record| record.check));
    form.extend(number(Field::Sums, |record| record.summed.into()));
    form.extend(number(Field::Nuls, |record| record.nuls));
    if same_kind && one.record.is_symlink() && target(one) == target(other) {
        form.extend(number(Field::TargetSize, |record| record.size));
    }
    let with_data = records.map(|record| record.size > 0);
    if one.links > 1 && other.links > 1 && with_data[0] != with_data[1] {
        let [old, new] = with_data.map(|has| if has { "here" } else { "at another" });
        form.push(Change::new(Field::LinkData, path.as_str(), old, new));
    }
    let links = [one.links as u64, other.links as u64];
    if links[0] != links[1] {
        form.push(Change::numbers(Field::Links, path.as_str(), links));
    }
    if a.segments.len() == b.segments.len() && one.segment != other.segment {
        let numbers = [one.segment as u64 + 1, other.segment as u64 + 1];
        form.push(Change::numbers(Field::Segment, path.as_str(), numbers));
    }
}

/// By what the entries of an archive are in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sorted {
    Bytes,
    Components,
    Locale,
    Not,
}

impl Sorted {
    pub(super) fn name(self) -> &'static str {
        match self {
            Sorted::Bytes => "sorted by bytes",
            Sorted::Components => "sorted directory by directory",
            Sorted::Locale => "sorted by a locale",
            Sorted::Not => "not sorted",
        }
    }
}

/// Returns by what the entries of an archive are in order.
pub(super) fn sorted(scan: &Scan) -> Sorted {
    let paths = || scan.entries.iter().map(|entry| entry.path.as_slice());
    // What `strcoll` does in most locales, roughly: letters and digits first, their case later, the rest last.
    let letters = |path: &[u8]| -> Vec<u8> {
        let seen = path.iter().filter(|byte| byte.is_ascii_alphanumeric());
        seen.map(u8::to_ascii_lowercase).collect()
    };
    if paths().is_sorted() {
        Sorted::Bytes
    } else if paths().is_sorted_by_key(|path| path.split(|byte| *byte == b'/').collect::<Vec<_>>())
    {
        Sorted::Components
    } else if paths().is_sorted_by_key(letters) {
        Sorted::Locale
    } else {
        Sorted::Not
    }
}
