//! What the library tells of its work while it works. It never draws: the binary's `ui` does.

use std::fmt;
use std::time::Duration;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes of a source begin to arrive.
    DownloadStarted {
        /// The source's name in the recipe; it names this download in the events that follow.
        name: String,
        /// Where the bytes come from.
        url: String,
        /// The whole size in bytes, where it is known.
        size: Option<u64>,
        /// Bytes that an earlier, interrupted download left.
        have: u64,
    },
    /// More bytes of a source arrived; the count is of the bytes that the file has by now.
    DownloadAdvanced {
        /// The source's name.
        name: String,
        /// Bytes in the file by now.
        have: u64,
    },
    /// A source is in the cache, verified.
    DownloadFinished {
        /// The source's name.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A source that nobody knew the digest of is in the cache: compared with nothing.
    DownloadFirstSeen {
        /// The source's name.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// Where it came from.
        from: String,
    },
    /// A location failed and is tried again after a pause.
    DownloadRetried {
        /// The source's name.
        name: String,
        /// The location.
        url: String,
        /// Why.
        reason: String,
        /// How long the pause is.
        pause: Duration,
    },
    /// A location was given up; the next one, where there is one, is tried.
    DownloadGivenUp {
        /// The source's name.
        name: String,
        /// The location.
        url: String,
        /// Why.
        reason: String,
    },
    /// A step of the pipeline begins.
    StageStarted {
        /// Which one.
        stage: Stage,
        /// What it works on, for people.
        what: String,
        /// How many bytes it will take in, where that is known.
        size: Option<u64>,
    },
    /// A step of the pipeline took in more bytes; the count is of all bytes by now.
    StageAdvanced {
        /// Which one.
        stage: Stage,
        /// Bytes by now.
        done: u64,
    },
    /// A step of the pipeline ended.
    StageFinished {
        /// Which one.
        stage: Stage,
    },
    /// A test of an image begins.
    TestStarted {
        /// Its name.
        name: String,
    },
    /// What a test waits for.
    TestWaits {
        /// Its name.
        name: String,
        /// The step.
        step: String,
        /// The guest's last line.
        line: String,
    },
    /// A test is over.
    TestEnded {
        /// Its name.
        name: String,
    },
    /// Something that a person may want to know and need not act on.
    Note(String),
    /// Something that a person should know.
    Warning(String),
    /// How a decision came about, for `-v`.
    Detail(String),
}

/// A step of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Fetching the packages of a tool.
    Fetch,
    /// Reading members out of archives.
    Read,
    /// Packing the tree and compressing it.
    Pack,
    /// Hashing what the cache holds.
    Verify,
    /// Sending to a registry.
    Send,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Fetch => "fetching",
            Stage::Read => "reading",
            Stage::Pack => "packing",
            Stage::Verify => "verifying",
            Stage::Send => "sending",
        })
    }
}

/// Takes events, from any thread.
pub trait Progress: Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Takes every event and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event) {}
}
