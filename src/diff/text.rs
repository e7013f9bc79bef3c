//! A difference as text for one screen.

use super::Difference;
use super::change::{Change, Field, Group, Layered};
use crate::text::shown;

/// As many entries of a group are named.
const EXAMPLES: usize = 3;
/// As many changed lines of a content are shown.
const LINES: usize = 6;
/// Columns of a line.
const WIDTH: usize = 80;
/// Columns of a value or a path in it.
const VALUE: usize = 30;

/// How the fields of a gzip header are called.
const HEADER: &str = "gzip header: ";

impl Difference {
    /// Returns the lines that tell it: groups with their causes and a few examples, or with `all` every entry.
    pub fn lines(&self, all: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (letter, (name, nature)) in ["a", "b"].iter().zip(&self.sides) {
            let [name, nature] = [name, nature].map(|text| shown(text.as_bytes()));
            lines.push(format!("{letter}  {name}: {nature}"));
        }
        for layered in self
            .layers
            .iter()
            .filter(|layered| !layered.groups.is_empty())
        {
            lines.push(layered.layer.name().to_owned());
            let is_header = |group: &&Group| group.field.name().starts_with(HEADER);
            let headers: Vec<&Group> = layered.groups.iter().filter(is_header).collect();
            let one_line = !all && headers.len() > 1;
            if one_line {
                tell_headers(&mut lines, &headers);
            }
            for (index, group) in layered.groups.iter().enumerate() {
                if one_line && is_header(&group) {
                    continue;
                }
                let cause = |group: &Group| group.cause.as_ref().map(|(_, text)| text.clone());
                let next = layered.groups.get(index + 1);
                let shared = next.is_some_and(|next| cause(next) == cause(group));
                tell(&mut lines, group, self.entries, all, shared);
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
                    headline(group, false),
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
fn headline(group: &Group, all: bool) -> String {
    let name = group.field.name();
    let [old, new] = [0, 1].map(|side| match all {
        true => group.values(side),
        false => short(group.field, &group.values(side)),
    });
    let quoted = |value: &str| match value {
        "" if group.field == Field::Name => "nothing".to_owned(),
        value => value.to_owned(),
    };
    match group.field {
        Field::Added | Field::Removed => name.to_owned(),
        Field::Content if group.changes.len() > 1 => name.to_owned(),
        _ if old == new && !old.is_empty() => format!("{name}, {old}"),
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

/// Tells the fields of gzip headers together, with the first cause: it is that of the others mostly.
fn tell_headers(lines: &mut Vec<String>, groups: &[&Group]) {
    let fields = groups.iter().map(|group| {
        let text = headline(group, false);
        text.strip_prefix(HEADER).map(str::to_owned).unwrap_or(text)
    });
    let fields: Vec<String> = fields.collect();
    let line = format!("{HEADER}{}", fields.join(", "));
    for (index, line) in wrapped(&line, WIDTH - 12).into_iter().enumerate() {
        lines.push(format!(
            "{}{line}",
            if index == 0 { "  " } else { "      " }
        ));
    }
    if let Some((_, cause)) = groups.iter().find_map(|group| group.cause.as_ref()) {
        lines.extend(
            wrapped(cause, WIDTH - 12)
                .first()
                .map(|line| format!("    likely: {line}")),
        );
    }
}

/// Tells one group; `shared` where the next one has the same cause, which tells it for both.
fn tell(lines: &mut Vec<String>, group: &Group, entries: [usize; 2], all: bool, shared: bool) {
    let of_entries = group
        .changes
        .iter()
        .all(|change| change.path.starts_with('/'));
    let count = group.changes.len();
    let everything = count > 1 && entries.contains(&count);
    let head = headline(group, all);
    let first = group.changes.first();
    let place = first.map_or("", |change| change.path.as_str());
    let place = match all {
        true => place.to_owned(),
        false => short_path(place),
    };
    let line = match (of_entries, count) {
        (true, 1) => format!("{place}: {head}{}", lone(group)),
        (true, _) if everything => format!("all {count} entries: {head}"),
        (true, _) => format!("{count} entries: {head}"),
        (false, 1) if !place.is_empty() => format!("{place}: {head}"),
        (false, 1) => head,
        (false, _) if group.field == Field::Source => format!("{count} sources"),
        (false, _) => format!("{count} times: {head}"),
    };
    // Contents, targets and what is no entry get a line each; of others a few names are enough.
    let each = !of_entries || matches!(group.field, Field::Content | Field::Target);
    let more = match (count, first) {
        (1, Some(change)) => offset(change),
        _ if each || everything || all => String::new(),
        _ => examples(group, WIDTH.saturating_sub(line.chars().count() + 4)),
    };
    match all {
        true => lines.push(format!("  {line}{more}")),
        false => lines.extend(
            wrapped(&format!("{line}{more}"), WIDTH - 8)
                .into_iter()
                .zip(["  "].into_iter().chain(std::iter::repeat("      ")))
                .map(|(line, before)| format!("{before}{line}")),
        ),
    }
    if let Some((_, cause)) = &group.cause
        && !shared
    {
        for (index, line) in wrapped(cause, WIDTH - 12).into_iter().enumerate() {
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
                lines.push(format!("    {}", one(change, true)));
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
    if count > 1 && each {
        let shown = group.changes.iter().take(EXAMPLES);
        lines.extend(shown.map(|change| format!("    {}", cut(&one(change, false)))));
        if count > EXAMPLES {
            lines.push(format!("    and {} more", count - EXAMPLES));
        }
    }
    if let ([change], false) = (group.changes.as_slice(), group.field == Field::Order) {
        // The first lines of a unified diff name files.
        let is_head = |line: &&String| line.starts_with("---") || line.starts_with("+++");
        let body: Vec<&String> = change
            .detail
            .lines
            .iter()
            .filter(|line| !is_head(line))
            .collect();
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

/// Returns a value as far as a screen has room for it: of a digest as much as of others, of a long text its beginning.
fn short(field: Field, value: &str) -> String {
    let most = match field {
        Field::Source => 12,
        _ => VALUE,
    };
    match value.char_indices().nth(most) {
        Some((end, _)) if field == Field::Source => value[..end].to_owned(),
        Some((end, _)) => format!("{}..", &value[..end]),
        None => value.to_owned(),
    }
}

/// Returns a path as far as a line has room for it: what is told of it stands behind it.
fn short_path(path: &str) -> String {
    let count = path.chars().count();
    match path.char_indices().nth(count.saturating_sub(VALUE)) {
        Some((start, _)) if count > VALUE + 2 => format!("..{}", &path[start..]),
        _ => path.to_owned(),
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
fn one(change: &Change, all: bool) -> String {
    let path = &change.path;
    let [old, new] = [&change.old, &change.new].map(|value| match all {
        true => value.clone(),
        false => short(change.field, value),
    });
    match change.field {
        Field::Added | Field::Removed => format!("{path} ({old}{new})"),
        _ if old == new => format!("{path}: {old}{}", offset(change)),
        _ => format!("{path}: {old} to {new}{}", offset(change)),
    }
}

fn offset(change: &Change) -> String {
    let section = change.detail.section.as_ref();
    let section = section.map(|section| format!(" in {section}"));
    match change.detail.offset {
        Some(offset) if change.detail.block => format!(", first in the 64 KiB from byte {offset}"),
        Some(offset) => format!(", first at byte {offset}{}", section.unwrap_or_default()),
        None => String::new(),
    }
}

/// Returns the first paths of a group as far as there is room, or nothing.
fn examples(group: &Group, room: usize) -> String {
    let mut text = String::new();
    for change in group.changes.iter().take(EXAMPLES) {
        let longer = match text.is_empty() {
            true => change.path.clone(),
            false => format!("{text}, {}", change.path),
        };
        if longer.chars().count() + 6 > room {
            break;
        }
        text = longer;
    }
    let named = text.split(", ").count();
    match (text.is_empty(), named < group.changes.len()) {
        (true, _) => String::new(),
        (false, true) => format!(" ({text}, ..)"),
        (false, false) => format!(" ({text})"),
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH - 6) {
        Some((end, _)) => format!("{}..", &line[..end]),
        None => line.to_owned(),
    }
}

/// Returns a sentence in lines of a width.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let options = textwrap::Options::new(width)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .word_separator(textwrap::WordSeparator::AsciiSpace);
    let lines = textwrap::wrap(text, options);
    lines.into_iter().map(|line| line.into_owned()).collect()
}
