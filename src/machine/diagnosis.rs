//! What a dead guest's last words mean. `docs/diagnoses.md` says the same at length; a test keeps both in step.

use super::cause::Cause;
use super::console::{Line, is_mute};
use super::end::{End, Ending};
use super::test::Kind;

/// A known cause.
#[derive(Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Its name: the heading in `docs/diagnoses.md`.
    pub name: &'static str,
    /// The cause and what to do, in one line.
    pub text: &'static str,
    /// What a line of the console shows: all words of one of these; empty where it is not a text.
    pub signs: &'static [&'static [&'static str]],
}

impl Diagnosis {
    /// Returns whether a line shows its sign.
    pub(super) fn is_shown(&self, line: &str) -> bool {
        let shown = |words: &&[&str]| words.iter().all(|word| line.contains(word));
        self.signs.iter().any(shown)
    }
}

/// Every known cause, the telling ones first: the first whose sign is there is taken.
pub const ALL: [Diagnosis; 20] = [
    Diagnosis {
        name: "memory-for-initramfs",
        signs: &[&["unpacking failed: write error"]],
        text: "the initramfs does not fit into the guest's memory: give the machine more (`boot memory=..` or `--memory`)",
    },
    Diagnosis {
        name: "memory",
        signs: &[
            &["System is deadlocked on memory"],
            &["Out of memory: Killed process"],
            &["Out of memory and no killable processes"],
        ],
        text: "the guest ran out of memory: give the machine more (`boot memory=..` or `--memory`)",
    },
    Diagnosis {
        name: "compression",
        signs: &[&["compression method", "not configured"]],
        text: "this kernel cannot unpack the initramfs: choose another `compress=`",
    },
    Diagnosis {
        name: "initramfs-damaged",
        signs: &[&["unpacking failed"], &["rootfs image is not initramfs"]],
        text: "the kernel found no archive in the initramfs file: it is damaged or is no cpio archive",
    },
    Diagnosis {
        name: "init-interpreter",
        signs: &[
            &["ailed to execute", "(error -2)"],
            &["couldn't execute", "(error -2)"],
            &["Requested init", "(error -2)"],
        ],
        text: "`/init` is not there, or the interpreter that its first line or its ELF header names is not: add that file to the image",
    },
    Diagnosis {
        name: "init-permission",
        signs: &[
            &["ailed to execute", "(error -13)"],
            &["couldn't execute", "(error -13)"],
            &["Requested init", "(error -13)"],
        ],
        text: "`/init` or its interpreter is not executable: give it mode=0o755",
    },
    Diagnosis {
        name: "init-format",
        signs: &[
            &["ailed to execute", "(error -8)"],
            &["couldn't execute", "(error -8)"],
            &["Requested init", "(error -8)"],
        ],
        text: "`/init` is no program for this machine: it lacks its `#!` line or is built for another architecture",
    },
    Diagnosis {
        name: "library",
        signs: &[
            &[": error while loading shared libraries: "],
            &["Error loading shared library "],
            &[": can't load library "],
        ],
        text: "a shared library that a program needs is missing, or cannot be loaded: add it to the image",
    },
    Diagnosis {
        name: "library-version",
        signs: &[
            &["version `", "not found (required by "],
            &[": symbol lookup error: "],
            &["Error relocating ", ": symbol not found"],
        ],
        text: "a program was built for another version of a library than the image has",
    },
    Diagnosis {
        name: "init-exits",
        signs: &[&["Attempted to kill init!"]],
        text: "`/init` ended, which the kernel does not allow: end it with `poweroff -f`, or `exec` a program that stays",
    },
    Diagnosis {
        name: "root",
        signs: &[&["Unable to mount root fs"]],
        text: "the kernel looked for a disk because it has no `/init`: the initramfs was not unpacked or holds none",
    },
    Diagnosis {
        name: "no-init",
        signs: &[&["No working init found"]],
        text: "none of the programs that the kernel tries first could be started: the image needs an executable `/init`",
    },
    Diagnosis {
        name: "no-console-device",
        signs: &[&["unable to open an initial console"]],
        text: "the image has no `/dev/console`, so `/init` has no input and output: add the device to the recipe",
    },
    Diagnosis {
        name: "qemu-killed",
        signs: &[&["signal: 9"]],
        text: "somebody killed QEMU: look for the host's out-of-memory killer in its kernel log",
    },
    Diagnosis {
        name: "qemu-refused",
        signs: &[],
        text: "QEMU gave up by itself: its last words above say why; an argument, an accelerator or the memory may not suit this host",
    },
    Diagnosis {
        name: "panic",
        signs: &[&["Kernel panic"]],
        text: "the kernel gave up: the words after `Kernel panic` and the lines before them say why",
    },
    Diagnosis {
        name: "silence",
        signs: &[],
        text: "nothing came over the serial line, but for the firmware: the kernel has no driver for it, `console=` names another device, the memory is far too \
               small, or the kernel is not for this machine",
    },
    Diagnosis {
        name: "ended",
        signs: &[],
        text: "the guest switched itself off, as an `/init` does when its last program ends: the last lines say how far it came",
    },
    Diagnosis {
        name: "restarted",
        signs: &[],
        text: "the guest restarted: a program asked for it, or the kernel did",
    },
    Diagnosis {
        name: "expectation",
        signs: &[],
        text: "the guest is alive and has not shown the text, or not ended: compare with the last lines, or allow more time",
    },
];

/// Returns the likely cause of a run's end; none where nothing went wrong, or nothing is known.
pub(super) fn of_run(end: &End, lines: &[Line]) -> Option<Cause> {
    match end {
        End::Panicked { .. } | End::TimedOut { .. } => {
            told(lines).or_else(|| of_ending(end.ending()?, lines))
        }
        _ => of_death(end, lines),
    }
}

/// Returns the likely cause of a test's failure.
pub(super) fn of(kind: Kind, end: Option<&End>, lines: &[Line]) -> Option<Cause> {
    if matches!(kind, Kind::Passed | Kind::Interrupted) {
        return None;
    }
    let known = end
        .and_then(|end| of_death(end, lines))
        .or_else(|| told(lines));
    if known.is_some() {
        return known;
    }
    match (kind, end.and_then(End::ending)) {
        _ if lines.iter().all(|line| is_mute(&line.text)) => named("silence", lines),
        (Kind::Panic | Kind::EarlyExit, Some(ending)) => of_ending(ending, lines),
        (Kind::Expectation, Some(Ending::Panic)) => of_ending(Ending::Panic, lines),
        (Kind::Expectation | Kind::Timeout, None) => named("expectation", lines),
        _ => None,
    }
}

/// Returns the likely cause of QEMU's own death; none where it ended otherwise.
fn of_death(end: &End, lines: &[Line]) -> Option<Cause> {
    let End::Died { status, .. } = end else {
        return None;
    };
    match status.starts_with("signal: 9") {
        true => named("qemu-killed", lines),
        false => named("qemu-refused", lines),
    }
}

fn of_ending(ending: Ending, lines: &[Line]) -> Option<Cause> {
    match ending {
        Ending::Panic => named("panic", lines),
        Ending::PowerOff => named("ended", lines),
        Ending::Reboot => named("restarted", lines),
    }
}

/// Returns the first cause in the table that a console shows. Anybody may speak of a panic: whether one was the end is known elsewhere.
fn told(lines: &[Line]) -> Option<Cause> {
    let shown = |diagnosis: &&Diagnosis| lines.iter().any(|line| diagnosis.is_shown(&line.text));
    let told = ALL
        .iter()
        .filter(|diagnosis| !["panic", "qemu-killed"].contains(&diagnosis.name))
        .find(shown)?;
    Some(Cause::new(told, lines))
}

fn named(name: &str, lines: &[Line]) -> Option<Cause> {
    let found = ALL.iter().find(|diagnosis| diagnosis.name == name)?;
    Some(Cause::new(found, lines))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        let line = |text: &str| Line {
            at: Duration::ZERO,
            text: text.to_owned(),
        };
        text.lines().map(line).collect()
    }

    fn panic(code: &str) -> String {
        format!(
            "[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x{code}\n[    1.000001] CPU: 0\n"
        )
    }

    fn panicked() -> End {
        End::Panicked {
            message: String::new(),
        }
    }

    #[test]
    fn the_page_of_diagnoses_names_each_one_with_its_signs() {
        let page = fs::read_to_string("docs/diagnoses.md").unwrap();
        let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
        let names: Vec<&str> = ALL.iter().map(|diagnosis| diagnosis.name).collect();
        assert_eq!(headings.collect::<Vec<_>>(), names);
        for diagnosis in &ALL {
            let section = page
                .split("\n## ")
                .find(|section| section.lines().next() == Some(diagnosis.name))
                .unwrap();
            let words = diagnosis.signs.concat();
            for text in words.iter().chain([&diagnosis.text]) {
                assert!(section.contains(text), "{}: {text}", diagnosis.name);
            }
        }
    }

    #[test]
    fn a_guest_of_which_only_the_firmware_spoke_was_silent() {
        let timeout = |console: &str| of(Kind::Timeout, None, &lines(console)).unwrap();
        for console in [
            "",
            "\nOpenSBI v1.1\n\nPlatform Name             : riscv-virtio,qemu\n",
        ] {
            assert_eq!(timeout(console).diagnosis.name, "silence", "{console}");
        }
        for console in ["(linux) ", "[    0.000000] Linux version 6.12"] {
            assert_eq!(timeout(console).diagnosis.name, "expectation", "{console}");
        }
    }

    #[test]
    fn a_console_gives_the_cause_that_it_shows_and_no_other() {
        let exits = |words: &str, code: &str| format!("{words}\n{}", panic(code));
        let oom = "[    6.024509] Out of memory: Killed process 79 (busybox) total-vm:69392kB, anon-rss:67212kB, file-rss:4kB\nKilled\n";
        let no_root = "[    1.000000] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";
        // Consoles of Debian's 6.1 cloud kernel, but for the loaders of musl and uClibc.
        let cases = [
            (
                exits("/bin/bash: error while loading shared libraries: libtinfo.so.6: cannot open shared object file: No such file or directory", "00007f00"),
                "library",
                "a shared library is missing: `libtinfo.so.6`, which `/bin/bash` needs: add it to the image",
            ),
            (
                exits("a: error while loading shared libraries: libx.so.1: wrong ELF class: ELFCLASS32", "00007f00"),
                "library",
                "a shared library cannot be loaded: `libx.so.1`, which `a` needs: wrong ELF class: ELFCLASS32",
            ),
            (
                exits("Error loading shared library libz.so.1: No such file or directory (needed by /bin/a)", "00007f00"),
                "library",
                "a shared library is missing: `libz.so.1`, which `/bin/a` needs: add it to the image",
            ),
            (
                exits("/bin/a: can't load library 'libc.so.0'", "00000100"),
                "library",
                "a shared library is missing: `libc.so.0`, which `/bin/a` needs: add it to the image",
            ),
            (
                exits("/bin/a: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /bin/a)", "00000100"),
                "library-version",
                "a program was built for another version of a library than the image has: `/bin/a: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /bin/a)`",
            ),
            (
                exits("hello\n/init: line 3: no-such-program: not found", "00007f00"),
                "init-exits",
                "`/init` ended with status 127: a program that it starts is not in the image, or lacks its interpreter or a library; its last words: `/init: line 3: no-such-program: not found`",
            ),
            (
                exits("/init: line 3: /proc: Permission denied", "00007e00"),
                "init-exits",
                "`/init` ended with status 126: a program that it starts is not executable, or not for this machine; its last words: `/init: line 3: /proc: Permission denied`",
            ),
            (
                panic("00000100"),
                "init-exits",
                "`/init` ended with status 1: its last program failed",
            ),
            (
                panic("0000008b"),
                "init-exits",
                "`/init` ended by signal 11 (SIGSEGV): a fault of the program, or of what it was built for",
            ),
            (
                exits("hello", "00000000"),
                "init-exits",
                "`/init` ended, which the kernel does not allow: end it with `poweroff -f`, or `exec` a program that stays",
            ),
            (
                exits(oom, "00000000"),
                "memory",
                "the guest ran out of memory: give the machine more (`boot memory=..` or `--memory`)",
            ),
            (
                no_root.to_owned(),
                "root",
                "the kernel looked for a disk because it has no `/init`: the initramfs was not unpacked or holds none",
            ),
            (
                // What a driver says of its own files is no word on `/init`.
                "[    1.0] foo: failed to load firmware (error -2)\n[    1.000000] Kernel panic - not syncing: sysrq triggered crash".to_owned(),
                "panic",
                "the kernel gave up: the words after `Kernel panic` and the lines before them say why",
            ),
        ];
        for (console, name, text) in cases {
            let lines = lines(&console);
            let cause = of(Kind::Panic, Some(&panicked()), &lines).unwrap();
            assert_eq!((cause.diagnosis.name, cause.text.as_str()), (name, text));
            assert_eq!(of_run(&panicked(), &lines), Some(cause));
        }
        assert_eq!(of_run(&End::PoweredOff, &lines("exit=7")), None);
    }
}
