//! Real Debian packages, through the machine's own apt configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{skip, tool};

/// Returns the `.deb` of a package, downloaded once and kept in `target/`. `None` where that cannot be had: the test must
/// return then; it is skipped loudly, and fails in CI.
pub(crate) fn debian_package(name: &str, version: &str) -> Option<PathBuf> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}_{version}.deb"));
    if kept.is_file() {
        return Some(kept);
    }
    let apt = tool("apt-get")?;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = Command::new(apt)
        .args(["download", "-q"])
        .arg(format!("{name}={version}"))
        .current_dir(&directory)
        .output()
        .unwrap();
    let got = fs::read_dir(&directory).unwrap().flatten().next();
    match got.filter(|_| output.status.success()) {
        Some(file) => {
            fs::rename(file.path(), &kept).unwrap();
            Some(kept)
        }
        None => {
            let text = String::from_utf8_lossy(&output.stderr);
            skip(&format!(
                "the package `{name}={version}` cannot be had: {text}"
            ));
            None
        }
    }
}
