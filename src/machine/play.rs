//! A script as it is played: which step waits, and what the guest's end means for it.

use std::time::Duration;

use super::end::{End, Ending};
use super::guest::Guest;
use super::input::Input;
use super::script::{Script, Step};
use super::test::Kind;
use super::transcript::Transcript;

/// How long a line to send waits for a prompt, once the guest has shown something that was expected.
const PATIENCE: Duration = Duration::from_millis(500);

/// A script and how far it has come.
pub(super) struct Play<'a> {
    script: &'a Script,
    /// The step that waits, counted from 0.
    pub(super) step: usize,
    /// Since when it waits.
    since: Duration,
    /// When a line was sent last.
    sent: Option<Duration>,
    /// What the guest printed.
    pub(super) transcript: Transcript,
    /// Knows when the guest reads.
    input: Input,
    /// Whether the guest showed something that was expected.
    met: bool,
}

/// What became of a script, and a line for people.
pub(super) type Verdict = (Kind, String);

impl<'a> Play<'a> {
    pub(super) fn new(script: &'a Script) -> Play<'a> {
        Play {
            script,
            step: 0,
            since: Duration::ZERO,
            sent: None,
            transcript: Transcript::default(),
            input: Input::new(false),
            met: false,
        }
    }

    /// Returns the step that waits; none after the last one.
    pub(super) fn waiting(&self) -> Option<&'a Step> {
        self.script.steps.get(self.step)
    }

    /// Does the steps that can be done now.
    pub(super) fn go_on(&mut self, guest: &mut Guest, still: bool) {
        while let Some(step) = self.waiting() {
            match step {
                Step::Expect(pattern) if !self.transcript.find(pattern, still) => return,
                Step::Exit(_) => return,
                Step::Send(_) if !self.may_send(guest, still) => return,
                Step::Send(line) => {
                    self.transcript.sent(line, &guest.console.partial());
                    guest.send(line.as_bytes());
                    guest.send(b"\n");
                    self.sent = Some(guest.now());
                }
                Step::Expect(_) => self.met = true,
                Step::Absent(_) => {}
            }
            self.step += 1;
            self.since = guest.now();
        }
    }

    /// Returns whether the guest seems to read: what is sent ahead is shown twice, or lost.
    fn may_send(&mut self, guest: &Guest, still: bool) -> bool {
        let view = guest.view();
        // The prompt that the line before was sent to is none.
        let answered = self.sent.is_none_or(|sent| view.last > Some(sent));
        match self.met || self.sent.is_some() {
            true => {
                let waited = view.now.saturating_sub(self.since);
                still && answered && view.prompts() || waited >= PATIENCE
            }
            false => self.input.listens(&view),
        }
    }

    /// Does the steps that only read, once the guest has ended and all that it printed is here.
    pub(super) fn read_the_rest(&mut self) {
        self.transcript.end();
        while let Some(step) = self.waiting() {
            match step {
                Step::Expect(pattern) if self.transcript.find(pattern, true) => {}
                Step::Absent(_) => {}
                _ => return,
            }
            self.step += 1;
        }
    }

    /// Returns the `absent` step that the console breaks, wherever it stands in the script.
    pub(super) fn broken(&self, still: bool) -> Option<usize> {
        self.script.steps.iter().position(
            |step| matches!(step, Step::Absent(pattern) if self.transcript.holds(pattern, still)),
        )
    }

    /// Returns what the guest's end means for the step that waits.
    pub(super) fn judge(&mut self, end: &End) -> Verdict {
        let Some(step) = self.waiting() else {
            return (
                after_the_last(end),
                format!("{end} after the last step, which is no `exit`"),
            );
        };
        let wanted = match step {
            Step::Exit(wanted) => Some(*wanted),
            _ => None,
        };
        if wanted.is_some() && end.ending() == wanted {
            // Steps that follow an end can only be `absent`, and those held.
            let later = self.script.steps.iter().skip(self.step + 1);
            let stuck = later
                .clone()
                .position(|step| !matches!(step, Step::Absent(_)));
            return match stuck {
                None => (Kind::Passed, "passed".to_owned()),
                Some(at) => {
                    self.step += 1 + at;
                    (Kind::EarlyExit, format!("{end} before this step"))
                }
            };
        }
        match (end.ending(), wanted) {
            (Some(Ending::Panic), _) => (Kind::Panic, end.to_string()),
            (Some(_), Some(wanted)) => (
                Kind::Expectation,
                format!("{end}, not by exit \"{wanted}\""),
            ),
            _ => (Kind::EarlyExit, format!("{end} before this step")),
        }
    }

    /// Returns what it means that the time is up.
    pub(super) fn late(&self, silent: bool) -> Verdict {
        let within = self.script.within;
        match self.waiting() {
            _ if silent => (
                Kind::Timeout,
                format!("not one byte on the console in {within:?}"),
            ),
            Some(step @ Step::Exit(_)) => (
                Kind::Timeout,
                format!("{step} did not come within {within:?}"),
            ),
            Some(step @ Step::Send(_)) => (
                Kind::Timeout,
                format!("nobody seemed to read {step} within {within:?}"),
            ),
            Some(step) => (
                Kind::Expectation,
                format!("{step} did not come within {within:?}"),
            ),
            None => (Kind::Passed, "passed".to_owned()),
        }
    }

    /// Returns the line that the console has in the place of the expected one; none where nothing is like it.
    pub(super) fn nearly(&self) -> Option<String> {
        match self.waiting() {
            Some(Step::Expect(pattern)) => self.transcript.nearly(pattern),
            _ => None,
        }
    }

    /// Returns the line that the `absent` step which waits forbids; empty where there is none.
    pub(super) fn forbidden_line(&self) -> String {
        self.forbidden().map(|(line, _)| line).unwrap_or_default()
    }

    /// Returns whether that line is ended.
    pub(super) fn shows_whole_line(&self) -> bool {
        self.forbidden().is_none_or(|(_, whole)| whole)
    }

    fn forbidden(&self) -> Option<(String, bool)> {
        match self.waiting() {
            Some(Step::Absent(pattern)) => self.transcript.line_of(pattern),
            _ => None,
        }
    }
}

fn after_the_last(end: &End) -> Kind {
    match end.ending() {
        Some(Ending::Panic) => Kind::Panic,
        _ => Kind::EarlyExit,
    }
}
