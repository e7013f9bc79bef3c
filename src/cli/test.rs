//! `mkimg test`: realize, boot each of the recipe's tests in a machine of its own, and report.

use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::args::Test as Args;
use super::boot::{self, Bootable};
use super::context::Context;
use super::failure::{Code, Failure};
use super::opened::Opened;
use super::serve::Served;
use super::test_report::{self, Suite, Tested};
use super::{interrupt, output, realize};
use crate::arch::Arch;
use crate::machine::{
    self, Ending, Invocation, Kind, MachineError, Pattern, Report, Script, Step, Watch,
};
use crate::recipe::{self, Diagnostic, Mode, StepKind, Test};
use crate::store::{Store, There, replace};
use crate::ui::seconds;

pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    check_outputs(args)?;
    let opened = context.open(args.target.recipe.as_deref(), Mode::Strict)?;
    let each = context.variants(opened, &args.variants)?;
    let mut ready = Vec::new();
    for opened in &each {
        let arch = context.arch(opened, args.target.arch)?;
        let tests = chosen(opened, arch, args)?;
        let scripts = scripts(opened, &tests)?;
        ready.push((opened, tests, scripts));
    }
    let mut suites = Vec::new();
    for (opened, tests, scripts) in ready {
        suites.push(suite(context, args, opened, tests, scripts)?);
        if interrupt::signal().is_some() {
            break;
        }
    }
    if let Some(path) = &args.junit {
        write(path, &test_report::junit(&suites))?;
    }
    if let Some(path) = &args.log {
        write(path, &test_report::log(&suites))?;
    }
    if args.json {
        let all = suites.iter().map(test_report::json);
        output::print_json(&match (args.variants.all_variants, suites.as_slice()) {
            (false, [only]) => test_report::json(only),
            _ => all.collect(),
        })?;
    }
    let failed = suites
        .iter()
        .any(|suite| test_report::counts(&suite.tested).1 > 0);
    match interrupt::signal() {
        Some(signal) => Err(Failure::Signalled(signal)),
        None if failed => Err(Failure::Said(Code::Guest)),
        None => Ok(()),
    }
}

/// Plays the tests of one variant.
fn suite<'r>(
    context: &Context<'_>,
    args: &Args,
    opened: &'r Opened,
    tests: Vec<&'r Test>,
    scripts: Vec<Script>,
) -> Result<Suite<'r>, Failure> {
    let (store, made) = realize::made(
        context,
        opened,
        args.target.arch,
        args.lock.lock_use(),
        Some(&args.substitutes),
    )?;
    let bootable = Bootable::image(&made);
    let mut cases = Vec::new();
    for (test, script) in tests.iter().zip(scripts) {
        cases.push(Case::new(context, &store, args, &bootable, test, script)?);
    }
    let suite = Suite {
        opened,
        tested: play(context, args, opened, &cases)?,
        image: made.image,
    };
    let (passed, failed, skipped) = test_report::counts(&suite.tested);
    let rest = match skipped {
        0 => String::new(),
        _ => format!(", {skipped} skipped"),
    };
    let (name, arch) = (suite.name(), suite.image.arch);
    context.terminal.line(&format!(
        "{name} {arch}: {passed} passed, {failed} failed{rest}"
    ));
    Ok(suite)
}

/// Refuses two results on one standard output.
fn check_outputs(args: &Args) -> Result<(), Failure> {
    let printed = [args.junit.as_deref(), args.log.as_deref()];
    let printed = printed.into_iter().flatten().filter(|path| is_stdout(path));
    if printed.count() + usize::from(args.json) > 1 {
        return Err(Failure::usage(
            "standard output can have one of `--json`, `--junit -` and `--log -`",
            "name a file for the others",
        ));
    }
    Ok(())
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn chosen<'r>(opened: &'r Opened, arch: Arch, args: &Args) -> Result<Vec<&'r Test>, Failure> {
    let all = &opened.parsed.of(arch).tests;
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
        let ready = bootable.ready(context, store, &options, None, &args.qemu_args)?;
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
        if report.step.is_none() || report.elapsed < within || given == within {
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

/// Plays the scripts, `--jobs` at once, and tells of each when it is over. All are returned, in the order of the recipe; those that had
/// not begun when one failed without `--keep-going`, or when a signal came, have no report.
fn play<'r>(
    context: &Context<'_>,
    args: &Args,
    opened: &Opened,
    cases: &[Case<'r>],
) -> Result<Vec<Tested<'r>>, Failure> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let noting = interrupt::Noting::begin();
    let watch = Watch {
        progress: context.terminal,
        stop: noting.noted(),
    };
    let unbegun = |case: &Case<'r>| Tested {
        test: case.test,
        report: None,
    };
    let results = Mutex::new(cases.iter().map(unbegun).collect::<Vec<_>>());
    let broken: Mutex<Option<MachineError>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..context.jobs().get().min(cases.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) && !watch.stop.load(Ordering::SeqCst) {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(index) else { return };
                    match machine::test(&case.invocation, &case.script, watch) {
                        Ok(mut report) => {
                            report.message.push_str(&case.more_time(&report));
                            if let Some(line) = &report.nearly {
                                report
                                    .message
                                    .push_str(&format!("; the console has {line:?}"));
                            }
                            if report.kind != Kind::Passed && !args.keep_going {
                                stop.store(true, Ordering::SeqCst);
                            }
                            tell(context, opened, case.test, &report);
                            if let Some(tested) = lock(&results).get_mut(index) {
                                tested.report = Some(report);
                            }
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
    let tested = std::mem::take(&mut *lock(&results));
    for one in tested.iter().filter(|one| one.skipped()) {
        let name = &one.test.name.value;
        context.terminal.line(&format!("skipped {name}"));
    }
    Ok(tested)
}

fn tell(context: &Context<'_>, opened: &Opened, test: &Test, report: &Report) {
    let name = &test.name.value;
    let time = seconds(report.elapsed);
    if report.kind == Kind::Passed {
        return context.terminal.line(&format!("passed  {name} ({time})"));
    }
    context.terminal.error(&format!(
        "FAILED  {name} ({time})\n{}",
        test_report::told(opened, test, report)
    ));
}

/// Writes a report to a file, or to standard output.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if is_stdout(path) {
        return output::print(text);
    }
    let io = |error| Failure::io("write", path, error);
    replace(path, There::Follow, io, |file| {
        file.write_all(text.as_bytes()).map_err(io)
    })
}

/// Locks; a poisoned lock is one whose value is whole: every change under it is a single push or store.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}
