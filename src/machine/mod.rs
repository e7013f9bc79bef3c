//! QEMU: an image's paths and plain values in, a running machine with its console out.
//!
//! ```text
//! Machine --Emulator::invocation--> Invocation --run--> End      (console on the user's terminal)
//!                                              --test--> Report  (console read by a script)
//! ```
//!
//! Knows paths and plain values: no recipe, no cache, no environment. QEMU's serial line is a pair of pipes that mkimg owns,
//! so QEMU never sees the user's terminal and cannot leave it in a state of its own. `docs/machine.md` says what each
//! argument is for and what was measured.

mod accelerator;
mod arguments;
mod cause;
mod cmdline;
mod console;
pub mod diagnosis;
mod echo;
mod emulator;
mod end;
mod error;
mod guest;
mod image;
mod input;
mod lz4;
mod memory;
mod play;
mod probe;
mod run;
mod script;
#[cfg(test)]
mod scripted;
mod sys;
mod terminal;
mod test;
mod text;
mod transcript;
mod unpack;
mod vmlinux;

pub use accelerator::{Accelerator, Choice, Decision, Host, Known, Verdict, choose, scaled};
pub use arguments::{Machine, MachineKind, Net, SERVED, Unsuitable, added_words, arguments};
pub use cause::Cause;
pub use console::{Line, TAIL};
pub use emulator::{Emulator, Invocation, quoted};
pub use end::{End, Ending};
pub use error::MachineError;
pub use image::{ImageError, has_16k_pages, kernel_inside};
pub use memory::{Needs, kernel_footprint, memory_needed};
pub use probe::probe;

pub use run::{Ran, Seat, run};
pub use script::{Pattern, Script, Step};
pub use terminal::{restore_on_panic, window};
pub use test::{Kind, Report, Watch, test};
pub use vmlinux::vmlinux;

/// What `fuzz/` runs on the private parts.
#[cfg(fuzzing)]
#[path = "../../fuzz/fuzz_targets/guest.rs"]
pub(crate) mod fuzzing;

/// Says loudly that a test is not run because a program is missing; in CI that is a failure.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
fn missing(program: &str) {
    use std::io::Write as _;
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "CI needs the program `{program}`");
    // Not `eprintln!`: the test harness swallows what that prints in a test that passes.
    let line = format!("skipped: the program `{program}` is missing\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
