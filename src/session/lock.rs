//! The lock of a recipe: what it gives, for every variant and every architecture that it has.

use std::io::Write as _;

use super::error::Error;
use super::load::Loaded;
use super::lock_file;
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
    /// Makes the images of every variant and architecture, and writes what they are into the lock beside the recipe.
    ///
    /// # Errors
    /// [`Error`] where one cannot be made, or the lock cannot be written.
    pub fn lock(&self) -> Result<Lock, Error> {
        self.check_own()?;
        // A lock that is right will not be written.
        if !self.is_locked() {
            check_file("write the lock", &lock::path_of(&self.path))?;
        }
        let lock = self.make_whole_lock()?;
        self.write_lock(&lock)?;
        let store = self.session.store(&self.base)?;
        self.session
            .keep_locked(&store, &lock::path_of(&self.path))?;
        Ok(lock)
    }

    /// Makes the images of every variant and architecture, and compares what they are with the lock beside the recipe.
    ///
    /// # Errors
    /// [`Error`] where the lock is missing or would change.
    pub fn check_lock(&self) -> Result<(), Error> {
        let lock = self.make_whole_lock()?;
        let Some(beside) = locking::beside(self)? else {
            return Err(locking::missing(self));
        };
        for one in self.each_variant()? {
            for arch in one.parsed.archs_for(Arch::host()) {
                locking::check_plan(&one, &beside, &*one.plan(Some(arch))?)?;
            }
        }
        if lock_file::read(&beside.path)?.as_deref() == Some(lock.to_string().as_bytes()) {
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
        // Read once, for all variants.
        let _ = self.local_files();
        let Ok(each) = self.each_variant() else {
            return false;
        };
        let is_locked = |one: &Loaded<'_>, arch| {
            let plan = one.plan(Some(arch));
            plan.is_ok_and(|plan| locking::check_plan(one, &beside, &plan).is_ok())
        };
        let all = |one: &Loaded<'_>| {
            let mut archs = one.parsed.archs_for(Arch::host()).into_iter();
            archs.all(|arch| is_locked(one, arch))
        };
        beside.lock.version == lock::VERSION && each.iter().all(all)
    }

    /// Realizes each variant of the recipe for each architecture that it has; returns its lock.
    pub(super) fn make_whole_lock(&self) -> Result<Lock, Error> {
        // Read once, for all variants.
        self.local_files()?;
        let mut whole: Option<Lock> = None;
        for one in self.each_variant()? {
            let (lock, _) = one.make_lock(&[])?;
            match &mut whole {
                Some(whole) => whole.images.extend(lock.images),
                None => whole = Some(lock),
            }
        }
        whole.ok_or_else(|| Error::usage("the recipe gives no image", "this is a bug: report it"))
    }

    /// Realizes the chosen variant of the recipe for `archs` (each that it has, where none is named); returns its lock, and the images.
    pub(super) fn make_lock(&self, archs: &[Arch]) -> Result<(Lock, Vec<Realized>), Error> {
        let mut images = Vec::new();
        let all = self.parsed.archs_for(Arch::host());
        let archs = if archs.is_empty() { &all } else { archs };
        for arch in archs.iter().copied() {
            let options = RealizeOptions {
                arch: Some(arch),
                lock: LockUse::Ignore,
                ..RealizeOptions::default()
            };
            images.push(self.realize_with(&options)?.realized);
        }
        let recipe = Fingerprint::of(&self.parsed, &self.files()?);
        let images_of = images.iter().map(|made| (self.variant(), &made.image));
        let lock = Lock::of(&recipe, images_of);
        Ok((lock, images))
    }

    /// Writes the lock, unless the file says the same already.
    pub(super) fn write_lock(&self, lock: &Lock) -> Result<(), Error> {
        let path = lock::path_of(&self.path);
        let text = lock.to_string();
        let shown = path.display();
        // Whatever is there is replaced, but for what is no file.
        let there = lock_file::read(&path)?;
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
