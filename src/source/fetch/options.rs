//! What a fetch may do and how patient it is. All of it is given by the caller: nothing here reads the environment.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::deadline::Deadline;
use super::error::Reason;
use super::redirect::redacted;
use crate::source::local::Reach;
use crate::source::oci::Remote;

/// The archive of everything that Debian ever published (`snapshot.debian.org`); `ARCHIVE/TIMESTAMP/PATH` follows.
pub const SNAPSHOT_ROOT: &str = "https://snapshot.debian.org/archive/";

/// The most bytes of a source whose size is not declared, where nobody says another number.
pub const MAX_DOWNLOAD: u64 = 4 << 30;

/// How sources are fetched.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Opens no socket: what is neither in the cache nor in a file of this machine fails.
    pub offline: bool,
    /// The most bytes of a source that declares no size. Whoever sends more is not read to the end.
    pub max_download: u64,
    /// The registries that container images come from; `None` is no registry.
    pub remote: Option<Arc<dyn Remote>>,
    /// Which files of this machine may be taken to be pinned; `None` is all.
    pub reach: Option<Reach>,
    /// The time in seconds since 1970, where it is known: what changed just now may change again unseen.
    pub now: Option<i64>,
    /// Downloads at once; 0 counts as 1.
    pub jobs: usize,
    /// Directories with files to take instead of a location's, tried first.
    pub mirrors: Vec<Mirror>,
    /// Roots of Debian archives that the user named, in order: http, https and file URLs, or paths. Asked before all others.
    pub debian_mirrors: Vec<String>,
    /// Roots of Debian archives that the machine's apt uses, as [`crate::source::apt::roots_of_machine`] gives them.
    /// Asked next, those first that look like the archive of the location.
    pub apt_roots: Vec<String>,
    /// Where the snapshot archive is: [`SNAPSHOT_ROOT`] but in tests.
    pub snapshot_root: String,
    /// The proxies to go through.
    pub proxies: Proxies,
    /// Whether a redirect may lead to plain http on another machine. The bytes are compared with their digest anyway.
    pub plain_http: bool,
    /// How often one location is asked when its failures look passing. Counted from new when an answer brought the file a
    /// whole MiB further than it ever was.
    pub tries: u32,
    /// The pause before the second try; it doubles for each further one.
    pub pause: Duration,
    /// The longest pause that a server's `Retry-After` can ask for.
    pub longest_pause: Duration,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a connection may be silent. No limit on the whole: a slow download is a download.
    pub idle_timeout: Duration,
    /// When to stop waiting for anything, whatever comes in: for what can be done without.
    pub deadline: Option<Deadline>,
    /// The `User-Agent` that servers see.
    pub user_agent: String,
}

impl Default for FetchOptions {
    fn default() -> FetchOptions {
        FetchOptions {
            remote: None,
            offline: false,
            max_download: MAX_DOWNLOAD,
            reach: None,
            now: None,
            jobs: 4,
            mirrors: Vec::new(),
            debian_mirrors: Vec::new(),
            apt_roots: Vec::new(),
            snapshot_root: SNAPSHOT_ROOT.to_owned(),
            proxies: Proxies::default(),
            plain_http: true,
            tries: 4,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            deadline: None,
            user_agent: concat!("mkimg/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl FetchOptions {
    /// Returns how long to wait after so many failures in a row, the last for this reason.
    pub(crate) fn pause_after(&self, failures: u32, reason: &Reason) -> Duration {
        let ours = self
            .pause
            .saturating_mul(1 << failures.saturating_sub(1).min(16));
        let theirs = match reason {
            Reason::Status {
                retry_after: Some(pause),
                ..
            } => *pause,
            _ => Duration::ZERO,
        };
        ours.max(theirs).min(self.longest_pause)
    }
}

/// The values of the proxy variables, as the user gave them: a URL, or `HOST:PORT` for an http proxy. Empty counts as unset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For http URLs (`http_proxy`).
    pub http: Option<String>,
    /// For https URLs (`https_proxy`).
    pub https: Option<String>,
    /// For both, where the one above says nothing (`all_proxy`).
    pub all: Option<String>,
    /// Hosts that are asked directly (`no_proxy`): names with everything below them, addresses, networks, or `*`.
    pub no: Option<String>,
}

/// A directory of this machine with files to take instead of a location's.
///
/// In it a file goes by its sha256, by the last part of the location's path, or by the location's whole path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror(pub PathBuf);

/// A text that names no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mirror: expected a directory or a `file://` URL")]
pub struct NotAMirror(pub String);

impl std::str::FromStr for Mirror {
    type Err = NotAMirror;

    fn from_str(text: &str) -> Result<Mirror, NotAMirror> {
        let no = || NotAMirror(redacted(text));
        if text.starts_with("file:") {
            let url = Url::parse(text).map_err(|_| no())?;
            return url.to_file_path().map(Mirror).map_err(|()| no());
        }
        if text.is_empty() || text.contains("://") {
            return Err(no());
        }
        Ok(Mirror(PathBuf::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_directory_or_a_file_url() {
        let ok = |path: &str| Ok(Mirror(PathBuf::from(path)));
        let no = |text: &str| Err(NotAMirror(text.to_owned()));
        let cases = [
            ("/srv/m", ok("/srv/m")),
            ("m/n", ok("m/n")),
            ("file:///srv/a%20b", ok("/srv/a b")),
            ("file:/srv", ok("/srv")),
            ("file://elsewhere.test/srv", no("file://elsewhere.test/srv")),
            ("http://m.test/", no("http://m.test/")),
            ("", no("")),
        ];
        for (text, mirror) in cases {
            assert_eq!(text.parse(), mirror, "{text}");
        }
    }
}
