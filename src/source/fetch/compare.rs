//! What the locations of pinned sources give now, against what the recipe pins.

use std::path::Path;

use super::download::over;
use super::error::{Failure, Mismatch, Reason};
use super::{Attempt, FetchError, Fetcher, FirstSeen, Wanted, all_or};
use crate::digest::Digest;
use crate::place::Place;
use crate::progress::Event;
use crate::source::known::Known;
use crate::source::local::{LocalError, Regular, reading_error};

impl Fetcher<'_> {
    /// Compares the files of this machine that sources name with their digests. One that is not there, or that this user may not
    /// read, has nothing to say.
    ///
    /// # Errors
    /// [`FetchError::Changed`] about every source of which a file differs.
    pub fn check_local(&self, wanted: &[Wanted]) -> Result<(), FetchError> {
        let each = wanted.iter();
        let errors = each.filter_map(|wanted| {
            let places = wanted.places.iter();
            let attempts = places.filter_map(|place| match place {
                Place::Local(path) => self.changed_file(wanted, Path::new(path)),
                _ => None,
            });
            changed(wanted, attempts.collect())
        });
        all_or(errors.collect())
    }

    /// Asks every location of every source by itself.
    ///
    /// # Errors
    /// [`FetchError::Changed`] about every source of which a location gives other bytes. One that gives none is a warning.
    pub fn ask_everywhere(&self, wanted: &[Wanted]) -> Result<(), FetchError> {
        let mut errors = Vec::new();
        for wanted in wanted {
            let mut attempts = Vec::new();
            for place in wanted.places.iter().filter(|place| !place.is_oci()) {
                attempts.extend(self.changed_location(wanted, place)?);
            }
            errors.extend(changed(wanted, attempts));
        }
        all_or(errors)
    }

    fn changed_file(&self, wanted: &Wanted, path: &Path) -> Option<Attempt> {
        let reason = match Regular::open(&wanted.base, path) {
            Ok(file) => self.difference(wanted, file)?,
            Err(LocalError::Io(_)) => return None,
            Err(error) => Reason::Local(error),
        };
        Some(Attempt {
            location: wanted.base.join(path).display().to_string(),
            reason,
        })
    }

    fn difference(&self, wanted: &Wanted, mut file: Regular) -> Option<Reason> {
        let size = file.size();
        if let Some(reason) = over(size, wanted.size, self.options.max_download) {
            return Some(reason);
        }
        let known = Known {
            store: self.store,
            now: self.options.now,
        };
        match known.digest(&mut file) {
            Ok((actual, _)) if actual == wanted.digest => None,
            Ok((actual, got)) => Some(mismatch(wanted, actual, got)),
            Err(error) => Some(Reason::Local(reading_error(error))),
        }
    }

    /// Returns the location where it gives other bytes.
    fn changed_location(
        &self,
        wanted: &Wanted,
        place: &Place,
    ) -> Result<Option<Attempt>, FetchError> {
        let location = match place {
            Place::Url(url) => url.clone(),
            Place::Debian { path, .. } => path.clone(),
            Place::Local(path) => wanted.base.join(path).display().to_string(),
            Place::Oci(text) | Place::OciLocal(text) => text.clone(),
        };
        match self.fetch_unpinned(&wanted.name, place, &wanted.base, wanted.size) {
            Ok(FirstSeen { blob, .. }) => {
                let removed = self.store.remove_blob(&blob.digest);
                removed.map_err(|error| super::kept_not(&wanted.name, wanted.size, error))?;
                let differs = blob.digest != wanted.digest;
                Ok(differs.then(|| Attempt {
                    location,
                    reason: mismatch(wanted, blob.digest, blob.size),
                }))
            }
            Err(FetchError::Source(failure)) => {
                for attempt in failure.attempts {
                    if matches!(attempt.reason, Reason::TooLong { .. }) {
                        return Ok(Some(attempt));
                    }
                    if matches!(attempt.reason, Reason::Offline) {
                        continue;
                    }
                    self.progress.event(Event::Warning(format!(
                        "`{}` was not compared at `{}`: {}",
                        wanted.name, attempt.location, attempt.reason
                    )));
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn mismatch(wanted: &Wanted, actual: Digest, got: u64) -> Reason {
    Reason::Mismatch(Box::new(Mismatch {
        expected: wanted.digest,
        actual,
        got,
        size: wanted.size,
        begins: None,
        encoding: None,
    }))
}

fn changed(wanted: &Wanted, attempts: Vec<Attempt>) -> Option<FetchError> {
    if attempts.is_empty() {
        return None;
    }
    let other_bytes = |attempt: &Attempt| !matches!(attempt.reason, Reason::Local(_));
    let differs = attempts.iter().any(other_bytes);
    let failure = Box::new(Failure {
        name: wanted.name.clone(),
        digest: Some(wanted.digest),
        size: wanted.size,
        attempts,
    });
    Some(match differs {
        true => FetchError::Changed(failure),
        false => FetchError::Source(failure),
    })
}
