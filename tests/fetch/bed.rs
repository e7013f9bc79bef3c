//! A cache in a temporary directory, a fetcher with short pauses, and a recorder of its events.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use mkimg::digest::Digest;
use mkimg::progress::{Event, Progress};
use mkimg::recipe::Place;
use mkimg::source::fetch::{FetchError, FetchOptions, Fetcher, Wanted};
use mkimg::store::{Blob, Store};

#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Progress for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub fn retries(&self) -> usize {
        let retried = |event: &&Event| matches!(event, Event::DownloadRetried { .. });
        self.events().iter().filter(retried).count()
    }
}

pub struct Bed {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub seen: Recorder,
    pub options: FetchOptions,
}

impl Bed {
    pub fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cache")).unwrap();
        Bed {
            dir,
            store,
            seen: Recorder::default(),
            options: FetchOptions {
                pause: Duration::from_millis(1),
                longest_pause: Duration::from_millis(5),
                idle_timeout: Duration::from_millis(500),
                ..FetchOptions::default()
            },
        }
    }

    pub fn fetcher(&self) -> Fetcher<'_> {
        Fetcher::new(&self.store, &self.seen, self.options.clone())
    }

    pub fn wanted(&self, digest: Digest, size: Option<u64>, places: &[Place]) -> Wanted {
        Wanted {
            name: "thing".to_owned(),
            digest,
            size,
            places: places.to_vec(),
            base: self.dir.path().to_path_buf(),
        }
    }

    pub fn fetch(
        &self,
        digest: Digest,
        size: Option<u64>,
        places: &[Place],
    ) -> Result<Blob, FetchError> {
        let wanted = self.wanted(digest, size, places);
        let mut blobs = self.fetcher().fetch_all(&[wanted])?;
        assert_eq!(blobs.len(), 1);
        Ok(blobs.remove(0))
    }

    /// Fetches `file` from URLs, and compares what the cache has then.
    pub fn fetch_whole(&self, file: &[u8], urls: &[String]) {
        let digest = Digest::of(file);
        let blob = self
            .fetch(digest, Some(file.len() as u64), &places(urls))
            .unwrap();
        assert_eq!((blob.digest, blob.size), (digest, file.len() as u64));
        assert!(fs::read(&blob.path).unwrap() == file, "other bytes");
        assert_eq!(self.litter(), Vec::<PathBuf>::new());
    }

    /// Puts bytes where an interrupted download would have left them.
    pub fn leave_partial(&self, digest: Digest, bytes: &[u8]) {
        let directory = self.store.root().join("partial");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{digest}.part")), bytes).unwrap();
    }

    /// The files below `partial` and `tmp` that no running download needs.
    pub fn litter(&self) -> Vec<PathBuf> {
        let mut found = files_below(&self.store.root().join("partial"));
        found.extend(files_below(&self.store.root().join("tmp")));
        found.retain(|path| path.extension().is_none_or(|extension| extension != "lock"));
        found
    }

    /// Every file that is a blob.
    pub fn blobs(&self) -> Vec<PathBuf> {
        files_below(&self.store.root().join("blobs-v1"))
    }
}

pub fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

pub fn places(urls: &[String]) -> Vec<Place> {
    urls.iter().cloned().map(Place::Url).collect()
}

/// Says that a test proved nothing here, past the test harness, which would swallow it; in CI that is a failure.
#[allow(
    clippy::disallowed_methods,
    reason = "the harness is told by the environment"
)]
pub fn skipped(why: &str) {
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "CI runs every test, but: {why}");
    let line = format!("skipped: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Says that an outside program is missing, which is a failure in CI.
#[allow(
    clippy::disallowed_methods,
    reason = "the harness is told by the environment"
)]
pub fn missing(program: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{program} is not installed"
    );
    skipped(&format!("{program} is not installed"));
}

/// What the parent of a test that runs alone put into a variable; `None` where it was started by somebody else.
#[allow(
    clippy::disallowed_methods,
    reason = "the harness is told by the environment"
)]
pub fn told_to(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// One ignored test in a process of its own, where the environment can be another.
pub fn run_alone(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--include-ignored"]);
    command
}

/// A port that nobody listens on, or did not a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Bytes that are no text and repeat nowhere.
pub fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}
