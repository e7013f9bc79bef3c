//! From a recipe to what is shared of it.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Error;
use super::load::Loaded;
use super::locking;
use super::open::Session;
use super::realize::RealizeOptions;
use super::signing::Key;
use crate::arch::Arch;
use crate::digest::Digest;
use crate::lock::Lock;
use crate::plan::{LocalFile, normal_text};
use crate::realize::Realized;
use crate::share::bundle::Bundle;
use crate::share::sign::Claim;
use crate::share::{Artifact, Origin as _, Project, Shareable};
use crate::share::{copy_referrers, find};
use crate::store::Store;

/// Images that are realized, and the artifact of them.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) artifact: Artifact,
    pub(crate) images: Vec<Realized>,
    /// The files beside the recipe that went in.
    pub(crate) files: BTreeMap<String, LocalFile>,
}

impl Shared {
    /// Signs every image.
    pub(crate) fn sign(&self, key: &Key) -> Result<(), Error> {
        for made in &self.images {
            if let Some(manifest) = self.artifact.manifests.get(&made.image.arch) {
                let layout = &self.artifact.layout;
                let claim = Claim::Signature;
                key.attach(layout, claim, &made.image, manifest, &self.store)?;
            }
        }
        Ok(())
    }
}

impl Loaded<'_> {
    /// Realizes the recipe for `archs` (all that it has, where none is named), and returns what is to be shared of it.
    pub(crate) fn share(&self, archs: &[Arch], with_sources: bool) -> Result<Shared, Error> {
        // A bundle need not have an image for all that its recipe could be realized for.
        let archs = match &self.bundle {
            Some(bundle) if archs.is_empty() => &bundle.archs,
            _ => archs,
        };
        let (lock, text, images) = self.to_share(archs)?;
        let store = self.session.store(&self.base)?;
        let project = self.project(lock.recipe, text, &store)?;
        let mut sources = BTreeMap::new();
        if with_sources {
            let fetch = self.session.fetch_options()?;
            for made in &images {
                let plan = self.plan(Some(made.image.arch))?;
                let workshop = self.session.workshop(&store, &fetch);
                let blobs = workshop.sources(&plan, &self.base);
                self.session.report.clear();
                let blobs = blobs.map_err(|error| self.wrong(error, made.image.arch))?;
                sources.insert(made.image.arch, blobs);
            }
        }
        let shareable = Shareable {
            project: &project,
            images: &images,
            sources,
        };
        let artifact = Artifact::new(&shareable, &store)?;
        if let Some(bundle) = &self.bundle {
            keep_referrers(self.session, &bundle.path, &artifact, &store)?;
        }
        Ok(Shared {
            store,
            artifact,
            images,
            files: project.files,
        })
    }

    /// Returns the lock that goes along with its text, and the images.
    fn to_share(&self, archs: &[Arch]) -> Result<(Lock, String, Vec<Realized>), Error> {
        // A lock of other values of the parameters says nothing about what is shared.
        let beside = locking::beside(self)?;
        let beside = beside.filter(|beside| beside.lock.values == self.parsed.values);
        let Some(beside) = beside else {
            let (lock, images) = self.make_lock(archs)?;
            let text = lock.to_string();
            return Ok((lock, text, images));
        };
        let all = self.parsed.archs_for(Arch::host());
        let wanted = if archs.is_empty() { &all } else { archs };
        let made = |arch: &Arch| {
            let options = RealizeOptions {
                arch: Some(*arch),
                ..RealizeOptions::default()
            };
            Ok(self.realize_with(&options)?.realized)
        };
        let images = wanted.iter().map(made).collect::<Result<_, Error>>()?;
        // What came out of a bundle goes on as it came.
        let text = match self.is_shared() {
            true => beside.text,
            false => beside.lock.to_string(),
        };
        Ok((beside.lock, text, images))
    }

    fn project(&self, digest: Digest, lock: String, store: &Store) -> Result<Project, Error> {
        let recipe = &self.parsed.recipe;
        let project = Project {
            name: recipe.name.value.clone(),
            description: recipe.description.clone(),
            recipe: normal_text(self.parsed.source.root()),
            digest,
            lock,
            files: self.shareable(store)?,
        };
        project.check_paths().map_err(|error| {
            Error::usage(
                error.to_string(),
                "what is shared is unpacked elsewhere: its files must have a place beside the recipe there, too",
            )
        })?;
        Ok(project)
    }
}

/// Takes over what a bundle says about the images that go on as they are, such as signatures. What it says about others, as those
/// with the sources are where they go on without, holds for these alone.
fn keep_referrers(
    session: &Session<'_>,
    path: &Path,
    artifact: &Artifact,
    store: &Store,
) -> Result<(), Error> {
    let bundle = Bundle::open(path)?;
    for image in find(&bundle, &bundle.name)?.images {
        let digest = image.digest;
        if artifact.manifests.values().any(|own| own.digest == digest) {
            copy_referrers(&bundle, &artifact.layout, store, &digest)?;
        } else if artifact
            .manifests
            .keys()
            .any(|arch| image.architecture.as_deref() == Some(arch.facts().oci))
            && !bundle.referrers(&digest)?.is_empty()
        {
            session.warn(format!(
                "what `{}` says about sha256:{digest} is left out: that image does not go on as it is (see `--with-sources`)",
                path.display()
            ));
        }
    }
    Ok(())
}

/// Returns the image to name where there are several: the host's, else the first.
pub(crate) fn foremost(images: &[Realized]) -> Option<&Realized> {
    let own = images
        .iter()
        .find(|made| Some(made.image.arch) == Arch::host());
    own.or(images.first())
}
