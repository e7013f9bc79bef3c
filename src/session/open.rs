//! A session: its options, who is told, and the caches in use.

use std::collections::BTreeSet;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::Error;
use super::options::Options;
use super::places;
use crate::progress::{Event, Progress, Silent};
use crate::realize::Workshop;
use crate::recipe::{Diagnostic, SourceMap};
use crate::share::Repositories;
use crate::share::registry::RegistryOptions;
use crate::source::apt;
use crate::source::fetch::FetchOptions;
use crate::source::fetch::redirect::redacted;
use crate::store::{Store, StoreError};

/// Takes what happens on the way, from any thread.
pub trait Report: Progress {
    /// Takes the warnings about a recipe.
    fn warnings(&self, source: &SourceMap, warnings: &[Diagnostic]);

    /// Takes the error of one image where the others go on.
    fn failed(&self, error: &Error);

    /// A part of the work is over: what was drawn about it can go.
    fn clear(&self) {}
}

impl Report for Silent {
    fn warnings(&self, _: &SourceMap, _: &[Diagnostic]) {}

    fn failed(&self, _: &Error) {}
}

/// Options, who is told, and the caches in use.
pub struct Session<'r> {
    pub(crate) options: Options,
    pub(crate) report: &'r dyn Report,
    /// The shared locks of caches that were used: until the session ends, `gc` leaves alone what it goes on with.
    held: Mutex<Vec<Arc<File>>>,
    /// Caches that were reported not to be used.
    pub(super) passed_over: Mutex<BTreeSet<PathBuf>>,
}

impl Session<'static> {
    /// Opens a session that reports to nobody. The cache that the options name is opened, and made where it is not there.
    ///
    /// # Errors
    /// [`Error`] where that cannot be used.
    pub fn open(options: Options) -> Result<Session<'static>, Error> {
        let session = Session::new(options, &Silent);
        if let Some(cache) = &session.options.cache {
            session.store(cache)?;
        }
        Ok(session)
    }
}

impl<'r> Session<'r> {
    /// Returns a session that has used no cache yet.
    pub fn new(options: Options, report: &'r dyn Report) -> Session<'r> {
        Session {
            options,
            report,
            held: Mutex::default(),
            passed_over: Mutex::default(),
        }
    }

    /// Opens the cache that serves a recipe's directory.
    pub(crate) fn store(&self, base: &Path) -> Result<Store, Error> {
        let store = self.cache(base)?.open(self)?;
        locked(&self.held).extend(store.lock());
        Ok(store)
    }

    /// Gives up the shared locks: whoever wants a cache alone must not be in it.
    pub(crate) fn release(&self) {
        locked(&self.held).clear();
    }

    /// Makes the lock of a recipe a root: `gc` keeps what it names.
    pub(crate) fn keep_locked(&self, store: &Store, lock: &Path) -> Result<(), Error> {
        // The lock of an imported recipe is in the cache itself, and kept as long as that.
        let absolute = std::path::absolute(lock).unwrap_or_else(|_| lock.to_path_buf());
        if places::cache_around(&absolute).is_some() {
            return Ok(());
        }
        match store.add_root(lock) {
            // Whoever may not write there may not remove anything either.
            Err(StoreError::NotWritable { .. }) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Returns the program `mkimg`, which checks and tests start anew.
    pub(crate) fn program(&self) -> Result<PathBuf, Error> {
        let program = self.options.environment.program.clone();
        program.ok_or_else(|| {
            Error::usage(
                "the program `mkimg` is not known, and is to be started anew",
                "`Environment::program` names it",
            )
        })
    }

    /// Returns the number of threads to use.
    pub(crate) fn jobs(&self) -> NonZeroUsize {
        let all = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.options.jobs.unwrap_or_else(all)
    }

    /// Returns the time in seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        let since = self.time().duration_since(UNIX_EPOCH);
        since.map_or(0, |time| time.as_secs())
    }

    /// Returns the time.
    pub(crate) fn time(&self) -> SystemTime {
        (self.options.environment.clock)()
    }

    /// Reports something that a person may want to know.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.report.event(Event::Note(text.into()));
    }

    /// Reports something that a person should know.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.report.event(Event::Warning(text.into()));
    }

    /// Returns how sources are fetched here. The machine's apt configuration is read when the first `debian` source asks.
    pub(crate) fn fetch_options(&self) -> Result<FetchOptions, Error> {
        let options = FetchOptions {
            offline: self.options.offline,
            max_download: self.options.max_download,
            now: i64::try_from(self.now()).ok(),
            mirrors: self.options.mirrors.clone(),
            debian_mirrors: self.debian_mirrors()?,
            apt_roots: apt::roots_of_machine(Path::new("/etc/apt")),
            proxies: self.options.environment.proxies.clone(),
            ..FetchOptions::default()
        };
        let remote = Repositories {
            options: RegistryOptions {
                fetch: options.clone(),
                credentials: self.options.environment.credentials.clone(),
                plain_http: false,
            },
        };
        Ok(FetchOptions {
            remote: Some(Arc::new(remote)),
            ..options
        })
    }

    /// Returns the Debian mirrors that the user named, each something that can be one.
    fn debian_mirrors(&self) -> Result<Vec<String>, Error> {
        let named = self.options.debian_mirrors.iter().map(|root| root.trim());
        let named: Vec<String> = named
            .filter(|root| !root.is_empty())
            .map(str::to_owned)
            .collect();
        let is_url = |root: &String| {
            ["http://", "https://", "file:"]
                .iter()
                .any(|scheme| root.starts_with(scheme))
        };
        match named
            .iter()
            .find(|root| !is_url(root) && !Path::new(root).is_dir())
        {
            None => Ok(named),
            Some(odd) => Err(Error::usage(
                format!("`{}` is no Debian mirror", redacted(odd)),
                "`--debian-mirror` and MKIMG_DEBIAN_MIRROR take http, https and file URLs, and directories, separated by commas",
            )),
        }
    }

    /// Returns the workshop for a cache.
    pub(crate) fn workshop<'a>(
        &'a self,
        store: &'a Store,
        fetch: &'a FetchOptions,
    ) -> Workshop<'a> {
        Workshop {
            store,
            fetch,
            jobs: self.jobs(),
            max_unpacked: self.options.max_unpacked,
            progress: self.report,
        }
    }
}

/// Locks; a poisoned lock is one whose value is whole: every change under it is a single push or store.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}
