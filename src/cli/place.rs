//! Where a shared image is, as a user names it: a bundle, or a reference to a registry.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::failure::{Code, Failure};
use super::registry::{Reach, repository};
use super::signing::Key;
use crate::share::bundle::{Bundle, Layout, write};
use crate::share::oci::Descriptor;
use crate::share::registry::Registry;
use crate::share::sign::Claim;
use crate::share::{Examined, Found, Origin, Reference, ShareError, copy, find, list};
use crate::store::Store;
use crate::text::shown;

/// Where a shared image is.
pub(super) enum Place<'c> {
    /// A bundle, read to its end.
    Bundle(Box<Bundle>, PathBuf),
    /// A repository of a registry.
    Registry(Box<Registry<'c>>, Reference),
}

impl<'c> Place<'c> {
    /// Opens what a text names: a file that is there, else a reference.
    pub(super) fn open(
        context: &'c Context<'_>,
        what: &str,
        reach: &Reach,
    ) -> Result<Place<'c>, Failure> {
        let path = Path::new(what);
        let is_recipe = path.extension().is_some_and(|name| name == "kdl");
        if is_recipe && path.is_file() {
            return Err(Failure::usage(
                format!("`{}` is a recipe, not a shared image", shown(what)),
                "`mkimg export` makes a bundle of it; whether a recipe comes out the same each time is what `mkimg check` finds out",
            ));
        }
        if path.is_file() {
            return Ok(Place::Bundle(
                Box::new(Bundle::open(path)?),
                path.to_path_buf(),
            ));
        }
        let reference = what.parse::<Reference>().map_err(|error| {
            Failure::usage(
                format!("there is no file `{}`, and {error}", shown(&error.text)),
                "name a bundle (`mkimg export` writes one), or REGISTRY/REPOSITORY with :TAG or @sha256:HEX",
            )
        })?;
        let registry = repository(context, &reference, reach)?;
        Ok(Place::Registry(Box::new(registry), reference))
    }

    /// Returns it as an origin.
    pub(super) fn origin(&self) -> &dyn Origin {
        match self {
            Place::Bundle(bundle, _) => bundle.as_ref(),
            Place::Registry(registry, _) => registry.as_ref(),
        }
    }

    /// Returns the images that are named.
    pub(super) fn found(&self) -> Result<Found, Failure> {
        Ok(match self {
            Place::Bundle(bundle, _) => find(bundle.as_ref(), &bundle.name)?,
            Place::Registry(registry, reference) => {
                list(registry.as_ref(), named(registry.as_ref(), reference)?)?
            }
        })
    }

    /// Returns what was named, so that it can only mean this image.
    pub(super) fn exact(&self, found: &Found) -> String {
        match self {
            Place::Bundle(_, path) => path.display().to_string(),
            Place::Registry(_, reference) => {
                format!("{}@sha256:{}", reference.name(), found.root.digest)
            }
        }
    }

    /// Signs a claim about each image, and puts it beside it: in the registry, or in the bundle, which is written anew.
    pub(super) fn attach(
        &self,
        key: &Key,
        claim: Claim,
        found: &Found,
        examined: &Examined,
        store: &Store,
    ) -> Result<(), Failure> {
        let each = |to: &dyn crate::share::Destination| {
            examined.parts.iter().try_for_each(|part| {
                let shared = &part.shared;
                key.attach(to, claim, &shared.image, &shared.descriptor, store)
            })
        };
        match self {
            Place::Registry(registry, _) => each(registry.as_ref()),
            Place::Bundle(bundle, path) => {
                let layout = Layout::new();
                copy(bundle.as_ref(), &layout, store, &found.root, &bundle.name)?;
                each(&layout)?;
                write(&layout, path)?;
                Ok(())
            }
        }
    }
}

/// Returns what the digest or the tag of a reference names.
pub(super) fn named(registry: &dyn Origin, reference: &Reference) -> Result<Descriptor, Failure> {
    let (wanted, object) = match reference.digest {
        Some(digest) => (
            format!("sha256:{digest}"),
            format!("an image with the digest sha256:{digest}"),
        ),
        None => {
            let tag = reference.tag_or_default();
            (tag.to_owned(), format!("the tag `{tag}`"))
        }
    };
    let missing = || Failure::Plain {
        error: Box::new(ShareError::Missing {
            object,
            place: format!("`{}`", registry.name()),
        }),
        help: Some(
            "check the repository and the tag; a registry may also say so to whom it does not know"
                .to_owned(),
        ),
        code: Code::Failed,
    };
    registry.resolve(&wanted)?.ok_or_else(missing)
}
