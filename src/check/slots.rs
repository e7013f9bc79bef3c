//! How many images are realized at once.

use std::sync::{Condvar, Mutex};

/// As many as there may be; whoever wants one more waits.
#[derive(Debug)]
pub struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Slot<'a>(&'a Slots);

impl Slots {
    /// Returns this many, but at least one.
    pub fn new(count: usize) -> Slots {
        Slots {
            free: Mutex::new(count.max(1)),
            freed: Condvar::new(),
        }
    }

    /// Waits for one. Nobody may take a second one: all could wait for each other.
    pub fn take(&self) -> Slot<'_> {
        let free = self
            .free
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(|poison| poison.into_inner());
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut free = self
            .0
            .free
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        *free += 1;
        self.0.freed.notify_one();
    }
}
