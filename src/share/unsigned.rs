//! What no signature is about: the index over the architectures, and the lists of a layout. A signature names one image manifest;
//! what stands around it may say nothing that the manifest does not say, since other tools show it as if it were signed too.

use serde_json::Value;

use super::oci::{Descriptor, INDEX, Index, REF_NAME, TITLE};
use super::text::fit;
use super::{Found, Origin, ShareError};

/// Holds the index to the name of its images and to their manifests.
///
/// # Errors
/// [`ShareError`] where it says another name, or anything else.
pub(super) fn check_index(
    origin: &dyn Origin,
    found: &Found,
    name: &str,
) -> Result<(), ShareError> {
    if found.root.media_type != INDEX {
        return Ok(());
    }
    let object = format!("the index `sha256:{}`", found.root.digest);
    let bytes = origin.manifest(&found.root)?;
    let index = Index::parse(&bytes, &object)?;
    if let Some(title) = index.annotations.get(TITLE).filter(|title| *title != name) {
        return Err(ShareError::Mismatch {
            object: format!("the annotation `{TITLE}` of {object}"),
            expected: name.to_owned(),
            found: fit(title),
        });
    }
    if let Some(other) = index.annotations.keys().find(|key| *key != TITLE) {
        return Err(unbound(&object, other));
    }
    for entry in &index.manifests {
        check_entry(entry, &[], &object)?;
    }
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    keys(
        &value,
        &[
            "schemaVersion",
            "mediaType",
            "artifactType",
            "manifests",
            "annotations",
        ],
        &object,
    )?;
    for entry in value["manifests"].as_array().into_iter().flatten() {
        keys(
            entry,
            &[
                "mediaType",
                "digest",
                "size",
                "annotations",
                "platform",
                "artifactType",
            ],
            &object,
        )?;
        keys(&entry["platform"], &["architecture", "os"], &object)?;
    }
    Ok(())
}

/// Holds a list of referrers to listing them.
///
/// # Errors
/// [`ShareError::Invalid`].
pub(super) fn check_referrers(index: &Index, object: &str) -> Result<(), ShareError> {
    if let Some(other) = index.annotations.keys().next() {
        return Err(unbound(object, other));
    }
    index
        .manifests
        .iter()
        .try_for_each(|entry| check_entry(entry, &[], object))
}

/// Holds `index.json` of a layout to its tags.
///
/// # Errors
/// [`ShareError::Invalid`].
pub(super) fn check_tags(index: &Index, object: &str) -> Result<(), ShareError> {
    if let Some(other) = index.annotations.keys().next() {
        return Err(unbound(object, other));
    }
    index
        .manifests
        .iter()
        .try_for_each(|entry| check_entry(entry, &[REF_NAME], object))
}

fn check_entry(entry: &Descriptor, known: &[&str], object: &str) -> Result<(), ShareError> {
    let mut keys = entry.annotations.keys();
    match keys.find(|key| !known.contains(&key.as_str())) {
        Some(other) => Err(unbound(object, other)),
        None => Ok(()),
    }
}

fn unbound(object: &str, key: &str) -> ShareError {
    let problem = format!(
        "it has the annotation `{}`, which mkimg does not write there and no signature is about",
        fit(key)
    );
    ShareError::invalid(object, problem)
}

fn keys(value: &Value, known: &[&str], object: &str) -> Result<(), ShareError> {
    let mut keys = value.as_object().into_iter().flat_map(|map| map.keys());
    match keys.find(|key| !known.contains(&key.as_str())) {
        Some(other) => {
            let problem = format!(
                "it has a `{}`, which mkimg does not write there",
                fit(other)
            );
            Err(ShareError::invalid(object, problem))
        }
        None => Ok(()),
    }
}
