//! Images that others made: taken where a trusted key signed them, and never in the way of making them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

#[allow(dead_code)]
#[path = "../registry/bed.rs"]
mod bed;
#[path = "../support/cli.rs"]
mod cli;
mod configuration;
#[allow(dead_code)]
#[path = "../registry/debian.rs"]
mod debian;
mod liars;
#[allow(dead_code)]
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
mod taken;
mod team;
#[path = "../support/tiny.rs"]
mod tiny;
mod troubles;
