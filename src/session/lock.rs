//! The lock of a recipe: what it gives, for every architecture that it has.

use std::io::Write as _;

use super::error::Error;
use super::load::Loaded;
use super::locking::{self, LockUse};
use super::realize::RealizeOptions;
use super::writable::check_file;
use crate::arch::Arch;
use crate::fault::Outcome;
use crate::lock::{self, Lock};
use crate::plan::Fingerprint;
use crate::realize::Realized;
use crate::store::{There, replace};

impl Loaded<'_> {
    /// Makes the images of every architecture, and writes what they are into the lock beside the recipe.
    ///
    /// # Errors
    /// [`Error`] where one cannot be made, or the lock cannot be written.
    pub fn lock(&self) -> Result<Lock, Error> {
        self.check_own()?;
        // A lock that is right will not be written.
        if !self.is_locked() {
            check_file("write the lock", &lock::path_of(&self.path))?;
        }
        let (lock, _) = self.make_lock(&[])?;
        self.write_lock(&lock)?;
        let store = self.session.store(&self.base)?;
        self.session
            .keep_locked(&store, &lock::path_of(&self.path))?;
        Ok(lock)
    }

    /// Makes the images of every architecture, and compares what they are with the lock beside the recipe.
    ///
    /// # Errors
    /// [`Error`] where the lock is missing or would change.
    pub fn check_lock(&self) -> Result<(), Error> {
        let (lock, _) = self.make_lock(&[])?;
        let Some(beside) = locking::beside(self)? else {
            return Err(locking::missing(self));
        };
        for arch in lock.images.keys() {
            let plan = self.plan(Some(*arch))?;
            locking::check_plan(self, &beside, &plan)?;
        }
        if locking::read(&beside.path)?.as_deref() == Some(lock.to_string().as_bytes()) {
            return Ok(());
        }
        Err(Error::new(
            Outcome::Different,
            format!(
                "the lock `{}` is not what `mkimg lock` writes",
                beside.path.display()
            ),
            Some(format!(
                "`mkimg lock {}` writes it anew",
                self.path.display()
            )),
        ))
    }

    /// Says whether the lock beside the recipe is of its plans.
    fn is_locked(&self) -> bool {
        let Ok(Some(beside)) = locking::beside(self) else {
            return false;
        };
        let archs = self.parsed.recipe.archs_for(Arch::host());
        beside.lock.version == lock::VERSION
            && archs.into_iter().all(|arch| {
                let plan = self.plan(Some(arch));
                plan.is_ok_and(|plan| locking::check_plan(self, &beside, &plan).is_ok())
            })
    }

    /// Realizes the recipe for `archs` (each that it has, where none is named); returns its lock, and the images.
    pub(super) fn make_lock(&self, archs: &[Arch]) -> Result<(Lock, Vec<Realized>), Error> {
        let mut images = Vec::new();
        let mut files = Default::default();
        let all = self.parsed.recipe.archs_for(Arch::host());
        let archs = if archs.is_empty() { &all } else { archs };
        for arch in archs.iter().copied() {
            files = self.plan(Some(arch))?.local_files();
            let options = RealizeOptions {
                arch: Some(arch),
                lock: LockUse::Ignore,
                ..RealizeOptions::default()
            };
            images.push(self.realize_with(&options)?.realized);
        }
        let recipe = Fingerprint::of(&self.parsed, &files);
        let lock = Lock::of(&recipe, images.iter().map(|made| &made.image));
        Ok((lock, images))
    }

    /// Writes the lock, unless the file says the same already.
    pub(super) fn write_lock(&self, lock: &Lock) -> Result<(), Error> {
        let path = lock::path_of(&self.path);
        let text = lock.to_string();
        let shown = path.display();
        // Whatever is there is replaced, but for what is no file.
        let there = locking::read(&path)?;
        if there.as_deref() == Some(text.as_bytes()) {
            self.session.note(format!("`{shown}` says so already"));
            return Ok(());
        }
        let io = |error| Error::io("write the lock", &path, error);
        replace(&path, There::Replace, io, |file| {
            file.write_all(text.as_bytes()).map_err(io)
        })?;
        let word = if there.is_some() { "updated" } else { "wrote" };
        self.session
            .note(format!("{word} `{shown}`: commit it beside the recipe"));
        Ok(())
    }
}
