//! Guests that boot, and guests that do not: real kernels under QEMU's emulator.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/guests.rs"]
mod guests;
mod support;

use std::time::Duration;

use guests::{Minimal, booting, minimal};
use mkimg::arch::Arch;
use mkimg::machine::{Ending, Kind, Machine, Pattern, Report, Script, Step, scaled, test};

/// A script against the minimal image, or one like it.
fn script(seconds: u64, steps: Vec<Step>) -> Script {
    Script {
        name: "a test".to_owned(),
        steps,
        within: scaled(
            Duration::from_secs(seconds),
            mkimg::machine::Accelerator::Tcg,
        ),
    }
}

fn expect(text: &str) -> Step {
    Step::Expect(Pattern::Text(text.to_owned()))
}

fn absent(text: &str) -> Step {
    Step::Absent(Pattern::Text(text.to_owned()))
}

fn send(line: &str) -> Step {
    Step::Send(line.to_owned())
}

fn play(image: &Minimal, machine: &Machine, script: &Script) -> Report {
    test(&image.invocation(machine), script).unwrap()
}

/// Shows the whole report where a test fails.
fn shown(report: &Report) -> String {
    let lines = report.tail().iter();
    let lines: Vec<String> = lines
        .map(|line| format!("[{:>8.3}] {}", line.at.as_secs_f64(), line.text))
        .collect();
    format!(
        "{:?} at {:?}: {} ({:?}, {:?})\n{}",
        report.kind,
        report.step,
        report.message,
        report.end,
        report.diagnosis.map(|diagnosis| diagnosis.name),
        lines.join("\n")
    )
}

#[test]
fn the_shell_answers_and_the_guest_switches_off() {
    for arch in Arch::ALL {
        let Some(image) = minimal(arch) else { continue };
        let steps = vec![
            absent("panic"),
            expect("(linux)"),
            send("echo answer=$((6*7)) $(uname -m)"),
            Step::Expect(Pattern::regex(&format!("^answer=[0-9]+ {arch}")).unwrap()),
            send("exit"),
            Step::Exit(Ending::PowerOff),
        ];
        let report = play(&image, &image.machine(), &script(60, steps));
        assert_eq!(report.kind, Kind::Passed, "{}", shown(&report));
        assert_eq!((report.step, report.diagnosis), (None, None));
    }
}

/// A guest that does not do what it should.
struct Broken {
    name: &'static str,
    init: Option<(u32, &'static [u8])>,
    change: fn(&mut Machine),
    steps: Vec<Step>,
    kind: Kind,
    step: usize,
    diagnosis: Option<&'static str>,
}

fn broken() -> Vec<Broken> {
    let init = |text: &'static str| Some((0o755, text.as_bytes()));
    let prompt = || vec![expect("(linux)"), send("true")];
    vec![
        Broken {
            // The kernel goes on to `/bin/init`, which is BusyBox: no panic, and no prompt.
            name: "the interpreter of /init is missing",
            init: init("#!/bin/bash\necho never\n"),
            change: |_| {},
            steps: prompt(),
            kind: Kind::Expectation,
            step: 0,
            diagnosis: Some("init-interpreter"),
        },
        Broken {
            name: "/init is not executable",
            init: Some((0o644, b"#!/bin/sh\n")),
            change: |_| {},
            steps: prompt(),
            kind: Kind::Expectation,
            step: 0,
            diagnosis: Some("init-permission"),
        },
        Broken {
            name: "/init is no program",
            init: init("echo no first line\n"),
            change: |_| {},
            steps: prompt(),
            kind: Kind::Expectation,
            step: 0,
            diagnosis: Some("init-format"),
        },
        Broken {
            name: "/init ends",
            init: init("#!/bin/busybox sh\necho hello\n"),
            change: |_| {},
            steps: vec![expect("hello"), expect("never")],
            kind: Kind::Panic,
            step: 1,
            diagnosis: Some("init-exits"),
        },
        Broken {
            name: "a kernel that was told of another console",
            init: None,
            change: |machine| machine.cmdline = "console=tty0".to_owned(),
            steps: prompt(),
            kind: Kind::Timeout,
            step: 0,
            diagnosis: Some("silence"),
        },
        Broken {
            name: "a text that never comes",
            init: None,
            change: |_| {},
            steps: vec![expect("(linux)"), expect("never")],
            kind: Kind::Expectation,
            step: 1,
            diagnosis: Some("expectation"),
        },
        Broken {
            name: "a text that must not come",
            init: None,
            change: |_| {},
            steps: vec![
                expect("(linux)"),
                send("echo a$((1+1))c"),
                absent("a2c"),
                expect("never"),
            ],
            kind: Kind::Expectation,
            step: 2,
            diagnosis: None,
        },
        Broken {
            name: "a panic in the middle of a word",
            init: init(
                "#!/bin/busybox sh\nbusybox mount -t proc proc /proc\nprintf 'hel'\nprintf c > /proc/sysrq-trigger\nprintf 'lo\\n'\n",
            ),
            change: |_| {},
            steps: vec![expect("hello")],
            kind: Kind::Panic,
            step: 0,
            diagnosis: None,
        },
        Broken {
            name: "a guest that ends before the script does",
            init: None,
            change: |_| {},
            steps: vec![expect("(linux)"), send("exit"), expect("never")],
            kind: Kind::EarlyExit,
            step: 2,
            diagnosis: None,
        },
        Broken {
            name: "a guest that does not end",
            init: None,
            change: |_| {},
            steps: vec![expect("(linux)"), Step::Exit(Ending::PowerOff)],
            kind: Kind::Timeout,
            step: 1,
            diagnosis: Some("expectation"),
        },
        Broken {
            name: "no initramfs",
            init: None,
            change: |machine| machine.initrd = None,
            steps: prompt(),
            kind: Kind::Panic,
            step: 0,
            diagnosis: Some("root"),
        },
        Broken {
            name: "16 MiB of memory",
            init: None,
            change: |machine| machine.memory = 16 << 20,
            steps: prompt(),
            kind: Kind::Timeout,
            step: 0,
            diagnosis: Some("silence"),
        },
        Broken {
            name: "arguments that QEMU does not know",
            init: None,
            change: |machine| machine.extra = vec!["-no-such-argument".into()],
            steps: prompt(),
            kind: Kind::EarlyExit,
            step: 0,
            diagnosis: Some("qemu-refused"),
        },
    ]
}

#[test]
fn each_broken_guest_fails_with_its_kind_and_diagnosis() {
    let Some(image) = minimal(Arch::X86_64) else {
        return;
    };
    let mut wrong = Vec::new();
    for case in broken() {
        let init = case
            .init
            .map(|(mode, content)| image.with_init(mode, content));
        let mut machine = image.machine();
        if let Some(init) = &init {
            machine = booting(machine, init);
        }
        (case.change)(&mut machine);
        let report = play(&image, &machine, &script(4, case.steps));
        let found = (
            report.kind,
            report.step,
            report.diagnosis.map(|diagnosis| diagnosis.name),
        );
        if found != (case.kind, Some(case.step), case.diagnosis) {
            wrong.push(format!("{}: {}", case.name, shown(&report)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
