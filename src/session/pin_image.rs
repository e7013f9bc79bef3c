//! `mkimg pin` of container images: what a tag names now, or the one image of a layout.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Error;
use super::load::Loaded;
use crate::arch::Arch;
use crate::digest::Digest;
use crate::fault::Outcome;
use crate::recipe::edit::Pin;
use crate::recipe::{Location, Place, Source};
use crate::source::fetch::FetchOptions;
use crate::source::local::{self, Opened as Found, Reach};
use crate::source::oci;
use crate::store::Store;

/// Returns what to write for the locations of a container image.
pub(super) fn pins(
    store: &Store,
    fetch: &FetchOptions,
    opened: &Loaded<'_>,
    source: &Source,
    refresh: bool,
) -> Result<Vec<Pin>, Error> {
    let mut groups: BTreeMap<Option<Arch>, Vec<&Location>> = BTreeMap::new();
    for location in &source.locations {
        groups.entry(location.arch).or_default().push(location);
    }
    let mut pins = Vec::new();
    for (arch, locations) in groups {
        if !refresh && locations.iter().all(|location| location.sha256.is_some()) {
            continue;
        }
        let known = locations
            .iter()
            .find_map(|location| location.sha256.as_ref());
        let (digest, how) = match known.filter(|_| !refresh) {
            Some(known) => (known.value, "the digest that the recipe has".to_owned()),
            None => resolve(store, fetch, opened, &locations)?,
        };
        let of = arch.map_or(String::new(), |arch| format!(" {arch}"));
        let name = &source.name.value;
        opened
            .session
            .note(format!("{name}{of}: sha256:{digest}, {how}"));
        pins.extend(locations.into_iter().map(|location| Pin {
            location: location.span.clone(),
            sha256: digest,
            size: None,
            drop_snapshot: false,
        }));
    }
    Ok(pins)
}

/// Returns the digest of the image that locations share, and how far it is known: of the first that tells.
fn resolve(
    store: &Store,
    options: &FetchOptions,
    opened: &Loaded<'_>,
    locations: &[&Location],
) -> Result<(Digest, String), Error> {
    let mut failed = None;
    for location in locations {
        let found = match &location.place {
            Place::Oci(reference) => registry(opened, store, options, reference),
            Place::OciLocal(path) => on_this_machine(options.reach.as_ref(), opened, path),
            _ => continue,
        };
        match found {
            Ok(found) => return Ok(found),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed
        .unwrap_or_else(|| Error::usage("the image has no place", "write `oci \"REFERENCE\"`")))
}

fn registry(
    opened: &Loaded<'_>,
    store: &Store,
    options: &FetchOptions,
    reference: &str,
) -> Result<(Digest, String), Error> {
    let Some(remote) = &options.remote else {
        return Err(Error::usage(
            "no registry is asked",
            "this is a bug: report it",
        ));
    };
    let digest = remote.resolve(reference, store, opened.session.report);
    let digest = digest.map_err(|error| {
        let outcome = match error.mismatch {
            true => Outcome::Mismatch,
            false => Outcome::Failed,
        };
        let help = error.help.clone();
        Error::new(outcome, error, help)
    })?;
    Ok((digest, format!("first seen, from {reference}")))
}

fn on_this_machine(
    reach: Option<&Reach>,
    opened: &Loaded<'_>,
    path: &str,
) -> Result<(Digest, String), Error> {
    let wrong = |message: String, help: String| Error::usage(format!("`{path}`: {message}"), help);
    let found = local::open(&opened.base, Path::new(path));
    let found = found.map_err(|error| wrong(error.to_string(), error.help()))?;
    let at = match &found {
        Found::Directory(_, at) => at.as_path(),
        Found::File(file) => file.path(),
    };
    if let Some(reach) = reach {
        reach
            .check_path(at)
            .map_err(|error| wrong(error.to_string(), error.help()))?;
    }
    let digest = oci::pin(
        &opened.base,
        path,
        opened.session.options.max_unpacked,
        opened.session.report,
    );
    let digest = digest.map_err(|error| {
        Error::usage(
            error.to_string(),
            "name one image by its digest: `digest=\"sha256:..\"`",
        )
    })?;
    Ok((digest, format!("first seen, in {path}")))
}
