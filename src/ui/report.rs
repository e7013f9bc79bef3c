//! Diagnostics and errors as text: labelled pieces of the recipe on a terminal, the same without colours elsewhere.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use miette::{GraphicalReportHandler, GraphicalTheme};
use textwrap::{WordSeparator, WordSplitter};

use super::clip;
use crate::recipe::{Diagnostic, Severity, SourceMap, SourceText};
use crate::text::safe;

/// Columns of a message where the terminal's width is not known.
const WIDTH: usize = 100;
/// Characters of a line of a message that are shown.
const LONGEST: usize = 1000;

/// Prints diagnostics of a recipe to standard error, each with the piece of text that it points into.
pub fn print_diagnostics(source: &SourceMap, diagnostics: &[Diagnostic], color: bool) {
    print(&drawn(source, diagnostics, color, terminal_width()));
}

/// Returns diagnostics as text, on a terminal of `columns` where there is one.
pub(crate) fn drawn(
    source: &SourceMap,
    diagnostics: &[Diagnostic],
    color: bool,
    columns: Option<usize>,
) -> String {
    let theme = if color {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    // Lines break at blanks alone: a path, a digest or an option that is cut in two cannot be copied.
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(columns.unwrap_or(WIDTH))
        .with_break_words(false)
        .with_word_separator(WordSeparator::AsciiSpace)
        .with_word_splitter(WordSplitter::NoHyphenation);
    let mut text = String::new();
    let handler = match columns {
        // The name of a text that was cut says it.
        Some(_) => handler.without_primary_span_start(),
        None => handler,
    };
    for diagnostic in diagnostics.iter().flat_map(Diagnostic::by_file) {
        let diagnostic = &safely(&diagnostic);
        let source = source.file(diagnostic.file());
        let source = &SourceText {
            name: safe(&source.name).into_owned(),
            text: source.text.clone(),
        };
        let (source, diagnostic) = match columns {
            Some(columns) => clip::clipped(source, diagnostic, columns),
            None => (source.clone(), diagnostic.clone()),
        };
        let located = diagnostic.clone().located(&source);
        let drawn =
            fits(&source, &diagnostic) && handler.render_report(&mut text, &located).is_ok();
        if !drawn {
            undrawn(&mut text, &source, &diagnostic);
        }
    }
    coloured(&shortened(&text), color)
}

/// Returns a diagnostic whose own words are safe to print. Those of the recipe stay as they are: the labels point into them.
fn safely(diagnostic: &Diagnostic) -> Diagnostic {
    let mut diagnostic = diagnostic.clone();
    diagnostic.message = safe(&diagnostic.message).into_owned();
    diagnostic.help = diagnostic.help.map(|help| safe(&help).into_owned());
    for (_, label) in &mut diagnostic.labels {
        *label = safe(label).into_owned();
    }
    diagnostic
}

/// Returns what was drawn with all made safe but the colours. No recipe that is drawn has an ESC in it: the parser refuses
/// that, and shows none of its text.
fn coloured(text: &str, color: bool) -> String {
    if !color {
        return safe(text).into_owned();
    }
    let pieces: Vec<_> = text.split('\x1b').map(safe).collect();
    pieces.join("\x1b")
}

/// Says whether the lines that a diagnostic points into are short enough to be drawn: miette panics from column 65536 on, and
/// long before that nobody would see what it points at.
fn fits(source: &SourceText, diagnostic: &Diagnostic) -> bool {
    diagnostic.labels.iter().all(|(span, _)| {
        let (before, rest) = source
            .text
            .split_at_checked(span.start())
            .unwrap_or_default();
        let (within, after) = rest.split_at_checked(span.range.len()).unwrap_or_default();
        let first = before.rsplit('\n').next().unwrap_or_default().len();
        let last = after.split('\n').next().unwrap_or_default().len();
        let longest = within.split('\n').map(str::len).max().unwrap_or_default();
        first + longest + last <= LONGEST
    })
}

/// Writes a diagnostic without the piece of text that it points into. Writing into a string cannot fail.
fn undrawn(text: &mut String, source: &SourceText, diagnostic: &Diagnostic) {
    let sign = match diagnostic.severity {
        Severity::Error => '×',
        Severity::Warning => '⚠',
        Severity::Advice => '☞',
    };
    let _ = writeln!(text, "  {sign} {}", diagnostic.message);
    for (span, label) in &diagnostic.labels {
        let before = source.text.get(..span.start()).unwrap_or_default();
        let column = 1 + before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        let line = source.line(span.start());
        let _ = writeln!(text, "    {}:{line}:{column}: {label}", source.name);
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(text, "  help: {help}");
    }
}

/// Returns a text without what its lines have behind [`LONGEST`] characters: a recipe may be a megabyte on one line.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    for line in text.lines() {
        let mut characters = line.chars();
        short.extend(characters.by_ref().take(LONGEST));
        if characters.next().is_some() {
            short.push_str(" ..");
        }
        short.push('\n');
    }
    short
}

/// Prints an error and its causes to standard error, and what to do.
pub fn print_error(error: &dyn Error, help: Option<&str>, color: bool) {
    let (red, plain) = if color {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    let mut text = format!("{red}error:{plain} {}\n", safe(&error.to_string()));
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Many errors print their cause themselves.
        let line = next.to_string();
        if !said.contains(&line) {
            let _ = writeln!(text, "  because: {}", safe(&line));
        }
        said.push_str(&line);
        cause = next.source();
    }
    if let Some(help) = help {
        let _ = writeln!(text, "  help: {}", safe(help).replace('\n', "\n        "));
    }
    print(&text);
}

/// Writes to standard error; a standard error that is gone is nobody's to complain to.
fn print(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Returns the columns to write in where standard error is a terminal.
fn terminal_width() -> Option<usize> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    // A terminal that nobody gave a size says 0.
    let columns = usize::from(size.ws_col);
    (columns > 0).then(|| columns.clamp(40, 140))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::is_unsafe;

    #[test]
    fn a_diagnostic_has_no_other_escapes_than_its_colours() {
        let evil = "x\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r";
        // ESC and what turns the text around the parser refuses; the rest may stand in a recipe.
        let source = SourceMap::from(SourceText {
            name: format!("images/{evil}.kdl"),
            text: "image \"a\u{200b}b\u{ad}\u{61c}\"\nimage".into(),
        });
        let diagnostic = Diagnostic::error(format!("no `{evil}`"), 0..5, evil).help(evil);
        for color in [false, true] {
            let text = drawn(&source, std::slice::from_ref(&diagnostic), color, None);
            for (number, piece) in text.split('\x1b').enumerate() {
                assert!(!piece.contains(|c| is_unsafe(c) && c != '\n'), "{text:?}");
                let code = piece
                    .strip_prefix('[')
                    .and_then(|rest| rest.split_once('m'));
                let is_color = |code: &str| code.bytes().all(|b| b.is_ascii_digit() || b == b';');
                assert!(
                    number == 0 || code.is_some_and(|(code, _)| is_color(code)),
                    "{piece:?}"
                );
            }
            assert_eq!(text.contains('\x1b'), color, "{text:?}");
            // The message, the label, the help and the file's name.
            assert_eq!(
                text.matches("x\\x1b[2J\\u{9b}31m\\u{202e}\\u{200b}\\r")
                    .count(),
                4,
                "{text}"
            );
        }
    }
}
