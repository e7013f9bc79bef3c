//! Sources to verified blobs.
//!
//! For each source the cache is asked first, then every location in the order of `place.rs`, until one gives bytes with the declared
//! sha256. Bytes go into `partial/SHA256.part` of the cache and stay there when the connection or this process ends, so
//! that the next one goes on where it stopped; whatever was mixed up on the way, the hash finds it. Since the partial file
//! is locked, any number of processes download a blob once.
//!
//! Nothing in a fetch can reach the bytes of an image but the digest that the recipe declares.

mod compare;
mod deadline;
mod download;
mod error;
mod http;
mod options;
mod place;
pub(crate) mod redirect;
mod sink;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub(crate) use http::{Answer, Authorization, Http, Request};

pub use deadline::Deadline;
pub use error::{Attempt, Failure, FetchError, Kind, Mismatch, Reason};
pub use options::{FetchOptions, MAX_DOWNLOAD, Mirror, NotAMirror, Proxies, SNAPSHOT_ROOT};
pub use redirect::{REDIRECTS, RedirectError};

use crate::digest::Digest;
use crate::place::Place;
use crate::progress::{Event, Progress};
use crate::store::{Blob, Store, StoreError, limit_help_behind};
pub(crate) use download::first_line;
use download::{Download, Halt};
use place::{Location, locations};
use sink::Unpinned;

/// A source to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in the recipe: it names the source in events and errors.
    pub name: String,
    /// Its sha256.
    pub digest: Digest,
    /// The size in bytes that it may not exceed, where one is declared.
    pub size: Option<u64>,
    /// Where it can be had.
    pub places: Vec<Place>,
    /// The recipe's directory, where the path of a `local` place starts.
    pub base: PathBuf,
}

/// What a place has whose sha256 nobody knew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSeen {
    /// The bytes.
    pub blob: Blob,
    /// Where they came from, for people.
    pub from: String,
}

/// Fetches sources into a cache. It costs nothing until something is missing there.
pub struct Fetcher<'a> {
    store: &'a Store,
    progress: &'a dyn Progress,
    options: FetchOptions,
    http: Arc<Http>,
    /// Who asks, for the one server that may know.
    authorization: Option<Authorization>,
    /// Servers that could not be reached.
    down: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Fetcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("store", &self.store)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<'a> Fetcher<'a> {
    /// Returns a fetcher into `store` that reports to `progress`.
    pub fn new(store: &'a Store, progress: &'a dyn Progress, options: FetchOptions) -> Fetcher<'a> {
        Fetcher {
            store,
            progress,
            options,
            http: Arc::default(),
            authorization: None,
            down: Mutex::default(),
        }
    }

    /// Returns the fetcher with connections that others use too, and with what one server knows it by.
    pub(crate) fn with(self, http: Arc<Http>, authorization: Option<Authorization>) -> Fetcher<'a> {
        Fetcher {
            http,
            authorization,
            ..self
        }
    }

    /// Returns the blobs of all sources, in their order; what the cache has is taken at once, the rest is downloaded, several
    /// at a time.
    ///
    /// # Errors
    /// [`FetchError`] about every source that failed. Those that did not are in the cache then.
    pub fn fetch_all(&self, wanted: &[Wanted]) -> Result<Vec<Blob>, FetchError> {
        let mut results: Vec<Option<Result<Blob, FetchError>>> =
            wanted.iter().map(|wanted| self.cached(wanted)).collect();
        let missing: Vec<(usize, &Wanted)> = wanted
            .iter()
            .enumerate()
            .filter(|(index, _)| matches!(results.get(*index), Some(None)))
            .collect();
        for (index, result) in self.download_all(&missing) {
            if let Some(slot) = results.get_mut(index) {
                *slot = Some(result);
            }
        }
        let mut blobs = Vec::new();
        let mut errors = Vec::new();
        for result in results.into_iter().flatten() {
            match result {
                Ok(blob) => blobs.push(blob),
                Err(error) => errors.push(error),
            }
        }
        all_or(errors).map(|()| blobs)
    }

    fn download_all(&self, missing: &[(usize, &Wanted)]) -> Vec<(usize, Result<Blob, FetchError>)> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        let work = || {
            while let Some((index, wanted)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = self.download(wanted);
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                results.push((*index, result));
            }
        };
        thread::scope(|scope| {
            // This thread works too; a thread that cannot be had costs speed alone.
            for _ in 1..self.options.jobs.min(missing.len()) {
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        results.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the blob where the cache has it. What cannot be right by its size is read, and removed where it is damaged.
    fn cached(&self, wanted: &Wanted) -> Option<Result<Blob, FetchError>> {
        let blob = self.store.blob(&wanted.digest)?;
        let over = wanted.size.filter(|bound| blob.size > *bound);
        if blob.size > 0 && over.is_none() {
            return Some(Ok(blob));
        }
        let failed = |error| Some(Err(kept_not(&wanted.name, wanted.size, error)));
        match (blob.verify(), over) {
            (Ok(()), None) => Some(Ok(blob)),
            // The recipe is wrong, and says the same on a machine with an empty cache.
            (Ok(()), Some(bound)) => Some(Err(failure(
                &wanted.name,
                Some(wanted.digest),
                wanted.size,
                vec![Attempt {
                    location: blob.path.display().to_string(),
                    reason: Reason::TooLong {
                        bound,
                        declared: Some(blob.size),
                    },
                }],
            ))),
            (Err(error @ StoreError::Damaged { .. }), _) => {
                self.progress
                    .event(Event::Warning(format!("{error}: fetching it again")));
                match self.store.remove_blob(&wanted.digest) {
                    Ok(()) => None,
                    Err(error) => failed(error),
                }
            }
            (Err(error), _) => failed(error),
        }
    }

    fn download(&self, wanted: &Wanted) -> Result<Blob, FetchError> {
        let kept_not = |error| kept_not(&wanted.name, wanted.size, error);
        let mut waiting = || {
            self.progress.event(Event::Note(format!(
                "waiting for another download of `{}`",
                wanted.name
            )));
        };
        let partial = self
            .store
            .partial(&wanted.digest, &mut waiting)
            .map_err(kept_not)?;
        let Some(mut partial) = partial else {
            // Somebody else was faster.
            return self.cached(wanted).unwrap_or_else(|| self.download(wanted));
        };
        let places = locations(
            &wanted.places,
            Some(&wanted.digest),
            &wanted.base,
            &self.options,
        );
        let download = Download {
            fetcher: self,
            name: &wanted.name,
            expected: Some(wanted.digest),
            bound: wanted.size,
            sink: &mut partial,
            head: Vec::new(),
            told: 0,
        };
        match self.fill_from_any(download, &places) {
            Ok(_) => {}
            Err(Failed::Everywhere(attempts)) => {
                if partial.size() == 0 {
                    partial.discard().map_err(kept_not)?;
                }
                return Err(failure(
                    &wanted.name,
                    Some(wanted.digest),
                    wanted.size,
                    attempts,
                ));
            }
            Err(Failed::Store(error)) => {
                // A full disk must not stay full because of us (pitfall 56).
                if matches!(error, StoreError::NoSpace { .. })
                    || limit_help_behind(&error).is_some()
                {
                    let _ = partial.discard();
                }
                return Err(kept_not(error));
            }
        }
        match partial.commit().map_err(kept_not)? {
            Ok(blob) => {
                self.finished(&wanted.name, blob.size);
                Ok(blob)
            }
            // Not reached: the download compared the same digest.
            Err(partial) => {
                partial.discard().map_err(kept_not)?;
                Err(failure(
                    &wanted.name,
                    Some(wanted.digest),
                    wanted.size,
                    Vec::new(),
                ))
            }
        }
    }

    /// Returns the blob of a place whose sha256 nobody knows yet, for pinning. `size` bounds it in bytes.
    ///
    /// It is always fetched anew, and whole: without a digest nothing could tell whether two halves belong together.
    ///
    /// # Errors
    /// [`FetchError`] as for [`Fetcher::fetch_all`].
    pub fn fetch_unpinned(
        &self,
        name: &str,
        place: &Place,
        base: &Path,
        size: Option<u64>,
    ) -> Result<FirstSeen, FetchError> {
        let kept_not = |error| kept_not(name, size, error);
        let places = locations(std::slice::from_ref(place), None, base, &self.options);
        let mut sink = Unpinned::new(self.store).map_err(kept_not)?;
        let download = Download {
            fetcher: self,
            name,
            expected: None,
            bound: size,
            sink: &mut sink,
            head: Vec::new(),
            told: 0,
        };
        let (head, from) = match self.fill_from_any(download, &places) {
            Ok(came) => came,
            Err(Failed::Everywhere(attempts)) => return Err(failure(name, None, size, attempts)),
            Err(Failed::Store(error)) => return Err(kept_not(error)),
        };
        // pitfall 43: nothing but a person can tell whether this page is what they wanted to pin.
        if let Some(line) = first_line(&head).filter(|line| line.starts_with('<')) {
            self.progress.event(Event::Warning(format!(
                "what came for `{name}` looks like a web page: it begins with `{line}`"
            )));
        }
        let blob = sink.commit().map_err(kept_not)?;
        self.progress.event(Event::DownloadFirstSeen {
            name: name.to_owned(),
            size: blob.size,
            from: from.clone(),
        });
        Ok(FirstSeen { blob, from })
    }

    /// Fills the download's sink from the first location that can; returns the first bytes of what came, where they were seen,
    /// and the location's name.
    fn fill_from_any(
        &self,
        mut download: Download<'_, '_>,
        places: &[Location],
    ) -> Result<(Vec<u8>, String), Failed> {
        let mut attempts = Vec::new();
        for location in places {
            let reason = match download.fill(location) {
                Ok(()) => return Ok((download.head, location.shown.clone())),
                Err(Halt::Store(error)) => return Err(Failed::Store(error)),
                Err(Halt::Location(reason)) => reason,
            };
            // A mirror without the file is an offer that came to nothing, not a failure to tell of.
            if !matches!(reason, Reason::NotInMirror) {
                self.progress.event(Event::DownloadGivenUp {
                    name: download.name.to_owned(),
                    url: location.shown.clone(),
                    reason: reason.to_string(),
                });
            }
            attempts.push(Attempt {
                location: location.shown.clone(),
                reason,
            });
        }
        Err(Failed::Everywhere(attempts))
    }

    fn finished(&self, name: &str, size: u64) {
        self.progress.event(Event::DownloadFinished {
            name: name.to_owned(),
            size,
        });
    }

    fn is_down(&self, origin: &str) -> bool {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.contains(origin)
    }

    fn mark_down(&self, origin: String) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.insert(origin);
    }
}

/// Returns the error that several are together, where there are any.
fn all_or(mut errors: Vec<FetchError>) -> Result<(), FetchError> {
    match errors.len() {
        0 | 1 => errors.pop().map_or(Ok(()), Err),
        _ => Err(FetchError::Several(errors)),
    }
}

/// Why a source did not come.
enum Failed {
    Everywhere(Vec<Attempt>),
    Store(StoreError),
}

fn kept_not(name: &str, size: Option<u64>, error: StoreError) -> FetchError {
    FetchError::Store {
        name: name.to_owned(),
        size,
        error: Box::new(error),
    }
}

fn failure(
    name: &str,
    digest: Option<Digest>,
    size: Option<u64>,
    attempts: Vec<Attempt>,
) -> FetchError {
    FetchError::Source(Box::new(Failure {
        name: name.to_owned(),
        digest,
        size,
        attempts,
    }))
}
