//! Taking an image from a registry into the cache.

use std::path::PathBuf;

use super::error::Error;
use super::import::check_arch;
use super::open::Session;
use super::place::named;
use super::places::base;
use super::registry::{Connection, PinFile};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::realize::Realized;
use crate::share::{Found, Reference, import, list};

/// What is taken.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// For which architecture; without one, the host's where the image has it.
    pub arch: Option<Arch>,
    /// A file that says which image it was; where it names another one already, nothing is taken.
    pub pin: Option<PathBuf>,
    /// Let that file name what the tag names now.
    pub update_pin: bool,
    /// How to reach the registry.
    pub connection: Connection,
}

/// An image out of a registry.
pub struct Pulled {
    /// What the reference named.
    pub digest: Digest,
    /// The image.
    pub image: Realized,
    /// Its recipe, in the cache.
    pub recipe: PathBuf,
}

impl Session<'_> {
    /// Takes an image from a registry into the cache, every byte verified.
    ///
    /// # Errors
    /// [`Error`] where it cannot be had, or is not what it says it is.
    pub fn pull(&self, reference: &Reference, options: &PullOptions) -> Result<Pulled, Error> {
        // Before anything is asked: a file that cannot be used stays what it is.
        let pins = options.pin.as_deref().map(PinFile::open).transpose()?;
        let registry = self.repository(reference, &options.connection)?;
        let found = named(&registry, reference);
        self.report.clear();
        let found = found?;
        if let (Some(pins), false) = (&pins, options.update_pin) {
            pins.check(reference, found.digest)?;
        }
        let store = self.store(base())?;
        let images = list(&registry, found.clone())?;
        check_arch(&images, options.arch, &reference.to_string())?;
        let arch = chosen(&images, options.arch);
        let imported = import(&registry, &images, &self.selection(arch), &store);
        self.report.clear();
        let mut imported = imported?;
        let Some(image) = imported.images.pop() else {
            return Err(Error::usage(
                format!("`{reference}` has no image"),
                "name another one",
            ));
        };
        if let Some(pins) = pins {
            pins.write(reference, found.digest)?;
        }
        Ok(Pulled {
            digest: found.digest,
            image,
            recipe: imported.recipe,
        })
    }
}

/// Returns the architecture to take: the one that was asked for, else the host's where it is there, else the first.
fn chosen(found: &Found, asked: Option<Arch>) -> Option<Arch> {
    let has = |arch: Arch| {
        let listed = found.images.iter();
        let mut named = listed.filter_map(|image| image.architecture.as_deref());
        named.any(|name| name == arch.facts().oci)
    };
    let first = || Arch::ALL.into_iter().find(|arch| has(*arch));
    asked
        .or_else(|| Arch::host().filter(|host| has(*host)))
        .or_else(first)
}
