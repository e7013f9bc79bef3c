//! The console as a script reads it: text without the echo of what the script sent.

use super::echo::{Echoes, Found};
use super::script::Pattern;
use super::text::calm;

/// Text kept; more is a guest that floods its console.
const KEPT: usize = 256 * 1024;

/// How much of the text may hold the echo of what was not sent yet.
const LATELY: usize = 4096;

/// The longest line that a message quotes, in characters.
const QUOTED: usize = 160;

/// The console, and how far a script has read it.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    text: String,
    /// Where the last match ended.
    read: usize,
    /// Up to where the text is told from echoes.
    sure: usize,
    /// Where an echo begins that is not whole yet, or the end: nothing behind it is compared.
    open: usize,
    /// The first bytes of a character that is not whole yet.
    torn: Vec<u8>,
    echoes: Echoes,
}

impl Transcript {
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
        self.drop_echoes();
        self.forget();
    }

    /// Remembers a line that was sent while the console's last line was `unfinished`.
    pub(super) fn sent(&mut self, line: &str, unfinished: &str) {
        self.echoes.sent(line, unfinished);
        // What came last may hold it already: bytes do not say when the guest wrote them.
        let last = self.text.len().saturating_sub(LATELY);
        let last = (last..).find(|at| self.text.is_char_boundary(*at));
        self.sure = self.read.max(last.unwrap_or(self.read));
        self.drop_echoes();
    }

    /// Ends the text: nothing more will come.
    pub(super) fn end(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.take(b"\n");
        }
        self.open = self.text.len();
    }

    fn drop_echoes(&mut self) {
        loop {
            match self.echoes.find(&self.text, self.sure, self.read) {
                Found::Nothing => {
                    self.sure = self.text.len();
                    self.open = self.sure;
                    return;
                }
                Found::Begun(start) => {
                    self.sure = start;
                    self.open = start;
                    return;
                }
                Found::Whole {
                    start,
                    end,
                    records,
                } => {
                    self.text.replace_range(start..end, &records);
                    self.sure = start + records.len();
                }
            }
        }
    }

    /// Drops the oldest text where there is too much.
    fn forget(&mut self) {
        let excess = self.text.len().saturating_sub(KEPT);
        let cut = (excess..)
            .find(|at| self.text.is_char_boundary(*at))
            .unwrap_or(0);
        self.text.drain(..cut);
        for place in [&mut self.read, &mut self.sure, &mut self.open] {
            *place = place.saturating_sub(cut);
        }
    }

    fn shown(&self) -> &str {
        self.text.get(..self.open).unwrap_or_default()
    }

    /// Looks for a pattern behind the last match; what it matched, and all before, is read then. `still` says that the guest has been
    /// silent for a while, so that the end of the text is more than a moment in the middle of a line.
    pub(super) fn find(&mut self, pattern: &Pattern, still: bool) -> bool {
        let end = pattern.end_in(self.shown(), self.read, still);
        self.read = end.unwrap_or(self.read);
        end.is_some()
    }

    /// Returns whether a pattern is anywhere in it.
    pub(super) fn holds(&self, pattern: &Pattern, still: bool) -> bool {
        pattern.end_in(self.shown(), 0, still).is_some()
    }

    /// Returns the line that a pattern matches first, and whether it is ended.
    pub(super) fn line_of(&self, pattern: &Pattern) -> Option<(String, bool)> {
        let end = pattern.end_in(&self.text, 0, true)?;
        let (before, after) = self.text.split_at_checked(end)?;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = after.find('\n');
        let line = self
            .text
            .get(start..rest.map_or(self.text.len(), |at| end + at))?;
        Some((quoted(line), rest.is_some()))
    }

    /// Returns the last line behind the last match that is nearly what a pattern looks for: it has the same words but for the last,
    /// `exit=7` where `exit=0` is wanted; or it has more than the whole line.
    pub(super) fn nearly(&self, pattern: &Pattern) -> Option<String> {
        let (wanted, whole) = match pattern {
            Pattern::Text(text) => (text, false),
            Pattern::Line(text) => (text, true),
            Pattern::Regex(_) => return None,
        };
        let unread = calm(self.text.get(self.read..).unwrap_or_default());
        let last = |part: &str| {
            let line = unread.lines().rev().find(|line| line.contains(part))?;
            Some(quoted(line))
        };
        let more = last(wanted).filter(|_| whole);
        let up_to = |at: usize| wanted.get(..=at).filter(|part| part.trim().len() > 1);
        let blank = || up_to(wanted.trim_end().rfind(' ')?).and_then(last);
        let value = || up_to(wanted.rfind(['=', ':'])?).and_then(last);
        more.or_else(value).or_else(blank)
    }
}

fn quoted(line: &str) -> String {
    line.trim().chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Pattern {
        Pattern::Text(text.to_owned())
    }

    fn line(line: &str) -> Pattern {
        Pattern::Line(line.to_owned())
    }

    fn regex(expression: &str) -> Pattern {
        Pattern::regex(expression).unwrap()
    }

    fn of(bytes: &[u8]) -> Transcript {
        let mut transcript = Transcript::default();
        transcript.take(bytes);
        transcript
    }

    #[test]
    fn a_match_is_found_through_the_records_of_the_kernel_and_read_only_once() {
        let mut console =
            of(b"(linux) echo ans\n[    1.000001] a\nans[    1.234567] b\nwer=42\n(linux) ");
        assert!(!console.holds(&text("answer=43"), true));
        assert!(console.find(&line("answer=42"), false));
        assert!(!console.find(&text("answer=42"), true));
        assert!(console.find(&text("\n(linux) "), false));
        assert!(!console.find(&text("(linux)"), true));
    }

    #[test]
    fn a_line_begins_where_it_does_and_not_where_the_last_match_ended() {
        let mut console = of(b"(linux) ");
        assert!(console.find(&text("(linux) "), false));
        console.take(b"uname\n");
        assert!(!console.find(&regex("^uname"), true));
        assert!(!console.find(&line("uname"), true));
        assert!(console.find(&text("un"), false));
        assert!(!console.find(&text("un"), true));
        console.take(b"[    1.234567] a\nuname\n");
        assert!(console.find(&regex("^uname$"), false));
        assert!(!console.find(&text("uname"), true));
    }

    #[test]
    fn what_a_program_prints_of_the_kernel_log_is_matched_too() {
        let mut console = of(b"(linux) dmesg\n[    0.000000] Linux version 6.1\n");
        assert!(console.find(&regex(r"^\[ *0\.\d+\] Linux version \d"), false));
        let mut console = of(b"[    0.000000] Linux version 6.1\n");
        assert!(console.find(&line("[    0.000000] Linux version 6.1"), false));
    }

    #[test]
    fn a_line_is_whole_only_once_it_is_ended() {
        let mut console = of(b"not ok 2\nok 2");
        assert!(!console.find(&line("ok 2"), true));
        console.take(b"1\nok 2 - x\nok 2");
        assert!(!console.find(&line("ok 2"), true));
        console.end();
        assert!(console.find(&line("ok 2"), true));
        assert!(!console.find(&line("ok 2"), true));
    }

    #[test]
    fn a_regex_does_not_match_a_line_that_still_grows() {
        let mut console = of(b"ok 2");
        for expression in ["^ok 2$", "ok [0-9]+"] {
            assert!(!console.find(&regex(expression), false), "{expression}");
            assert!(console.holds(&regex(expression), true), "{expression}");
        }
        console.take(b"1\n");
        assert!(!console.find(&regex("^ok 2$"), true));
        assert!(console.find(&regex("ok [0-9]+"), false));
        assert!(!console.find(&regex("[0-9]"), true));
    }

    #[test]
    fn a_character_in_two_pieces_is_whole() {
        let bytes = "grün".as_bytes();
        let mut console = of(&bytes[..3]);
        console.take(&bytes[3..]);
        console.take(b"\xff!");
        assert!(console.find(&text("grün\u{fffd}!"), false));
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut console = Transcript::default();
        for round in 0..200 {
            console.take("é".repeat(4096).as_bytes());
            console.sent(&format!("x{round}"), "");
        }
        assert!(console.text.len() <= KEPT);
        assert!(!console.find(&text("x"), true));
    }

    #[test]
    fn a_line_that_is_nearly_the_wanted_one_is_named() {
        let console = of(b"exit=7\nok 1\nnot ok 2 - old kernel\n[    1.000000] exit=1\n");
        let cases = [
            (text("exit=0"), Some("exit=7")),
            (text("ok 3"), Some("not ok 2 - old kernel")),
            (line("ok 2"), Some("not ok 2 - old kernel")),
            (text("exit=0 & more"), Some("exit=7")),
            (text("never"), None),
            (text("a b"), None),
            (regex("exit=0"), None),
        ];
        for (pattern, expected) in cases {
            assert_eq!(console.nearly(&pattern).as_deref(), expected, "{pattern}");
        }
    }

    /// What is left of a console where each line was sent when the text before its `<` had come.
    fn left(console: &[&str], sent: &[&str]) -> String {
        let mut all: Vec<String> = Vec::new();
        // Whole, and byte by byte: where the pieces are cut decides nothing.
        for whole in [true, false] {
            let mut transcript = Transcript::default();
            for (index, piece) in console.iter().enumerate() {
                match whole {
                    true => transcript.take(piece.as_bytes()),
                    false => piece.bytes().for_each(|byte| transcript.take(&[byte])),
                }
                if let Some(line) = sent.get(index) {
                    let unfinished = transcript.text.rsplit('\n').next().unwrap().to_owned();
                    transcript.sent(line, &unfinished);
                }
            }
            transcript.end();
            all.push(transcript.text);
        }
        assert_eq!(all[0], all[1], "{console:?}");
        all.remove(0)
    }

    #[test]
    fn the_echo_of_what_was_sent_is_no_output() {
        let long = "echo 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 && false && echo X";
        let (one, two) = long.split_at(72);
        let wrapped = format!("{one}\n{two}\n(linux) ");
        let cases: [(&[&str], &[&str], &str); 17] = [
            // A shell that edits: its prompt is there, the echo follows.
            (
                &["(linux) ", "false && echo X\n(linux) "],
                &["false && echo X"],
                "(linux) \n(linux) \n",
            ),
            (
                &["(linux) ", "echo X\nX\n(linux) "],
                &["echo X"],
                "(linux) \nX\n(linux) \n",
            ),
            // Wrapped at the window's width.
            (&["(linux) ", &wrapped], &[long], "(linux) \n(linux) \n"),
            // Sent ahead: once by the terminal, once by the shell, behind a prompt that was seen before or looks like one.
            (
                &["(linux) ", "sleep 1\n", "echo X\n(linux) echo X\nX\n"],
                &["sleep 1", "echo X"],
                "(linux) \n\n(linux) \nX\n",
            ),
            (
                &["Welcome\n", "echo X\nroot@host:~# echo X\nX\n"],
                &["echo X"],
                "Welcome\n\nroot@host:~# \nX\n",
            ),
            (
                &["a\n", "x\ny\n> x\n> y\n"],
                &["x", "y"],
                // `y` was sent when `a` alone had come, too.
                "a\n\n\n> \n> \n",
            ),
            // A program that repeats what it reads.
            (
                &["(linux) ", "cat\n", "hello\nhello\n"],
                &["cat", "hello"],
                "(linux) \n\nhello\n",
            ),
            (
                &["name? ", "bob\nyou are bob\n"],
                &["bob"],
                "name? \nyou are bob\n",
            ),
            // No echo at all.
            (
                &["Password: ", "\nWelcome, root\n# "],
                &["root"],
                "Password: \nWelcome, root\n# \n",
            ),
            (&["> ", "\nroot@host# "], &["root"], "> \nroot@host# \n"),
            // The kernel speaks in the middle, and knows the same words.
            (
                &[
                    "$ ",
                    "fal[    1.000000] a: b\nse\n[    1.000001] c: false\n",
                ],
                &["false"],
                "$ [    1.000000] a: b\n\n[    1.000001] c: false\n",
            ),
            // Ctrl-C, a tab that completes nothing, a tab shown as blanks.
            (&["$ ", "^C\n$ "], &["\u{3}"], "$ \n$ \n"),
            (&["$ ", "a\u{7}b\n"], &["a\tb"], "$ \n"),
            (&["$ ", "a       b\n"], &["a\tb"], "$ \n"),
            // More than was typed, or less: no echo.
            (&["$ ", "echo XY\n"], &["echo X"], "$ echo XY\n"),
            (&["$ ", "echo\n"], &["echo X"], "$ echo\n"),
            // Enter alone has none.
            (&["$ ", "\n$ "], &[""], "$ \n$ \n"),
        ];
        for (console, sent, expected) in cases {
            assert_eq!(left(console, sent), expected, "{console:?} {sent:?}");
        }
    }

    #[test]
    fn an_echo_that_has_only_begun_is_not_matched() {
        let mut console = of(b"(linux) ");
        assert!(console.find(&text("(linux)"), false));
        console.sent("false && echo X", "(linux) ");
        for byte in b"false && echo X" {
            console.take(&[*byte]);
            assert!(!console.find(&text("X"), true));
            assert!(!console.holds(&text("echo"), true));
        }
        console.take(b"YZ\n");
        assert!(console.find(&text("XYZ"), false));
    }

    #[test]
    fn an_echo_that_came_with_the_prompt_is_none_of_the_output_either() {
        let mut console = of(b"(linux) false && echo X\n(linux) ");
        assert!(console.find(&text("(linux)"), false));
        console.sent("false && echo X", "(linux) ");
        assert!(!console.find(&text("X"), true));
        assert!(console.find(&text("(linux)"), false));
    }
}
