//! The user's side of a running guest: a terminal that is left as it was found, a pipe, a size, signals.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/guests.rs"]
mod guests;
mod support;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use guests::{Minimal, booting, minimal};
use mkimg::arch::Arch;
use mkimg::machine::{End, Invocation, Machine, Ran, Seat, TAIL, run, window};
use mkimg::progress::Silent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::process::{Pid, Signal, getpid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

/// A signal reaches the whole process and so every guest: who sends one writes, the others read.
static SIGNALS: RwLock<()> = RwLock::new(());

fn no_signals() -> RwLockReadGuard<'static, ()> {
    SIGNALS.read().unwrap_or_else(|error| error.into_inner())
}

/// A terminal: the user's end and the program's end.
struct Terminal {
    user: File,
    program: File,
}

fn terminal() -> Terminal {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let program = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let size = Winsize {
        ws_row: 33,
        ws_col: 101,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&user, size).unwrap();
    Terminal {
        user: File::from(user),
        program,
    }
}

/// What a terminal's user can see of its state.
fn state(file: &File) -> (String, OFlags) {
    let termios: Termios = tcgetattr(file).unwrap();
    (format!("{termios:?}"), fcntl_getfl(file).unwrap())
}

fn readable(file: &File, limit: Duration) -> bool {
    let mut ready = [PollFd::new(file, PollFlags::IN)];
    poll(&mut ready, Some(&Timespec::try_from(limit).unwrap())).is_ok_and(|count| count > 0)
}

/// Reads what the user sees until it holds `text`; returns all of it.
fn wait_for(user: &mut File, text: &str) -> String {
    let mut seen = Vec::new();
    let start = Instant::now();
    loop {
        if readable(user, Duration::from_secs(1)) {
            let mut byte = [0u8; 1];
            assert_eq!(user.read(&mut byte).unwrap(), 1);
            seen.push(byte[0]);
        }
        let shown = String::from_utf8_lossy(&seen);
        if shown.contains(text) {
            return shown.into_owned();
        }
        assert!(
            start.elapsed() < Duration::from_secs(40),
            "no {text:?} in {shown}"
        );
    }
}

/// A shell script in QEMU's place, for what no guest has a part in.
fn scripted(shell: &str) -> Invocation {
    Invocation {
        program: "/bin/sh".into(),
        arguments: ["-c", shell].map(OsString::from).to_vec(),
        variables: Vec::new(),
    }
}

/// Runs a machine on a terminal while `act` is the user; returns how it ended and what the user saw at last. The terminal must be
/// as before, flags of its open files included.
fn on_a_terminal(
    image: &Minimal,
    machine: &Machine,
    act: impl FnOnce(&mut File) + Send + 'static,
) -> Ran {
    invoked_on_a_terminal(&image.invocation(machine), act)
}

/// The same of any program in QEMU's place.
fn invoked_on_a_terminal(
    invocation: &Invocation,
    act: impl FnOnce(&mut File) + Send + 'static,
) -> Ran {
    let Terminal { mut user, program } = terminal();
    let before = state(&program);
    let seat_input = program.try_clone().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let reader = thread::spawn({
        let over = Arc::clone(&over);
        move || {
            act(&mut user);
            // A terminal that nobody reads fills, and the run would wait for it.
            while !over.load(Ordering::SeqCst) {
                readable(&user, Duration::from_millis(50)).then(|| user.read(&mut [0u8; 4096]));
            }
            user
        }
    });
    let ran = run(
        invocation,
        Seat {
            input: seat_input.as_fd(),
            output: program.as_fd(),
            limit: Some(Duration::from_secs(40)),
        },
        &Silent,
    )
    .unwrap();
    over.store(true, Ordering::SeqCst);
    let _user = reader.join().unwrap();
    // pitfall 65
    assert_eq!(state(&program), before);
    ran
}

#[test]
fn a_terminal_is_as_before_however_the_run_ends() {
    let _calm = no_signals();
    let Some(image) = minimal(Arch::X86_64) else {
        return;
    };
    let machine = image.machine();

    let init = image.with_init(
        0o755,
        b"#!/bin/busybox sh\nexport PATH=/bin PS1='(linux) '\nmount -t devtmpfs dev /dev\n\
          [ -z \"$LINES\" ] || stty rows \"$LINES\" cols \"$COLUMNS\"\nunset LINES COLUMNS\nsetsid cttyhack sh\npoweroff -f\n",
    );
    let mut sized = booting(machine.clone(), &init);
    sized.window = window(terminal().program.as_fd());
    assert_eq!(sized.window, Some((33, 101)));
    let ran = on_a_terminal(&image, &sized, |user| {
        wait_for(user, "(linux) ");
        // The guest knows the window.
        user.write_all(b"stty size\n").unwrap();
        wait_for(user, "\n33 101\r\n");
        // Ctrl-C is the guest's: it ends the `sleep`, nothing else. pitfalls 65, 68
        user.write_all(b"sleep 1000\n").unwrap();
        wait_for(user, "sleep 1000\r\n");
        thread::sleep(Duration::from_millis(500));
        user.write_all(b"\x03").unwrap();
        wait_for(user, "(linux) ");
        // Ctrl-A twice is one for the guest, where the shell's editor takes it as "to the line's start".
        user.write_all(b"cho on-and-on\x01\x01e\n").unwrap();
        wait_for(user, "\non-and-on\r\n");
        user.write_all(b"exit\n").unwrap();
        wait_for(user, "Power down\r\n");
    });
    assert_eq!(ran.end, End::PoweredOff);

    let ran = on_a_terminal(&image, &machine, |user| {
        wait_for(user, "(linux) ");
        user.write_all(b"echo c > /proc/sysrq-trigger\n").unwrap();
        wait_for(user, "Kernel panic - not syncing");
    });
    assert_eq!(ran.end.exit_code(), 5);
    let End::Panicked { message } = &ran.end else {
        unreachable!("{:?}", ran.end)
    };
    assert_eq!(message, "not syncing: sysrq triggered crash");
    assert!(ran.tail.len() <= TAIL);
    // What came before the panic; the terminal has the trace already.
    let last = ran.tail.last().map(|line| line.text.as_str());
    let is_cause = |text: &str| text.contains("Trigger a crash");
    assert!(last.is_some_and(is_cause), "{:?}", ran.tail);
}

#[test]
fn a_terminal_is_as_before_where_the_user_a_signal_or_its_own_end_stops_the_guest() {
    let _alone = SIGNALS.write().unwrap_or_else(|error| error.into_inner());
    let prompt = "printf '(linux) '; exec sleep 99";
    let ran = invoked_on_a_terminal(&scripted(prompt), |user| {
        wait_for(user, "(linux) ");
        user.write_all(b"\x01x").unwrap();
    });
    assert_eq!((ran.end.clone(), ran.end.exit_code()), (End::Quit, 0));

    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    let shell = format!("echo $$ > '{}'; {prompt}", file.display());
    let ran = invoked_on_a_terminal(&scripted(&shell), move |user| {
        wait_for(user, "(linux) ");
        kill_process(pid(&file), Signal::KILL).unwrap();
    });
    let End::Died { status, .. } = &ran.end else {
        unreachable!("{:?}", ran.end)
    };
    assert!(status.starts_with("signal: 9"), "{status}");

    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let ran = invoked_on_a_terminal(&scripted(prompt), move |user| {
            wait_for(user, "(linux) ");
            kill_process(getpid(), signal).unwrap();
        });
        assert_eq!(ran.end, End::Signalled(signal.as_raw()));
        assert_eq!(ran.end.exit_code(), 130);
    }
}

fn pid(file: &Path) -> Pid {
    let text = fs::read_to_string(file).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// Runs the image between a pipe and a pipe; returns how it ended and all output.
fn between_pipes(image: &Minimal, machine: &Machine, input: &[u8]) -> (End, String) {
    let (from, mut to): (OwnedFd, File) = {
        let (read, write) = rustix::pipe::pipe().unwrap();
        (read, write.into())
    };
    to.write_all(input).unwrap();
    drop(to);
    let (out, sink) = rustix::pipe::pipe().unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        File::from(out).read_to_string(&mut text).unwrap();
        text
    });
    let seat = Seat {
        input: from.as_fd(),
        output: sink.as_fd(),
        limit: Some(Duration::from_secs(40)),
    };
    let ran = run(&image.invocation(machine), seat, &Silent).unwrap();
    drop(sink);
    (ran.end, reader.join().unwrap())
}

#[test]
fn lines_from_a_pipe_are_answered_one_by_one_and_the_end_of_input_ends_the_shell() {
    // pitfall 66
    let _calm = no_signals();
    let Some(image) = minimal(Arch::X86_64) else {
        return;
    };
    // Longer than a UART's 16 bytes by far.
    let long = "0123456789".repeat(30);
    let several = format!("echo $((6*7))\ncat\none\n{long}\n");
    let cases = [
        // Without a line end, too.
        (
            "uname -m\nexit",
            "(linux) uname -m\nx86_64\n(linux) exit\n".to_owned(),
        ),
        ("", "(linux) \n".to_owned()),
        (
            &several,
            format!("(linux) echo $((6*7))\n42\n(linux) cat\none\none\n{long}\n{long}\n(linux) \n"),
        ),
    ];
    for (input, expected) in cases {
        let (end, output) = between_pipes(&image, &image.machine(), input.as_bytes());
        assert_eq!(end, End::PoweredOff, "{output}");
        let from = output.find("(linux) ").unwrap();
        let to = output.rfind("[ ").unwrap();
        assert_eq!(&output[from..to], expected, "{input:?}");
        assert!(!output.contains(['\r', '\x1b']), "{output:?}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    // pitfall 66
    let _calm = no_signals();
    let (out, sink) = rustix::pipe::pipe().unwrap();
    drop(out);
    let input = File::open("/dev/null").unwrap();
    let seat = Seat {
        input: input.as_fd(),
        output: sink.as_fd(),
        limit: None,
    };
    let ran = run(&scripted("echo hello; exec sleep 99"), seat, &Silent).unwrap();
    assert_eq!(
        (ran.end.clone(), ran.end.exit_code()),
        (End::OutputClosed, 0)
    );
}

#[test]
fn a_guest_that_cannot_switch_off_or_restart_ends_all_the_same() {
    // pitfall 67
    let _calm = no_signals();
    let Some(image) = minimal(Arch::X86_64) else {
        return;
    };
    let panicked = || End::Panicked {
        message: "not syncing: sysrq triggered crash".to_owned(),
    };
    let crash = "echo c > /proc/sysrq-trigger\n";
    let cases = [
        ("quiet acpi=off", "exit\n", End::Halted),
        ("quiet", "reboot -f\n", End::Rebooted),
        // Without it: on a terminal, above.
        ("quiet panic=0", crash, panicked()),
    ];
    for (cmdline, input, expected) in cases {
        let mut machine = image.machine();
        machine.cmdline = cmdline.to_owned();
        let (end, output) = between_pipes(&image, &machine, input.as_bytes());
        assert_eq!(end, expected, "{cmdline}: {output}");
    }
}

#[test]
fn the_time_limit_ends_a_guest_that_does_not() {
    let _calm = no_signals();
    let (read, _write) = rustix::pipe::pipe().unwrap();
    let out = tempfile::tempfile().unwrap();
    let limit = Duration::from_secs(1);
    let seat = Seat {
        input: read.as_fd(),
        output: out.as_fd(),
        limit: Some(limit),
    };
    let ran = run(&scripted("echo up; exec sleep 99"), seat, &Silent).unwrap();
    assert_eq!(ran.end, End::TimedOut { limit });
}
