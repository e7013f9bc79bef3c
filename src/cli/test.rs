//! `mkimg test`: realize, boot each of the recipe's tests in a machine of its own, and report.

use std::io::Write as _;
use std::path::Path;

use super::args::Test as Args;
use super::context::Context;
use super::failure::Failure;
use super::{interrupt, output, test_report};
use crate::fault::Outcome;
use crate::session::{Loaded, TestOptions, Tested};
use crate::store::{There, replace};
use crate::units::seconds;

pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    check_outputs(args)?;
    let opened = context.open(args.target.recipe.as_deref())?;
    let tests = opened.tests(&TestOptions {
        realize: args.target.realize(&args.lock, &args.substitutes),
        boot: args.boot.options(&args.qemu_args),
        filter: args.filter.clone(),
        keep_going: args.keep_going,
    })?;
    let noting = interrupt::Noting::begin();
    let tested = tests.play(noting.noted(), &|one| report(context, &opened, one))?;
    drop(noting);
    for one in tested.iter().filter(|one| one.skipped()) {
        context.terminal.line(&format!("skipped {}", one.name()));
    }
    let image = &tests.image;
    if let Some(path) = &args.junit {
        write(path, &test_report::junit(&image.name, &opened, &tested))?;
    }
    if let Some(path) = &args.log {
        write(path, &test_report::log(&tested))?;
    }
    if args.json {
        output::print_json(&test_report::json(image, &opened, &tested))?;
    }
    let (passed, failed, skipped) = test_report::counts(&tested);
    let rest = match skipped {
        0 => String::new(),
        _ => format!(", {skipped} skipped"),
    };
    context.terminal.line(&format!(
        "{} {}: {passed} passed, {failed} failed{rest}",
        image.name, image.arch
    ));
    match interrupt::signal() {
        Some(signal) => Err(Failure::Signalled(signal)),
        None if failed > 0 => Err(Failure::Said(Outcome::Guest)),
        None => Ok(()),
    }
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

/// Reports a test that is over.
fn report(context: &Context<'_>, opened: &Loaded<'_>, tested: &Tested<'_>) {
    let Some(report) = &tested.report else { return };
    let (name, time) = (tested.name(), seconds(report.elapsed));
    if tested.passed() {
        return context.terminal.line(&format!("passed  {name} ({time})"));
    }
    context.terminal.error(&format!(
        "FAILED  {name} ({time})\n{}",
        test_report::told(opened, tested.test, report)
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
