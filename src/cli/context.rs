//! What the verbs share: the environment, read once, the recipe, the cache, and the workshop made of them.

use std::collections::BTreeSet;
use std::env;
use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use super::args::{Global, Target};
use super::failure::Failure;
use super::lock;
use super::locking::{self, LockUse};
use super::recipes;
use super::registry;
use super::sharing;
use super::signing::now;
use super::substitutes::SubstituteArgs;
use crate::arch::Arch;
use crate::dir;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::realize::{self, Image, Realized, Workshop};
use crate::recipe::{self, Mode, Parsed};
use crate::share::Repositories;
use crate::share::bundle::is_bundle;
use crate::share::substitutes::Taken;
use crate::source::apt;
use crate::source::fetch::redirect::redacted;
use crate::source::fetch::{FetchOptions, Mirror, Proxies};
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

/// A recipe that was read and found good.
pub(super) struct Opened {
    /// What it says.
    pub(super) parsed: Parsed,
    /// The directory that its relative paths start from.
    pub(super) base: PathBuf,
    /// The file.
    pub(super) path: PathBuf,
    /// The bundle that it came out of.
    pub(super) bundle: Option<Bundled>,
}

/// A bundle in a recipe's place.
pub(super) struct Bundled {
    /// The file.
    pub(super) path: PathBuf,
    /// What it has images for.
    pub(super) archs: Vec<Arch>,
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

impl Opened {
    /// Says whether it came out of a bundle or a registry.
    fn is_shared(&self) -> bool {
        sharing::cache_around(&self.base).is_some()
    }

    /// Refuses to change what came out of a bundle: the next look at the bundle would bring it back.
    pub(super) fn check_own(&self) -> Result<(), Failure> {
        match self.is_shared() {
            false => Ok(()),
            true => Err(Failure::usage(
                format!(
                    "`{}` came out of a bundle or a registry, and stays what it is",
                    self.path.display()
                ),
                "`mkimg import BUNDLE --extract DIR` writes a recipe of your own to change",
            )),
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
    /// Reads a recipe; prints its warnings.
    pub(super) fn open(&self, recipe: Option<&Path>, mode: Mode) -> Result<Opened, Failure> {
        let mut path = recipes::find(recipe)?;
        let mut bundle = None;
        // What cannot be read is told when it is read as a recipe.
        if is_bundle(&path).is_ok_and(|found| found) {
            let (_, imported) = sharing::import_bundle(self, &path, None)?;
            let images = imported.images.iter();
            let archs = images.map(|made| made.image.arch).collect();
            bundle = Some(Bundled { path, archs });
            path = imported.recipe;
        }
        let bytes = read_recipe(&path)?;
        let parsed =
            recipe::parse(&path.display().to_string(), &bytes, mode).map_err(Failure::invalid)?;
        sharing::check_imported(&path, &parsed.source.root().text)?;
        if !self.global.quiet {
            ui::print_diagnostics(&parsed.source, &parsed.warnings, self.terminal.color());
        }
        let base = path.parent().map_or(PathBuf::from("."), |parent| {
            if parent.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                parent.to_path_buf()
            }
        });
        Ok(Opened {
            parsed,
            base,
            path,
            bundle,
        })
    }

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
        let options = FetchOptions {
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
        };
        let remote = Repositories {
            options: registry::options_with(options.clone(), &Default::default()),
        };
        Ok(FetchOptions {
            remote: Some(Arc::new(remote)),
            ..options
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

    /// Returns the plan of a recipe for the architecture that was asked for, or the one that fits.
    pub(super) fn plan(&self, opened: &Opened, arch: Option<Arch>) -> Result<Plan, Failure> {
        let recipe = &opened.parsed.recipe;
        let arch = recipe.choose_arch(arch, Arch::host()).map_err(|error| {
            let wanted = arch.or(Arch::host()).map_or("it", Arch::name);
            let recipe = opened.path.display();
            let help = format!("add a location for {wanted} to `{recipe}`, or name another");
            Failure::usage(error.to_string(), help)
        })?;
        let reach = self.reach_of(recipe, &opened.base)?;
        let has_directory = |entry: &recipe::Entry| {
            matches!(entry.kind, recipe::EntryKind::Tree { .. }) && entry.kind.local().is_some()
        };
        let store = match recipe.initramfs.entries.iter().any(has_directory) {
            true => Some(self.store(&opened.base)?),
            false => None,
        };
        let beside = realize::Beside {
            base: &opened.base,
            reach: &reach,
            store: store.as_ref(),
            jobs: self.jobs().get(),
        };
        realize::plan_within(recipe, arch, beside)
            .map_err(|error| Failure::realize(error, &opened.parsed.source))
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
                return self.make_plan(opened, plan, None, verify, substitutes);
            }
            LockUse::Update => {
                opened.check_own()?;
                let (all, _) = lock::make(self, opened, &[])?;
                lock::write(self, &crate::lock::path_of(&opened.path), &all)?;
            }
            LockUse::Default | LockUse::Needed => {}
        }
        let plan = self.plan(opened, arch)?;
        let Some(beside) = locking::beside(opened)? else {
            return match lock {
                LockUse::Needed => Err(locking::missing(opened)),
                _ => self.make_plan(opened, plan, None, verify, substitutes),
            };
        };
        locking::check_plan(opened, &beside, &plan)?;
        let locked = beside.lock.images.get(&plan.arch);
        let expected = locked.and_then(|locked| locked.image(&plan));
        let made = self.make_plan(opened, plan, expected, verify, substitutes)?;
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
        self.make_plan(opened, plan, expected, verify, substitutes)
    }

    /// Finds the image in the cache, or takes it from a substitute, or realizes it, in this order.
    fn make_plan(
        &self,
        opened: &Opened,
        plan: Plan,
        expected: Option<Image>,
        verify: bool,
        substitutes: Option<&SubstituteArgs>,
    ) -> Result<Made, Failure> {
        let store = self.store(&opened.base)?;
        let fetch = self.fetch_options()?;
        let workshop = self.workshop(&store, &fetch);
        let failed = |error| Failure::realize(error, &opened.parsed.source);
        self.check_local_sources(opened, &workshop, &plan)?;
        let there = workshop.find(&plan, &opened.base, verify, expected.as_ref());
        let there = there.map_err(failed)?;
        let mut taken = None;
        if let (Some(args), None) = (substitutes, &there) {
            taken = self.substitute(opened, &plan, &store, args)?;
        }
        let there = there.or_else(|| taken.as_ref().map(|taken| taken.realized.clone()));
        let realized = match there {
            Some(there) => Ok(there),
            None => workshop.make(&plan, &opened.base),
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

/// Reads a recipe's file, which may be a pipe, but no further than any recipe goes.
fn read_recipe(path: &Path) -> Result<Vec<u8>, Failure> {
    let io = |error| Failure::io("read the recipe", path, error);
    let found = dir::metadata(path).map_err(io)?;
    if found.is_dir() {
        return Err(recipes::directory(path));
    }
    let limit = recipe::MAX_BYTES as u64;
    let mut bytes = Vec::new();
    let file = dir::open(path).map_err(io)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    let size = match found.is_file() {
        true => found.len().to_string(),
        false => format!("more than {limit}"),
    };
    Err(Failure::usage(
        format!(
            "`{}` has {size} bytes: no recipe is that large",
            path.display()
        ),
        format!("a recipe has at most {limit} bytes; let `file local=` take in large files"),
    ))
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
