//! What differs in contents: read again, these alone, and no more of them than is needed to say it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::thread;

use object::{Object as _, ObjectSection as _};
use similar::TextDiff;

use super::change::Detail;
use super::error::DiffError;
use super::form::differ;
use super::scan::{self, CHUNK, Mark, Scan};
use super::side::Side;
use crate::text::{safe, shown};

/// A content up to this size is read as a whole, which telling the section of an ELF file takes.
const WHOLE: u32 = 4 << 20;
/// Bytes of contents of one side that are held at once.
const BUDGET: u64 = 24 << 20;
/// As many blocks of larger contents of one side are held at once, 24 MiB; of more, the block that differs is told, not the byte.
const BLOCKS: usize = 384;
/// A text up to this size is compared line by line.
const TEXT: usize = 256 * 1024;
/// As many texts are compared line by line, and as many lines of each kept.
const TEXTS: usize = 32;
const LINES: usize = 200;
/// Steps that comparing texts line by line may take: in the worst case it is the product of the lines between the first and
/// the last that differ, so two texts of nothing but short lines would take minutes.
const STEPS: usize = 64 << 20;

/// What is wanted of a content: all of it, or blocks; several where it is that of hard links.
#[derive(Debug, Clone, Default)]
struct Wanted {
    all: bool,
    blocks: BTreeSet<usize>,
}

/// What was read: of an entry all (`None`), or a block.
type Contents = BTreeMap<(usize, Option<usize>), Vec<u8>>;

/// Returns for each pair of entries what differs in their contents.
pub(super) fn explain(
    (a, one): (&Side, &Scan),
    (b, other): (&Side, &Scan),
    pairs: &[[usize; 2]],
) -> Result<Vec<Detail>, DiffError> {
    let mut wanted: [BTreeMap<usize, Wanted>; 2] = Default::default();
    let mut budget = [BUDGET; 2];
    let mut blocks = 0;
    let mut unread = Vec::new();
    for [left, right] in pairs {
        let entries = [&one.entries[*left], &other.entries[*right]];
        let sizes = entries.map(|entry| entry.record.size);
        let fits =
            (0..2).all(|side| sizes[side] <= WHOLE && u64::from(sizes[side]) <= budget[side]);
        let first = first_block(&entries[0].marks, &entries[1].marks);
        blocks += usize::from(!fits);
        unread.push(!fits && blocks > BLOCKS);
        if !fits && blocks > BLOCKS {
            continue;
        }
        for (side, index) in [left, right].into_iter().enumerate() {
            let want = wanted[side].entry(*index).or_default();
            if fits {
                budget[side] -= u64::from(sizes[side]);
                want.all = true;
            } else {
                want.blocks.insert(first);
            }
        }
    }
    let (left, right) = thread::scope(|scope| {
        let right = scope.spawn(|| read(b, &wanted[1]));
        let left = read(a, &wanted[0]);
        let right = right
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (left, right)
    });
    let (left, right) = (left?, right?);
    let mut bounds = Bounds::default();
    let mut details = Vec::new();
    for ([at, against], unread) in pairs.iter().zip(unread) {
        let first = first_block(&one.entries[*at].marks, &other.entries[*against].marks);
        if unread {
            details.push(Detail {
                offset: Some((first * CHUNK) as u64),
                block: true,
                ..Detail::default()
            });
            continue;
        }
        let whole = [(0, *at), (1, *against)]
            .map(|(side, index)| wanted[side].get(&index).is_some_and(|want| want.all));
        let keys = [(whole[0], *at), (whole[1], *against)]
            .map(|(whole, index)| (index, (!whole).then_some(first)));
        let contents = [found(&left, keys[0], a)?, found(&right, keys[1], b)?];
        details.push(detail(contents, whole, first, &mut bounds));
    }
    Ok(details)
}

/// Returns what was read: all that is wanted is there, unless the archive became another one meanwhile.
fn found<'c>(
    contents: &'c Contents,
    key: (usize, Option<usize>),
    side: &Side,
) -> Result<&'c [u8], DiffError> {
    let bytes = contents.get(&key).map(Vec::as_slice);
    bytes.ok_or_else(|| DiffError::Changed {
        path: side.archive().to_path_buf(),
    })
}

/// Returns the first block that differs.
fn first_block(a: &[Mark], b: &[Mark]) -> usize {
    let common = a.iter().zip(b).position(|(one, other)| one != other);
    // Where the one is the beginning of the other, the last block of the shorter one may yet be shorter itself, and differ.
    common.unwrap_or(a.len().min(b.len()))
}

/// Reads what is wanted of the contents of an archive.
fn read(side: &Side, wanted: &BTreeMap<usize, Wanted>) -> Result<Contents, DiffError> {
    let mut archive = scan::open(side)?;
    let mut contents = Contents::new();
    // Nothing behind the last one is read.
    let count = wanted.last_key_value().map_or(0, |(last, _)| last + 1);
    for index in 0..count {
        let record = archive.next_record();
        if record
            .map_err(|error| scan::damaged(side, error))?
            .is_none()
        {
            break;
        }
        let Some(want) = wanted.get(&index) else {
            continue;
        };
        let mut body = archive.body();
        let mut bytes = |skip: u64, limit: u64| {
            let mut bytes = Vec::new();
            std::io::copy(&mut body.by_ref().take(skip), &mut std::io::sink())
                .and_then(|_| body.by_ref().take(limit).read_to_end(&mut bytes))
                .map_err(|error| scan::within(side, error))?;
            Ok::<_, DiffError>(bytes)
        };
        if want.all {
            contents.insert((index, None), bytes(0, u64::from(WHOLE))?);
            continue;
        }
        let mut at = 0;
        for block in &want.blocks {
            let skip = (block - at) * CHUNK;
            contents.insert((index, Some(*block)), bytes(skip as u64, CHUNK as u64)?);
            at = block + 1;
        }
    }
    Ok(contents)
}

/// How much more may be compared line by line.
#[derive(Debug)]
struct Bounds {
    texts: usize,
    steps: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            texts: TEXTS,
            steps: STEPS,
        }
    }
}

impl Bounds {
    /// Returns the lines that differ; of texts that would take too long the first one of each.
    fn lines(&mut self, old: &str, new: &str) -> Vec<String> {
        let Some(texts) = self.texts.checked_sub(1) else {
            return Vec::new();
        };
        self.texts = texts;
        let [olds, news] = [old, new].map(|text| text.lines().collect::<Vec<_>>());
        let head = olds
            .iter()
            .zip(&news)
            .take_while(|(one, other)| one == other);
        let head = head.count();
        let rest = [&olds[head..], &news[head..]];
        let tails = rest[0].iter().rev().zip(rest[1].iter().rev());
        let tail = tails.take_while(|(one, other)| one == other).count();
        // No more of the tail than there is of each.
        let steps = (rest[0].len() - tail).saturating_mul(rest[1].len() - tail);
        if let Some(steps) = self.steps.checked_sub(steps) {
            self.steps = steps;
            return unified(old, new);
        }
        let first = rest.iter().zip(['-', '+']).filter_map(|(lines, sign)| {
            let line = lines.first()?;
            Some(safe(&format!("{sign}{line}")).into_owned())
        });
        let more = ".. and more lines, too many to compare".to_owned();
        first.chain([more]).collect()
    }
}

/// Says what differs between two contents, or between one block of each.
fn detail(contents: [&[u8]; 2], whole: [bool; 2], block: usize, bounds: &mut Bounds) -> Detail {
    let start = block * CHUNK;
    let blocks = [0, 1].map(|side| match whole[side] {
        true => {
            let end = contents[side].len().min(start + CHUNK);
            contents[side].get(start..end).unwrap_or_default()
        }
        false => contents[side],
    });
    let offset = differ(blocks[0], blocks[1]).unwrap_or(0);
    let mut detail = Detail {
        offset: Some((start + offset) as u64),
        ..Detail::default()
    };
    if whole != [true, true] {
        return detail;
    }
    detail.section = section(contents[0], start + offset);
    if let [Some(old), Some(new)] = contents.map(text) {
        detail.lines = bounds.lines(old, new);
    }
    detail
}

/// Returns a content as text, where it is one.
fn text(content: &[u8]) -> Option<&str> {
    if content.len() > TEXT || content.contains(&0) {
        return None;
    }
    std::str::from_utf8(content).ok()
}

/// Returns the section of an ELF file that a byte of it is in.
fn section(content: &[u8], offset: usize) -> Option<String> {
    if !content.starts_with(b"\x7fELF") {
        return None;
    }
    let offset = offset as u64;
    let within = |start: u64, size: u64| offset >= start && offset - start < size;
    let Ok(file) = object::File::parse(content) else {
        return None;
    };
    if offset < 64 {
        return Some("the ELF header".to_owned());
    }
    let found = file.sections().find(|section| {
        let range = section.file_range();
        range.is_some_and(|(start, size)| within(start, size))
    });
    match found {
        Some(section) => Some(shown(section.name_bytes().unwrap_or_default())),
        None => Some("no section".to_owned()),
    }
}

/// Returns the lines that differ, each with one around it, as a unified diff has them.
pub(super) fn unified(old: &str, new: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(old, new);
    let mut unified = diff.unified_diff();
    let text = unified.context_radius(1).to_string();
    let mut lines: Vec<String> = safe(&text).lines().map(str::to_owned).collect();
    if lines.len() > LINES {
        let left = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!(".. and {left} lines more"));
    }
    lines
}
