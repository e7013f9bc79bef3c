//! What a dead guest's last words mean. `docs/diagnoses.md` says the same at length; a test keeps both in step.

use super::console::Line;
use super::end::{End, Ending};
use super::test::Kind;

/// A known cause.
#[derive(Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Its name: the heading in `docs/diagnoses.md`.
    pub name: &'static str,
    /// The cause and what to do, in one line.
    pub text: &'static str,
    /// What the console, or QEMU's standard error, shows; empty where it is not a text.
    pub sign: &'static str,
}

/// Every known cause, the telling ones first: the first whose sign is there is taken.
pub const ALL: [Diagnosis; 17] = [
    Diagnosis {
        name: "memory-for-initramfs",
        sign: "unpacking failed: write error",
        text: "the initramfs does not fit into the guest's memory: give the machine more (`boot memory=..` or `--memory`)",
    },
    Diagnosis {
        name: "memory",
        sign: "System is deadlocked on memory",
        text: "the guest ran out of memory: give the machine more (`boot memory=..` or `--memory`)",
    },
    Diagnosis {
        name: "compression",
        sign: "compression method",
        text: "this kernel cannot unpack the initramfs: choose another `compress=`",
    },
    Diagnosis {
        name: "initramfs-damaged",
        sign: "unpacking failed",
        text: "the kernel found no archive in the initramfs file: it is damaged or is no cpio archive",
    },
    Diagnosis {
        name: "init-interpreter",
        sign: "(error -2)",
        text: "`/init` is not there, or the interpreter that its first line or its ELF header names is not: add that file to the image",
    },
    Diagnosis {
        name: "init-permission",
        sign: "(error -13)",
        text: "`/init` or its interpreter is not executable: give it mode=0o755",
    },
    Diagnosis {
        name: "init-format",
        sign: "(error -8)",
        text: "`/init` is no program for this machine: it lacks its `#!` line or is built for another architecture",
    },
    Diagnosis {
        name: "init-exits",
        sign: "Attempted to kill init!",
        text: "`/init` ended, which the kernel does not allow: end it with `poweroff -f`, or `exec` a program that stays",
    },
    Diagnosis {
        name: "root",
        sign: "Unable to mount root fs",
        text: "the kernel looked for a disk because it has no `/init`: the initramfs was not unpacked or holds none",
    },
    Diagnosis {
        name: "no-init",
        sign: "No working init found",
        text: "none of the programs that the kernel tries first could be started: the image needs an executable `/init`",
    },
    Diagnosis {
        name: "no-console-device",
        sign: "unable to open an initial console",
        text: "the image has no `/dev/console`, so `/init` has no input and output: add the device to the recipe",
    },
    Diagnosis {
        name: "qemu-killed",
        sign: "signal: 9",
        text: "somebody killed QEMU: look for the host's out-of-memory killer in its kernel log",
    },
    Diagnosis {
        name: "qemu-refused",
        sign: "",
        text: "QEMU gave up by itself: its last words above say why; an argument, an accelerator or the memory may not suit this host",
    },
    Diagnosis {
        name: "panic",
        sign: "Kernel panic",
        text: "the kernel gave up: the words after `Kernel panic` and the lines before them say why",
    },
    Diagnosis {
        name: "silence",
        sign: "",
        text: "nothing came over the serial line: the kernel has no driver for it, `console=` names another device, the memory is far too \
               small, or the kernel is not for this machine",
    },
    Diagnosis {
        name: "ended",
        sign: "",
        text: "the guest switched itself off too early: a program that `/init` waits for, such as its shell, has ended or never started",
    },
    Diagnosis {
        name: "expectation",
        sign: "",
        text: "the guest is alive and has not shown the text, or not ended: compare with the last lines, or allow more time",
    },
];

/// Returns the likely cause of QEMU's own death; none where it ended otherwise.
pub fn of_death(end: &End) -> Option<&'static Diagnosis> {
    let End::Died { status, .. } = end else {
        return None;
    };
    let name = match status.starts_with("signal: 9") {
        true => "qemu-killed",
        false => "qemu-refused",
    };
    ALL.iter().find(|diagnosis| diagnosis.name == name)
}

/// Returns the likely cause of a test's failure.
pub(super) fn of(kind: Kind, end: Option<&End>, lines: &[Line]) -> Option<&'static Diagnosis> {
    let named = |name: &str| ALL.iter().find(|diagnosis| diagnosis.name == name);
    if kind == Kind::Passed {
        return None;
    }
    if let Some(died) = end.and_then(of_death) {
        return Some(died);
    }
    // Anybody may speak of a panic: whether one was the end is known below.
    let shown = |sign: &str| lines.iter().any(|line| line.text.contains(sign));
    let told = ALL
        .iter()
        .filter(|diagnosis| diagnosis.name != "panic")
        .find(|diagnosis| !diagnosis.sign.is_empty() && shown(diagnosis.sign));
    if told.is_some() {
        return told;
    }
    match (kind, end.and_then(End::ending)) {
        _ if lines.is_empty() => named("silence"),
        (_, Some(Ending::Panic)) => named("panic"),
        (Kind::EarlyExit, Some(Ending::PowerOff)) => named("ended"),
        (Kind::Expectation | Kind::Timeout, None) => named("expectation"),
        (_, Some(Ending::PowerOff) | None) => None,
    }
}
