//! Reports of tests: for people, as JSON, as JUnit XML, and the console with its times.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::context::Opened;
use crate::machine::{Kind, Report};
use crate::realize::Image;
use crate::recipe::{Step, StepKind, Test};
use crate::text::safe;

/// A test that was run.
pub(super) struct Tested<'r> {
    pub(super) test: &'r Test,
    pub(super) report: Report,
}

impl Tested<'_> {
    pub(super) fn passed(&self) -> bool {
        self.report.kind == Kind::Passed
    }

    /// Returns the place of the step that it stopped at, as `FILE:LINE`, and the step's text.
    fn step(&self, opened: &Opened) -> Option<(usize, String)> {
        // What is served is no step of the script.
        let serves = |step: &&Step| matches!(step.kind, StepKind::Serve { .. });
        let mut played = self.test.steps.iter().filter(|step| !serves(step));
        let step = played.nth(self.report.step?)?;
        let source = &opened.parsed.source;
        let text = source
            .text
            .get(step.span.clone())
            .unwrap_or_default()
            .trim();
        Some((source.line(step.span.start), text.to_owned()))
    }
}

/// Returns what a person is told of a test that failed.
pub(super) fn told(opened: &Opened, tested: &Tested<'_>) -> String {
    let report = &tested.report;
    let mut text = format!("  {}: {}\n", report.kind.name(), report.message);
    if let Some((line, step)) = tested.step(opened) {
        // Writing into a string cannot fail, here and below.
        let _ = writeln!(text, "  at {}:{line}: {step}", opened.parsed.source.name);
    }
    if let Some(diagnosis) = report.diagnosis {
        let _ = writeln!(text, "  likely cause: {}", diagnosis.text);
    }
    match report.tail() {
        [] => text.push_str("  the console said nothing"),
        lines => {
            let _ = write!(text, "  the last {} lines of the console:", lines.len());
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
        let _ = writeln!(
            text,
            "== {} ({})",
            tested.test.name.value,
            tested.report.kind.name()
        );
        for line in &tested.report.lines {
            let _ = writeln!(text, "{:10.3} {}", line.at.as_secs_f64(), line.text);
        }
    }
    safe(&text).into_owned()
}

/// Returns the reports as JSON.
pub(super) fn json(image: &Image, opened: &Opened, tested: &[Tested<'_>]) -> Value {
    let tests = tested.iter().map(|tested| {
        let report = &tested.report;
        let mut value = json!({
            "kind": report.kind.name(),
            "name": tested.test.name.value,
            "passed": tested.passed(),
            "seconds": report.elapsed.as_secs_f64(),
        });
        if !tested.passed() {
            value["message"] = json!(report.message);
            value["console"] = report.tail().iter().map(|line| json!(line.text)).collect();
            value["diagnosis"] = json!(report.diagnosis.map(|diagnosis| diagnosis.text));
        }
        if let Some((line, step)) = tested.step(opened) {
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
pub(super) fn junit(name: &str, opened: &Opened, tested: &[Tested<'_>]) -> String {
    let failures = tested.iter().filter(|tested| !tested.passed()).count();
    let time: f64 = tested
        .iter()
        .map(|tested| tested.report.elapsed.as_secs_f64())
        .sum();
    let (count, suite) = (tested.len(), escaped(name));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
         <testsuite name=\"{suite}\" tests=\"{count}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{time:.3}\">\n"
    );
    for tested in tested {
        let report = &tested.report;
        let (case, time) = (
            escaped(&tested.test.name.value),
            report.elapsed.as_secs_f64(),
        );
        let _ = write!(
            text,
            "    <testcase classname=\"{suite}\" name=\"{case}\" time=\"{time:.3}\""
        );
        if tested.passed() {
            text.push_str("/>\n");
            continue;
        }
        let (kind, message) = (report.kind.name(), escaped(&report.message));
        let body = escaped(&told(opened, tested));
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
