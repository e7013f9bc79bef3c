//! A script played against a guest, and the report of it.

use std::time::Duration;

use super::console::{Line, TAIL};
use super::diagnosis::{self, Diagnosis};
use super::emulator::Invocation;
use super::end::{End, Ending};
use super::error::MachineError;
use super::guest::Guest;
use super::input::Input;
use super::script::{Script, Step, Unread};

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every step did what it should.
    Passed,
    /// The guest lives and speaks, but not as expected; or it showed what it must not.
    Expectation,
    /// The guest's kernel panicked.
    Panic,
    /// The guest, or QEMU, ended before the script did.
    EarlyExit,
    /// The time was up while the guest said nothing at all, or did not end.
    Timeout,
}

/// The report of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What became of it.
    pub kind: Kind,
    /// The step it stopped at, counted from 0; none where it passed.
    pub step: Option<usize>,
    /// What happened, in one line for people.
    pub message: String,
    /// How the machine ended, where it did before mkimg ended it.
    pub end: Option<End>,
    /// How long it took.
    pub elapsed: Duration,
    /// The console, each line with its time since the start; the oldest are lost where there are very many.
    pub lines: Vec<Line>,
    /// The likely cause, where one is known.
    pub diagnosis: Option<&'static Diagnosis>,
}

impl Kind {
    /// Returns its name: a word for JSON and JUnit.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Passed => "passed",
            Kind::Expectation => "expectation",
            Kind::Panic => "panic",
            Kind::EarlyExit => "early-exit",
            Kind::Timeout => "timeout",
        }
    }
}

impl Report {
    /// Returns the console's last lines, [`TAIL`] at most.
    pub fn tail(&self) -> &[Line] {
        let from = self.lines.len().saturating_sub(TAIL);
        self.lines.get(from..).unwrap_or_default()
    }

    /// Returns the exit code of mkimg for this test alone.
    pub const fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Passed => 0,
            _ => 5,
        }
    }
}

/// The longest time between two looks at the clock.
const PULSE: Duration = Duration::from_millis(100);

/// Starts a machine, plays `script` against its console, ends the machine and reports.
///
/// Call it on a thread that lives until it returns: QEMU ends with the thread.
///
/// # Errors
/// [`MachineError::Start`] where QEMU cannot be started, [`MachineError::Io`] where the pipes to it fail. Whatever the guest does
/// is a report.
pub fn test(invocation: &Invocation, script: &Script) -> Result<Report, MachineError> {
    let mut guest = Guest::start(invocation)?;
    let mut play = Play {
        script,
        step: 0,
        unread: Unread::default(),
        all: Unread::default(),
        input: Input::new(false),
        met: false,
    };
    let mut forbidden = false;
    let (kind, message, end) = loop {
        if let Some(step) = play.broken() {
            play.step = step;
            forbidden = true;
            let message = "the console shows what it must not".to_owned();
            break (Kind::Expectation, message, None);
        }
        play.go_on(&mut guest);
        if play.step == script.steps.len() {
            break (Kind::Passed, "passed".to_owned(), None);
        }
        if let Some(end) = guest.ended()? {
            let (kind, message) = play.judge(&end);
            break (kind, message, Some(end));
        }
        let now = guest.now();
        if now >= script.within {
            let (kind, message) = play.late(guest.console.last().is_none());
            break (kind, message, None);
        }
        let turn = guest.turn(&[], true, PULSE.min(script.within.saturating_sub(now)))?;
        play.unread.take(&turn.clean);
        play.all.take(&turn.clean);
    };
    let elapsed = guest.now();
    guest.kill();
    let lines = guest.console.lines();
    Ok(Report {
        kind,
        step: (kind != Kind::Passed).then_some(play.step),
        message,
        // What was shown and should not have been is its own explanation.
        diagnosis: match forbidden {
            true => None,
            false => diagnosis::of(kind, end.as_ref(), &lines),
        },
        end,
        elapsed,
        lines,
    })
}

/// A script and how far it has come.
struct Play<'a> {
    script: &'a Script,
    step: usize,
    unread: Unread,
    all: Unread,
    /// Knows when the guest reads.
    input: Input,
    /// Whether it showed something that was expected: then the script knows best when to send.
    met: bool,
}

impl Play<'_> {
    /// Does the steps that can be done now.
    fn go_on(&mut self, guest: &mut Guest) {
        while let Some(step) = self.script.steps.get(self.step) {
            match step {
                Step::Expect(pattern) if !self.unread.find(pattern) => return,
                Step::Exit(_) => return,
                Step::Send(_) if !self.met && !self.input.listens(&guest.view()) => return,
                Step::Send(line) => {
                    guest.send(line.as_bytes());
                    guest.send(b"\n");
                }
                Step::Expect(_) => self.met = true,
                Step::Absent(_) => {}
            }
            self.step += 1;
        }
    }

    /// Returns the `absent` step that the console breaks, wherever it stands in the script.
    fn broken(&self) -> Option<usize> {
        self.script
            .steps
            .iter()
            .position(|step| matches!(step, Step::Absent(pattern) if self.all.holds(pattern)))
    }

    /// Returns what the guest's end means for the step that waits.
    fn judge(&mut self, end: &End) -> (Kind, String) {
        let wanted = match self.script.steps.get(self.step) {
            Some(Step::Exit(wanted)) => Some(*wanted),
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
            (Some(_), Some(wanted)) => (Kind::Expectation, format!("{end}, not by {wanted}")),
            _ => (Kind::EarlyExit, format!("{end} before this step")),
        }
    }

    /// Returns what it means that the time is up.
    fn late(&self, silent: bool) -> (Kind, String) {
        let within = self.script.within;
        match self.script.steps.get(self.step) {
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
}
