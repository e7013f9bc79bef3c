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
        if let Some(found) = error.downcast_ref::<io::Error>().and_then(limit_help) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
