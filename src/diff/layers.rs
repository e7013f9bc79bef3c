//! The layers one by one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::cause::Facts;
use super::change::{Change, Detail, Field, Layer, Layered, bytes};
use super::content;
use super::entries;
use super::error::DiffError;
use super::form::{self, Gzip};
use super::group::group;
use super::scan::Scan;
use super::side::Side;
use crate::dir;
use crate::pack::read::{Record, Segment};
use crate::realize::Image;
use crate::text::shown;

/// Compares everything that both sides have.
pub(super) fn compare(
    (a, one): (&Side, &Scan),
    (b, other): (&Side, &Scan),
) -> Result<Vec<Layered>, DiffError> {
    let mut found = entries::compare(one, other);
    let pairs: Vec<[usize; 2]> = found.contents.iter().map(|(_, pair)| *pair).collect();
    if !pairs.is_empty() {
        let details = content::explain((a, one), (b, other), &pairs)?;
        for ((index, _), detail) in found.contents.iter().zip(details) {
            found.tree[*index].detail = detail;
        }
    }
    let same_tree = found.tree.is_empty();
    found.form.extend(archives(one, other));
    let removed = found
        .tree
        .iter()
        .filter(|change| change.field == Field::Removed)
        .count();
    let same_form = found.form.is_empty();
    let facts = Facts::of(
        [one, other],
        entries::counting(one).count() - removed,
        same_tree,
        same_form,
    )
    .across(match (&a.image, &b.image) {
        (Some(one), Some(other)) => one.arch != other.arch,
        _ => false,
    });
    let packed = compression((a, one), (b, other), same_tree && same_form)?;

    let layered = |layer, compared: Result<Vec<Change>, String>| {
        let (changes, skipped) = match compared {
            Ok(changes) => (changes, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        Layered {
            layer,
            skipped,
            groups: group(changes, &facts),
        }
    };
    let images = match (&a.image, &b.image) {
        (Some(one), Some(other)) => Ok((one, other)),
        (None, None) => Err("neither is an image of mkimg".to_owned()),
        (None, _) => Err("a is an archive alone".to_owned()),
        (_, None) => Err("b is an archive alone".to_owned()),
    };
    let kernel = match images {
        Ok(_) => Ok(kernel(a, b)?),
        Err(ref why) => Err(why.clone()),
    };
    Ok(vec![
        layered(
            Layer::Sources,
            images.clone().map(|(one, other)| sources(one, other)),
        ),
        layered(
            Layer::Plan,
            images.map(|(one, other)| plan((a, one), (b, other))),
        ),
        layered(Layer::Kernel, kernel),
        layered(Layer::Tree, Ok(found.tree)),
        layered(Layer::Form, Ok(found.form)),
        layered(Layer::Compression, Ok(packed)),
    ])
}

fn sources(a: &Image, b: &Image) -> Vec<Change> {
    let [one, other] = [a, b].map(|image| image.inputs().into_iter().collect::<BTreeMap<_, _>>());
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let mut changes = Vec::new();
    for name in names {
        let [old, new] = [&one, &other].map(|inputs| {
            inputs
                .get(name)
                .map_or("none".to_owned(), ToString::to_string)
        });
        if old != new {
            changes.push(Change::new(Field::Source, shown(name.as_bytes()), old, new));
        }
    }
    changes
}

fn plan((a, one): (&Side, &Image), (b, other): (&Side, &Image)) -> Vec<Change> {
    if one.plan == other.plan {
        return Vec::new();
    }
    let mut change = Change::new(Field::Setting, "plan", one.plan.short(), other.plan.short());
    let settings = |image: &Image| {
        format!(
            "name {}\narch {}\nmemory {}\ncpus {}\ncmdline {}\ncompress {}\n",
            image.name,
            image.arch,
            image.memory,
            image.cpus,
            image.cmdline,
            image.compressor()
        )
    };
    let texts = match (&a.plan, &b.plan) {
        (Some(one), Some(other)) => [one.clone(), other.clone()],
        _ => [settings(one), settings(other)],
    };
    change.detail.lines = content::unified(&texts[0], &texts[1]);
    vec![change]
}

fn kernel(a: &Side, b: &Side) -> Result<Vec<Change>, DiffError> {
    let (Some(one), Some(other)) = (a.kernel(), b.kernel()) else {
        return Ok(Vec::new());
    };
    let whole = 0..u64::MAX;
    let Some(offset) = form::first_difference((one, whole.clone()), (other, whole))? else {
        return Ok(Vec::new());
    };
    let mut sizes = [0; 2];
    for (size, path) in sizes.iter_mut().zip([one, other]) {
        let found = dir::metadata(path).map_err(|source| DiffError::io(path, source))?;
        *size = found.len();
    }
    let [old, new] = sizes.map(bytes);
    let mut change = Change::new(Field::Content, "the kernel", old, new).with(sizes);
    change.detail = Detail {
        offset: Some(offset),
        ..Detail::default()
    };
    Ok(vec![change])
}

/// Bytes of a trailer: header and name, padded.
const TRAILER: u64 = 124;

/// Compares what is around the entries.
fn archives(a: &Scan, b: &Scan) -> Vec<Change> {
    let mut changes = Vec::new();
    let counts = [a.segments.len() as u64, b.segments.len() as u64];
    if counts[0] != counts[1] {
        changes.push(Change::numbers(Field::Archives, "", counts));
        return changes;
    }
    for (number, (one, other)) in a.segments.iter().zip(&b.segments).enumerate() {
        let place = match counts {
            [1, 1] => String::new(),
            _ => format!("archive {}", number + 1),
        };
        let mut text = |field, old: String, new: String| {
            if old != new {
                changes.push(Change::new(field, place.as_str(), old, new));
            }
        };
        text(Field::Digits, digits(one), digits(other));
        text(Field::Trailer, trailer(one), trailer(other));
        let exact = |segment: &Segment| format!("{} zeros", segment.zeros);
        // Where they end at one place, all the zeros can be compared; else what they fill up to.
        let ends =
            [one, other].map(|segment| Some(segment.trailer.as_ref()?.offset - segment.offset));
        match ends[0] == ends[1] {
            true => text(Field::Padding, exact(one), exact(other)),
            false => text(Field::Padding, padding(one), padding(other)),
        }
    }
    changes
}

fn digits(segment: &Segment) -> String {
    let case = if segment.lower_case { "lower" } else { "upper" };
    format!("{case}-case")
}

/// Returns the fields of a trailer that are not 0.
fn trailer(segment: &Segment) -> String {
    let Some(trailer) = &segment.trailer else {
        return "none".to_owned();
    };
    let Record {
        ino,
        mode,
        uid,
        gid,
        nlink,
        mtime,
        ..
    } = *trailer;
    let fields = [
        ("inode", ino),
        ("mode", mode),
        ("uid", uid),
        ("gid", gid),
        ("nlink", nlink),
        ("mtime", mtime),
        (
            "device",
            trailer.dev.0 | trailer.dev.1 | trailer.rdev.0 | trailer.rdev.1,
        ),
        ("check", trailer.check),
        ("sums", trailer.summed.into()),
        ("NULs", trailer.nuls),
    ];
    let set = fields.iter().filter(|(_, value)| *value != 0);
    let set: Vec<String> = set.map(|(name, value)| format!("{name} {value}")).collect();
    set.join(", ")
}

/// Returns what an archive is padded to, as far as its end tells.
fn padding(segment: &Segment) -> String {
    let Some(trailer) = &segment.trailer else {
        return String::new();
    };
    let end = trailer.offset - segment.offset + TRAILER + segment.zeros;
    let multiple = [512, 4]
        .into_iter()
        .find(|multiple| end.is_multiple_of(*multiple));
    format!("to {} bytes", multiple.unwrap_or(1))
}

/// Compares how the archives are compressed; the bytes themselves only where what is in them is the same.
fn compression(
    (a, one): (&Side, &Scan),
    (b, other): (&Side, &Scan),
    same: bool,
) -> Result<Vec<Change>, DiffError> {
    let mut changes = Vec::new();
    let several = [one, other].map(|scan| scan.segments.len()) != [1, 1];
    let mut bodies = Vec::new();
    for (number, (left, right)) in one.segments.iter().zip(&other.segments).enumerate() {
        let place = match several {
            true => format!("archive {}", number + 1),
            false => String::new(),
        };
        // Archives behind each other in one compressed part have its header, and its bytes, together.
        let before = number.checked_sub(1);
        let again =
            |scan: &Scan| before.map(|at| scan.segments[at].raw) == Some(scan.segments[number].raw);
        if again(one) && again(other) {
            continue;
        }
        let mut starts = [left.raw, right.raw];
        if left.compression != right.compression {
            let (old, new) = (left.compression, right.compression);
            changes.push(Change::new(Field::Format, place, old, new));
            continue;
        }
        if left.compression == "gzip" {
            let headers = [form::gzip(a, left)?, form::gzip(b, right)?];
            starts = [headers[0].body, headers[1].body];
            gzip(&mut changes, &place, &headers);
        }
        bodies.push((place, starts));
    }
    if let (Some(left), Some(right)) = (&a.image, &b.image)
        && left.compressor() != right.compressor()
    {
        let (old, new) = (left.compressor(), right.compressor());
        changes.push(Change::new(Field::Compressor, "", old, new));
    }
    if !same || one.segments.len() != other.segments.len() {
        return Ok(changes);
    }
    for (place, starts) in bodies {
        let parts = [part(a, one, starts[0])?, part(b, other, starts[1])?];
        let files = [
            (a.archive(), parts[0].clone()),
            (b.archive(), parts[1].clone()),
        ];
        let Some(offset) = form::first_difference(files[0].clone(), files[1].clone())? else {
            continue;
        };
        let sizes = parts.map(|part| part.end - part.start);
        let [old, new] = sizes.map(bytes);
        let mut change = Change::new(Field::Stream, place, old, new).with(sizes);
        change.detail.offset = Some(offset + starts[0]);
        changes.push(change);
    }
    // Compressed data that nothing comes out of may stand before the first archive.
    if changes.is_empty() {
        changes.extend(anything_else(a.archive(), b.archive())?);
    }
    Ok(changes)
}

/// Returns the first byte that differs of files whose archives are the same in everything.
fn anything_else(a: &Path, b: &Path) -> Result<Option<Change>, DiffError> {
    let whole = 0..u64::MAX;
    let found = form::first_difference((a, whole.clone()), (b, whole))?;
    Ok(found.map(|offset| {
        let mut change = Change::new(Field::Stream, "", "", "");
        change.detail.offset = Some(offset);
        change
    }))
}

/// Returns the bytes of a file from a place on to where the next archive begins, or to the end.
fn part(side: &Side, scan: &Scan, start: u64) -> Result<Range<u64>, DiffError> {
    let next = scan.segments.iter().map(|segment| segment.raw);
    let end = match next.filter(|raw| *raw > start).min() {
        Some(next) => next,
        None => {
            let found = dir::metadata(side.archive());
            let found = found.map_err(|source| DiffError::io(side.archive(), source))?;
            found.len()
        }
    };
    Ok(start..end.max(start))
}

fn gzip(changes: &mut Vec<Change>, place: &str, [one, other]: &[Gzip; 2]) {
    let name = |header: &Gzip| match header.name.as_slice() {
        b"" => "none".to_owned(),
        name => format!("`{}`", shown(name)),
    };
    let fields = [
        (Field::Time, one.time.to_string(), other.time.to_string()),
        (Field::FileName, name(one), name(other)),
        (Field::Comment, one.others(), other.others()),
        (
            Field::System,
            one.system.to_string(),
            other.system.to_string(),
        ),
        (
            Field::Effort,
            one.effort.to_string(),
            other.effort.to_string(),
        ),
    ];
    for (field, old, new) in fields {
        if old != new {
            changes.push(Change::new(field, place, old, new));
        }
    }
}
