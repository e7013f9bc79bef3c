//! From a recipe to its image: planned, held to its lock, found in the cache, taken from a substitute, or made.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget;
use super::error::Error;
use super::load::Loaded;
use super::locking::{self, LockUse};
use super::open::locked;
use super::substitutes::Substitutes;
use super::writable::check_directory;
use crate::arch::Arch;
use crate::plan::Plan;
use crate::realize::{Image, Realized};
use crate::share::substitutes::Taken;
use crate::store::{Store, StoreError, replace_link};
use crate::units::{bytes, seconds};

/// How a recipe is realized.
#[derive(Debug, Clone, Default)]
pub struct RealizeOptions {
    /// For which architecture; without one, the host's where the recipe has it.
    pub arch: Option<Arch>,
    /// Hash an image that is there again.
    pub verify: bool,
    /// How the lock beside the recipe is used.
    pub lock: LockUse,
    /// Where the image may come from; without these it is made on this machine.
    pub substitutes: Option<Substitutes>,
}

/// An image, and how it came about.
pub struct Made {
    /// The cache that it is in.
    pub(crate) store: Store,
    /// The image.
    pub realized: Realized,
    /// Where it was taken from, where it was not made here.
    pub taken: Option<Taken>,
}

impl RealizeOptions {
    /// Returns how a recipe is realized that is only looked at: its lock binds nothing.
    pub(crate) fn look(arch: Option<Arch>) -> RealizeOptions {
        RealizeOptions {
            arch,
            lock: LockUse::Hint,
            ..RealizeOptions::default()
        }
    }
}

impl Loaded<'_> {
    /// Returns everything that decides the bytes of the image for an architecture, or for the one that fits.
    ///
    /// ```
    /// use mkimg::arch::Arch;
    /// use mkimg::session::{Options, Session};
    ///
    /// let session = Session::open(Options::default())?;
    /// let plan = session.load("images/minimal.kdl")?.plan(Some(Arch::Aarch64))?;
    /// assert_eq!(plan.name, "minimal");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error`] where the recipe has nothing for it, or where a file beside the recipe cannot be read.
    pub fn plan(&self, arch: Option<Arch>) -> Result<Arc<Plan>, Error> {
        let recipe = &self.parsed.recipe;
        let arch = recipe.choose_arch(arch, Arch::host()).map_err(|error| {
            let wanted = arch.or(Arch::host()).map_or("it", Arch::name);
            let recipe = self.path.display();
            let help = format!("add a location for {wanted} to `{recipe}`, or name another");
            Error::usage(error.to_string(), help)
        })?;
        let mut plans = locked(&self.plans);
        if let Some(plan) = plans.get(&arch) {
            return Ok(Arc::clone(plan));
        }
        let plan = Plan::lower(recipe, arch, self.local_files()?)
            .map_err(|problems| Error::wrong(problems, &self.parsed))?;
        let plan = Arc::new(plan);
        plans.insert(arch, Arc::clone(&plan));
        Ok(plan)
    }

    /// Makes the image for this machine, or finds that it is made; the recipe is held to the lock beside it and to its budget.
    ///
    /// ```no_run
    /// use mkimg::session::{Options, Session};
    ///
    /// let session = Session::open(Options::with_cache("cache"))?;
    /// let made = session.load("images/minimal.kdl")?.realize()?;
    /// println!("{}", made.path.display());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub fn realize(&self) -> Result<Realized, Error> {
        Ok(self.realize_with(&RealizeOptions::default())?.realized)
    }

    /// Makes an image, or finds that it is made. What was done is reported, where something was.
    ///
    /// # Errors
    /// [`Error`].
    pub fn realize_with(&self, options: &RealizeOptions) -> Result<Made, Error> {
        let start = Instant::now();
        let made = self.image(options)?;
        budget::hold(self, &made.store, &made.realized)?;
        if !made.realized.up_to_date {
            let lines = made.summary(false, start.elapsed());
            lines.into_iter().for_each(|line| self.session.note(line));
        }
        Ok(made)
    }

    /// Makes an image, or finds that it is made, and holds the recipe to its lock.
    pub(crate) fn image(&self, options: &RealizeOptions) -> Result<Made, Error> {
        match options.lock {
            // What is locked anew is what this machine makes; a shared recipe's lock is as much of it as its image.
            LockUse::Ignore if !self.is_shared() => {
                let plan = self.plan(options.arch)?;
                return self.make(&plan, None, options);
            }
            LockUse::Ignore | LockUse::Hint => {
                let plan = self.plan(options.arch)?;
                let expected = locking::expected(self, &plan);
                return self.make(&plan, expected, options);
            }
            LockUse::Update => {
                self.check_own()?;
                let (all, _) = self.make_lock(&[])?;
                self.write_lock(&all)?;
            }
            LockUse::Default | LockUse::Needed => {}
        }
        let plan = self.plan(options.arch)?;
        let Some(beside) = locking::beside(self)? else {
            return match options.lock {
                LockUse::Needed => Err(locking::missing(self)),
                _ => self.make(&plan, None, options),
            };
        };
        self.warn_of_old_lock(&beside);
        locking::check_plan(self, &beside, &plan)?;
        let locked = beside.lock.images.get(&plan.arch);
        let expected = locked.and_then(|locked| locked.image(&plan));
        let made = self.make(&plan, expected, options)?;
        self.session.keep_locked(&made.store, &beside.path)?;
        locking::check_image(self, &beside, &made.realized)?;
        Ok(made)
    }

    /// Finds the image in the cache, or takes it from a substitute, or realizes it, in this order.
    fn make(
        &self,
        plan: &Plan,
        expected: Option<Image>,
        options: &RealizeOptions,
    ) -> Result<Made, Error> {
        let session = self.session;
        let store = session.store(&self.base)?;
        let fetch = session.fetch_options()?;
        let workshop = session.workshop(&store, &fetch);
        let failed = |error| Error::realize(error, &self.parsed);
        self.check_local_sources(&workshop, plan)?;
        let there = workshop.find(plan, &self.base, options.verify, expected.as_ref());
        let there = there.map_err(failed)?;
        let mut taken = None;
        if let (Some(places), None) = (&options.substitutes, &there) {
            taken = self.substitute(plan, &store, places)?;
        }
        let there = there.or_else(|| taken.as_ref().map(|taken| taken.realized.clone()));
        let realized = match there {
            Some(there) => Ok(there),
            None => workshop.make(plan, &self.base),
        };
        session.report.clear();
        let realized = realized.map_err(failed)?;
        let warnings = realized.warnings.iter();
        let warnings: Vec<_> = warnings.map(|one| one.located(&self.parsed)).collect();
        session.report.warnings(&self.parsed.source, &warnings);
        Ok(Made {
            store,
            realized,
            taken,
        })
    }
}

impl Made {
    /// Returns what was done and the three identities, shortened, for people.
    pub(crate) fn summary(&self, verified: bool, took: Duration) -> [String; 2] {
        let image = &self.realized.image;
        let (kernel, initramfs) = (bytes(image.kernel.size), bytes(image.initramfs.size));
        let what = match (self.realized.up_to_date, verified) {
            (false, _) => format!(
                "{kernel} kernel + {initramfs} initramfs in {}{}",
                seconds(took),
                self.taken.as_ref().map_or(String::new(), whence)
            ),
            (true, false) => "up to date: the image of this plan is in the cache".to_owned(),
            (true, true) => {
                "up to date: the image of this plan is in the cache, every byte verified".to_owned()
            }
        };
        [
            format!("{} {}: {what}", image.name, image.arch),
            format!(
                "sources {}  tree {}  image {} (initramfs) {} (kernel)",
                image.sources.short(),
                image.tree.short(),
                image.initramfs.digest.short(),
                image.kernel.digest.short()
            ),
        ]
    }

    /// Makes `link` a symlink to the image, which keeps it in the cache; returns why it does not keep it, where it cannot.
    ///
    /// # Errors
    /// [`Error`] where no symlink can be made.
    pub fn out_link(&self, link: &Path) -> Result<Option<StoreError>, Error> {
        let target = &self.realized.path;
        let target = fs::canonicalize(target).map_err(|error| Error::io("find", target, error))?;
        check_link(link)?;
        replace_link(&target, link).map_err(|error| Error::io("make the symlink", link, error))?;
        match self.store.add_root(link) {
            Ok(()) => Ok(None),
            // Whoever may not write there may not remove anything either; the owner of the cache may.
            Err(error @ StoreError::NotWritable { .. }) => Ok(Some(error)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns where an image was taken from, and who answers for it.
fn whence(taken: &Taken) -> String {
    format!(
        ", from `{}`, signed by {}",
        taken.place,
        taken.signers.join(" and ")
    )
}

/// Refuses a place where no out-link can be made: what is no symlink is not replaced.
pub(crate) fn check_link(link: &Path) -> Result<(), Error> {
    if fs::symlink_metadata(link).is_ok_and(|found| !found.is_symlink()) {
        return Err(Error::usage(
            format!("`{}` is there already and is no symlink", link.display()),
            "remove it, or name another path for `--out-link`",
        ));
    }
    check_directory("make the symlink", link)
}
