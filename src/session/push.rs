//! Sending an image of all its architectures to a repository of a registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::documents::documents;
use super::error::Error;
use super::load::Loaded;
use super::open::Session;
use super::registry::Connection;
use super::sharing::Shared;
use super::signing::Key;
use crate::digest::Digest;
use crate::fault::Outcome;
use crate::plan::LocalFile;
use crate::realize::Realized;
use crate::share::{Copied, Document, IN_TOTO, Reference, SPDX, attach, copy};

/// What is sent.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Send the sources too.
    pub with_sources: bool,
    /// Sign it with the key in this file.
    pub sign: Option<PathBuf>,
    /// How to reach the registry.
    pub connection: Connection,
}

/// What was sent.
pub struct Pushed {
    /// The digest that the image has there.
    pub digest: Digest,
    /// How much of it was sent, and how much was there.
    pub copied: Copied,
    /// The files of this machine that went in.
    pub files: BTreeMap<String, LocalFile>,
}

impl Session<'_> {
    /// Sends the images of a recipe to a repository of a registry, with the documents about them.
    ///
    /// # Errors
    /// [`Error`] where the image cannot be made, or the registry does not take it.
    pub fn push(
        &self,
        recipe: &Path,
        to: &Reference,
        options: &PushOptions,
    ) -> Result<Pushed, Error> {
        check_tag(to)?;
        let key = options.sign.as_deref().map(Key::open).transpose()?;
        let registry = self.repository(to, &options.connection)?;
        let opened = self.load(recipe)?;
        let shared = opened.share(&[], options.with_sources)?;
        for made in &shared.images {
            attach_documents(&opened, &shared, made)?;
        }
        if let Some(key) = &key {
            shared.sign(key)?;
        }
        let (artifact, tag) = (&shared.artifact, to.tag_or_default());
        let (layout, store) = (&artifact.layout, &shared.store);
        let copied = copy(layout, &registry, store, &artifact.index, tag);
        self.report.clear();
        Ok(Pushed {
            digest: artifact.index.digest,
            copied: copied?,
            files: shared.files,
        })
    }
}

/// Refuses a reference that nothing can be pushed to.
fn check_tag(reference: &Reference) -> Result<(), Error> {
    if reference.digest.is_some() {
        return Err(Error::usage(
            format!("`{reference}` names an image by its digest: what is pushed gets a tag"),
            "write REGISTRY/REPOSITORY:TAG; the digest follows from the image, and is printed",
        ));
    }
    if is_reserved(reference.tag_or_default()) {
        return Err(Error::usage(
            format!("`{reference}` is a tag that mkimg itself writes: it has a meaning of its own"),
            "name another tag: those of plans and of referrers follow from what is pushed",
        ));
    }
    Ok(())
}

/// Attaches what is in an image, and how it came about. Where the sources cannot be had, as for a bundle without them, the image
/// goes without.
fn attach_documents(opened: &Loaded<'_>, shared: &Shared, made: &Realized) -> Result<(), Error> {
    let Some(subject) = shared.artifact.manifests.get(&made.image.arch) else {
        return Ok(());
    };
    let found = match documents(opened, &shared.store, made) {
        Ok(found) => found,
        Err(failure) if matches!(failure.outcome(), Outcome::Failed | Outcome::Wrong) => {
            opened.session.warn(format!(
                "the {} image goes without an SBOM and provenance, which its sources are needed for: {}",
                made.image.arch,
                failure.first_line()
            ));
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let name = format!("{}-{}", made.image.name, made.image.arch);
    for (media_type, kind, document) in [
        (SPDX, "spdx", found.contents),
        (IN_TOTO, "slsa", found.provenance),
    ] {
        let text = format!("{document:#}\n");
        let document = Document {
            media_type,
            title: &format!("{name}.{kind}.json"),
            bytes: text.as_bytes(),
        };
        attach(&shared.artifact.layout, subject, document, &shared.store)?;
    }
    Ok(())
}

/// Says whether a tag is that of a plan, or of what is said about a manifest.
fn is_reserved(tag: &str) -> bool {
    let digests = ["plan-", "sha256-"].map(|prefix| tag.strip_prefix(prefix));
    let mut digests = digests.into_iter().flatten();
    digests.any(|hex| hex.parse::<Digest>().is_ok())
}
