//! Reports of tests: for people, as JSON, as JUnit XML, and the console with its times.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::machine::Report;
use crate::realize::Image;
use crate::recipe::{Step, StepKind, Test};
use crate::session::{Loaded, Tested};
use crate::text::safe;

fn seconds(tested: &Tested<'_>) -> f64 {
    let elapsed = tested.report.as_ref().map(|report| report.elapsed);
    elapsed.unwrap_or_default().as_secs_f64()
}

/// Returns how many passed, failed and were skipped.
pub(super) fn counts(tested: &[Tested<'_>]) -> (usize, usize, usize) {
    let passed = tested.iter().filter(|tested| tested.passed()).count();
    let skipped = tested.iter().filter(|tested| tested.skipped()).count();
    (passed, tested.len() - passed - skipped, skipped)
}

/// Returns the file and the line of the step that a test stopped at, and the step's text.
fn step<'o>(
    opened: &'o Loaded<'_>,
    test: &Test,
    report: &Report,
) -> Option<(&'o str, usize, String)> {
    // What is served is no step of the script.
    let serves = |step: &&Step| matches!(step.kind, StepKind::Serve { .. });
    let mut played = test.steps.iter().filter(|step| !serves(step));
    let step = played.nth(report.step?)?;
    let source = &opened.parsed.source;
    let text = source.slice(&step.span);
    let line = source.line(&step.span);
    Some((source.name(&step.span), line, text.trim().to_owned()))
}

/// Returns what a person is told of a test that failed.
pub(super) fn told(opened: &Loaded<'_>, test: &Test, report: &Report) -> String {
    let mut text = format!("  {}: {}\n", report.kind.name(), report.message);
    if let Some((file, line, step)) = step(opened, test, report) {
        // Writing into a string cannot fail, here and below.
        let _ = writeln!(text, "  at {file}:{line}: {step}");
    }
    if let Some(cause) = &report.cause {
        let _ = writeln!(text, "  likely cause: {}", cause.text);
    }
    match report.tail() {
        [] => text.push_str("  the console said nothing"),
        lines => {
            let which = match lines.last() == report.lines.last() {
                true => format!("the last {} lines", lines.len()),
                false => "the lines around the panic".to_owned(),
            };
            let _ = write!(text, "  {which} of the console:");
            for line in lines {
                let _ = write!(text, "\n  {:8.3} | {}", line.at.as_secs_f64(), line.text);
            }
        }
    }
    text
}

/// Returns the console of every test, each line with the seconds since the start of its machine.
pub(super) fn log(tested: &[Tested<'_>]) -> String {
    let mut text = String::new();
    for tested in tested {
        let name = &tested.test.name.value;
        let _ = writeln!(text, "== {name} ({})", tested.kind());
        for line in tested.report.iter().flat_map(|report| &report.lines) {
            let _ = writeln!(text, "{:10.3} {}", line.at.as_secs_f64(), line.text);
        }
    }
    safe(&text).into_owned()
}

/// Returns the reports as JSON.
pub(super) fn json(image: &Image, opened: &Loaded<'_>, tested: &[Tested<'_>]) -> Value {
    let tests = tested.iter().map(|tested| {
        let mut value = json!({
            "kind": tested.kind(),
            "name": tested.test.name.value,
            "passed": tested.passed(),
            "seconds": seconds(tested),
        });
        let Some(report) = tested.report.as_ref().filter(|_| !tested.passed()) else {
            return value;
        };
        value["message"] = json!(report.message);
        value["console"] = report.tail().iter().map(|line| json!(line.text)).collect();
        value["diagnosis"] = json!(report.cause.as_ref().map(|cause| &cause.text));
        if let Some((file, line, step)) = step(opened, tested.test, report) {
            value["file"] = json!(file);
            value["line"] = json!(line);
            value["step"] = json!(step);
        }
        value
    });
    json!({
        "arch": image.arch.name(),
        "name": image.name,
        "passed": tested.iter().all(Tested::passed),
        "plan": image.plan.to_string(),
        "tests": tests.collect::<Value>(),
    })
}

/// Returns the reports as JUnit XML, as CI systems read it.
pub(super) fn junit(name: &str, opened: &Loaded<'_>, tested: &[Tested<'_>]) -> String {
    let (_, failures, skipped) = counts(tested);
    let time: f64 = tested.iter().map(seconds).sum();
    let (count, suite) = (tested.len(), escaped(name));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
         <testsuite name=\"{suite}\" tests=\"{count}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time:.3}\">\n"
    );
    for tested in tested {
        let (case, time) = (escaped(&tested.test.name.value), seconds(tested));
        let _ = write!(
            text,
            "    <testcase classname=\"{suite}\" name=\"{case}\" time=\"{time:.3}\""
        );
        let report = match &tested.report {
            None => {
                text.push_str(">\n      <skipped/>\n    </testcase>\n");
                continue;
            }
            Some(_) if tested.passed() => {
                text.push_str("/>\n");
                continue;
            }
            Some(report) => report,
        };
        let (kind, message) = (report.kind.name(), escaped(&report.message));
        let body = escaped(&told(opened, tested.test, report));
        let _ = write!(
            text,
            ">\n      <failure type=\"{kind}\" message=\"{message}\">{body}</failure>\n    </testcase>\n"
        );
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Returns a text as XML 1.0 may hold it: marks escaped. What XML has not is escaped before, as what is printed is.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in safe(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
