//! A script played against a guest, and the report of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::cause::Cause;
use super::console::{Line, telling};
use super::diagnosis;
use super::emulator::Invocation;
use super::end::End;
use super::error::MachineError;
use super::guest::Guest;
use super::play::{Play, Verdict};
use super::script::{Script, Step};
use crate::progress::{Event, Progress, Silent};

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every step did what it should.
    Passed,
    /// The guest lives and speaks, but not as expected; or it showed what it must not.
    Expectation,
    /// The guest's kernel panicked.
    Panic,
    /// The guest, or QEMU, ended before the script did, or right after it without being told to.
    EarlyExit,
    /// The time was up while the guest said nothing at all, or did not end.
    Timeout,
    /// Somebody asked the test to stop.
    Interrupted,
}

/// The report of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What became of it.
    pub kind: Kind,
    /// The step it stopped at, counted from 0; none where it passed, or failed after the last one.
    pub step: Option<usize>,
    /// What happened, in one line for people.
    pub message: String,
    /// The line that the console has in the place of the expected one, where one is like it.
    pub nearly: Option<String>,
    /// How the machine ended, where it did before mkimg ended it.
    pub end: Option<End>,
    /// How long it took.
    pub elapsed: Duration,
    /// The console, each line with its time since the start; the oldest are lost where there are very many.
    pub lines: Vec<Line>,
    /// The likely cause, where one is known.
    pub cause: Option<Cause>,
}

/// Who looks on while a test is played.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Hears what the test waits for.
    pub progress: &'a dyn Progress,
    /// Stops the test once it is set.
    pub stop: &'a AtomicBool,
}

impl Watch<'_> {
    /// Returns a watch without anybody.
    pub const fn nobody() -> Watch<'static> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Watch {
            progress: &Silent,
            stop: &NEVER,
        }
    }
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
            Kind::Interrupted => "interrupted",
        }
    }
}

impl Report {
    /// Returns the lines of the console that tell most, [`TAIL`](super::TAIL) at most: the last ones, or those around a panic.
    pub fn tail(&self) -> &[Line] {
        telling(&self.lines)
    }

    /// Returns the exit code of mkimg for this test alone.
    pub const fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Passed => 0,
            Kind::Interrupted => 130,
            _ => 5,
        }
    }
}

/// The longest time between two looks at the clock: a guest is still after no less.
const PULSE: Duration = Duration::from_millis(30);

/// How long the guest is watched after the last step: an `/init` that ends then is no success.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// How long at most while its kernel speaks: an oops has many lines before the panic.
const ORATION: Duration = Duration::from_secs(1);

/// How long at most where it has announced its end.
const FAREWELL: Duration = Duration::from_secs(3);

/// How long the rest of a line is waited for that shows what it must not.
const REST: Duration = Duration::from_secs(1);

/// How often is told what the test waits for.
const TOLD: Duration = Duration::from_millis(100);

/// Starts a machine, plays `script` against its console, ends the machine and reports.
///
/// Call it on a thread that lives until it returns: QEMU ends with the thread.
///
/// # Errors
/// [`MachineError::Start`] where QEMU cannot be started, [`MachineError::Io`] where the pipes to it fail. Whatever the guest does
/// is a report.
pub fn test(
    invocation: &Invocation,
    script: &Script,
    watch: Watch<'_>,
) -> Result<Report, MachineError> {
    let mut session = Session {
        guest: Guest::start(invocation)?,
        play: Play::new(script),
        script,
        watch,
        done: None,
        told: None,
        heard: false,
    };
    let name = || script.name.clone();
    watch.progress.event(Event::TestStarted { name: name() });
    let outcome = session.outcome();
    watch.progress.event(Event::TestEnded { name: name() });
    let outcome = outcome?;
    Ok(session.report(outcome))
}

/// A guest and the script that is played against it.
struct Session<'a> {
    guest: Guest,
    play: Play<'a>,
    script: &'a Script,
    watch: Watch<'a>,
    /// When the last step was done.
    done: Option<Duration>,
    /// When somebody was told last what the test waits for.
    told: Option<Duration>,
    /// Whether the last turn brought something: more may lie on the serial line.
    heard: bool,
}

/// How a session came out.
struct Outcome {
    kind: Kind,
    message: String,
    end: Option<End>,
    /// Whether what happened is its own explanation.
    plain: bool,
}

impl Outcome {
    fn of((kind, message): Verdict, end: Option<End>) -> Outcome {
        Outcome {
            kind,
            message,
            end,
            plain: false,
        }
    }
}

impl Session<'_> {
    fn outcome(&mut self) -> Result<Outcome, MachineError> {
        loop {
            if let Some(broken) = self.broken()? {
                return Ok(broken);
            }
            let still = self.still();
            self.play.go_on(&mut self.guest, still);
            self.tell();
            if let Some(end) = self.guest.ended()? {
                return self.over(Some(end));
            }
            let now = self.guest.now();
            if self.watch.stop.load(Ordering::SeqCst) {
                let verdict = (Kind::Interrupted, "interrupted".to_owned());
                return Ok(Outcome::of(verdict, None));
            }
            let limit = match self.play.waiting() {
                None => {
                    let done = *self.done.get_or_insert(now);
                    if now >= done + self.afterwards() {
                        let sign = self.guest.console.last_word().cloned();
                        return self.over(sign);
                    }
                    PULSE
                }
                Some(_) if now >= self.script.within => {
                    let silent = self.guest.console.last().is_none();
                    return Ok(Outcome::of(self.play.late(silent), None));
                }
                Some(_) => PULSE.min(self.script.within.saturating_sub(now)),
            };
            self.listen(limit)?;
        }
    }

    /// Returns how long the guest is watched after the last step, as it looks now.
    fn afterwards(&self) -> Duration {
        let console = &self.guest.console;
        if console.last_word().is_some() {
            FAREWELL
        } else if self.heard || console.kernel_speaks() && !self.still() {
            ORATION
        } else {
            AFTERWARDS
        }
    }

    /// Returns whether the guest has been silent for a while.
    fn still(&self) -> bool {
        !self.heard && self.guest.view().still()
    }

    /// Takes in what the guest prints, for `limit` at most.
    fn listen(&mut self, limit: Duration) -> Result<(), MachineError> {
        let turn = self.guest.turn(&[], true, limit)?;
        self.heard = !turn.bytes.is_empty();
        self.play.transcript.take(&turn.clean);
        Ok(())
    }

    /// Returns the outcome where nothing more is read: the guest is gone, or was watched for long enough.
    fn over(&mut self, end: Option<End>) -> Result<Outcome, MachineError> {
        self.play.read_the_rest();
        if let Some(broken) = self.broken()? {
            return Ok(broken);
        }
        let verdict = match &end {
            Some(end) => self.play.judge(end),
            None => (Kind::Passed, "passed".to_owned()),
        };
        Ok(Outcome::of(verdict, end))
    }

    /// Returns the outcome of a console that shows what an `absent` step forbids; its line is heard to the end.
    fn broken(&mut self) -> Result<Option<Outcome>, MachineError> {
        let Some(step) = self.play.broken(self.still()) else {
            return Ok(None);
        };
        self.play.step = step;
        let since = self.guest.now();
        while !self.play.shows_whole_line() && self.guest.now() < since + REST {
            if self.guest.ended()?.is_some() {
                break;
            }
            self.listen(PULSE)?;
        }
        let line = self.play.forbidden_line();
        let message = format!("the console shows what it must not: {line:?}");
        Ok(Some(Outcome {
            kind: Kind::Expectation,
            message,
            end: None,
            plain: true,
        }))
    }

    fn tell(&mut self) {
        let now = self.guest.now();
        if self.told.is_some_and(|told| now < told + TOLD) {
            return;
        }
        self.told = Some(now);
        let step = self.play.waiting().map(Step::to_string);
        self.watch.progress.event(Event::TestWaits {
            name: self.script.name.clone(),
            step: step.unwrap_or_else(|| "nothing more to come".to_owned()),
            line: self.guest.console.newest(),
        });
    }

    fn report(mut self, outcome: Outcome) -> Report {
        let elapsed = self.guest.now();
        self.guest.kill();
        let lines = self.guest.console.lines();
        let Outcome {
            kind,
            message,
            end,
            plain,
        } = outcome;
        let cause = diagnosis::of(kind, end.as_ref(), &lines);
        // A line that is nearly the expected one says more than that the guest went on, or ended.
        let vague = |cause: &Cause| ["ended", "expectation"].contains(&cause.diagnosis.name);
        let nearly = match kind {
            Kind::Expectation | Kind::EarlyExit => self.play.nearly(),
            _ => None,
        };
        Report {
            kind,
            step: (kind != Kind::Passed && self.play.waiting().is_some()).then_some(self.play.step),
            message,
            cause: cause.filter(|cause| !(plain || nearly.is_some() && vague(cause))),
            nearly,
            end,
            elapsed,
            lines,
        }
    }
}
