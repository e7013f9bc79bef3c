//! The echo of lines that were sent, told from what the guest's programs print.
//!
//! A terminal shows what is typed: the line and a line end, wherever the cursor is. A shell that edits its lines wraps a long one at
//! the window's width, and shows once more, behind its prompt, what was typed before it read. So a line's echo is looked for at
//! the beginning of a line, behind a prompt, and in the line that the step before has matched; its second echo behind a prompt alone.

use std::collections::VecDeque;

use super::text::{calm, calm_unfinished, record};

/// How a prompt ends where it was not seen before.
const PROMPTS: [&str; 6] = ["$ ", "# ", "% ", "> ", ") ", "] "];

/// How far back the beginning of a line is looked for, in bytes.
const BACK: usize = 4096;

/// Prompts and echoes that are remembered; a script waits for few at a time.
const KEPT: usize = 16;

/// Lines that were sent and whose echo may come.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    first: VecDeque<String>,
    second: VecDeque<String>,
    prompts: VecDeque<String>,
}

/// What was found of an echo.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// None.
    Nothing,
    /// One that begins here, as far as the text goes.
    Begun(usize),
    /// A whole one.
    Whole {
        /// Where it begins.
        start: usize,
        /// Where it ends: before its line end.
        end: usize,
        /// The kernel's records in the middle of it.
        records: String,
    },
}

impl Echoes {
    /// Remembers a line that was sent while the console's last line was `unfinished`.
    pub(super) fn sent(&mut self, line: &str, unfinished: &str) {
        if !line.is_empty() {
            keep(&mut self.first, line);
        }
        self.saw(unfinished);
    }

    fn saw(&mut self, prompt: &str) {
        if !prompt.trim().is_empty() && !self.prompts.iter().any(|known| known == prompt) {
            keep(&mut self.prompts, prompt);
        }
    }

    /// Looks for the first echo in `text` from `from` on, where a step has matched all up to `read`. A whole one is forgotten,
    /// and so are the lines sent before it: echoes come in order.
    pub(super) fn find(&mut self, text: &str, from: usize, read: usize) -> Found {
        if self.first.is_empty() && self.second.is_empty() {
            return Found::Nothing;
        }
        let rest = text.get(from..).unwrap_or_default();
        let mut starts = rest.char_indices().map(|(at, _)| from + at);
        let sight = starts.find_map(|start| self.at(text, start, read));
        let Some(sight) = sight else {
            return Found::Nothing;
        };
        let Followed::Whole { length, records } = sight.followed else {
            return Found::Begun(sight.start);
        };
        self.echoed(sight.first, sight.index);
        self.saw(&sight.before);
        Found::Whole {
            start: sight.start,
            end: sight.start + length,
            records,
        }
    }

    /// Returns the echo that begins at `start`.
    fn at(&self, text: &str, start: usize, read: usize) -> Option<Sight> {
        let rest = text.get(start..)?;
        for (first, queue) in [(true, &self.first), (false, &self.second)] {
            for (index, line) in queue.iter().enumerate() {
                if !may_begin(rest, line) {
                    continue;
                }
                let followed = follow(rest, line);
                if followed == Followed::Differs {
                    continue;
                }
                let before = before(text, start)?;
                let here = first && (before.is_empty() || matched(text, start, read));
                if here || self.is_prompt(&before) {
                    return Some(Sight {
                        start,
                        first,
                        index,
                        before,
                        followed,
                    });
                }
            }
        }
        None
    }

    fn echoed(&mut self, first: bool, index: usize) {
        if !first {
            self.second.drain(..=index);
            return;
        }
        for line in self.first.drain(..=index) {
            keep(&mut self.second, &line);
        }
    }

    fn is_prompt(&self, before: &str) -> bool {
        PROMPTS.iter().any(|end| before.ends_with(end))
            || self.prompts.iter().any(|known| known == before)
    }
}

fn keep(queue: &mut VecDeque<String>, text: &str) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(text.to_owned());
}

/// Returns what stands before `start` in its line, without the kernel's records; none inside of a record.
fn before(text: &str, start: usize) -> Option<String> {
    let least = start.saturating_sub(BACK);
    let from = (least..=start).find(|at| text.is_char_boundary(*at));
    let window = text.get(from.unwrap_or(start)..start).unwrap_or_default();
    if window.rsplit('\n').next().and_then(record).is_some() {
        return None;
    }
    let calm = calm(window);
    calm.rsplit('\n').next().map(str::to_owned)
}

/// Returns whether `start` is in the line that the last match ended in.
fn matched(text: &str, start: usize, read: usize) -> bool {
    let line = text.get(..start).unwrap_or_default();
    read > line.rfind('\n').map_or(0, |at| at + 1)
}

/// An echo that was seen, whole or not.
struct Sight {
    start: usize,
    first: bool,
    index: usize,
    before: String,
    followed: Followed,
}

/// How far a text is a line's echo.
#[derive(Debug, PartialEq, Eq)]
enum Followed {
    Differs,
    Begun,
    Whole { length: usize, records: String },
}

/// Returns whether the first character of `text` can be that of the echo of `line`.
fn may_begin(text: &str, line: &str) -> bool {
    let first = line.chars().next();
    first.is_some_and(char::is_control) || text.chars().next() == first
}

/// Compares the beginning of `text` with the echo of `line` and its line end.
fn follow(text: &str, line: &str) -> Followed {
    let mut rest = text;
    let mut records = String::new();
    for (index, wanted) in line.chars().enumerate() {
        loop {
            if index > 0 {
                rest = match without_record(rest, &mut records) {
                    Some(rest) => rest,
                    None => return Followed::Begun,
                };
            }
            let Some(shown) = rest.chars().next() else {
                return Followed::Begun;
            };
            if shown == wanted {
                rest = rest.get(shown.len_utf8()..).unwrap_or_default();
                break;
            }
            if wanted.is_control() {
                if rest == "^" {
                    return Followed::Begun;
                }
                rest = without_control(rest, wanted);
                break;
            }
            // A line that is longer than the window, and the bell of a completion that has nothing to offer.
            if index == 0 || !matches!(shown, '\n' | '\x07') {
                return Followed::Differs;
            }
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    let Some(rest) = without_record(rest, &mut records) else {
        return Followed::Begun;
    };
    match rest.trim_start_matches('\x07').chars().next() {
        None => Followed::Begun,
        Some('\n') => Followed::Whole {
            length: text.len() - rest.len(),
            records,
        },
        Some(_) => Followed::Differs,
    }
}

/// Returns what follows the kernel's records at the beginning of `rest`; none where that is not known yet.
fn without_record<'a>(mut rest: &'a str, records: &mut String) -> Option<&'a str> {
    while rest.starts_with('[') {
        let Some(end) = rest.find('\n') else {
            let whole = calm_unfinished(rest).is_empty();
            return Some(rest).filter(|_| !whole);
        };
        let (line, after) = rest.split_at(end + 1);
        if !matches!(record(line), Some((0, _))) {
            break;
        }
        records.push_str(line);
        rest = after;
    }
    Some(rest)
}

/// Returns what follows a control character: shown as `^C`, a tab as blanks, or not at all.
fn without_control(rest: &str, control: char) -> &str {
    let caret = u8::try_from(control).unwrap_or_default() ^ 0x40;
    let shown = format!("^{}", char::from(caret));
    match control {
        '\t' => {
            let blanks = rest.bytes().take(8).take_while(|byte| *byte == b' ');
            rest.get(blanks.count()..).unwrap_or_default()
        }
        _ => rest.strip_prefix(shown.as_str()).unwrap_or(rest),
    }
}
