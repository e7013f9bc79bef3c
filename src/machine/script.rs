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
    /// A whole line.
    Line(String),
    /// These characters, anywhere.
    Text(String),
    /// What this expression matches. A match at the end of what came so far counts once the guest is silent.
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
            Pattern::Line(line) => line_end(text, from, line),
            Pattern::Text(needle) => {
                let at = text.get(from..)?.find(needle.as_str())?;
                Some(from + at + needle.len())
            }
            Pattern::Regex(regex) => regex.find_at(text, from).map(|found| found.end()),
        }
    }

    /// Returns the end of the first match in `text` from `from` on, or in `text` without the kernel's records: those may cut a word
    /// in two. A regular expression's match at the very end may grow: it counts where the text is `still`.
    pub(super) fn end_in(&self, text: &str, from: usize, still: bool) -> Option<usize> {
        let final_in = |text: &str, end: &usize| {
            still || *end < text.len() || !matches!(self, Pattern::Regex(_))
        };
        if let Some(end) = self.find(text, from).filter(|end| final_in(text, end)) {
            return Some(end);
        }
        let read = calm(text.get(..from)?).len();
        let calm = calm(text);
        let end = self.find(&calm, read).filter(|end| final_in(&calm, end))?;
        Some(end + hidden(text, end))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Line(line) => write!(f, "line={line:?}"),
            Pattern::Text(text) => write!(f, "{text:?}"),
            Pattern::Regex(regex) => write!(f, "regex={:?}", regex.as_str()),
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

/// Returns the end of the first whole line that is `line` and begins at `from` or later.
fn line_end(text: &str, from: usize, line: &str) -> Option<usize> {
    let mut start = 0;
    for one in text.split_inclusive('\n') {
        if start >= from && one.strip_suffix('\n') == Some(line) {
            return Some(start + line.len());
        }
        start += one.len();
    }
    None
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
