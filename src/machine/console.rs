//! What came over the serial line: lines with their times, and the signs of an end among them.

use std::collections::VecDeque;
use std::time::Duration;

use super::end::End;
use super::text::{Cleaner, calm, calm_unfinished, record};
use crate::arch::Arch;

/// How many lines a report shows.
pub const TAIL: usize = 40;

/// Lines kept for `--log`; a guest that prints more loses its oldest ones.
const KEPT: usize = 100_000;

/// A line longer than this many bytes is cut in two, so that a guest that never ends one cannot fill memory.
const LONGEST: usize = 16 * 1024;

/// One line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its first byte came, since QEMU was started.
    pub at: Duration,
    /// Its text, without terminal sequences.
    pub text: String,
}

/// The console's past.
#[derive(Debug, Default)]
pub(super) struct Console {
    cleaner: Cleaner,
    lines: VecDeque<Line>,
    open: Vec<u8>,
    opened: Duration,
    last: Option<Duration>,
    spoken: bool,
    sign: Option<End>,
    /// A panic that may be a program's word: without the time of a record, in the middle of a line, say.
    hint: Option<End>,
    /// Whether a program has ended a line since the sign.
    survived: bool,
}

impl Console {
    /// Takes in bytes that came at `now`; returns them without terminal sequences and carriage returns.
    pub(super) fn take(&mut self, bytes: &[u8], now: Duration) -> Vec<u8> {
        if bytes.is_empty() {
            return Vec::new();
        }
        self.last = Some(now);
        let mut clean = Vec::with_capacity(bytes.len());
        self.cleaner.clean(bytes, &mut clean);
        for piece in clean.split_inclusive(|&byte| byte == b'\n') {
            if self.open.is_empty() {
                self.opened = now;
            }
            self.open.extend(piece);
            if piece.ends_with(b"\n") || self.open.len() > LONGEST {
                self.close();
            }
        }
        if !self.spoken {
            self.spoken = is_spoken(&self.partial());
        }
        clean
    }

    fn close(&mut self) {
        let bytes = std::mem::take(&mut self.open);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches('\n');
        match sign(text) {
            Some(sign) => {
                self.sign = Some(sign);
                self.survived = false;
            }
            None => self.survived |= !calm(text).trim().is_empty(),
        }
        self.hint = hint(text).or(self.hint.take());
        self.spoken |= is_spoken(&calm(text));
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(Line {
            at: self.opened,
            text: text.to_owned(),
        });
    }

    /// Returns the line that is not ended yet, without kernel records: a prompt, perhaps.
    pub(super) fn partial(&self) -> String {
        calm_unfinished(&String::from_utf8_lossy(&self.open))
    }

    /// Returns whether anything but the kernel and the firmware has printed.
    pub(super) const fn spoken(&self) -> bool {
        self.spoken
    }

    /// Returns when the last byte came.
    pub(super) const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// Returns the end that the guest has announced.
    pub(super) const fn sign(&self) -> Option<&End> {
        self.sign.as_ref()
    }

    /// Returns the panic that somebody spoke of, for a guest that is gone without having announced another end.
    pub(super) const fn hint(&self) -> Option<&End> {
        self.hint.as_ref()
    }

    /// Returns the announced end where nothing but the kernel has spoken since: a program that only printed the words goes on.
    pub(super) fn last_word(&self) -> Option<&End> {
        let silent = !self.survived && self.partial().trim().is_empty();
        self.sign().filter(|_| silent)
    }

    /// Returns whether the newest line is a record of the kernel's, ended or not.
    pub(super) fn kernel_speaks(&self) -> bool {
        match self.open.is_empty() {
            true => self
                .lines
                .back()
                .is_some_and(|line| record(&line.text).is_some()),
            false => self.partial().trim().is_empty(),
        }
    }

    /// Returns the newest line that shows something.
    pub(super) fn newest(&self) -> String {
        let partial = self.partial();
        if !partial.trim().is_empty() {
            return partial;
        }
        let mut lines = self.lines.iter().rev().map(|line| &line.text);
        let shown = lines.find(|text| !text.trim().is_empty());
        shown.cloned().unwrap_or_default()
    }

    /// Returns all lines kept, the open one last.
    pub(super) fn lines(&self) -> Vec<Line> {
        let open = (!self.open.is_empty()).then(|| Line {
            at: self.opened,
            text: String::from_utf8_lossy(&self.open).into_owned(),
        });
        self.lines.iter().cloned().chain(open).collect()
    }
}

/// Returns whether a program said this, rather than nobody or the machine's firmware.
fn is_spoken(calm: &str) -> bool {
    !is_mute(calm)
}

/// Returns whether a line, the kernel's records aside, is empty or the firmware's.
pub(super) fn is_mute(line: &str) -> bool {
    let text = line.trim();
    // A line that has only begun may be the firmware's, which writes byte by byte.
    let theirs = |word: &&str| text.contains(word) || word.starts_with(text);
    let mut words = Arch::ALL
        .iter()
        .flat_map(|arch| arch.facts().firmware_words);
    text.is_empty() || words.any(theirs)
}

/// Returns the lines that tell most: the last ones, [`TAIL`] at most, or those around a panic that stands before them.
pub(super) fn telling(lines: &[Line]) -> &[Line] {
    let last = lines.len().saturating_sub(TAIL);
    let from = panicked(lines).map_or(last, |at| last.min(at.saturating_sub(TAIL / 2)));
    let to = lines.len().min(from + TAIL);
    lines.get(from..to).unwrap_or_default()
}

/// Returns which line the last panic begins with.
pub(super) fn panicked(lines: &[Line]) -> Option<usize> {
    lines.iter().rposition(|line| {
        hint(&line.text).is_some() && !line.text.contains("---[ end Kernel panic")
    })
}

/// How a panic begins.
const PANIC: &str = "Kernel panic - ";

/// Returns the end that a line announces: a record of the kernel, or, since there are kernels without `printk.time`, a whole line
/// that is the kernel's last.
fn sign(line: &str) -> Option<End> {
    let panicked = |message: &str| {
        Some(End::Panicked {
            message: message.to_owned(),
        })
    };
    let record = record(line).map(|(_, message)| message);
    let message = record.unwrap_or(line).trim();
    if let Some(panic) = record.and(message.strip_prefix(PANIC)) {
        return panicked(panic);
    }
    if let Some(panic) = message
        .strip_prefix("---[ end ")
        .and_then(|end| end.strip_prefix(PANIC))
    {
        return panicked(panic.trim_end_matches("]---").trim());
    }
    match message {
        "reboot: Power down" => Some(End::PoweredOff),
        "reboot: System halted" => Some(End::Halted),
        "reboot: Restarting system" => Some(End::Rebooted),
        _ => None,
    }
}

/// Returns the panic that a line speaks of, wherever it does: without times nothing tells the kernel's words from a program's.
fn hint(line: &str) -> Option<End> {
    let (_, message) = line.split_once(PANIC)?;
    let message = message
        .starts_with("not syncing")
        .then(|| message.to_owned())?;
    Some(End::Panicked { message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_from_the_kernel_and_from_nobody_else() {
        let panicked = |message: &str| {
            Some(End::Panicked {
                message: message.to_owned(),
            })
        };
        let cases = [
            (
                "[    1.656062] reboot: System halted\r\n",
                Some(End::Halted),
            ),
            (
                "[    1.656062] reboot: Power down\r\n",
                Some(End::PoweredOff),
            ),
            (
                "[    1.656062] reboot: Restarting system\r\n",
                Some(End::Rebooted),
            ),
            ("reboot: Power down\r\n", Some(End::PoweredOff)),
            ("[    1.0] reboot: Power down\r\n", None),
            ("(linux) echo reboot: Power down\r\n", None),
            (
                "wor[    1.656062] Kernel panic - not syncing: x\r\nmore\r\n",
                panicked("not syncing: x"),
            ),
            ("echo 'Kernel panic - not syncing: x'\r\n", None),
            ("Kernel panic - not syncing: x\r\n", None),
            (
                "---[ end Kernel panic - not syncing: x ]---\r\n",
                panicked("not syncing: x"),
            ),
            // Only a whole line says it all.
            ("[    1.656062] reboot: Power down", None),
        ];
        for (text, expected) in cases {
            let mut console = Console::default();
            console.take(text.as_bytes(), Duration::ZERO);
            assert_eq!(console.sign(), expected.as_ref(), "{text}");
        }
    }

    #[test]
    fn an_end_that_a_program_only_spoke_of_is_not_the_last_word() {
        let panic = "[    1.656062] Kernel panic - not syncing: x\r\n";
        let trace = "[    1.656063] Call Trace:\r\n";
        let down = "reboot: Power down\r\n";
        let cases = [
            (format!("{panic}{trace}"), true),
            (format!("ans{panic}{trace}"), true),
            (down.to_owned(), true),
            (format!("{down}(linux) "), false),
            (format!("{down}(linux) sleep 9\r\n"), false),
            (format!("[    1.656062] {down}(linux) sleep 9\r\n"), false),
            (format!("{down}(linux) poweroff -f\r\n{down}"), true),
            (format!("{panic}{trace}[    1.6"), true),
        ];
        for (text, expected) in cases {
            let mut console = Console::default();
            console.take(text.as_bytes(), Duration::ZERO);
            assert_eq!(console.last_word().is_some(), expected, "{text}");
        }
    }

    #[test]
    fn a_panic_without_a_time_is_known_in_the_middle_of_a_word_once_the_guest_is_gone() {
        let mut console = Console::default();
        console.take(
            b"answer=4Kernel panic - not syncing: x\r\nCPU: 0\r\n",
            Duration::ZERO,
        );
        assert_eq!(console.sign(), None);
        let message = "not syncing: x".to_owned();
        assert_eq!(console.hint(), Some(&End::Panicked { message }));
    }

    /// The beginning and the end of what the firmware of `virt` writes on riscv64.
    const OPENSBI: &str = r"
OpenSBI v1.1
   ____                    _____ ____ _____
  / __ \                  / ____|  _ \_   _|
 | |  | |_ __   ___ _ __ | (___ | |_) || |
 | |  | | '_ \ / _ \ '_ \ \___ \|  _ < | |
 | |__| | |_) |  __/ | | |____) | |_) || |_
  \____/| .__/ \___|_| |_|_____/|____/_____|
        | |
        |_|

Platform Name             : riscv-virtio,qemu
Firmware Base             : 0x80000000
Runtime SBI Version       : 1.0

Domain0 Name              : root
Boot HART MEDELEG         : 0x0000000000f0b509
";

    #[test]
    fn a_program_has_spoken_when_neither_the_kernel_nor_the_firmware_did() {
        let cases = [
            ("\r\n\r\n", false),
            ("[    1.656062] Linux version 6.1\r\n", false),
            ("\r\n[    1.65", false),
            (
                "\x1bc\x1b[?7lSeaBIOS (version 1.16.2)\r\nBooting from ROM..",
                false,
            ),
            (OPENSBI, false),
            ("(linux) \x1b[6n", true),
            ("# ", true),
            ("hello\r\n", true),
        ];
        for (text, expected) in cases {
            let mut console = Console::default();
            for byte in text.as_bytes() {
                console.take(&[*byte], Duration::ZERO);
            }
            assert_eq!(console.spoken(), expected, "{text}");
        }
    }

    #[test]
    fn lines_carry_the_time_of_their_first_byte_and_endless_ones_are_cut() {
        let mut console = Console::default();
        let second = Duration::from_secs(1);
        console.take(b"ab", second);
        console.take(b"c\r\nd", 2 * second);
        let line = |at, text: &str| Line {
            at,
            text: text.to_owned(),
        };
        assert_eq!(
            console.lines(),
            [line(second, "abc"), line(2 * second, "d")]
        );
        for _ in 0..100 {
            console.take(&[b'x'; 1024], 3 * second);
        }
        assert!(
            console
                .lines()
                .iter()
                .all(|line| line.text.len() <= LONGEST + 1024)
        );
    }
}
