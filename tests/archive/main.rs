//! Members of archives: what is read, what is refused, what is kept. Archives come from GNU tar, bsdtar, dpkg-deb, cpio, zip, rpmbuild and the compressors;
//! the hostile ones are written block by block.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

mod bed;
mod debs;
mod formats;
mod kept;
mod mutations;
mod odd;
mod others;
#[path = "../support/package.rs"]
mod package;
mod packages;
mod refused;
mod sparse;
#[path = "../support/mod.rs"]
mod support;
mod wants;
