//! What the tests share.
#![allow(dead_code, clippy::disallowed_methods)]

use std::io::Write as _;
use std::path::PathBuf;

/// Returns where an outside program is. Where it is missing the test must return: it is skipped loudly, and fails in CI.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("the program `{name}` is missing"));
    }
    found
}

/// Says loudly that a test is not run, and why; in CI that is a failure.
pub(crate) fn skip(why: &str) {
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "CI runs every test, but: {why}");
    // Not `eprintln!`: the test harness swallows what that prints in a test that passes.
    let _ = std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes());
}

/// Says whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
