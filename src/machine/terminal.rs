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
    /// Puts `fd` into raw mode where it is a terminal.
    pub(super) fn enter(fd: BorrowedFd<'_>) -> rustix::io::Result<Option<Raw>> {
        if !isatty(fd) {
            return Ok(None);
        }
        restore_on_panic();
        let before = tcgetattr(fd)?;
        let mut raw = before.clone();
        raw.make_raw();
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
