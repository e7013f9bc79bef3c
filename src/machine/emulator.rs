//! Where QEMU is, and the whole command that starts it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::arguments::{Machine, Unsuitable, arguments};

/// A QEMU that can be started: a program, or a loader with the program as its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// The file to execute.
    pub program: PathBuf,
    /// Arguments that come before the machine's.
    pub prefix: Vec<OsString>,
    /// Variables set for it, besides those it inherits.
    pub variables: Vec<(OsString, OsString)>,
}

/// A command: what to execute, with which arguments and variables. Printed as one line for a POSIX shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The file to execute.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables set for it, besides those it inherits.
    pub variables: Vec<(OsString, OsString)>,
}

impl Emulator {
    /// Returns the emulator that is one program.
    pub fn program(path: &Path) -> Emulator {
        Emulator {
            program: path.to_path_buf(),
            prefix: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Returns the command that starts `machine`.
    ///
    /// # Errors
    /// [`Unsuitable`] where the architecture has no such board.
    pub fn invocation(&self, machine: &Machine) -> Result<Invocation, Unsuitable> {
        Ok(self.with(arguments(machine)?))
    }

    pub(super) fn with(&self, arguments: Vec<OsString>) -> Invocation {
        Invocation {
            program: self.program.clone(),
            arguments: self.prefix.iter().cloned().chain(arguments).collect(),
            variables: self.variables.clone(),
        }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{}={} ", name.to_string_lossy(), quoted(value))?;
        }
        f.write_str(&quoted(self.program.as_os_str()))?;
        for argument in &self.arguments {
            write!(f, " {}", quoted(argument))?;
        }
        Ok(())
    }
}

/// Returns a word as a POSIX shell must be given it. Bytes that are no UTF-8 are shown as replacement characters.
pub fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_reaches_the_program_as_it_was() {
        let words = [
            "",
            "a",
            "a b",
            "it's",
            "$HOME `id` \"x\" \\",
            "*?[~",
            "a\nb",
            "é",
            "=x",
            "#",
        ];
        let line: Vec<String> = words.iter().map(|word| quoted(OsStr::new(word))).collect();
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("printf '%s\\0' {}", line.join(" ")))
            .output()
            .unwrap();
        let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
