//! What this process sees of its environment and clock, for `mkimg check` to compare.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::check::Seen;

/// Returns what this process sees of its environment.
#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where environment and clock are read"
)]
pub(super) fn seen() -> Seen {
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| "unset".to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let directory = env::current_dir();
    let directory =
        directory.map_or_else(|error| error.to_string(), |path| path.display().to_string());
    let epoch = format!("SOURCE_DATE_EPOCH={}", variable("SOURCE_DATE_EPOCH"));
    let all = [
        ("time zone", variable("TZ")),
        ("locale", variable("LC_ALL")),
        ("home", variable("HOME")),
        ("temporary directory", env::temp_dir().display().to_string()),
        ("working directory", directory),
        ("clock", now.map_or(0, |now| now.as_secs()).to_string()),
        ("environment", epoch),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}
