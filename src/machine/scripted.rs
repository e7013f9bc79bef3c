//! Tests of [`test`](super::test()) against guests that are shell scripts in the place of QEMU: what they print is the console.

use std::ffi::OsString;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use super::emulator::Invocation;
use super::end::Ending;
use super::script::{Pattern, Script, Step};
use super::test::{Kind, Report, Watch, test};
use crate::progress::{Event, Progress};

const PANIC: &str = "[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00\\n\
                     [    1.000100] CPU: 0 PID: 1 Comm: init Not tainted\\n";
const OFF: &str = "[    1.000000] reboot: Power down\\n";
const RESTART: &str = "[    1.000000] reboot: Restarting system\\n";

fn guest(shell: &str) -> Invocation {
    Invocation {
        program: "/bin/sh".into(),
        arguments: ["-c", shell].map(OsString::from).to_vec(),
        variables: Vec::new(),
    }
}

fn script(steps: Vec<Step>) -> Script {
    Script {
        name: "a test".to_owned(),
        steps,
        within: Duration::from_secs(3),
    }
}

fn play(shell: &str, steps: Vec<Step>) -> Report {
    test(&guest(shell), &script(steps), Watch::nobody()).unwrap()
}

fn expect(text: &str) -> Step {
    Step::Expect(Pattern::Text(text.to_owned()))
}

fn line(text: &str) -> Step {
    Step::Expect(Pattern::Line(text.to_owned()))
}

fn send(text: &str) -> Step {
    Step::Send(text.to_owned())
}

fn absent(text: &str) -> Step {
    Step::Absent(Pattern::Text(text.to_owned()))
}

/// A guest, its script, and what the report must say.
type Case = (String, Vec<Step>, Kind, Option<usize>, &'static str);

fn cases() -> Vec<Case> {
    let off = || Step::Exit(Ending::PowerOff);
    let ok = "printf 'ok 1\\nok 2\\n'";
    // A shell that echoes the line, as a terminal does, and does nothing with it.
    let echoes = "read -r line; printf '%s\\n$ ' \"$line\"; sleep 9";
    vec![
        // What follows the last step.
        (
            format!("{ok}; sleep 9"),
            vec![line("ok 2")],
            Kind::Passed,
            None,
            "passed",
        ),
        (
            format!("printf 'ok 2\\n{PANIC}'; sleep 9"),
            vec![line("ok 2")],
            Kind::Panic,
            None,
            "exitcode=0x00007f00 after the last step",
        ),
        (
            format!("{ok}; sleep 0.1; printf '{PANIC}'; sleep 9"),
            vec![expect("ok 2")],
            Kind::Panic,
            None,
            "after the last step",
        ),
        (
            // The kernel speaks for longer than a silent guest is watched.
            format!("{ok}; timeout 0.5 yes '[    1.000000] BUG'; printf '{PANIC}'; sleep 9"),
            vec![expect("ok 2")],
            Kind::Panic,
            None,
            "after the last step",
        ),
        (
            format!("{ok}; printf 'Kernel panic - not syncing: x\\nCPU: 0\\n'"),
            vec![expect("ok 2")],
            Kind::Panic,
            None,
            "kernel panic: not syncing: x after the last step",
        ),
        (
            format!("{ok}; printf '{PANIC}$ still here\\n'; sleep 9"),
            vec![expect("ok 2")],
            Kind::Passed,
            None,
            "passed",
        ),
        (
            format!("{ok}; printf '{OFF}'"),
            vec![expect("ok 2")],
            Kind::EarlyExit,
            None,
            "the guest powered off after the last step",
        ),
        (
            format!("{ok}; sleep 0.1; kill -9 $$"),
            vec![expect("ok 2")],
            Kind::EarlyExit,
            None,
            "QEMU died: signal: 9",
        ),
        (
            format!("{ok}; printf 'not ok 3'; sleep 9"),
            vec![absent("not ok"), expect("ok 2")],
            Kind::Expectation,
            Some(0),
            "\"not ok 3\"",
        ),
        // The end that the script says, and others.
        (
            format!("printf 'bye'; sleep 0.1; printf '\\n{OFF}'"),
            vec![line("bye"), off()],
            Kind::Passed,
            None,
            "passed",
        ),
        (
            "printf bye".to_owned(),
            vec![line("bye"), off()],
            Kind::Passed,
            None,
            "passed",
        ),
        (
            format!("printf '{RESTART}'"),
            vec![off()],
            Kind::Expectation,
            Some(0),
            "the guest restarted, not by exit \"poweroff\"",
        ),
        (
            format!("printf '{RESTART}'"),
            vec![Step::Exit(Ending::Reboot)],
            Kind::Passed,
            None,
            "passed",
        ),
        (
            format!("{ok}; printf '{PANIC}'"),
            vec![expect("ok 2"), Step::Exit(Ending::Panic)],
            Kind::Passed,
            None,
            "passed",
        ),
        // A status that is another one, before the end and after the time.
        (
            format!("printf 'exit=7\\n{OFF}'"),
            vec![expect("exit=0")],
            Kind::EarlyExit,
            Some(0),
            "the guest powered off before this step",
        ),
        (
            "printf 'exit=7\\n'; sleep 9".to_owned(),
            vec![line("exit=0")],
            Kind::Expectation,
            Some(0),
            "did not come within 3s",
        ),
        // A line is read to its end.
        (
            "printf 'ok 1\\nnot ok'; sleep 0.2; printf ' 2 - old kernel\\n'; sleep 9".to_owned(),
            vec![absent("not ok"), expect("never")],
            Kind::Expectation,
            Some(0),
            "\"not ok 2 - old kernel\"",
        ),
        // What was typed is not what was printed.
        (
            format!("printf '$ '; {echoes}"),
            vec![expect("$"), send("false && echo X"), expect("X")],
            Kind::Expectation,
            Some(2),
            "expect \"X\" did not come",
        ),
        (
            format!("printf 'Welcome\\n'; sleep 0.3; printf '$ '; {echoes}"),
            vec![expect("Welcome"), send("false && echo X"), line("X")],
            Kind::Expectation,
            Some(2),
            "expect line=\"X\" did not come",
        ),
        (
            format!("printf '$ '; {echoes}"),
            vec![absent("FAIL"), expect("$"), send("true || echo FAIL")],
            Kind::Passed,
            None,
            "passed",
        ),
        (
            // No echo, and the very words in the answer.
            "printf 'name? '; read -r line; printf '\\nyou are %s\\n' \"$line\"; sleep 9"
                .to_owned(),
            vec![expect("name?"), send("bob"), line("you are bob")],
            Kind::Passed,
            None,
            "passed",
        ),
    ]
}

#[test]
fn a_test_passes_only_where_the_guest_did_all_of_it_and_lives() {
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (shell, steps, kind, step, message) in cases() {
            let wrong = &wrong;
            scope.spawn(move || {
                let report = play(&shell, steps);
                let fits = (report.kind, report.step) == (kind, step);
                if !fits || !report.message.contains(message) {
                    wrong.lock().unwrap().push(format!("{shell}: {report:#?}"));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_panic_is_told_with_its_cause_and_the_lines_before_it() {
    let lost = "/bin/bash: error while loading shared libraries: libtinfo.so.6: cannot open shared object file\\n";
    let trace = "[    1.000200]  ? do_syscall_64+0x1/0x90\\n".repeat(60);
    let report = play(
        &format!("printf '{lost}{PANIC}{trace}'"),
        vec![expect("never")],
    );
    assert_eq!((report.kind, report.step), (Kind::Panic, Some(0)));
    let cause = report.cause.as_ref().unwrap();
    assert_eq!(
        cause.text,
        "a shared library is missing: `libtinfo.so.6`, which `/bin/bash` needs: add it to the image"
    );
    assert!(report.tail()[0].text.starts_with("/bin/bash: error"));
    let report = play(&format!("printf 'exit=7\\n{OFF}'"), vec![expect("exit=0")]);
    let nearly = report.nearly.as_deref();
    assert_eq!((nearly, report.cause), (Some("exit=7"), None));
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Progress for Events {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[test]
fn a_test_says_what_it_waits_for_and_can_be_stopped() {
    let (events, stop) = (Events::default(), AtomicBool::new(false));
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let watch = Watch {
            progress: &events,
            stop: &stop,
        };
        let shell = guest("printf 'Loading\\n'; sleep 9");
        test(&shell, &script(vec![expect("never")]), watch).unwrap()
    });
    assert_eq!((report.kind, report.exit_code()), (Kind::Interrupted, 130));
    assert!(report.elapsed < Duration::from_secs(2));
    let events = events.0.into_inner().unwrap();
    let name = || "a test".to_owned();
    assert_eq!(events.first(), Some(&Event::TestStarted { name: name() }));
    assert_eq!(events.last(), Some(&Event::TestEnded { name: name() }));
    assert!(events.contains(&Event::TestWaits {
        name: name(),
        step: "expect \"never\"".to_owned(),
        line: "Loading".to_owned(),
    }));
}
