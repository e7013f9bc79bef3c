//! Where a shared image is, as a user names it: a bundle, or a reference to a registry.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::open::Session;
use super::registry::Connection;
use super::signing::Key;
use crate::fault::Outcome;
use crate::share::bundle::{Bundle, Layout, write};
use crate::share::oci::Descriptor;
use crate::share::registry::Registry;
use crate::share::sign::Claim;
use crate::share::{Examined, Found, Origin, Reference, ShareError, copy, find, list};
use crate::store::Store;
use crate::text::shown;

/// Where a shared image is.
pub(crate) enum Place<'c> {
    /// A bundle, read to its end.
    Bundle(Box<Bundle>, PathBuf),
    /// A repository of a registry.
    Registry(Box<Registry<'c>>, Reference),
}

impl<'c> Place<'c> {
    /// Opens what a text names: a file that is there, else a reference.
    pub(crate) fn open(
        session: &'c Session<'_>,
        what: &str,
        connection: &Connection,
    ) -> Result<Place<'c>, Error> {
        let path = Path::new(what);
        let is_recipe = path.extension().is_some_and(|name| name == "kdl");
        if is_recipe && path.is_file() {
            return Err(Error::usage(
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
            Error::usage(
                format!("there is no file `{}`, and {error}", shown(&error.text)),
                "name a bundle (`mkimg export` writes one), or REGISTRY/REPOSITORY with :TAG or @sha256:HEX",
            )
        })?;
        let registry = session.repository(&reference, connection)?;
        Ok(Place::Registry(Box::new(registry), reference))
    }

    /// Returns it as an origin.
    pub(crate) fn origin(&self) -> &dyn Origin {
        match self {
            Place::Bundle(bundle, _) => bundle.as_ref(),
            Place::Registry(registry, _) => registry.as_ref(),
        }
    }

    /// Returns the images that are named.
    pub(crate) fn found(&self) -> Result<Found, Error> {
        Ok(match self {
            Place::Bundle(bundle, _) => find(bundle.as_ref(), &bundle.name)?,
            Place::Registry(registry, reference) => {
                list(registry.as_ref(), named(registry.as_ref(), reference)?)?
            }
        })
    }

    /// Returns what was named, so that it can only mean this image.
    pub(crate) fn exact(&self, found: &Found) -> String {
        match self {
            Place::Bundle(_, path) => path.display().to_string(),
            Place::Registry(_, reference) => {
                format!("{}@sha256:{}", reference.name(), found.root.digest)
            }
        }
    }

    /// Signs a claim about each image, and puts it beside it: in the registry, or in the bundle, which is written anew.
    pub(crate) fn attach(
        &self,
        key: &Key,
        claim: Claim,
        found: &Found,
        examined: &Examined,
        store: &Store,
    ) -> Result<(), Error> {
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
pub(crate) fn named(registry: &dyn Origin, reference: &Reference) -> Result<Descriptor, Error> {
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
    let missing = || {
        let place = format!("`{}`", registry.name());
        let help =
            "check the repository and the tag; a registry may also say so to whom it does not know";
        let error = ShareError::Missing { object, place };
        Error::new(Outcome::Failed, error, Some(help.to_owned()))
    };
    registry.resolve(&wanted)?.ok_or_else(missing)
}
