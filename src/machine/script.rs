//! A test as steps against a console, and the search for what they expect.

use std::fmt;
use std::time::Duration;

use regex_lite::Regex;

use super::end::Ending;
use super::text::{calm, record};

/// One test: steps in order, and the time that they may take together.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its name in the recipe.
    pub name: String,
    /// What to do and to wait for.
    pub steps: Vec<Step>,
    /// The time for all steps, from the start of QEMU. The caller scales it by [`scaled`](super::scaled()).
    pub within: Duration,
}

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Wait until the console shows this, after what the step before matched.
    Expect(Pattern),
    /// Type this line.
    Send(String),
    /// The whole console must not show this until the test ends.
    Absent(Pattern),
    /// Wait until the guest ends by itself, and so.
    Exit(Ending),
}

/// What to look for.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// These characters.
    Text(String),
    /// What this expression matches; it sees the console while it grows, so an open end matches early.
    Regex(Regex),
}

impl Pattern {
    /// Returns the pattern of a regular expression; `^` and `$` match at each line's ends.
    ///
    /// # Errors
    /// A text for people where the expression is wrong.
    pub fn regex(expression: &str) -> Result<Pattern, String> {
        regex_lite::RegexBuilder::new(expression)
            .multi_line(true)
            .build()
            .map(Pattern::Regex)
            .map_err(|error| error.to_string())
    }

    /// Returns the end of the first match that begins at `from` or later; what stands before tells where a line begins.
    fn find(&self, text: &str, from: usize) -> Option<usize> {
        match self {
            Pattern::Text(needle) => {
                let at = text.get(from..)?.find(needle.as_str())?;
                Some(from + at + needle.len())
            }
            Pattern::Regex(regex) => regex.find_at(text, from).map(|found| found.end()),
        }
    }

    /// Returns the end of the first match in `text` from `from` on, or in `text` without the kernel's records: those may cut a word
    /// in two.
    pub(super) fn end_in(&self, text: &str, from: usize) -> Option<usize> {
        if let Some(end) = self.find(text, from) {
            return Some(end);
        }
        let read = calm(text.get(..from)?).len();
        let end = self.find(&calm(text), read)?;
        Some(end + hidden(text, end))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Text(text) => write!(f, "{text:?}"),
            Pattern::Regex(regex) => write!(f, "regex {:?}", regex.as_str()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Expect(pattern) => write!(f, "expect {pattern}"),
            Step::Send(line) => write!(f, "send {line:?}"),
            Step::Absent(pattern) => write!(f, "absent {pattern}"),
            Step::Exit(ending) => write!(f, "exit \"{ending}\""),
        }
    }
}

/// Returns how many bytes of kernel records stand before the calm text's byte `end`.
fn hidden(text: &str, end: usize) -> usize {
    let (mut shown, mut hidden) = (0, 0);
    for line in text.split_inclusive('\n') {
        let kept = record(line).map_or(line.len(), |(at, _)| at);
        if shown + kept >= end {
            break;
        }
        shown += kept;
        hidden += line.len() - kept;
    }
    hidden
}

/// The part of the console that no step has matched yet.
#[derive(Debug, Default)]
pub(super) struct Unread {
    text: String,
    /// How much of the text is read: the beginning of the line that the last match ended in.
    read: usize,
    /// The first bytes of a character that is not whole yet.
    torn: Vec<u8>,
}

/// Text kept for the next match; more is a guest that floods its console.
const KEPT: usize = 256 * 1024;

impl Unread {
    /// Takes in cleaned bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.torn.extend(bytes);
        let whole = match std::str::from_utf8(&self.torn) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.torn.len(),
        };
        let rest = self.torn.split_off(whole);
        self.text.push_str(&String::from_utf8_lossy(&self.torn));
        self.torn = rest;
        let excess = self.text.len().saturating_sub(KEPT);
        let cut = (excess..)
            .find(|at| self.text.is_char_boundary(*at))
            .unwrap_or(0);
        self.text.drain(..cut);
        self.read = self.read.saturating_sub(cut);
    }

    /// Looks for a pattern; what it matched, and all before, is read then.
    pub(super) fn find(&mut self, pattern: &Pattern) -> bool {
        let Some(end) = pattern.end_in(&self.text, self.read) else {
            return false;
        };
        let before = self.text.get(..end).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        self.read = end - line;
        self.text.drain(..line);
        true
    }

    /// Returns whether a pattern is anywhere in it.
    pub(super) fn holds(&self, pattern: &Pattern) -> bool {
        pattern.end_in(&self.text, self.read).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Pattern {
        Pattern::Text(text.to_owned())
    }

    #[test]
    fn a_match_is_found_through_the_records_of_the_kernel_and_read_only_once() {
        let mut unread = Unread::default();
        unread.take(b"(linux) echo ans\n[    1.000001] a\nans[    1.234567] b\nwer=42\n(linux) ");
        assert!(!unread.holds(&text("answer=43")));
        assert!(unread.find(&text("answer=42")));
        assert!(!unread.holds(&text("answer=42")));
        assert!(unread.find(&text("\n(linux) ")));
        assert!(!unread.find(&text("(linux)")));
    }

    #[test]
    fn a_line_begins_where_it_does_and_not_where_the_last_match_ended() {
        let mut unread = Unread::default();
        unread.take(b"(linux) ");
        assert!(unread.find(&text("(linux) ")));
        unread.take(b"uname\n");
        assert!(!unread.holds(&Pattern::regex("^uname").unwrap()));
        assert!(unread.find(&text("un")));
        assert!(!unread.find(&text("un")));
        unread.take(b"[    1.234567] a\nuname\n");
        assert!(unread.find(&Pattern::regex("^uname$").unwrap()));
        assert!(!unread.find(&text("uname")));
    }

    #[test]
    fn what_a_program_prints_of_the_kernel_log_is_matched_too() {
        let mut unread = Unread::default();
        unread.take(b"(linux) dmesg\n[    0.000000] Linux version 6.1\n");
        assert!(unread.find(&Pattern::regex(r"^\[ *0\.\d+\] Linux version \d").unwrap()));
    }

    #[test]
    fn a_character_in_two_pieces_is_whole() {
        let mut unread = Unread::default();
        let bytes = "grün".as_bytes();
        unread.take(&bytes[..3]);
        unread.take(&bytes[3..]);
        unread.take(b"\xff!");
        assert!(unread.find(&text("grün\u{fffd}!")));
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut unread = Unread::default();
        for _ in 0..200 {
            unread.take("é".repeat(4096).as_bytes());
        }
        assert!(unread.text.len() <= KEPT);
    }
}
