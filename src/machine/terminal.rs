//! The user's terminal: its size, raw mode, and the way back on every path.

use std::sync::{Mutex, Once, PoisonError};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// The terminal that is in raw mode now, and how it was before. Global because a panic must find it.
static BEFORE: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// Returns the window's size as (rows, columns), where `fd` is a terminal that knows it.
pub fn window(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let size = tcgetwinsize(fd).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Makes every panic put the terminal back before it is reported. Only the first call counts.
///
/// Needed because release builds abort on panic, where nothing is dropped.
pub fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            next(info);
        }));
    });
}

fn restore() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((fd, termios)) = before.take() {
        // Nothing can be done about a terminal that is gone. Without waiting for output: it may never be read.
        let _ = tcsetattr(fd, OptionalActions::Now, &termios);
    }
}

/// A terminal in raw mode; dropped, it is as it was before. Its descriptor's flags are never touched: `O_NONBLOCK` would reach
/// every other process that has this terminal open (pitfall 65).
#[derive(Debug)]
pub(super) struct Raw(());

impl Raw {
    /// Puts `fd` into raw mode where it is a terminal. With `filtered` the console's lines reach it through another program and have no
    /// carriage returns: the terminal goes on adding them.
    pub(super) fn enter(fd: BorrowedFd<'_>, filtered: bool) -> rustix::io::Result<Option<Raw>> {
        if !isatty(fd) {
            return Ok(None);
        }
        restore_on_panic();
        let before = tcgetattr(fd)?;
        let mut raw = before.clone();
        raw.make_raw();
        if filtered {
            raw.output_modes = before.output_modes;
        }
        let copy = fd
            .as_fd()
            .try_clone_to_owned()
            .map_err(|_| rustix::io::Errno::MFILE)?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((copy, before));
        // From here on the value's drop puts it back, also when the next call fails half-way.
        let guard = Raw(());
        tcsetattr(fd, OptionalActions::Now, &raw)?;
        Ok(Some(guard))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

#[cfg(test)]
mod tests {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, OutputModes};

    use super::*;

    #[test]
    fn keys_come_raw_and_only_a_console_of_its_own_goes_out_raw() {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let terminal = options.read(true).write(true);
        let terminal = terminal.open(name.to_str().unwrap()).unwrap();
        let state = || tcgetattr(&terminal).unwrap();
        let before = state();
        for filtered in [true, false] {
            let raw = Raw::enter(terminal.as_fd(), filtered).unwrap();
            assert!(!state().local_modes.contains(LocalModes::ICANON));
            let adds_returns = state().output_modes.contains(OutputModes::OPOST);
            assert_eq!(adds_returns, filtered);
            drop(raw);
            assert_eq!(format!("{:?}", state()), format!("{before:?}"));
        }
    }
}
