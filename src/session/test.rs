//! The tests of a recipe: each in a machine of its own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::boot::{BootOptions, Bootable};
use super::error::Error;
use super::load::Loaded;
use super::open::{Session, locked};
use super::realize::{Made, RealizeOptions};
use super::serve::Served;
use crate::fault::Outcome;
use crate::machine::{
    self, Ending, Invocation, Kind, MachineError, Pattern, Report, Script, Step, Watch,
};
use crate::realize::Image;
use crate::recipe::{self, Diagnostic, StepKind, Test};
use crate::store::Store;

/// Which tests are played, and how.
#[derive(Debug, Clone, Default)]
pub struct TestOptions {
    /// How the image is realized.
    pub realize: RealizeOptions,
    /// How the machines are to be.
    pub boot: BootOptions,
    /// Only the tests whose name contains this.
    pub filter: Option<String>,
    /// Go on after a test that failed.
    pub keep_going: bool,
}

/// A test of the recipe, and what became of it.
#[derive(Debug)]
pub struct Tested<'r> {
    pub(crate) test: &'r Test,
    /// None where it was not begun.
    pub report: Option<Report>,
}

impl Tested<'_> {
    /// Returns the test's name.
    pub fn name(&self) -> &str {
        &self.test.name.value
    }

    /// Says whether it passed.
    pub fn passed(&self) -> bool {
        self.kind() == Kind::Passed.name()
    }

    /// Says whether it was not begun.
    pub fn skipped(&self) -> bool {
        self.report.is_none()
    }

    /// Returns what became of it, in a word.
    pub fn kind(&self) -> &'static str {
        match &self.report {
            Some(report) => report.kind.name(),
            None => "skipped",
        }
    }
}

/// Tests that can be played.
pub struct Tests<'r> {
    session: &'r Session<'r>,
    /// The image.
    pub image: Image,
    cases: Vec<Case<'r>>,
    keep_going: bool,
}

impl Loaded<'_> {
    /// Makes the image and plays all tests of the recipe.
    ///
    /// # Errors
    /// [`Error`] where the image cannot be made or a machine cannot be run; a test that fails is none.
    pub fn test(&self) -> Result<Vec<Tested<'_>>, Error> {
        let never = AtomicBool::new(false);
        let tests = self.tests(&TestOptions::default())?;
        tests.play(&never, &|_| {})
    }

    /// Makes the image and what its tests need.
    ///
    /// # Errors
    /// [`Error`] where there is no such test, or where the image cannot be made.
    pub fn tests(&self, options: &TestOptions) -> Result<Tests<'_>, Error> {
        let tests = self.chosen(options.filter.as_deref())?;
        let Made {
            store, realized, ..
        } = self.realize_with(&options.realize)?;
        let scripts = self.scripts(&tests)?;
        let bootable = Bootable::image(&realized);
        let mut cases = Vec::new();
        for (test, script) in tests.into_iter().zip(scripts) {
            let boot = options.boot.clone();
            cases.push(Case::new(
                self.session,
                &store,
                boot,
                &bootable,
                test,
                script,
            )?);
        }
        Ok(Tests {
            session: self.session,
            image: realized.image,
            cases,
            keep_going: options.keep_going,
        })
    }

    fn chosen(&self, filter: Option<&str>) -> Result<Vec<&Test>, Error> {
        let all = &self.parsed.recipe.tests;
        let fits = |test: &&Test| filter.is_none_or(|filter| test.name.value.contains(filter));
        let chosen: Vec<&Test> = all.iter().filter(fits).collect();
        if chosen.is_empty() {
            let name = self.path.display();
            let names: Vec<&str> = all.iter().map(|test| test.name.value.as_str()).collect();
            return Err(match names.is_empty() {
                true => Error::usage(
                    format!("`{name}` has no tests"),
                    "add one: test \"the shell answers\" within=\"60s\" { expect \"(linux)\" }",
                ),
                false => Error::usage(
                    "no test has such a name",
                    format!("the tests are: {}", names.join("; ")),
                ),
            });
        }
        Ok(chosen)
    }

    fn scripts(&self, tests: &[&Test]) -> Result<Vec<Script>, Error> {
        let mut diagnostics = Vec::new();
        let mut scripts = Vec::new();
        for test in tests {
            let mut steps = Vec::new();
            for step in &test.steps {
                let pattern = |pattern: &recipe::Pattern| match pattern {
                    recipe::Pattern::Line(line) => Ok(Pattern::Line(line.clone())),
                    recipe::Pattern::Text(text) => Ok(Pattern::Text(text.clone())),
                    recipe::Pattern::Regex(regex) => Pattern::regex(regex),
                };
                let made = match &step.kind {
                    StepKind::Expect(wanted) => pattern(wanted).map(Step::Expect),
                    StepKind::Absent(unwanted) => pattern(unwanted).map(Step::Absent),
                    StepKind::Send(line) => Ok(Step::Send(line.clone())),
                    // Served from the start: no step of the script.
                    StepKind::Serve { .. } => continue,
                    StepKind::Exit(recipe::Ending::Poweroff) => Ok(Step::Exit(Ending::PowerOff)),
                    StepKind::Exit(recipe::Ending::Reboot) => Ok(Step::Exit(Ending::Reboot)),
                    StepKind::Exit(recipe::Ending::Panic) => Ok(Step::Exit(Ending::Panic)),
                };
                match made {
                    Ok(step) => steps.push(step),
                    Err(reason) => diagnostics.push(
                        Diagnostic::error(
                            format!("this is no regular expression: {reason}"),
                            step.span.clone(),
                            "this one",
                        )
                        .help(
                            "a character that stands for itself is written with a `\\` before it",
                        ),
                    ),
                }
            }
            scripts.push(Script {
                name: test.name.value.clone(),
                steps,
                within: Duration::from_millis(test.within_ms),
            });
        }
        if diagnostics.is_empty() {
            return Ok(scripts);
        }
        Err(Error::Recipe {
            source: self.parsed.source.clone(),
            diagnostics,
            outcome: Outcome::Wrong,
        })
    }
}

/// A test that can be played.
struct Case<'r> {
    test: &'r Test,
    script: Script,
    invocation: Invocation,
    /// Serves as long as the case is there.
    _served: Option<Served>,
}

impl<'r> Case<'r> {
    fn new(
        session: &Session<'_>,
        store: &Store,
        mut options: BootOptions,
        bootable: &Bootable,
        test: &'r Test,
        mut script: Script,
    ) -> Result<Case<'r>, Error> {
        let served = Served::of(session, test)?;
        if let Some(served) = &served {
            options.serve = Some(served.command(session)?);
            let word = format!("SERVER={}", machine::SERVED);
            options.append = Some(match options.append {
                Some(words) => format!("{words} {word}"),
                None => word,
            });
        }
        let ready = bootable.ready(session, store, &options)?;
        script.within = machine::scaled(script.within, ready.accelerator);
        Ok(Case {
            test,
            script,
            invocation: ready.invocation,
            _served: served,
        })
    }

    fn play(&self, watch: Watch<'_>) -> Result<Tested<'r>, MachineError> {
        let mut report = machine::test(&self.invocation, &self.script, watch)?;
        report.message.push_str(&self.more_time(&report));
        if let Some(line) = &report.nearly {
            let text = format!("; the console has {line:?}");
            report.message.push_str(&text);
        }
        Ok(Tested {
            test: self.test,
            report: Some(report),
        })
    }

    /// Returns what is to be said of a time limit that is not the recipe's own number.
    fn more_time(&self, report: &Report) -> String {
        let (given, within) = (
            Duration::from_millis(self.test.within_ms),
            self.script.within,
        );
        if report.step.is_none() || report.elapsed < within || given == within {
            return String::new();
        }
        format!(", which is the recipe's {given:?} as TCG needs it")
    }
}

impl<'r> Tests<'r> {
    /// Plays the tests, as many at once as there are threads, and hands on each when it is over. All are returned, in the order of
    /// the recipe; those that had not begun when one failed, or when `stop` was set, have no report.
    ///
    /// # Errors
    /// [`Error`] where a machine cannot be run.
    pub fn play(
        &self,
        stop: &AtomicBool,
        ended: &(dyn Fn(&Tested<'r>) + Sync),
    ) -> Result<Vec<Tested<'r>>, Error> {
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let watch = Watch {
            progress: self.session.report,
            stop,
        };
        let unbegun = |case: &Case<'r>| Tested {
            test: case.test,
            report: None,
        };
        let results = Mutex::new(self.cases.iter().map(unbegun).collect::<Vec<_>>());
        let broken: Mutex<Option<MachineError>> = Mutex::new(None);
        let worker = || {
            while !failed.load(Ordering::SeqCst) && !stop.load(Ordering::SeqCst) {
                let index = next.fetch_add(1, Ordering::SeqCst);
                let Some(case) = self.cases.get(index) else {
                    return;
                };
                match case.play(watch) {
                    Ok(tested) => {
                        if !tested.passed() && !self.keep_going {
                            failed.store(true, Ordering::SeqCst);
                        }
                        ended(&tested);
                        if let Some(slot) = locked(&results).get_mut(index) {
                            *slot = tested;
                        }
                    }
                    Err(error) => {
                        failed.store(true, Ordering::SeqCst);
                        *locked(&broken) = Some(error);
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.session.jobs().get().min(self.cases.len()) {
                scope.spawn(worker);
            }
        });
        if let Some(error) = locked(&broken).take() {
            return Err(error.into());
        }
        let tested = std::mem::take(&mut *locked(&results));
        Ok(tested)
    }
}
