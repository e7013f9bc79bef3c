//! Bundles: written the same everywhere, read back without a network, and refused where anything about them is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

mod broken;
#[path = "../support/cli.rs"]
mod cli;
#[path = "../support/disturbed.rs"]
mod disturbed;
mod flipped;
mod imported;
mod lies;
mod mutated;
mod offline;
mod parts;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;
mod written;
