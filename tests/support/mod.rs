//! What the tests share.

use std::path::PathBuf;

/// Returns where an outside program is. Where it is missing the test must return: it is skipped loudly, and fails in CI.
#[allow(clippy::disallowed_methods, clippy::print_stderr, dead_code)]
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "CI needs the program `{name}`");
        eprintln!("skipped: the program `{name}` is missing");
    }
    found
}
