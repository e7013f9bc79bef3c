//! Downloads against a server on the loopback interface that misbehaves in every way it can.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

mod bad;
mod bed;
mod debian;
mod files;
mod limits;
mod proxy;
mod resume;
#[path = "../support/server.rs"]
mod server;
mod shared;
mod tls;
