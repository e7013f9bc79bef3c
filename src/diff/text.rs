//! A difference as text for one screen.

use std::fmt::Write as _;

use super::Difference;
use super::change::{Change, Field, Layered};
use super::group::Group;

/// As many entries of a group are named.
const EXAMPLES: usize = 3;
/// As many changed lines of a content are shown.
const LINES: usize = 6;
/// Columns of a line.
const WIDTH: usize = 80;

/// What more there is to say of a difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// The first byte that differs.
    pub offset: Option<u64>,
    /// The section of the ELF file that it is in.
    pub section: Option<String>,
    /// The lines of a unified diff, or of an explanation.
    pub lines: Vec<String>,
}

impl Difference {
    /// Returns the lines that tell it: groups with their causes and a few examples, or with `all` every entry.
    pub fn lines(&self, all: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (letter, (name, nature)) in ["a", "b"].iter().zip(&self.sides) {
            lines.push(format!("{letter}  {name}: {nature}"));
        }
        for layered in self
            .layers
            .iter()
            .filter(|layered| !layered.groups.is_empty())
        {
            lines.push(layered.layer.name().to_owned());
            for group in &layered.groups {
                tell(&mut lines, group, all);
            }
        }
        let same = self
            .layers
            .iter()
            .filter(|layered| layered.skipped.is_none());
        let same = names(same.filter(|layered| layered.groups.is_empty()));
        if !same.is_empty() {
            lines.push(format!("same: {same}"));
        }
        let skipped = names(
            self.layers
                .iter()
                .filter(|layered| layered.skipped.is_some()),
        );
        if let Some(why) = self
            .layers
            .iter()
            .find_map(|layered| layered.skipped.as_ref())
        {
            lines.push(format!("not compared: {skipped} ({why})"));
        }
        lines
    }

    /// Returns one line for each field that differs, with how often.
    pub fn counts(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for layered in &self.layers {
            for group in &layered.groups {
                let cause = group.cause.as_ref().map(|(name, _)| format!("  {name}"));
                lines.push(format!(
                    "{:<13} {:>7} {}{}",
                    layered.layer.name(),
                    group.changes.len(),
                    headline(group),
                    cause.unwrap_or_default()
                ));
            }
        }
        lines
    }
}

fn names<'l>(layers: impl Iterator<Item = &'l Layered>) -> String {
    let names: Vec<&str> = layers.map(|layered| layered.layer.name()).collect();
    names.join(", ")
}

/// Returns the field with old and new, where they are of one kind.
fn headline(group: &Group) -> String {
    let name = group.field.name();
    let [old, new] = [group.values(0), group.values(1)];
    let quoted = |value: &str| match value {
        "" if group.field == Field::Name => "nothing".to_owned(),
        value => value.to_owned(),
    };
    match group.field {
        Field::Added | Field::Removed => name.to_owned(),
        Field::Content if group.changes.len() > 1 => name.to_owned(),
        _ if old.is_empty() && new.is_empty() => name.to_owned(),
        _ => {
            let [old, new] = [quoted(&old), quoted(&new)].map(|value| match value.as_str() {
                "" => "various".to_owned(),
                _ => value,
            });
            format!("{name} {old} to {new}")
        }
    }
}

/// Tells one group.
fn tell(lines: &mut Vec<String>, group: &Group, all: bool) {
    let of_entries = group
        .changes
        .iter()
        .all(|change| change.path.starts_with('/'));
    let count = group.changes.len();
    let head = headline(group);
    let first = group.changes.first();
    let place = first.map_or("", |change| change.path.as_str());
    let line = match (of_entries, count) {
        (true, 1) => format!("{place}: {head}{}", lone(group)),
        (true, _) => format!("{count} entries: {head}"),
        (false, 1) if !place.is_empty() => format!("{place}: {head}"),
        (false, 1) => head,
        (false, _) => format!("{count} times {head}"),
    };
    let at = match (count, first) {
        (1, Some(change)) => offset(change),
        _ => String::new(),
    };
    lines.push(format!("  {line}{at}"));
    if let Some((_, cause)) = &group.cause {
        for (index, line) in wrapped(cause).into_iter().enumerate() {
            let before = if index == 0 {
                "    likely: "
            } else {
                "            "
            };
            lines.push(format!("{before}{line}"));
        }
    }
    if all {
        for change in &group.changes {
            if count > 1 {
                lines.push(format!("    {}", one(change)));
            }
            lines.extend(
                change
                    .detail
                    .lines
                    .iter()
                    .map(|line| format!("      {line}")),
            );
        }
        return;
    }
    // What was worth a cause or is one of a crowd gets names alone; the lines of one content are shown.
    if count > 1 && of_entries {
        match group.field {
            Field::Content | Field::Target => {
                for change in group.changes.iter().take(EXAMPLES) {
                    lines.push(format!("    {}", one(change)));
                }
                if count > EXAMPLES {
                    lines.push(format!("    and {} more", count - EXAMPLES));
                }
            }
            _ => lines.push(format!("    {}", examples(group))),
        }
    } else if !of_entries && count > 1 {
        for change in group.changes.iter().take(EXAMPLES) {
            lines.push(format!("    {}", one(change)));
        }
        if count > EXAMPLES {
            lines.push(format!("    and {} more", count - EXAMPLES));
        }
    }
    if count == 1
        && let Some(change) = first
    {
        // The two first lines of a unified diff name files.
        let body = change
            .detail
            .lines
            .iter()
            .filter(|line| !line.starts_with("---") && !line.starts_with("+++"));
        let body: Vec<&String> = body.collect();
        lines.extend(
            body.iter()
                .take(LINES)
                .map(|line| format!("    {}", cut(line))),
        );
        if body.len() > LINES {
            lines.push(format!("    .. {} lines more (-v)", body.len() - LINES));
        }
    }
}

/// Returns what an entry that one side alone has is.
fn lone(group: &Group) -> String {
    match (group.field, group.changes.first()) {
        (Field::Added | Field::Removed, Some(change)) => format!(" ({}{})", change.old, change.new),
        _ => String::new(),
    }
}

/// Returns one difference of a group in a line.
fn one(change: &Change) -> String {
    let Change { path, old, new, .. } = change;
    match change.field {
        Field::Added | Field::Removed => format!("{path} ({old}{new})"),
        _ => format!("{path}: {old} to {new}{}", offset(change)),
    }
}

fn offset(change: &Change) -> String {
    let section = change.detail.section.as_ref();
    let section = section.map(|section| format!(" in {section}"));
    match change.detail.offset {
        Some(offset) => format!(", first at byte {offset}{}", section.unwrap_or_default()),
        None => String::new(),
    }
}

/// Returns the first paths of a group in a line, and how many more there are.
fn examples(group: &Group) -> String {
    let mut text = String::new();
    let mut named = 0;
    for change in group.changes.iter().take(EXAMPLES) {
        if named > 0 && text.chars().count() + change.path.chars().count() > WIDTH - 24 {
            break;
        }
        // Writing into a string cannot fail.
        let _ = write!(text, "{}{}", if named > 0 { ", " } else { "" }, change.path);
        named += 1;
    }
    match group.changes.len() - named {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}..", &line[..end]),
        None => line.to_owned(),
    }
}

/// Returns a sentence in lines of the screen's width.
fn wrapped(text: &str) -> Vec<String> {
    let options = textwrap::Options::new(WIDTH - 12)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .word_separator(textwrap::WordSeparator::AsciiSpace);
    let lines = textwrap::wrap(text, options);
    lines.into_iter().map(|line| line.into_owned()).collect()
}

/// Returns bytes of an archive as text: what could not be seen, or would move the cursor, escaped.
pub(super) fn shown(bytes: &[u8]) -> String {
    let unseen = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(unseen) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}
