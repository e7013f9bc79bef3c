//! Images that the cache has: found, checked, and believed only where something vouches for them.
//!
//! `image.json` has the digests of the kernel and of the archive, so everything hangs on it: its own digest must be the one that was
//! recorded when mkimg wrote the image on this machine, or the one that a lock gives.

use std::io;
use std::path::{Path, PathBuf};

use super::image::{FILE, Image, ImageFile};
use super::{RealizeError, Realized, Workshop, verify};
use crate::digest::Digest;
use crate::dir;
use crate::plan::Plan;
use crate::progress::{Event, Stage};
use crate::store::{Store, StoreError, Sum};

/// What is at an image's place.
enum There {
    Nothing,
    /// What it is, and the digest of its `image.json`.
    Image(Box<Image>, Digest),
    /// With what is wrong.
    Damaged(String),
}

/// Returns all files of an image, for [`Store::check`] and `NewImage::publish`.
pub fn sums(image: &Image) -> Vec<Sum> {
    let text = image.text();
    let file = |file: &ImageFile| Sum {
        name: file.name.clone(),
        digest: file.digest,
        size: file.size,
    };
    let own = Sum {
        name: FILE.to_owned(),
        digest: Digest::of(text.as_bytes()),
        size: text.len() as u64,
    };
    vec![own, file(&image.kernel), file(&image.initramfs)]
}

/// Says whether exactly this image lies at `path`, by the stamps or the bytes of its files.
pub fn holds(store: &Store, path: &Path, image: &Image) -> bool {
    let name = Store::record_name(path);
    store
        .check(path, &name, store.record(&name).as_ref(), &sums(image))
        .is_ok()
}

/// Returns the image at `path` that was written here, where it is whole.
pub fn made_here(store: &Store, path: &Path) -> Option<Image> {
    let There::Image(image, described) = look(path) else {
        return None;
    };
    let recorded = store.record(&Store::record_name(path))?;
    (recorded.digest(FILE) == Some(&described) && holds(store, path, &image)).then_some(*image)
}

fn look(path: &Path) -> There {
    let text = match dir::read(&path.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !dir::exists(path) => {
            return There::Nothing;
        }
        Err(error) => return There::Damaged(format!("`{FILE}` cannot be read: {error}")),
    };
    match Image::parse(&text) {
        Ok(image) if image.text().as_bytes() == text => {
            There::Image(Box::new(image), Digest::of(&text))
        }
        Ok(_) => There::Damaged(format!("`{FILE}` is not what it was")),
        Err(error) => There::Damaged(format!("`{FILE}`: {error}")),
    }
}

impl Workshop<'_> {
    /// Returns the image of a plan where the cache has it: one that was made here, or the one that a lock expects, wherever it came
    /// from. Its files are compared with what they were when mkimg wrote or hashed them, with `verify` byte by byte. A damaged
    /// one is named and removed.
    ///
    /// # Errors
    /// [`RealizeError`] where it cannot be removed, or a source has more bytes than the plan allows it.
    pub fn find(
        &self,
        plan: &Plan,
        base: &Path,
        verify: bool,
        expected: Option<&Image>,
    ) -> Result<Option<Realized>, RealizeError> {
        self.declared_sizes(plan, base)?;
        let own = self.store.image_path(&plan.id(), &plan.name);
        let mut found = self.stored(plan, own, verify, expected)?;
        if let Some(expected) = expected
            && found.as_ref().is_none_or(|found| found.image != *expected)
        {
            let described = Digest::of(expected.text().as_bytes());
            let import = self.store.import_path(&plan.id(), &plan.name, &described);
            let apart = self.stored(plan, import, verify, Some(expected))?;
            found = apart.or(found);
        }
        Ok(found)
    }

    fn stored(
        &self,
        plan: &Plan,
        path: PathBuf,
        verify: bool,
        expected: Option<&Image>,
    ) -> Result<Option<Realized>, RealizeError> {
        let (image, described) = match look(&path) {
            There::Nothing => return Ok(None),
            There::Image(image, _) if !image.is_of(plan) => {
                return self.damaged(&path, "`image.json` is not what it was");
            }
            There::Image(image, described) => (*image, described),
            There::Damaged(what) => return self.damaged(&path, &what),
        };
        let name = Store::record_name(&path);
        let record = self.store.record(&name);
        if expected != Some(&image) {
            match record.as_ref().map(|record| record.digest(FILE)) {
                Some(Some(recorded)) if *recorded == described => {}
                Some(_) => return self.damaged(&path, "`image.json` is not what it was"),
                None => return self.unchecked(&path),
            }
        }
        let sums = sums(&image);
        if let Err(what) = self.store.check(&path, &name, record.as_ref(), &sums) {
            return self.damaged(&path, &what);
        }
        if verify {
            let size = image.kernel.size + image.initramfs.size;
            self.started(Stage::Verify, &plan.name, Some(size));
            if let Err(what) = verify::image(&path, &image) {
                return self.damaged(&path, &what);
            }
            self.progress.event(Event::StageFinished {
                stage: Stage::Verify,
            });
        }
        self.store.used(&path);
        Ok(Some(Realized {
            path,
            image,
            up_to_date: true,
            warnings: Vec::new(),
        }))
    }

    fn damaged(&self, path: &Path, what: &str) -> Result<Option<Realized>, RealizeError> {
        let text = format!("damaged image `{}`: {what}", path.display());
        self.removed(&text, path)?;
        Ok(None)
    }

    /// Leaves an image alone of which nobody says what it must be: the one that is made takes its place.
    fn unchecked(&self, path: &Path) -> Result<Option<Realized>, RealizeError> {
        self.progress.event(Event::Note(format!(
            "nothing says what the image in `{}` was when it was made: it is made again",
            path.display()
        )));
        Ok(None)
    }

    /// Removes what is damaged, and says so: that it is removed only once it is.
    pub(super) fn removed(&self, what: &str, path: &Path) -> Result<(), StoreError> {
        let removed = self.store.remove_damaged(path);
        self.progress.event(Event::Warning(match &removed {
            Ok(()) => format!("{what}; removed, it is made again"),
            Err(_) => format!("{what}; it could not be replaced"),
        }));
        removed
    }

    /// Refuses a plan that allows a source fewer bytes than it has in the cache, as it would be refused where they had to be fetched.
    fn declared_sizes(&self, plan: &Plan, base: &Path) -> Result<(), RealizeError> {
        let odd = plan.sources.iter().filter(|(_, source)| {
            let blob = self.store.blob(&source.digest);
            let other = blob.filter(|blob| source.size.is_some_and(|size| blob.size > size));
            // A damaged one is no witness.
            other.is_some_and(|blob| blob.verify().is_ok())
        });
        let odd: Vec<_> = odd
            .map(|(name, source)| super::wish(name, source, base))
            .collect();
        match odd.is_empty() {
            true => Ok(()),
            false => self.fetch_wanted(&odd).map(drop),
        }
    }
}
