//! Bad input and bad luck through the program itself: the exit code, a message that says what, where and what to do, nothing
//! half-written, and a next run that works.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    unreachable_pub
)]

mod archives;
mod directories;
mod disk;
mod downloads;
mod guests;
mod limits;
mod locals;
mod machines;
mod pins;
mod preflight;
mod recipes;
mod signals;
mod strangers;
mod streams;

#[path = "../support/cli.rs"]
mod cli;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;

/// Asserts that a message has every one of these pieces, whatever lines it is broken into.
fn says(message: &str, pieces: &[&str]) {
    let flat = flat(message);
    for piece in pieces {
        assert!(flat.contains(piece), "`{piece}` is not in:\n{message}");
    }
}

/// Returns a message without the frame that diagnostics are drawn in and with single blanks.
fn flat(message: &str) -> String {
    let text = message.replace(['│', '╰', '─', '╭', '├', '▶', '┬', '╯', '·'], " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
