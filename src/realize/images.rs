//! The container images among the sources of a plan: all that they are made of, in the cache.

use std::collections::BTreeMap;
use std::path::Path;

use super::Workshop;
use super::error::{ImageFailure, RealizeError};
use crate::fault::Outcome;
use crate::place::Place;
use crate::plan::{Pinned, Plan, Problem, StatementId};
use crate::source::oci::{self, Found, ImageError, LayoutError, Parts};
use crate::store::StoreError;

impl Workshop<'_> {
    /// Brings the container images of a plan into the cache; returns what they are made of, by the names of their sources.
    pub(super) fn fetch_images(
        &self,
        plan: &Plan,
        base: &Path,
    ) -> Result<BTreeMap<String, Parts>, RealizeError> {
        let images = plan.sources.iter().filter(|(_, source)| source.is_oci());
        images
            .map(|(name, source)| Ok((name.clone(), self.fetch_image(plan, name, source, base)?)))
            .collect()
    }

    fn fetch_image(
        &self,
        plan: &Plan,
        name: &str,
        source: &Pinned,
        base: &Path,
    ) -> Result<Parts, RealizeError> {
        let refused = |error: ImageError| refused(name, source, error);
        let mut failure = ImageFailure {
            name: name.to_owned(),
            digest: source.digest,
            attempts: Vec::new(),
            outcome: Outcome::Failed,
        };
        // What is there needs no place.
        if let Found::Whole(parts) =
            oci::find(self.store, &source.digest, plan.arch).map_err(refused)?
        {
            return Ok(parts);
        }
        for place in &source.places {
            let (shown, what, help) = match place {
                Place::Oci(reference) => {
                    let Some(remote) = &self.fetch.remote else {
                        continue;
                    };
                    let (store, progress) = (self.store, self.progress);
                    match remote.fetch(reference, &source.digest, plan.arch, store, progress) {
                        Ok(()) => (reference.clone(), String::new(), None),
                        Err(error) => {
                            if error.mismatch {
                                failure.outcome = Outcome::Mismatch;
                            }
                            (reference.clone(), error.message, error.help)
                        }
                    }
                }
                Place::OciLocal(path) => {
                    let shown = base.join(path).display().to_string();
                    let (limit, store) = (self.max_unpacked, self.store);
                    match oci::take_local(
                        base,
                        path,
                        &source.digest,
                        plan.arch,
                        store,
                        limit,
                        self.progress,
                    ) {
                        Ok(()) => (shown, String::new(), None),
                        Err(LayoutError::Store(error)) => return Err(RealizeError::Store(error)),
                        Err(error) => {
                            match &error {
                                LayoutError::Mismatch { .. } => failure.outcome = Outcome::Mismatch,
                                _ if failure.outcome == Outcome::Failed => {
                                    failure.outcome = Outcome::Wrong
                                }
                                _ => {}
                            }
                            let help = "name a directory in the OCI layout, a tar of one, or what `docker save` wrote";
                            (shown, error.to_string(), Some(help.to_owned()))
                        }
                    }
                }
                _ => continue,
            };
            match oci::find(self.store, &source.digest, plan.arch).map_err(refused)? {
                Found::Whole(parts) => return Ok(parts),
                Found::Missing(digest, _) if what.is_empty() => {
                    failure
                        .attempts
                        .push((shown, format!("it has no `sha256:{digest}`"), help));
                }
                Found::Missing(..) => failure.attempts.push((shown, what, help)),
            }
        }
        Err(RealizeError::Image(Box::new(failure)))
    }
}

/// Returns what documents mean that are none, or are for something else.
fn refused(name: &str, source: &Pinned, error: ImageError) -> RealizeError {
    match error {
        ImageError::Store(error @ StoreError::Damaged { .. }) => RealizeError::Store(error),
        ImageError::Store(error) => RealizeError::Store(error),
        ImageError::Document(error) => {
            let message = format!(
                "the container image `{name}` (sha256:{}) cannot be used: {error}",
                source.digest
            );
            let problem =
                Problem::error(message, StatementId::Source(name.to_owned()), "pinned here");
            let help = "pin another image, or another digest of it: `skopeo inspect --raw` shows what there is";
            RealizeError::Recipe(vec![problem.help(help)])
        }
    }
}
