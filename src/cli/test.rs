//! `mkimg test`: realize, boot each of the recipe's tests in a machine of its own, and report.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::args::Test as Args;
use super::boot::{self, Bootable};
use super::context::{Context, Opened};
use super::failure::{Code, Failure};
use super::serve::Served;
use super::test_report::{self, Tested};
use super::{output, realize};
use crate::machine::{self, Ending, Invocation, Kind, MachineError, Pattern, Report, Script, Step};
use crate::recipe::{self, Diagnostic, Mode, StepKind, Test};
use crate::store::Store;
use crate::ui::seconds;

pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    let opened = context.open(args.target.recipe.as_deref(), Mode::Strict)?;
    let tests = chosen(&opened, args)?;
    let (store, made) = realize::made(
        context,
        &opened,
        args.target.arch,
        args.lock.lock_use(),
        Some(&args.substitutes),
    )?;
    let scripts = scripts(&opened, &tests)?;
    let bootable = Bootable::image(&made);
    let mut cases = Vec::new();
    for (test, script) in tests.iter().zip(scripts) {
        cases.push(Case::new(context, &store, args, &bootable, test, script)?);
    }
    let tested = play(context, args, &opened, &cases)?;
    if let Some(path) = &args.junit {
        write(
            path,
            &test_report::junit(&made.image.name, &opened, &tested),
        )?;
    }
    if let Some(path) = &args.log {
        write(path, &test_report::log(&tested))?;
    }
    if args.json {
        output::print_json(&test_report::json(&made.image, &opened, &tested))?;
    }
    let failed = tested.iter().filter(|tested| !tested.passed()).count();
    let skipped = tests.len() - tested.len();
    let rest = if skipped > 0 {
        format!(", {skipped} not run")
    } else {
        String::new()
    };
    let passed = tested.len() - failed;
    context.terminal.line(&format!(
        "{} {}: {passed} passed, {failed} failed{rest}",
        made.image.name, made.image.arch
    ));
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Said(Code::Guest)),
    }
}

fn chosen<'r>(opened: &'r Opened, args: &Args) -> Result<Vec<&'r Test>, Failure> {
    let all = &opened.parsed.recipe.tests;
    let fits = |test: &&Test| {
        args.filter
            .as_ref()
            .is_none_or(|filter| test.name.value.contains(filter.as_str()))
    };
    let chosen: Vec<&Test> = all.iter().filter(fits).collect();
    if chosen.is_empty() {
        let name = opened.path.display();
        let names: Vec<&str> = all.iter().map(|test| test.name.value.as_str()).collect();
        return Err(match names.is_empty() {
            true => Failure::usage(
                format!("`{name}` has no tests"),
                "add one: test \"the shell answers\" within=\"60s\" { expect \"(linux)\" }",
            ),
            false => Failure::usage(
                "no test has such a name",
                format!("the tests are: {}", names.join("; ")),
            ),
        });
    }
    Ok(chosen)
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
        context: &Context<'_>,
        store: &Store,
        args: &Args,
        bootable: &Bootable,
        test: &'r Test,
        mut script: Script,
    ) -> Result<Case<'r>, Failure> {
        let served = Served::of(test)?;
        let mut options = args.boot.clone();
        if let Some(served) = &served {
            options.serve = Some(served.command()?);
            let word = format!("SERVER={}", machine::SERVED);
            options.append = Some(match options.append {
                Some(words) => format!("{words} {word}"),
                None => word,
            });
        }
        let ready = bootable.ready(context, store, &options, None, &[])?;
        script.within = machine::scaled(script.within, ready.accelerator);
        Ok(Case {
            test,
            script,
            invocation: ready.invocation,
            _served: served,
        })
    }
}

impl Case<'_> {
    /// Returns what is to be said of a time limit that is not the recipe's own number.
    fn more_time(&self, report: &Report) -> String {
        let (given, within) = (
            Duration::from_millis(self.test.within_ms),
            self.script.within,
        );
        if report.kind == Kind::Passed || report.elapsed < within || given == within {
            return String::new();
        }
        format!(", which is the recipe's {given:?} as TCG needs it")
    }
}

fn scripts(opened: &Opened, tests: &[&Test]) -> Result<Vec<Script>, Failure> {
    let mut diagnostics = Vec::new();
    let mut scripts = Vec::new();
    for test in tests {
        let mut steps = Vec::new();
        for step in &test.steps {
            let pattern = |pattern: &recipe::Pattern| match pattern {
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
                    .help("a character that stands for itself is written with a `\\` before it"),
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
    Err(Failure::Recipe {
        source: opened.parsed.source.clone(),
        diagnostics,
        code: Code::Wrong,
    })
}

/// Plays the scripts, `--jobs` at once, and tells of each when it is over. The reports are in the order of the recipe;
/// without `--keep-going` those that had not begun when one failed are missing.
fn play<'r>(
    context: &Context<'_>,
    args: &Args,
    opened: &Opened,
    cases: &[Case<'r>],
) -> Result<Vec<Tested<'r>>, Failure> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, Tested<'r>)>> = Mutex::new(Vec::new());
    let broken: Mutex<Option<MachineError>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..context.jobs().get().min(cases.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(index) else { return };
                    match machine::test(&case.invocation, &case.script) {
                        Ok(mut report) => {
                            report.message.push_str(&case.more_time(&report));
                            let tested = Tested {
                                test: case.test,
                                report,
                            };
                            if !tested.passed() && !args.keep_going {
                                stop.store(true, Ordering::SeqCst);
                            }
                            tell(context, opened, &tested);
                            lock(&results).push((index, tested));
                        }
                        Err(error) => {
                            stop.store(true, Ordering::SeqCst);
                            *lock(&broken) = Some(error);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = lock(&broken).take() {
        return Err(boot::failed(error));
    }
    let mut results = std::mem::take(&mut *lock(&results));
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, tested)| tested).collect())
}

fn tell(context: &Context<'_>, opened: &Opened, tested: &Tested<'_>) {
    let name = &tested.test.name.value;
    let time = seconds(tested.report.elapsed);
    if tested.report.kind == Kind::Passed {
        return context.terminal.line(&format!("passed  {name} ({time})"));
    }
    context.terminal.error(&format!(
        "FAILED  {name} ({time})\n{}",
        test_report::told(opened, tested)
    ));
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::io("write", path, error))
}

/// Locks; a poisoned lock is one whose value is whole: every change under it is a single push or store.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}
