//! Ctrl-C and `kill`: the process ends at once, with the exit code that says so, and leaves a working cache.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use signal_hook::consts::signal::SIGXFSZ;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::session::Begun;

/// Whether the next signal is noted, and does not end the process.
static NOTING: AtomicBool = AtomicBool::new(false);

/// Whether a signal was noted, and which.
static NOTED: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Set when somebody else takes care of signals.
static HANDED_OVER: AtomicBool = AtomicBool::new(false);

/// A signal came: the process is about to end, whatever its other threads make of that.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Watches for signals on a thread of its own, until the process ends; says so when one comes, unless all is to be `quiet`.
pub(super) fn watch(quiet: bool, begun: Begun) {
    // Without a thread, or a handler, the system's own way to end the process is left, which is as safe for the cache. The
    // thread sets up the handler: one that nobody listens to would be worse than none.
    let (ready, waiting) = mpsc::channel::<()>();
    let _ = thread::Builder::new().spawn(move || {
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
        drop(ready);
        let Ok(mut signals) = signals else {
            return;
        };
        for signal in signals.forever() {
            if HANDED_OVER.load(Ordering::SeqCst) {
                continue;
            }
            // The second one ends it all the same.
            if NOTING.load(Ordering::SeqCst) && !NOTED.load(Ordering::SeqCst) {
                SIGNAL.store(signal, Ordering::SeqCst);
                NOTED.store(true, Ordering::SeqCst);
                continue;
            }
            ENDING.store(true, Ordering::SeqCst);
            begun.abandon();
            if !quiet {
                // Below whatever bar is drawn; what cannot be said is not needed.
                let _ = std::io::stderr().write_all(b"\ninterrupted\n");
            }
            std::process::exit(128 + signal);
        }
    });
    // Nothing is begun before the handler is there. Where there is no thread, the channel is closed as well.
    let _ = waiting.recv();
}

/// Has a write beyond `ulimit -f` fail, so that an error can say so: the system would end the process without a word.
pub(super) fn outlive_size_limit() {
    // A handler, and not `SIG_IGN`: programs that are started here get the system's own way again.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// Leaves the signals to a running machine, which ends in order: the terminal, then the process.
pub(super) fn hand_over() {
    HANDED_OVER.store(true, Ordering::SeqCst);
}

/// For as long as it lives, a signal is noted and does not end the process: there is a report to write.
pub(super) struct Noting(());

impl Noting {
    pub(super) fn begin() -> Noting {
        NOTING.store(true, Ordering::SeqCst);
        Noting(())
    }

    /// Returns what is set once a signal came.
    pub(super) const fn noted(&self) -> &'static AtomicBool {
        &NOTED
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        NOTING.store(false, Ordering::SeqCst);
    }
}

/// Returns the signal that was noted.
pub(super) fn signal() -> Option<i32> {
    let noted = NOTED.load(Ordering::SeqCst);
    noted.then(|| SIGNAL.load(Ordering::SeqCst))
}

/// Waits for the end where a signal brings it: work that fails since its files are being removed has nothing to say, and
/// not the exit code that counts.
pub(super) fn wait_if_ending() {
    while ENDING.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_secs(1));
    }
}
