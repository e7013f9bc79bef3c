//! mkimg: a KDL recipe in, a kernel and an initramfs out, the same bytes on every machine.
//!
//! ```text
//! recipe --parse--> Recipe --lower--> Plan --fetch--> blobs --assemble--> Tree --pack--> bytes --> Image
//! ```
//!
//! Each module is one step of it, or what steps share; `docs/design.md` says what each may know, and `tests/layers.rs` holds
//! them to it. [`session`] is where a program that embeds mkimg begins. The library reports events ([`progress`]) and never prints;
//! only `cli` reads the environment, the clock and the terminal.

pub mod arch;
pub mod assemble;
pub mod check;
mod cli;
pub mod diff;
pub mod digest;
pub mod dir;
pub mod fault;
pub mod lock;
pub mod machine;
pub mod pack;
pub mod place;
pub mod plan;
pub mod progress;
pub mod realize;
pub mod recipe;
pub mod session;
pub mod share;
pub mod source;
pub mod store;
pub mod text;
pub mod tools;
pub mod tree;
pub mod ui;
pub mod units;

#[doc(hidden)]
pub use cli::main;

/// What `fuzz/` runs.
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../fuzz/fuzz_targets/mod.rs"]
pub mod fuzzing;
