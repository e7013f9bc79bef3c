//! The QEMU that a machine has: the first one on PATH that is new enough.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::OLDEST;
use crate::digest::Digest;
use crate::store::Store;

/// What `--version` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A version of QEMU, such as `7.2.22`.
    Version(String),
    /// The first line of something else.
    Other(String),
}

impl Said {
    fn of(output: &str) -> Said {
        let first = output.lines().next().unwrap_or_default().trim();
        let version = first
            .strip_prefix("QEMU emulator version ")
            .and_then(|rest| {
                let version = rest.split([' ', '(']).next()?;
                version
                    .starts_with(|c: char| c.is_ascii_digit())
                    .then_some(version)
            });
        match version {
            Some(version) => Said::Version(version.to_owned()),
            None => Said::Other(first.to_owned()),
        }
    }
}

/// Returns whether a version is one to be taken from PATH.
pub(super) fn is_new_enough(version: &str) -> bool {
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= OLDEST)
}

/// Returns the executable files of that name on PATH, in its order. Relative directories are passed over: what they lead to
/// hangs on where mkimg is called.
pub(super) fn on_path(program: &str, path: &OsStr) -> Vec<PathBuf> {
    let directories = path.as_bytes().split(|byte| *byte == b':');
    let files = directories.map(|directory| Path::new(OsStr::from_bytes(directory)).join(program));
    files
        .filter(|file| file.is_absolute())
        .filter(|file| {
            fs::metadata(file)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
        .collect()
}

/// Returns what `PROGRAM --version` says. That takes QEMU as long as a whole start, so it is remembered in the cache for this
/// file as it is now.
///
/// # Errors
/// The system's, where the program cannot be run.
pub(super) fn version(store: &Store, program: &Path) -> io::Result<Said> {
    let note = format!("qemu-{}", identity(program)?);
    if let Some(text) = store.note(&note)
        && let known @ Said::Version(_) = Said::of(&text)
    {
        return Ok(known);
    }
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(match output.stdout.is_empty() {
        true => &output.stderr,
        false => &output.stdout,
    });
    let said = Said::of(&text);
    if let Said::Version(_) = said {
        // A cache that cannot be written costs time alone.
        let _ = store.set_note(&note, &text);
    }
    Ok(said)
}

/// Returns what tells this file, as it is now, from every other.
fn identity(program: &Path) -> io::Result<Digest> {
    let found = fs::metadata(program)?;
    let mut text = program.as_os_str().as_bytes().to_vec();
    let numbers = [
        found.dev() as i128,
        found.ino() as i128,
        found.size() as i128,
        found.mtime() as i128,
        found.mtime_nsec() as i128,
        found.ctime() as i128,
        found.ctime_nsec() as i128,
    ];
    for number in numbers {
        text.extend_from_slice(format!("\0{number}").as_bytes());
    }
    Ok(Digest::of(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_out_of_the_first_line() {
        let version = |text: &str| Said::Version(text.to_owned());
        let cases = [
            (
                "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright",
                version("7.2.22"),
            ),
            ("QEMU emulator version 10.1.0\n", version("10.1.0")),
            ("QEMU emulator version 2.5.0(x)", version("2.5.0")),
            (
                "QEMU emulator version unknown",
                Said::Other("QEMU emulator version unknown".into()),
            ),
            (
                "GNU bash, version 5.2\n",
                Said::Other("GNU bash, version 5.2".into()),
            ),
            ("", Said::Other(String::new())),
        ];
        for (text, said) in cases {
            assert_eq!(Said::of(text), said, "{text}");
        }
    }

    #[test]
    fn version_5_is_new_enough_and_4_is_not() {
        let cases = [
            ("5.0.0", true),
            ("10.2", true),
            ("4.2.1", false),
            ("", false),
            ("x", false),
        ];
        for (version, enough) in cases {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }

    #[test]
    fn only_executable_files_in_absolute_directories_are_on_path() {
        let base = tempfile::tempdir().unwrap();
        let place = |name: &str, mode: u32| {
            let directory = base.path().join(name);
            fs::create_dir(&directory).unwrap();
            let file = directory.join("q");
            fs::write(&file, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        let (one, _, two) = (
            place("one", 0o755),
            place("dull", 0o644),
            place("two", 0o755),
        );
        fs::create_dir_all(base.path().join("dir/q")).unwrap();
        let base = base.path().display().to_string();
        let path = format!("{base}/none:{base}/dull:{base}/two::.:{base}/dir:{base}/one");
        assert_eq!(on_path("q", OsStr::new(&path)), [two, one]);
        assert_eq!(on_path("q", OsStr::new("")), Vec::<PathBuf>::new());
    }
}
