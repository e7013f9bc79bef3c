//! The user's input on its way to the guest: when it may go, how fast, and what mkimg keeps for itself.
//!
//! A UART drops what comes before the guest's driver has it, and a program that has not opened its terminal yet reads nothing.
//! So input waits until the guest looks ready: it shows an unfinished line, as a prompt is, or has fallen silent after it spoke.
//! Keys then go as they come. Lines from a pipe go one at a time, each when the prompt is back: what is sent ahead is echoed twice,
//! once by the terminal driver and once by the shell that edits the line. After the last line comes Ctrl-D, so that a shell at its
//! prompt ends, and with it the guest.

use std::collections::VecDeque;
use std::time::Duration;

/// A line that stays unfinished for so long is a prompt.
const PROMPT: Duration = Duration::from_millis(30);
/// After so much silence a guest that has spoken is taken to listen; also the longest wait for a prompt between two lines.
const SILENCE: Duration = Duration::from_secs(1);
/// A guest that has said nothing at all is given its input after this.
const MUTE: Duration = Duration::from_secs(30);
/// The shortest wait between two lines for a guest that shows no prompt.
const SHORTEST: Duration = Duration::from_millis(10);
/// How often the end of input is told to a guest that goes on.
const FAREWELLS: u32 = 16;

/// Ctrl-A, which begins a command to mkimg.
const ESCAPE: u8 = 0x01;
/// Ctrl-D, which ends a terminal's input.
const END: u8 = 0x04;

/// What the guest looks like from outside.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The time since the start.
    pub(super) now: Duration,
    /// When the last byte came.
    pub(super) last: Option<Duration>,
    /// The unfinished line.
    pub(super) partial: String,
    /// Whether a program has printed anything.
    pub(super) spoken: bool,
}

impl View {
    /// Returns whether the guest has been silent for as long as shows that an unfinished line is a prompt.
    pub(super) fn still(&self) -> bool {
        silence(self) >= PROMPT
    }

    /// Returns whether the last line is a prompt.
    pub(super) fn prompts(&self) -> bool {
        self.still() && !self.partial.trim().is_empty()
    }
}

/// Input that waits for the guest.
#[derive(Debug)]
pub(super) struct Input {
    keys: bool,
    held: VecDeque<u8>,
    escape: bool,
    ended: bool,
    ready: bool,
    prompt: Option<String>,
    pace: Duration,
    sent: Option<Duration>,
    newline: bool,
    farewells: u32,
}

impl Input {
    /// Returns input from a keyboard, where Ctrl-A is a command, or from anything else.
    pub(super) fn new(keys: bool) -> Input {
        Input {
            keys,
            held: VecDeque::new(),
            escape: false,
            ended: false,
            ready: false,
            prompt: None,
            pace: SILENCE,
            sent: None,
            newline: true,
            farewells: 0,
        }
    }

    /// Takes in bytes; returns whether the user wants to quit.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            if self.keys && self.escape {
                self.escape = false;
                match byte {
                    b'x' | b'X' => return true,
                    ESCAPE => {}
                    _ => self.held.push_back(ESCAPE),
                }
            } else if self.keys && byte == ESCAPE {
                self.escape = true;
                continue;
            }
            self.held.push_back(byte);
        }
        false
    }

    /// Says that no more will come.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Returns how many bytes wait, so that no more are read than can be held.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Returns the bytes that the guest may have now.
    pub(super) fn due(&mut self, view: &View) -> Vec<u8> {
        if !self.listens(view) {
            return Vec::new();
        }
        if self.keys {
            return self.held.drain(..).collect();
        }
        if !self.may_go_on(view) {
            return Vec::new();
        }
        if self.held.is_empty() {
            return self.farewell(view);
        }
        let end = self.held.iter().position(|&byte| byte == b'\n');
        // What a pipe has not finished yet waits for the rest of its line.
        let count = match end {
            Some(at) => at + 1,
            None if self.ended => self.held.len(),
            None => return Vec::new(),
        };
        self.sent = Some(view.now);
        let line: Vec<u8> = self.held.drain(..count).collect();
        self.newline = line.ends_with(b"\n");
        line
    }

    /// Returns whether the guest looks, or has looked, as if it reads.
    pub(super) fn listens(&mut self, view: &View) -> bool {
        self.look(view);
        self.ready
    }

    fn look(&mut self, view: &View) {
        if self.ready {
            return;
        }
        let quiet = silence(view);
        let prompt = view.prompts();
        self.ready = match view.spoken {
            true => prompt || quiet >= SILENCE,
            false => view.now >= MUTE && quiet >= MUTE,
        };
        if self.ready && prompt {
            self.prompt = Some(view.partial.clone());
        }
    }

    /// Returns whether the guest has dealt with what was sent last.
    fn may_go_on(&mut self, view: &View) -> bool {
        let Some(sent) = self.sent else { return true };
        let answered = view.last.is_some_and(|last| last > sent);
        let quiet = view
            .now
            .saturating_sub(view.last.unwrap_or_default().max(sent));
        if answered && quiet >= SHORTEST && self.prompt.as_ref() == Some(&view.partial) {
            self.pace = SILENCE;
            return true;
        }
        if quiet < self.pace {
            return false;
        }
        // No prompt: a program that reads line after line. It should not wait a second for each.
        self.pace = (self.pace / 2).max(SHORTEST);
        if !view.partial.trim().is_empty() {
            self.prompt = Some(view.partial.clone());
        }
        true
    }

    fn farewell(&mut self, view: &View) -> Vec<u8> {
        let heard = match self.sent {
            Some(sent) if self.farewells > 0 => {
                view.last.is_some_and(|last| last > sent) && silence(view) >= SILENCE
            }
            _ => true,
        };
        if !self.ended || !heard || self.farewells == FAREWELLS {
            return Vec::new();
        }
        self.sent = Some(view.now);
        if !self.newline {
            self.newline = true;
            return b"\n".to_vec();
        }
        self.farewells += 1;
        vec![END]
    }

    /// Returns how long the guest can be left alone before `due` might have something.
    pub(super) fn patience(&self) -> Duration {
        let idle = self.held.is_empty() && (!self.ended || self.farewells > 0);
        if idle || (self.ready && self.keys) {
            SILENCE
        } else {
            SHORTEST
        }
    }
}

fn silence(view: &View) -> Duration {
    view.now.saturating_sub(view.last.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64, last: u64, partial: &str) -> View {
        View {
            now: Duration::from_millis(milliseconds),
            last: Some(Duration::from_millis(last)),
            partial: partial.to_owned(),
            spoken: !partial.is_empty(),
        }
    }

    #[test]
    fn keys_wait_for_a_prompt_and_ctrl_a_is_a_command() {
        let mut input = Input::new(true);
        assert!(!input.take(b"ls\x01\x01\x01z"));
        assert_eq!(input.due(&at(500, 499, "")), b"");
        assert_eq!(input.due(&at(510, 500, "# ")), b"");
        assert_eq!(input.due(&at(530, 500, "# ")), b"ls\x01\x01z");
        assert!(!input.take(b"q"));
        assert_eq!(input.due(&at(531, 531, "# q")), b"q");
        assert!(!input.take(b"\x01"));
        assert!(input.take(b"x"));
    }

    #[test]
    fn lines_go_one_by_one_and_the_end_is_told_again_after_the_guest_spoke() {
        let mut input = Input::new(false);
        assert!(!input.take(b"a\x01x\nb"));
        assert_eq!(input.due(&at(100, 60, "# ")), b"a\x01x\n");
        // No answer yet, then an echo, an unfinished answer, the prompt.
        assert_eq!(input.due(&at(200, 60, "# ")), b"");
        assert_eq!(input.due(&at(210, 205, "# a")), b"");
        assert_eq!(input.due(&at(300, 290, "# ")), b"");
        input.end();
        assert_eq!(input.due(&at(300, 290, "# ")), b"b");
        assert_eq!(input.due(&at(320, 305, "# ")), b"\n");
        assert_eq!(input.due(&at(350, 330, "# ")), [END]);
        assert_eq!(input.due(&at(9000, 330, "# ")), b"");
        assert_eq!(input.due(&at(9500, 9400, "# ")), b"");
        assert_eq!(input.due(&at(10500, 9400, "# ")), [END]);
    }

    #[test]
    fn a_guest_that_shows_no_prompt_is_fed_ever_faster_and_a_mute_one_late() {
        let mut input = Input::new(false);
        assert!(!input.take(&b"x\n".repeat(20)));
        let mut now = 1000;
        let mut waits = Vec::new();
        input.due(&at(now, 900, "# "));
        for _ in 0..10 {
            let start = now;
            while input.due(&at(now, 900, "")).is_empty() {
                now += 1;
            }
            waits.push(now - start);
        }
        assert_eq!(waits, [1000, 500, 250, 125, 63, 32, 16, 10, 10, 10]);
        let mut mute = Input::new(false);
        mute.take(b"x\n");
        let silent = |now| View {
            last: None,
            ..at(now, 0, "")
        };
        assert_eq!(mute.due(&silent(29_999)), b"");
        assert_eq!(mute.due(&silent(30_000)), b"x\n");
    }
}
