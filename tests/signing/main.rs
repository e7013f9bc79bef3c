//! Signatures: `ssh-keygen` as the oracle, then the program as a user runs it, and everything that somebody may try.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

mod attacks;
mod bed;
#[path = "../support/cli.rs"]
mod cli;
#[path = "../registry/debian.rs"]
#[allow(dead_code)]
mod debian;
mod forged;
mod keys;
mod rebuilt;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;
mod verbs;
