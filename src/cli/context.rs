//! What the verbs share: the environment, read once, the recipe, the cache, and the workshop made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use super::args::{Global, Target};
use super::failure::Failure;
use super::lock;
use super::locking::{self, LockUse};
use super::opened::Opened;
use super::sharing;
use super::signing::now;
use super::substitutes::SubstituteArgs;
use crate::arch::Arch;
use crate::plan::{self, LocalFile, Plan};
use crate::progress::Progress;
use crate::realize::{self, Image, RealizeError, Realized, Workshop};
use crate::recipe::Mode;
use crate::share::substitutes::Taken;
use crate::source::apt;
use crate::source::fetch::redirect::redacted;
use crate::source::fetch::{FetchOptions, Mirror, Proxies};
use crate::source::known::Known;
use crate::store::{Store, StoreError};
use crate::ui::{self, Terminal};

/// Everything that a verb needs to know about where it runs.
pub(super) struct Context<'t> {
    pub(super) global: Global,
    pub(super) terminal: &'t Terminal,
    /// The shared locks of caches that were used: until this process ends, `gc` leaves alone what it goes on with.
    held: Mutex<Vec<Arc<File>>>,
    /// Caches that were said not to be used.
    pub(super) told: Mutex<BTreeSet<PathBuf>>,
}

impl<'t> Context<'t> {
    /// Returns the context of a process that has used no cache yet.
    pub(super) fn new(global: Global, terminal: &'t Terminal) -> Context<'t> {
        Context {
            global,
            terminal,
            held: Mutex::default(),
            told: Mutex::default(),
        }
    }
}

/// An image, and how it came about.
pub(super) struct Made {
    /// The cache that it is in.
    pub(super) store: Store,
    /// The image.
    pub(super) realized: Realized,
    /// Where it was taken from, where it was not made here.
    pub(super) taken: Option<Taken>,
}

impl Context<'_> {
    /// Opens the cache that serves a recipe's directory.
    pub(super) fn store(&self, base: &Path) -> Result<Store, Failure> {
        let store = self.cache(base)?.open()?;
        let mut held = self
            .held
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        held.extend(store.lock());
        Ok(store)
    }

    /// Gives up the shared locks: whoever wants a cache alone must not be in it.
    pub(super) fn let_go(&self) {
        let mut held = self
            .held
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        held.clear();
    }

    /// Makes the lock of a recipe a root: `gc` keeps what it names.
    pub(super) fn keep_locked(&self, store: &Store, lock: &Path) -> Result<(), Failure> {
        // The lock of an imported recipe is in the cache itself, and kept as long as that.
        let absolute = std::path::absolute(lock).unwrap_or_else(|_| lock.to_path_buf());
        if sharing::cache_around(&absolute).is_some() {
            return Ok(());
        }
        match store.add_root(lock) {
            // Whoever may not write there may not remove anything either.
            Err(StoreError::NotWritable { .. }) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Returns the number of threads to use.
    pub(super) fn jobs(&self) -> NonZeroUsize {
        let all = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.global.jobs.unwrap_or_else(all)
    }

    /// Returns how sources are fetched here. The machine's apt configuration is read when the first `debian` source asks.
    pub(super) fn fetch_options(&self) -> Result<FetchOptions, Failure> {
        let mut mirrors = Vec::new();
        for mirror in &self.global.mirrors {
            mirrors.push(mirror.parse::<Mirror>().map_err(|error| {
                Failure::usage(
                    format!("`--mirror {}`: {error}", redacted(mirror)),
                    "name a directory, or a file:// URL of one",
                )
            })?);
        }
        Ok(FetchOptions {
            offline: self.global.offline,
            max_download: self.global.max_download,
            now: i64::try_from(now()).ok(),
            mirrors,
            debian_mirrors: self.debian_mirrors()?,
            apt_roots: apt::roots_of_machine(Path::new("/etc/apt")),
            proxies: Proxies {
                http: proxy("http_proxy"),
                https: proxy("https_proxy"),
                all: proxy("all_proxy"),
                no: proxy("no_proxy"),
            },
            ..FetchOptions::default()
        })
    }

    /// Returns the Debian mirrors that the user named, each something that can be one.
    fn debian_mirrors(&self) -> Result<Vec<String>, Failure> {
        let named = self.global.debian_mirror.iter().map(|root| root.trim());
        let named: Vec<String> = named
            .filter(|root| !root.is_empty())
            .map(str::to_owned)
            .collect();
        let is_url = |root: &String| {
            ["http://", "https://", "file:"]
                .iter()
                .any(|scheme| root.starts_with(scheme))
        };
        match named
            .iter()
            .find(|root| !is_url(root) && !Path::new(root).is_dir())
        {
            None => Ok(named),
            Some(odd) => Err(Failure::usage(
                format!("`{}` is no Debian mirror", redacted(odd)),
                "`--debian-mirror` and MKIMG_DEBIAN_MIRROR take http, https and file URLs, and directories, separated by commas",
            )),
        }
    }

    /// Returns the workshop for a cache.
    pub(super) fn workshop<'a>(
        &'a self,
        store: &'a Store,
        fetch: &'a FetchOptions,
    ) -> Workshop<'a> {
        Workshop {
            store,
            fetch,
            jobs: self.jobs(),
            max_unpacked: self.global.max_unpacked,
            progress: self.terminal as &dyn Progress,
        }
    }

    /// Returns the architecture that was asked for, or the one that fits.
    pub(super) fn arch(&self, opened: &Opened, arch: Option<Arch>) -> Result<Arch, Failure> {
        let chosen = opened.parsed.choose_arch(arch, Arch::host());
        chosen.map_err(|error| {
            let wanted = arch.or(Arch::host()).map_or("it", Arch::name);
            let recipe = opened.path.display();
            let help = format!("add a location for {wanted} to `{recipe}`, or name another");
            Failure::usage(error.to_string(), help)
        })
    }

    /// Returns the plan of a recipe for the architecture that was asked for, or the one that fits. It is made once.
    pub(super) fn plan(&self, opened: &Opened, arch: Option<Arch>) -> Result<Arc<Plan>, Failure> {
        let arch = self.arch(opened, arch)?;
        let mut plans = opened
            .plans
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        if let Some(plan) = plans.get(&arch) {
            return Ok(Arc::clone(plan));
        }
        let plan = Plan::resolve(opened.parsed.of(arch), arch, self.local_files(opened)?)
            .map_err(|problems| opened.wrong(RealizeError::Recipe(problems)))?;
        let plan = Arc::new(plan);
        plans.insert(arch, Arc::clone(&plan));
        Ok(plan)
    }

    /// Returns the files beside a recipe that it names without their hash. They are read once, whatever the architectures and
    /// the variants.
    pub(super) fn local_files<'o>(
        &self,
        opened: &'o Opened,
    ) -> Result<&'o BTreeMap<String, LocalFile>, Failure> {
        if let Some(files) = opened.files.get() {
            return Ok(files);
        }
        let mut recipes = opened.parsed.recipes();
        let files = match recipes.all(|recipe| plan::local_files(recipe).is_empty()) {
            true => BTreeMap::new(),
            false => {
                let reach = self.reach(&opened.base)?;
                // A cache that cannot be opened is told where it is needed.
                let store = self.store(&opened.base).ok();
                let known = store.as_ref().map(|store| Known {
                    store,
                    now: i64::try_from(now()).ok(),
                });
                realize::local_files(opened.parsed.recipes(), &opened.base, &reach, known)
                    .map_err(|error| opened.wrong(error))?
            }
        };
        Ok(opened.files.get_or_init(|| files))
    }

    /// Realizes a recipe that was read, and holds it to the lock beside it. With `verify` an image that is there is hashed
    /// again. Without `substitutes` it is made on this machine, where it is not there.
    pub(super) fn realize_locked(
        &self,
        opened: &Opened,
        arch: Option<Arch>,
        verify: bool,
        lock: LockUse,
        substitutes: Option<&SubstituteArgs>,
    ) -> Result<Made, Failure> {
        match lock {
            // What is locked anew is what this machine makes; a shared recipe's lock is as much of it as its image.
            LockUse::Ignore if opened.is_shared() => {
                return self.make(opened, arch, verify, substitutes);
            }
            LockUse::Ignore => {
                let plan = self.plan(opened, arch)?;
                return self.make_plan(opened, &plan, None, verify, substitutes);
            }
            LockUse::Update => {
                opened.check_own()?;
                let all = lock::make_all(self, opened)?;
                lock::write(self, &crate::lock::path_of(&opened.path), &all)?;
            }
            LockUse::Default | LockUse::Needed => {}
        }
        let plan = self.plan(opened, arch)?;
        let Some(beside) = locking::beside(opened)? else {
            return match lock {
                LockUse::Needed => Err(locking::missing(opened)),
                _ => self.make_plan(opened, &plan, None, verify, substitutes),
            };
        };
        self.tell_old_lock(opened, &beside);
        if lock == LockUse::Default && beside.lock.values != opened.parsed.values {
            self.terminal.line(&format!(
                "not held to the lock `{}`, which is of other values of the parameters",
                beside.path.display()
            ));
            return self.make_plan(opened, &plan, None, verify, substitutes);
        }
        locking::check_plan(opened, &beside, &plan)?;
        let locked = beside
            .lock
            .of_image(opened.parsed.variant.as_deref(), plan.arch);
        let expected = locked.and_then(|locked| locked.image(&plan));
        let made = self.make_plan(opened, &plan, expected, verify, substitutes)?;
        self.keep_locked(&made.store, &beside.path)?;
        locking::check_image(opened, &beside, &made.realized)?;
        Ok(made)
    }

    /// Realizes a recipe that was read, on this machine.
    pub(super) fn realize_opened(
        &self,
        opened: &Opened,
        arch: Option<Arch>,
        verify: bool,
    ) -> Result<(Store, Realized), Failure> {
        let made = self.make(opened, arch, verify, None)?;
        Ok((made.store, made.realized))
    }

    /// Realizes a recipe that was read, and that need not be what its lock says. What the lock expects still counts as checked.
    fn make(
        &self,
        opened: &Opened,
        arch: Option<Arch>,
        verify: bool,
        substitutes: Option<&SubstituteArgs>,
    ) -> Result<Made, Failure> {
        let plan = self.plan(opened, arch)?;
        let expected = locking::expected(opened, &plan);
        self.make_plan(opened, &plan, expected, verify, substitutes)
    }

    /// Finds the image in the cache, or takes it from a substitute, or realizes it, in this order.
    fn make_plan(
        &self,
        opened: &Opened,
        plan: &Plan,
        expected: Option<Image>,
        verify: bool,
        substitutes: Option<&SubstituteArgs>,
    ) -> Result<Made, Failure> {
        let store = self.store(&opened.base)?;
        let fetch = self.fetch_options()?;
        let workshop = self.workshop(&store, &fetch);
        let failed = |error| opened.wrong(error);
        self.check_local_sources(opened, &workshop, plan)?;
        let there = workshop.find(plan, &opened.base, verify, expected.as_ref());
        let there = there.map_err(failed)?;
        let mut taken = None;
        if let (Some(args), None) = (substitutes, &there) {
            taken = self.substitute(opened, plan, &store, args)?;
        }
        let there = there.or_else(|| taken.as_ref().map(|taken| taken.realized.clone()));
        let realized = match there {
            Some(there) => Ok(there),
            None => workshop.make(plan, &opened.base),
        };
        self.terminal.clear();
        let realized = realized.map_err(failed)?;
        if !self.global.quiet {
            let source = &opened.parsed.source;
            ui::print_diagnostics(source, &realized.warnings, self.terminal.color());
        }
        Ok(Made {
            store,
            realized,
            taken,
        })
    }

    /// Realizes a recipe that is only looked at.
    pub(super) fn realized(&self, target: &Target) -> Result<Realized, Failure> {
        let opened = self.open(target.recipe.as_deref(), Mode::Strict)?;
        let only_configured = SubstituteArgs::default();
        let made = self.make(&opened, target.arch, false, Some(&only_configured))?;
        Ok(made.realized)
    }
}

/// Returns the path in an environment variable; an empty one is as good as none.
#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where the environment is read"
)]
pub(super) fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Returns a proxy variable, lower case first as curl does; upper-case HTTP_PROXY is left alone where a web server may have
/// set it from a request's header (CVE-2016-5385).
#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where the environment is read"
)]
fn proxy(name: &str) -> Option<String> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let served = name == "http_proxy" && env::var_os("REQUEST_METHOD").is_some();
    set(name).or_else(|| set(&name.to_uppercase()).filter(|_| !served))
}
