//! The likely cause of a failure in the words of this one: the library's name, the status of `/init`.

use super::console::{Line, panicked};
use super::diagnosis::Diagnosis;
use super::text::record;

/// The longest piece of the console that a cause quotes, in characters.
const QUOTED: usize = 160;

/// The likely cause of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What kind it is.
    pub diagnosis: &'static Diagnosis,
    /// The cause and what to do, in one line.
    pub text: String,
}

impl Cause {
    /// Returns the cause that a console tells of.
    pub(super) fn new(diagnosis: &'static Diagnosis, lines: &[Line]) -> Cause {
        let shown = || lines.iter().rfind(|line| diagnosis.is_shown(&line.text));
        let told = match diagnosis.name {
            "library" => shown().and_then(|line| library(&line.text)),
            "library-version" => {
                shown().map(|line| format!("{}: {}", diagnosis.text, quoted(&line.text)))
            }
            "init-exits" => init_exits(lines),
            _ => None,
        };
        Cause {
            diagnosis,
            text: told.unwrap_or_else(|| diagnosis.text.to_owned()),
        }
    }
}

/// Returns a piece of the console as a cause quotes it.
fn quoted(text: &str) -> String {
    let text: String = text.trim().chars().take(QUOTED).collect();
    format!("`{text}`")
}

/// Returns the cause that a loader's message tells: glibc's, musl's (`ldso/dynlink.c`), uClibc's.
fn library(line: &str) -> Option<String> {
    let (name, reason, program) = if let Some((program, rest)) =
        line.split_once(": error while loading shared libraries: ")
    {
        let (name, reason) = rest.split_once(": ").unwrap_or((rest, ""));
        (name, reason, Some(program))
    } else if let Some((_, rest)) = line.split_once("Error loading shared library ") {
        let (name, rest) = rest.split_once(": ").unwrap_or((rest, ""));
        let (reason, program) = rest.split_once(" (needed by ").unwrap_or((rest, ""));
        let program = program.strip_suffix(')');
        (name, reason, program)
    } else {
        let (program, rest) = line.split_once(": can't load library ")?;
        (rest.trim_matches('\''), "", Some(program))
    };
    let needs = program.map_or_else(String::new, |program| {
        format!(", which {} needs", quoted(program))
    });
    let missing = ["", "cannot open shared object file", "No such file"];
    let is_missing =
        reason.is_empty() || missing.iter().skip(1).any(|word| reason.starts_with(word));
    let name = quoted(name);
    Some(match is_missing {
        true => format!("a shared library is missing: {name}{needs}: add it to the image"),
        false => format!("a shared library cannot be loaded: {name}{needs}: {reason}"),
    })
}

/// Returns what the status says that the kernel names when its first program ends: as `wait` has it.
fn init_exits(lines: &[Line]) -> Option<String> {
    let at = panicked(lines)?;
    let (_, code) = lines.get(at)?.text.split_once("exitcode=0x")?;
    let digits = code.get(..8)?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    let (status, signal) = ((code >> 8) & 0xff, code & 0x7f);
    let why = match (signal, status) {
        (0, 0) => return None,
        (0, 127) => {
            "with status 127: a program that it starts is not in the image, or lacks its interpreter or a library"
                .to_owned()
        }
        (0, 126) => {
            "with status 126: a program that it starts is not executable, or not for this machine".to_owned()
        }
        (0, status) => format!("with status {status}: its last program failed"),
        (signal, _) => {
            let name = signal_name(signal).map_or_else(String::new, |name| format!(" ({name})"));
            format!("by signal {signal}{name}: a fault of the program, or of what it was built for")
        }
    };
    let words = last_words(lines.get(..at)?).map_or_else(String::new, |words| {
        format!("; its last words: {}", quoted(words))
    });
    Some(format!("`/init` ended {why}{words}"))
}

/// Returns the last line that a program printed.
fn last_words(lines: &[Line]) -> Option<&str> {
    let mut words = lines.iter().rev().map(|line| line.text.as_str());
    words.find(|text| !text.trim().is_empty() && record(text).is_none())
}

const fn signal_name(signal: u32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}
