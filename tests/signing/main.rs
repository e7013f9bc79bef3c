//! Signatures: `ssh-keygen` as the oracle, then the program as a user runs it, and everything that somebody may try.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

mod keys;
#[path = "../support/mod.rs"]
mod support;
