//! Fifty downloads told as one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::progress::{Event, Progress, Stage};

/// Passes events on, those of single downloads as the one step of fetching a tool.
pub(super) struct Together<'a> {
    progress: &'a dyn Progress,
    /// Bytes of each package by now.
    have: Mutex<BTreeMap<String, u64>>,
}

impl<'a> Together<'a> {
    /// Begins the step; `size` is the bytes of all packages.
    pub(super) fn start(progress: &'a dyn Progress, what: &str, size: u64) -> Together<'a> {
        progress.event(Event::StageStarted {
            stage: Stage::Fetch,
            what: what.to_owned(),
            size: Some(size),
        });
        Together {
            progress,
            have: Mutex::new(BTreeMap::new()),
        }
    }

    fn advance(&self, name: String, bytes: u64) {
        // Every change under the lock is one insertion: a poisoned map is whole.
        let mut have = self
            .have
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        have.insert(name, bytes);
        let done = have.values().sum();
        drop(have);
        self.progress.event(Event::StageAdvanced {
            stage: Stage::Fetch,
            done,
        });
    }
}

impl Progress for Together<'_> {
    fn event(&self, event: Event) {
        match event {
            Event::DownloadStarted {
                name, url, have, ..
            } => {
                self.progress
                    .event(Event::Detail(format!("fetching {name} from {url}")));
                self.advance(name, have);
            }
            Event::DownloadAdvanced { name, have } => self.advance(name, have),
            Event::DownloadFinished { name, size } => self.advance(name, size),
            other => self.progress.event(other),
        }
    }
}

impl Drop for Together<'_> {
    fn drop(&mut self) {
        let stage = Stage::Fetch;
        self.progress.event(Event::StageFinished { stage });
    }
}
