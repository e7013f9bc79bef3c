//! Recipes' lines cut to a terminal's width, so that a label stays below what it points at.

use std::ops::Range;

use crate::recipe::{Diagnostic, SourceText, Span};

/// What stands for what was cut off.
const CUT: char = '…';
/// Columns that a drawn label has before its text, and one to spare.
const ARROW: usize = 6;

/// A line that was cut: where it was, where it is, and the part of it that is left.
struct Line {
    was: Range<usize>,
    is: usize,
    left: Range<usize>,
}

/// Returns a diagnostic and the text that it points into, whose lines near its labels take at most `columns`. The name of the text
/// says where the first label is.
pub(super) fn clipped(
    source: &SourceText,
    diagnostic: &Diagnostic,
    columns: usize,
) -> (SourceText, Diagnostic) {
    let gutter = source.line(source.text.len()).to_string().len() + 4;
    let columns = columns.saturating_sub(gutter).max(16);
    let mut diagnostic = diagnostic.clone();
    for (_, label) in &mut diagnostic.labels {
        *label = textwrap::fill(label, columns.saturating_sub(ARROW).div_ceil(2).max(12));
    }
    let starts = diagnostic.labels.iter().map(|(span, _)| span.start());
    let first = source.line(starts.clone().min().unwrap_or_default());
    let ends = diagnostic.labels.iter().map(|(span, _)| span.end());
    let last = source.line(ends.max().unwrap_or_default());
    let mut text = String::new();
    let mut lines = Vec::new();
    let mut at = 0;
    for (number, whole) in source.text.split_inclusive('\n').enumerate() {
        let line = whole.trim_end_matches(['\n', '\r']);
        let was = at..at + line.len();
        at += whole.len();
        // The others are not drawn; they count.
        if (number + 1).abs_diff(first) <= 1 || (first..=last + 1).contains(&(number + 1)) {
            let left = part(line, was.start, &diagnostic, columns);
            let is = text.len();
            text.extend((left.start > 0).then_some(CUT));
            text.push_str(&line[left.clone()].replace('\t', " "));
            text.extend((left.end < line.len()).then_some(CUT));
            lines.push(Line { was, is, left });
        }
        text.push('\n');
    }
    let place = diagnostic.labels.first().map(|(span, _)| span.start());
    for (span, _) in &mut diagnostic.labels {
        span.range = moved(&lines, span.start())..moved(&lines, span.end());
    }
    let (line, column) = place.map_or((1, 1), |place| {
        let before = source.text.get(..place).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default();
        (source.line(place), 1 + column.chars().count())
    });
    let source = SourceText {
        name: format!("{}:{line}:{column}", source.name),
        text: text.into(),
    };
    (source, diagnostic)
}

/// Returns the part of a line that is left, in bytes of it: the beginning, unless its first label would then be cut off.
fn part(line: &str, at: usize, diagnostic: &Diagnostic, columns: usize) -> Range<usize> {
    let chars: Vec<usize> = line.char_indices().map(|(index, _)| index).collect();
    let column = |byte: usize| chars.partition_point(|index| *index < byte);
    let here = |span: &Span| (at..=at + line.len()).contains(&span.start());
    let labels = diagnostic.labels.iter().filter(|(span, _)| here(span));
    let mut first = 0;
    if let Some((span, label)) = labels.min_by_key(|(span, _)| span.start()) {
        let start = column(span.start() - at);
        let middle = (start + column(span.end().min(at + line.len()) - at)) / 2;
        let text = label.lines().map(|line| line.chars().count()).max();
        let room = columns.saturating_sub(ARROW + text.unwrap_or_default());
        first = middle.saturating_sub(room).min(start);
    }
    let fits = columns.saturating_sub(1 + usize::from(first > 0));
    let end = match chars.len() - first <= fits + 1 {
        true => chars.len(),
        false => first + fits,
    };
    let byte = |column: usize| chars.get(column).copied().unwrap_or(line.len());
    byte(first)..byte(end)
}

/// Returns where a byte of the text is after the cut.
fn moved(lines: &[Line], byte: usize) -> usize {
    let line = lines
        .iter()
        .find(|line| (line.was.start..=line.was.end).contains(&byte));
    let Some(line) = line.or(lines.last()) else {
        return 0;
    };
    let within = byte
        .saturating_sub(line.was.start)
        .clamp(line.left.start, line.left.end);
    let mark = match line.left.start {
        0 => 0,
        _ => CUT.len_utf8(),
    };
    line.is + mark + within - line.left.start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceText {
        SourceText {
            name: "x.kdl".to_owned(),
            text: text.into(),
        }
    }

    #[test]
    fn a_label_stays_on_what_it_points_at_wherever_a_line_is_cut() {
        let long = "ä".repeat(70) + "TARGET" + &"z".repeat(70);
        for (text, target) in [
            (format!("short\n{long}\nshort\n"), "TARGET"),
            (format!("TARGET{long}\n"), "TARGET"),
            (format!("{long}\n{long}END"), "END"),
            ("one TARGET".to_owned(), "TARGET"),
            (format!("\t\t{long}\r\nnext"), "TARGET"),
        ] {
            let start = text.find(target).unwrap();
            let span = start..start + target.len();
            for columns in 20..200 {
                let diagnostic = Diagnostic::error("m", span.clone(), "a label with some words");
                let (cut, moved) = clipped(&source(&text), &diagnostic, columns);
                let (place, _) = moved.labels[0].clone();
                assert_eq!(&cut.text[place.range], target, "{columns} of {text}");
                let longest = cut.text.lines().map(|line| line.chars().count()).max();
                assert!(
                    longest <= Some(columns.max(16 + 5)),
                    "{columns}: {}",
                    cut.text
                );
                assert_eq!(cut.text.lines().count(), text.lines().count());
            }
        }
    }

    #[test]
    fn the_name_says_where_the_label_was() {
        let text = format!("a\n{}here", "é".repeat(90));
        let start = text.find("here").unwrap();
        let diagnostic = Diagnostic::error("m", start..start + 4, "");
        let (cut, _) = clipped(&source(&text), &diagnostic, 40);
        assert_eq!(cut.name, "x.kdl:2:91");
    }
}
