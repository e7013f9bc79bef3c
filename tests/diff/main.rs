//! `mkimg diff`: every cause is found, nothing is missed, one screen is enough, and what is damaged is said.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

mod causes;
#[path = "../support/cli.rs"]
mod cli;
mod gnu_cpio;
mod hostile;
mod many;
mod newc;
mod oracles;
mod screen;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;
