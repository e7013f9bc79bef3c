//! Console bytes to text: without carriage returns and terminal sequences, and with the kernel's records told from the rest.

/// Takes terminal sequences and carriage returns out of a stream of bytes, wherever its pieces are cut.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Plain,
    /// After ESC.
    Escape,
    /// In a control sequence: ESC `[`, parameters, one final byte 0x40..=0x7e (ECMA-48).
    Control,
    /// In an operating system command, which BEL or ESC `\` ends.
    Command,
}

impl Cleaner {
    /// Appends to `out` what is left of `bytes`.
    pub(super) fn clean(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Plain | State::Escape, 0x1b) => State::Escape,
                (State::Plain, b'\r' | 0) => State::Plain,
                (State::Plain, _) => {
                    out.push(byte);
                    State::Plain
                }
                (State::Escape, b'[') => State::Control,
                (State::Escape, b']') => State::Command,
                (State::Escape, 0x20..=0x2f) => State::Escape,
                (State::Escape, _) => State::Plain,
                (State::Control, 0x40..=0x7e) => State::Plain,
                (State::Control, b'\n') => {
                    out.push(byte);
                    State::Plain
                }
                (State::Control, _) => State::Control,
                (State::Command, 0x07) => State::Plain,
                (State::Command, 0x1b) => State::Escape,
                (State::Command, _) => State::Command,
            };
        }
    }
}

/// Returns where the first kernel record of a line begins and its message: `[    1.234567] text`, with `[  T12]` or `[  C0]`
/// after the time where the kernel is built so (`kernel/printk/printk.c`, `info_print_prefix`).
///
/// A record may begin anywhere: the kernel writes it whole, with interrupts off, also into the middle of a program's word.
pub(super) fn record(line: &str) -> Option<(usize, &str)> {
    line.match_indices('[').find_map(|(at, _)| {
        let rest = line.get(at + 1..)?;
        let (time, rest) = rest.split_once(']')?;
        let (seconds, fraction) = time.trim_start_matches(' ').split_once('.')?;
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(seconds) || fraction.len() != 6 || !digits(fraction) {
            return None;
        }
        let rest = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((caller, rest)) if caller.trim_start().starts_with(['T', 'C']) => rest,
            _ => rest,
        };
        rest.strip_prefix(' ').map(|message| (at, message))
    })
}

/// Returns `text` without the kernel's records; what they cut in two is whole again.
///
/// A record that is not ended yet is taken out as far as it goes.
pub(super) fn calm(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match record(line) {
            Some((at, _)) => out.extend(line.get(..at)),
            None => out.push_str(line),
        }
    }
    out
}

/// Returns an unfinished line without the kernel's record in it, of which not even the time need be whole.
pub(super) fn calm_unfinished(line: &str) -> String {
    let mut out = calm(line);
    let torn = out.rfind('[').filter(|at| {
        let rest = out.get(at + 1..).unwrap_or_default();
        let rest = rest.strip_suffix(']').unwrap_or(rest);
        rest.bytes()
            .all(|byte| matches!(byte, b' ' | b'.' | b'0'..=b'9'))
    });
    out.truncate(torn.unwrap_or(out.len()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_are_taken_out_wherever_the_stream_is_cut() {
        let stream =
            b"\r\n(linux) \x1b[6nls\x1b[1;31m red\x1b[0m\x1b]0;title\x07 \x1b(B\x1b7end\r\n";
        let expected = "\n(linux) ls red end\n";
        for cut in 0..=stream.len() {
            let (mut cleaner, mut out) = (Cleaner::default(), Vec::new());
            let (left, right) = stream.split_at(cut);
            cleaner.clean(left, &mut out);
            cleaner.clean(right, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{cut}");
        }
    }

    #[test]
    fn kernel_records_are_told_from_what_programs_print() {
        let cases = [
            (
                "[    1.234567] reboot: Power down",
                Some((0, "reboot: Power down")),
            ),
            ("[12345.000001][    T1] x", Some((0, "x"))),
            ("[    0.000000][   C0] x", Some((0, "x"))),
            ("answ[    1.234567] random: done", Some((4, "random: done"))),
            ("[a][    1.234567] x", Some((3, "x"))),
            ("[1.23] x", None),
            ("[    1.23456x] x", None),
            ("[    1.234567]x", None),
            ("[", None),
            ("echo 'Kernel panic - not syncing'", None),
        ];
        for (line, expected) in cases {
            assert_eq!(record(line), expected, "{line}");
        }
    }

    #[test]
    fn a_word_that_the_kernel_cut_is_whole_again() {
        let cases = [
            ("ans[    1.234567] random: done\nwer=42\n", "answer=42\n"),
            ("[    1.234567] a\n[    1.234568] b\nok", "ok"),
            ("ans[    1.234567] rand", "ans"),
            ("a\nb", "a\nb"),
        ];
        for (text, expected) in cases {
            assert_eq!(calm(text), expected, "{text}");
        }
    }

    #[test]
    fn a_record_that_has_only_begun_is_no_prompt() {
        let whole = "[    1.234567] random: done";
        for end in 0..=whole.len() {
            assert_eq!(calm_unfinished(&whole[..end]), "", "{end}");
        }
        for prompt in ["(linux) ", "[root@host 1]# ", "a[1] "] {
            assert_eq!(calm_unfinished(prompt), prompt);
        }
    }
}
