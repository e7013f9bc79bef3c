//! A moment after which nothing more is waited for, whatever comes in: for those who can do without an answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::Reason;

/// How long a server is dealt with, all its answers together. Clones are the same deadline.
#[derive(Debug, Clone)]
pub struct Deadline(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    start: Instant,
    allowed: Duration,
}

impl Deadline {
    /// Returns the deadline that comes after this time, from now on.
    pub fn after(allowed: Duration) -> Deadline {
        let start = Instant::now();
        Deadline(Arc::new(Mutex::new(State { start, allowed })))
    }

    /// Begins anew, with this time.
    pub fn restart(&self, allowed: Duration) {
        let start = Instant::now();
        *self.state() = State { start, allowed };
    }

    /// Fails once it is past.
    pub(super) fn check(&self) -> Result<(), Reason> {
        let state = self.state();
        match state.start.elapsed() <= state.allowed {
            true => Ok(()),
            false => Err(Reason::Slow {
                after: state.allowed,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
