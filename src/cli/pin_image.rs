//! `mkimg pin` of container images: what a tag names now, or the one image of a layout.

use std::path::Path;

use super::context::{Context, Opened};
use super::failure::{Code, Failure};
use crate::digest::Digest;
use crate::recipe::{Location, Place};
use crate::source::fetch::FetchOptions;
use crate::source::local::{self, Opened as Found, Reach};
use crate::source::oci;
use crate::store::Store;

/// Returns the digest of the image that locations share, and how far it is known: of the first that tells.
pub(super) fn resolve(
    context: &Context<'_>,
    store: &Store,
    options: &FetchOptions,
    opened: &Opened,
    locations: &[&Location],
) -> Result<(Digest, String), Failure> {
    let mut failed = None;
    for location in locations {
        let found = match &location.place {
            Place::Oci(reference) => registry(context, store, options, reference),
            Place::OciLocal(path) => on_this_machine(context, options.reach.as_ref(), opened, path),
            _ => continue,
        };
        match found {
            Ok(found) => return Ok(found),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed
        .unwrap_or_else(|| Failure::usage("the image has no place", "write `oci \"REFERENCE\"`")))
}

fn registry(
    context: &Context<'_>,
    store: &Store,
    options: &FetchOptions,
    reference: &str,
) -> Result<(Digest, String), Failure> {
    let Some(remote) = &options.remote else {
        return Err(Failure::usage(
            "no registry is asked",
            "this is a bug: report it",
        ));
    };
    let digest = remote.resolve(reference, store, context.terminal);
    let digest = digest.map_err(|error| Failure::Plain {
        help: error.help.clone(),
        code: if error.mismatch {
            Code::Mismatch
        } else {
            Code::Failed
        },
        error: Box::new(error),
    })?;
    Ok((digest, format!("first seen, from {reference}")))
}

fn on_this_machine(
    context: &Context<'_>,
    reach: Option<&Reach>,
    opened: &Opened,
    path: &str,
) -> Result<(Digest, String), Failure> {
    let wrong =
        |message: String, help: String| Failure::usage(format!("`{path}`: {message}"), help);
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
        context.global.max_unpacked,
        context.terminal,
    );
    let digest = digest.map_err(|error| {
        Failure::usage(
            error.to_string(),
            "name one image by its digest: `digest=\"sha256:..\"`",
        )
    })?;
    Ok((digest, format!("first seen, in {path}")))
}
