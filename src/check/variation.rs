//! What a round changes.

use std::collections::BTreeMap;

/// What a process sees of its world, by the names of [`VARIATIONS`].
pub type Seen = BTreeMap<String, String>;

/// The variations, in the order in which they are shown.
pub const VARIATIONS: [&str; 17] = [
    "time zone",
    "locale",
    "umask",
    "home",
    "temporary directory",
    "working directory",
    "cache path",
    "user",
    "host name",
    "clock",
    "threads",
    "cpu affinity",
    "creation order",
    "file system",
    "environment",
    "standard input",
    "soft limits",
];
