//! Limits of this process, which look like faults of the file that they happen at.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// Returns what to do where a limit of the process or of the machine is behind an error, and not the file that it names.
pub fn limit_help(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::FBIG => {
            "a file may not grow that large: raise the limit (`ulimit -f unlimited`), or take a file system that holds larger files"
        }
        Errno::MFILE => "too few files may be open at once: raise the limit (`ulimit -n 1024`)",
        Errno::NFILE => {
            "the whole machine has too many files open: end other programs, or raise `fs.file-max`"
        }
        _ => return None,
    })
}

/// Returns the same for an error with whatever is behind it.
pub fn limit_help_behind(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if let Some(found) = io.and_then(limit_help) {
            return Some(found);
        }
        // The source of an `io::Error` skips the error that it wraps.
        next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_found_behind_other_errors_and_nothing_else_is_one() {
        let os = |error: Errno| io::Error::from(error);
        for (error, word) in [
            (Errno::FBIG, "ulimit -f"),
            (Errno::MFILE, "ulimit -n"),
            (Errno::NFILE, "fs.file-max"),
        ] {
            let wrapped = io::Error::other(io::Error::other(os(error)));
            assert!(limit_help_behind(&wrapped).is_some_and(|help| help.contains(word)));
        }
        assert_eq!(limit_help_behind(&io::Error::other(os(Errno::NOENT))), None);
        assert_eq!(limit_help_behind(&io::Error::other("text")), None);
    }
}
