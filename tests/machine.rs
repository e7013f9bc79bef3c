//! Guests that boot, and guests that do not: real kernels under QEMU's emulator.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/guests.rs"]
mod guests;
mod support;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use guests::{Minimal, booting, minimal};
use mkimg::arch::Arch;
use mkimg::machine::{
    Accelerator, Choice, Emulator, Ending, Host, Invocation, Kind, Known, Machine, Needs, Pattern,
    Report, Script, Step, Verdict, Watch, choose, kernel_footprint, memory_needed, scaled, test,
};
use mkimg::progress::{Event, Progress};
use rustix::process::{Pid, Signal, kill_process};

/// A script against the minimal image, or one like it.
fn script(seconds: u64, steps: Vec<Step>) -> Script {
    Script {
        name: "a test".to_owned(),
        steps,
        within: scaled(Duration::from_secs(seconds), Accelerator::Tcg),
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
    test(&image.invocation(machine), script, Watch::nobody()).unwrap()
}

fn named(report: &Report) -> Option<&'static str> {
    report.cause.as_ref().map(|cause| cause.diagnosis.name)
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
        named(report),
        lines.join("\n")
    )
}

#[test]
fn the_shell_answers_whatever_was_sent_first_and_the_guest_switches_off() {
    for arch in Arch::ALL {
        let Some(image) = minimal(arch) else { continue };
        let steps = vec![
            absent("panic"),
            // A line that is sent first waits until somebody reads.
            send("echo a$((1+1))c"),
            expect("a2c"),
            expect("(linux)"),
            send("echo answer=$((6*7)) $(uname -m)"),
            Step::Expect(Pattern::Line(format!("answer=42 {arch}"))),
            send("exit"),
            Step::Exit(Ending::PowerOff),
        ];
        let report = play(&image, &image.machine(), &script(60, steps));
        assert_eq!(report.kind, Kind::Passed, "{}", shown(&report));
        assert_eq!((report.step, named(&report)), (None, None));
    }
}

/// A guest that does not do what it should.
struct Broken {
    name: &'static str,
    init: Option<(u32, &'static [u8])>,
    change: fn(&mut Machine),
    /// What a shell does in QEMU's place, where no guest has a part in it.
    instead: Option<&'static str>,
    steps: Vec<Step>,
    kind: Kind,
    step: Option<usize>,
    diagnosis: Option<&'static str>,
}

/// A line that does nothing but one thing, and has many words in it.
const TYPED: &str =
    "echo d$((1-1))ne | tr 0 o; false && echo 0123456789 0123456789 0123456789 0123456789 never X";

fn broken() -> Vec<Broken> {
    let init = |text: &'static str| Some((0o755, text.as_bytes()));
    let prompt = || vec![expect("(linux)"), send("true")];
    vec![
        Broken {
            // The kernel goes on to `/bin/init`, which is BusyBox: no panic, and no prompt.
            name: "the interpreter of /init is missing",
            init: init("#!/bin/bash\necho never\n"),
            change: |_| {},
            instead: None,
            steps: prompt(),
            kind: Kind::Expectation,
            step: Some(0),
            diagnosis: Some("init-interpreter"),
        },
        Broken {
            name: "/init is not executable",
            init: Some((0o644, b"#!/bin/sh\n")),
            change: |_| {},
            instead: None,
            steps: prompt(),
            kind: Kind::Expectation,
            step: Some(0),
            diagnosis: Some("init-permission"),
        },
        Broken {
            name: "/init is no program",
            init: init("echo no first line\n"),
            change: |_| {},
            instead: None,
            steps: prompt(),
            kind: Kind::Expectation,
            step: Some(0),
            diagnosis: Some("init-format"),
        },
        Broken {
            name: "/init ends after the last step",
            init: init("#!/bin/busybox sh\necho hello\nno-such-program\n"),
            change: |_| {},
            instead: None,
            steps: vec![expect("hello")],
            kind: Kind::Panic,
            step: None,
            diagnosis: Some("init-exits"),
        },
        Broken {
            name: "a kernel that was told of another console",
            init: None,
            change: |machine| machine.cmdline = "console=tty0".to_owned(),
            instead: None,
            steps: prompt(),
            kind: Kind::Timeout,
            step: Some(0),
            diagnosis: Some("silence"),
        },
        Broken {
            // Wrapped at 80 columns, and, sent while the shell waits for another program, shown twice.
            name: "a text that is only typed",
            init: None,
            change: |_| {},
            instead: None,
            steps: vec![
                expect("(linux)"),
                send("sleep 2"),
                send(TYPED),
                absent("never"),
                expect("done"),
                send("exit"),
                expect("X"),
            ],
            kind: Kind::EarlyExit,
            step: Some(6),
            diagnosis: Some("ended"),
        },
        Broken {
            name: "a text that must not come",
            init: None,
            change: |_| {},
            instead: Some(
                "printf '(linux) '; read -r line; printf '%s\\na2c\\n' \"$line\"; sleep 99",
            ),
            steps: vec![
                expect("(linux)"),
                send("echo a$((1+1))c"),
                absent("a2c"),
                expect("never"),
            ],
            kind: Kind::Expectation,
            step: Some(2),
            diagnosis: None,
        },
        Broken {
            name: "a panic in the middle of a word",
            init: init(
                "#!/bin/busybox sh\nbusybox mount -t proc proc /proc\nprintf 'hel'\nprintf c > /proc/sysrq-trigger\nprintf 'lo\\n'\n",
            ),
            change: |_| {},
            instead: None,
            steps: vec![expect("hello")],
            kind: Kind::Panic,
            step: Some(0),
            diagnosis: Some("panic"),
        },
        Broken {
            name: "a guest that ends before the script does",
            init: None,
            change: |_| {},
            instead: Some(
                "printf '(linux) '; read -r line; printf '%s\\n[    1.000000] reboot: Power down\\n' \"$line\"",
            ),
            steps: vec![expect("(linux)"), send("exit"), expect("never")],
            kind: Kind::EarlyExit,
            step: Some(2),
            diagnosis: Some("ended"),
        },
        Broken {
            name: "a guest that does not end",
            init: None,
            change: |_| {},
            instead: Some("printf '(linux) '; sleep 99"),
            steps: vec![expect("(linux)"), Step::Exit(Ending::PowerOff)],
            kind: Kind::Timeout,
            step: Some(1),
            diagnosis: Some("expectation"),
        },
        Broken {
            name: "no initramfs",
            init: None,
            change: |machine| machine.initrd = None,
            instead: None,
            steps: prompt(),
            kind: Kind::Panic,
            step: Some(0),
            diagnosis: Some("root"),
        },
        Broken {
            name: "16 MiB of memory",
            init: None,
            change: |machine| machine.memory = 16 << 20,
            instead: None,
            steps: prompt(),
            kind: Kind::Timeout,
            step: Some(0),
            diagnosis: Some("silence"),
        },
        Broken {
            name: "memory for the kernel and hardly more",
            init: None,
            change: |machine| machine.memory = 66 << 20,
            instead: None,
            steps: prompt(),
            kind: Kind::Panic,
            step: Some(0),
            diagnosis: Some("memory"),
        },
        Broken {
            name: "an initramfs that is none",
            init: None,
            change: |machine| machine.initrd = Some("/bin/sh".into()),
            instead: None,
            steps: prompt(),
            kind: Kind::Panic,
            step: Some(0),
            diagnosis: Some("initramfs-damaged"),
        },
        Broken {
            name: "arguments that QEMU does not know",
            init: None,
            change: |machine| machine.extra = vec!["-no-such-argument".into()],
            instead: None,
            steps: prompt(),
            kind: Kind::EarlyExit,
            step: Some(0),
            diagnosis: Some("qemu-refused"),
        },
    ]
}

/// Plays a broken guest; returns the report where it is not the expected one.
fn failure(image: &Minimal, case: Broken) -> Option<String> {
    let init = case
        .init
        .map(|(mode, content)| image.with_init(mode, content));
    let mut machine = image.machine();
    if let Some(init) = &init {
        machine = booting(machine, init);
    }
    (case.change)(&mut machine);
    let (invocation, limits) = match case.instead {
        None => (image.invocation(&machine), [6, 40]),
        Some(shell) => (scripted(shell), [2, 9]),
    };
    let expected = (case.kind, case.step, case.diagnosis);
    // Many wait for what never comes; a machine that is busy gets more time, and only then.
    let mut reports = limits.into_iter().map(|seconds| {
        let script = script(seconds, case.steps.clone());
        test(&invocation, &script, Watch::nobody()).unwrap()
    });
    let fits = |report: &Report| (report.kind, report.step, named(report)) == expected;
    let first = reports.next()?;
    let report = if fits(&first) { first } else { reports.next()? };
    (!fits(&report)).then(|| format!("{}: {}", case.name, shown(&report)))
}

fn scripted(shell: &str) -> Invocation {
    Invocation {
        program: "/bin/sh".into(),
        arguments: ["-c", shell].map(OsString::from).to_vec(),
        variables: Vec::new(),
    }
}

#[test]
fn each_broken_guest_fails_with_its_kind_and_diagnosis() {
    let Some(image) = minimal(Arch::X86_64) else {
        return;
    };
    let wrong = Mutex::new(Vec::new());
    // Six at a time: most of them wait for what never comes.
    let cases = Mutex::new(broken().into_iter());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(case) = { cases.lock().unwrap().next() } {
                    wrong.lock().unwrap().extend(failure(&image, case));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_qemu_that_is_killed_is_an_early_exit() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    let shell = format!(
        "echo $$ > '{}'; printf '(linux) '; exec sleep 99",
        file.display()
    );
    let killer = thread::spawn(move || {
        while !fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
            thread::sleep(Duration::from_millis(20));
        }
        kill_process(pid(&file), Signal::KILL).unwrap();
    });
    let steps = vec![expect("(linux)"), expect("never")];
    let report = test(&scripted(&shell), &script(60, steps), Watch::nobody()).unwrap();
    killer.join().unwrap();
    let diagnosis = named(&report);
    assert_eq!(
        (report.kind, diagnosis),
        (Kind::EarlyExit, Some("qemu-killed")),
        "{}",
        shown(&report)
    );
}

fn pid(file: &Path) -> Pid {
    let text = fs::read_to_string(file).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

#[test]
fn kvm_is_believed_only_after_a_guest_ran_and_asked_only_once() {
    // pitfall 63
    let Some(image) = minimal(Arch::X86_64) else {
        return;
    };
    if Host::this() != Host::Linux(Some(Arch::X86_64)) {
        return;
    }
    let events = Events::default();
    let scratch = tempfile::tempdir().unwrap();
    let first = choose(
        Choice::Auto,
        Arch::X86_64,
        Host::this(),
        &image.qemu,
        known("this boot", None, scratch.path()),
        &events,
    )
    .unwrap();
    let Some(verdict) = first.verdict else {
        // There is no KVM at all here, which costs nothing to find out.
        assert_eq!(first.accelerator, Accelerator::Tcg);
        return;
    };
    let works = verdict.fault.is_none();
    assert_eq!(first.accelerator == Accelerator::Kvm, works);
    let warnings = |events: &Events| {
        let events = events.0.lock().unwrap();
        events
            .iter()
            .filter(|event| matches!(event, Event::Warning(_)))
            .count()
    };
    assert_eq!(warnings(&events), usize::from(!works));
    // An emulator that cannot be started shows that none is.
    let none = Emulator::program("/nonexistent".as_ref());
    let again = choose(
        Choice::Auto,
        Arch::X86_64,
        Host::this(),
        &none,
        known("this boot", Some(&verdict), scratch.path()),
        &events,
    )
    .unwrap();
    assert_eq!(
        (again.accelerator, again.verdict),
        (first.accelerator, None)
    );
    assert_eq!(warnings(&events), usize::from(!works));
    // After a reboot the verdict counts no more.
    assert!(
        choose(
            Choice::Auto,
            Arch::X86_64,
            Host::this(),
            &none,
            known("another boot", Some(&verdict), scratch.path()),
            &events
        )
        .is_err()
    );
    // What was chosen boots.
    let mut machine = image.machine();
    machine.accelerator = first.accelerator;
    let report = play(&image, &machine, &script(60, vec![expect("(linux)")]));
    assert_eq!(report.kind, Kind::Passed, "{}", shown(&report));
}

fn known<'a>(name: &'a str, verdict: Option<&'a Verdict>, scratch: &'a Path) -> Known<'a> {
    Known {
        name,
        verdict,
        scratch,
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Progress for Events {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[test]
fn an_initramfs_that_does_not_fit_is_told_before_and_after() {
    // pitfalls 29, 70
    let Some(image) = minimal(Arch::X86_64) else {
        return;
    };
    let size: u32 = 24 << 20;
    let noise: Vec<u8> = (0..size / 4)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n).to_le_bytes())
        .collect();
    let initrd = image.with_file("noise", 0o644, &noise);
    let packed = fs::metadata(&initrd).unwrap().len();
    let kernel = kernel_footprint(Arch::X86_64, &fs::read(&image.kernel).unwrap()).unwrap();
    let needed = memory_needed(Needs {
        arch: Arch::X86_64,
        kernel,
        packed,
        unpacked: u64::from(size) + (2 << 20),
    });
    let mut machine = booting(image.machine(), &initrd);
    machine.memory = needed - (4 << 20);
    // A machine that is busy gets more time, and only then.
    let told = |seconds| {
        let steps = vec![Step::Exit(Ending::PowerOff)];
        play(&image, &machine, &script(seconds, steps))
    };
    let mut report = told(5);
    if named(&report) == Some("silence") {
        report = told(40);
    }
    let diagnosis = named(&report);
    assert_eq!(
        diagnosis,
        Some("memory-for-initramfs"),
        "{needed}: {}",
        shown(&report)
    );
    machine.memory = needed + (8 << 20);
    let report = play(
        &image,
        &machine,
        &script(60, vec![absent("failed"), expect("(linux)")]),
    );
    assert_eq!(report.kind, Kind::Passed, "{needed}: {}", shown(&report));
}

// pitfall 63
#[test]
fn the_probe_ends_by_itself_where_the_accelerator_works() {
    let scratch = tempfile::tempdir().unwrap();
    for arch in Arch::ALL {
        let Some(qemu) = guests::qemu(arch) else {
            return;
        };
        let fault = mkimg::machine::probe(&qemu, arch, Accelerator::Tcg, scratch.path());
        assert_eq!(fault.unwrap(), None, "{arch}");
    }
}
