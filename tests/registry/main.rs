//! A registry: one of the test's own that misbehaves in every way it can, and Debian's `docker-registry`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

mod answers;
mod bed;
mod blobs;
#[path = "../support/cli.rs"]
mod cli;
mod containers;
mod debian;
#[path = "../support/disturbed.rs"]
mod disturbed;
mod documents;
mod images;
mod known;
mod patience;
mod referrers;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
mod tampering;
#[path = "../support/tiny.rs"]
mod tiny;
mod uploads;
mod verbs;
