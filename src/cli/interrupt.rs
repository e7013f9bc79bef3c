//! Ctrl-C and `kill`: the process ends at once, with the exit code that says so, and leaves a working cache.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::failure::Code;
use crate::store;

/// Watches for signals on a thread of its own, until the process ends.
pub(super) fn watch() {
    // Without a handler the system's own way to end the process is left, which is as safe for the cache.
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return;
    };
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            store::abandon_scratch();
            let code = if signal == SIGINT {
                Code::Interrupted as i32
            } else {
                128 + signal
            };
            std::process::exit(code);
        }
    });
}
