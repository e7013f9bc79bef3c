//! How a machine ended.

use std::fmt;
use std::time::Duration;

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The guest switched itself off.
    PoweredOff,
    /// The guest restarted; `-no-reboot` makes that an end.
    Rebooted,
    /// The guest halted and could not switch itself off (no ACPI); mkimg ended QEMU.
    Halted,
    /// The guest's kernel panicked.
    Panicked {
        /// What the kernel said after `Kernel panic - `.
        message: String,
    },
    /// QEMU ended otherwise than by the guest's will.
    Died {
        /// Its exit status, or the signal that killed it, in words.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// The time was up; mkimg ended QEMU.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The user pressed Ctrl-A X.
    Quit,
    /// mkimg was told to end by this signal number.
    Signalled(i32),
    /// Whoever read the output is gone.
    OutputClosed,
}

/// What a guest may come to by itself, as a script expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Switched off, or halted where it cannot do that.
    PowerOff,
    /// Restarted.
    Reboot,
    /// Panicked.
    Panic,
}

impl End {
    /// Returns the exit code of mkimg for a run that ended so.
    pub fn exit_code(&self) -> u8 {
        match self {
            End::PoweredOff | End::Rebooted | End::Halted | End::Quit | End::OutputClosed => 0,
            End::Panicked { .. } | End::Died { .. } | End::TimedOut { .. } => 5,
            End::Signalled(_) => 130,
        }
    }

    /// Returns what the guest came to, where the end was its own.
    pub fn ending(&self) -> Option<Ending> {
        match self {
            End::PoweredOff | End::Halted => Some(Ending::PowerOff),
            End::Rebooted => Some(Ending::Reboot),
            End::Panicked { .. } => Some(Ending::Panic),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::PoweredOff => f.write_str("the guest powered off"),
            End::Rebooted => f.write_str("the guest restarted"),
            End::Halted => f.write_str("the guest halted"),
            End::Panicked { message } => write!(f, "kernel panic: {message}"),
            End::Died { status, stderr } => {
                write!(f, "QEMU died: {status}")?;
                match stderr.trim_end().rsplit('\n').next() {
                    None | Some("") => Ok(()),
                    Some(last) => write!(f, ": {last}"),
                }
            }
            End::TimedOut { limit } => write!(f, "no end within {limit:?}"),
            End::Quit => f.write_str("quit"),
            End::Signalled(signal) => write!(f, "ended by signal {signal}"),
            End::OutputClosed => f.write_str("nobody reads the output"),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Ending::PowerOff => "poweroff",
            Ending::Reboot => "reboot",
            Ending::Panic => "panic",
        })
    }
}
