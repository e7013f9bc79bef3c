//! Strings: `"one line"`, `"""` several lines `"""`, and both raw, `#"..."#`.

use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::scan::{Scanner, is_newline, is_space};

/// What to do about a backslash that escapes nothing.
const RAW: &str = "for a backslash write `\\\\`, or make the whole text raw: `#\"..\"#`, where nothing is an escape";

impl Scanner<'_> {
    /// Reads a string that starts with `"`.
    pub(super) fn quoted(&mut self) {
        if self.rest().starts_with("\"\"\"") {
            return self.lines(0);
        }
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return;
                }
                Some('\\') => self.escape(),
                Some(character) if !is_newline(character) => self.at += character.len_utf8(),
                _ => return self.unclosed(start..start + 1),
            }
        }
    }

    /// Reads a raw string that starts with as many `#`.
    pub(super) fn raw(&mut self, hashes: usize) {
        let start = self.at;
        if self.rest().get(hashes..hashes + 3) == Some("\"\"\"") {
            return self.lines(hashes);
        }
        self.at += hashes + 1;
        let close = format!("\"{}", "#".repeat(hashes));
        let open = start..self.at;
        let (length, closed) = until(self.rest(), &close);
        self.at += length;
        if closed {
            self.at += close.len();
            return;
        }
        self.found.unclosed.push(start);
        let help = format!(
            "close it with `{close}`; a text of several lines starts and ends with three quotes"
        );
        let message = "the raw text is not closed on its line";
        self.error(Diagnostic::error(message, open, "opened here").help(help));
    }

    fn unclosed(&mut self, open: Range<usize>) {
        self.found.unclosed.push(open.start);
        let message = "the text is not closed on its line";
        let error = Diagnostic::error(message, open, "this quote is not closed");
        self.error(error.help(
            "each text of the line needs a `\"` at both ends; a quote inside a text is written `\\\"`, and a text of several lines starts and ends with `\"\"\"`",
        ));
    }

    /// Reads an escape; here is its `\`.
    fn escape(&mut self) {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some('\\' | '"' | 'b' | 'f' | 'n' | 'r' | 't' | 's') => self.at += 1,
            Some('u') => {
                self.at += 1;
                self.unicode_escape(start);
            }
            Some(character) if is_space(character) || is_newline(character) => {
                let rest = self.rest();
                let after = rest.trim_start_matches(|c| is_space(c) || is_newline(c));
                self.at += rest.len() - after.len();
            }
            Some(character) => {
                self.at += character.len_utf8();
                let message = format!("`\\{character}` is no escape of KDL");
                let label = "a backslash in a quoted text starts an escape";
                self.error(Diagnostic::error(message, start..self.at, label).help(RAW));
            }
            None => {}
        }
    }

    /// Reads `{..}` after `\u`.
    fn unicode_escape(&mut self, start: usize) {
        let digits = self.rest().strip_prefix('{').map(|body| {
            let end = body.find(|c: char| !c.is_ascii_hexdigit());
            body.get(..end.unwrap_or(body.len())).unwrap_or_default()
        });
        let closed = digits.filter(|digits| {
            let after = self.rest().get(1 + digits.len()..).unwrap_or_default();
            after.starts_with('}') && (1..=6).contains(&digits.len())
        });
        let value = closed.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match (closed, value.and_then(char::from_u32)) {
            (Some(digits), Some(_)) => self.at += digits.len() + 2,
            (_, _) => {
                self.at += digits.map_or(0, |digits| 1 + digits.len());
                let message = "`\\u` is not followed by the number of a character";
                let label = "1 to 6 hexadecimal digits in braces are wanted";
                let error = Diagnostic::error(message, start..self.at, label);
                self.error(error.help(format!("write `\\u{{e9}}` for `é`; {RAW}")));
            }
        }
    }

    /// Reads a string of several lines; here are its `#`, if any, and its `"""`.
    fn lines(&mut self, hashes: usize) {
        let open = self.at..self.at + hashes + 3;
        let close = format!("\"\"\"{}", "#".repeat(hashes));
        self.at = open.end;
        if !self.line_break() {
            let message = "three quotes are not followed by a line break";
            let error = Diagnostic::error(message, open.clone(), "opens a text of several lines");
            self.error(error.help(
                "break the line after them and put the closing quotes on a line of their own; a text of one line has one quote at each end",
            ));
            let (length, closed) = until(self.rest(), &close);
            self.at += length;
            if closed {
                self.at += close.len();
                return;
            }
            self.line_break();
        }
        let mut lines = Vec::new();
        loop {
            let start = self.at;
            self.spaces();
            let indent = start..self.at;
            while hashes == 0 && self.at_white_space_escape() {
                self.escape();
            }
            if self.rest().starts_with(&close) {
                let quotes = self.at..self.at + close.len();
                self.at = quotes.end;
                return self.indentation(&lines, indent, quotes);
            }
            lines.push(start);
            if !self.line(hashes > 0, &close, &open) {
                return;
            }
        }
    }

    /// Says whether here is a `\` that takes the white space behind it away. Such a one may stand before closing quotes.
    fn at_white_space_escape(&self) -> bool {
        let behind = self.rest().strip_prefix('\\');
        behind.is_some_and(|rest| rest.starts_with(|c| is_space(c) || is_newline(c)))
    }

    /// Reads to the end of a line of a string; `false` where the string ended.
    fn line(&mut self, raw: bool, close: &str, open: &Range<usize>) -> bool {
        loop {
            if self.line_break() {
                return true;
            }
            if self.rest().starts_with(close) {
                let quotes = self.at..self.at + close.len();
                self.at = quotes.end;
                let message = "the closing quotes do not stand on a line of their own";
                let label = "only white space may stand before them";
                let error = Diagnostic::error(message, quotes, label);
                self.error(error.and(open.clone(), "the text starts here").help(
                    "break the line before them (a `\\` at the end of that line would join it again)",
                ));
                return false;
            }
            match self.peek() {
                Some('\\') if !raw => self.escape(),
                Some(character) => self.at += character.len_utf8(),
                None => {
                    let message = "the text is not closed";
                    let label = "nothing closes these quotes";
                    let error = Diagnostic::error(message, open.clone(), label);
                    let help = format!("write `{close}` on a line of its own where the text ends");
                    self.cut_short(error.help(help));
                    return false;
                }
            }
        }
    }

    /// Checks that each line starts with the white space that stands before the closing quotes.
    fn indentation(&mut self, lines: &[usize], indent: Range<usize>, quotes: Range<usize>) {
        let prefix = self.text.get(indent).unwrap_or_default();
        let wrong: Vec<Range<usize>> = lines
            .iter()
            .filter_map(|start| {
                let rest = self.text.get(*start..)?;
                let line = rest.split(is_newline).next()?;
                let body = line.trim_start_matches(is_space);
                let blank = body.is_empty() || body == "\\";
                let width = line.len() - body.len();
                (!blank && !line.starts_with(prefix)).then(|| *start..start + width)
            })
            .collect();
        if let Some(first) = wrong.first() {
            let message = match wrong.len() {
                1 => "a line of the text is not indented like its closing quotes".to_owned(),
                n => format!("{n} lines of the text are not indented like its closing quotes"),
            };
            let error = Diagnostic::error(message, first.clone(), "this line");
            self.error(error.and(quotes, "what stands before these must stand before each line").help(
                "indent the line with the same spaces or tabs, or move the closing quotes to the left",
            ));
        }
    }
}

/// Returns the length of the text before `close` or the end of the line, and whether it is `close` that comes first.
fn until(rest: &str, close: &str) -> (usize, bool) {
    for (at, character) in rest.char_indices() {
        if is_newline(character) {
            return (at, false);
        }
        if character == '"' && rest.get(at..).is_some_and(|tail| tail.starts_with(close)) {
            return (at, true);
        }
    }
    (rest.len(), false)
}
