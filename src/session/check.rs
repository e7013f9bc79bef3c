//! Whether an image comes out the same: made again under changed conditions, and compared with the one in the cache and the lock.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::checked::{Checked, Verdict};
use super::error::Error;
use super::host::{Shared, ground, readable};
use super::load::Loaded;
use super::locking;
use super::open::{Session, locked};
use super::realize::RealizeOptions;
use crate::arch::Arch;
use crate::check::{CheckError, Done, Ground, Round, World, rows};
use crate::diff::{self, Side};
use crate::digest::{self, Digest};
use crate::dir;
use crate::fault::Outcome;
use crate::lock;
use crate::plan::Plan;
use crate::realize::{IMAGE_FILE, Realized};
use crate::recipe::{self, Mode};

/// How an image is checked.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// For which architecture; without one, for each that the recipe has.
    pub arch: Option<Arch>,
    /// Each variant of the recipe, not the chosen one alone.
    pub all_variants: bool,
    /// How often it is made again.
    pub rounds: u8,
    /// Fetch the sources again too, in every round.
    pub refetch: bool,
    /// Fail where a recipe has no lock.
    pub locked: bool,
}

impl Default for CheckOptions {
    fn default() -> CheckOptions {
        CheckOptions {
            arch: None,
            all_variants: false,
            rounds: 2,
            refetch: false,
            locked: false,
        }
    }
}

impl Loaded<'_> {
    /// Makes each image of the recipe again under changed conditions, and compares. This starts the program `mkimg`, which the
    /// options of the session name.
    ///
    /// # Errors
    /// [`Error`] where nothing can be made; what could not be checked, or differs, is in what is returned.
    pub fn check(&self, options: &CheckOptions) -> Result<Vec<Checked>, Error> {
        let shared = Shared::new(self.session)?;
        Ok(self.check_each(options, &shared))
    }

    fn check_each(&self, options: &CheckOptions, shared: &Shared) -> Vec<Checked> {
        if !options.all_variants {
            return self.check_archs(options, shared);
        }
        match self.each_variant() {
            Ok(each) => each
                .iter()
                .flat_map(|one| one.check_archs(options, shared))
                .collect(),
            Err(error) => vec![at_fault(self.session, &self.shown(), None, error)],
        }
    }

    /// Returns the recipe's path, and the variant where there is one.
    fn shown(&self) -> String {
        match self.variant() {
            Some(variant) => format!("{} (variant {variant})", self.path.display()),
            None => self.path.display().to_string(),
        }
    }

    fn check_archs(&self, options: &CheckOptions, shared: &Shared) -> Vec<Checked> {
        let shown = self.shown();
        let archs = match options.arch {
            Some(arch) => vec![arch],
            None => self.parsed.archs_for(Arch::host()),
        };
        let one = |arch| {
            let plan = match self.plan(Some(arch)) {
                Ok(plan) => plan,
                Err(error) => return at_fault(self.session, &shown, Some(arch), error),
            };
            image(self.session, options, shared, self, &plan).unwrap_or_else(|error| {
                Checked::unchecked(self.session, shown.clone(), Some(arch), error)
            })
        };
        archs.into_iter().map(one).collect()
    }
}

impl Session<'_> {
    /// Checks recipes, some at once; `None` is the only one there is. What came of each is returned in their order.
    ///
    /// # Errors
    /// [`Error`] where nothing can be checked on this machine.
    pub fn check(
        &self,
        recipes: &[Option<PathBuf>],
        options: &CheckOptions,
    ) -> Result<Vec<Checked>, Error> {
        let shared = Shared::new(self)?;
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Vec<Checked>)>> = Mutex::default();
        let worker = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(recipe) = recipes.get(number) else {
                    return;
                };
                let checked = match self.load_as(recipe.as_deref(), Mode::Strict) {
                    Ok(loaded) => loaded.check_each(options, &shared),
                    Err(error) => {
                        let shown = recipe.as_ref().map(|path| path.display().to_string());
                        let shown = shown.unwrap_or_else(|| "the recipe".to_owned());
                        vec![at_fault(self, &shown, None, error)]
                    }
                };
                locked(&done).push((number, checked));
            }
        };
        thread::scope(|scope| {
            for _ in 0..recipes.len().min(self.jobs().get()) {
                scope.spawn(worker);
            }
        });
        let mut done = std::mem::take(&mut *locked(&done));
        done.sort_by_key(|(number, _)| *number);
        Ok(done.into_iter().flat_map(|(_, checked)| checked).collect())
    }
}

/// Returns what is said where there is no plan: up to there it is the user's, or the recipe's, fault.
fn at_fault(session: &Session<'_>, shown: &str, arch: Option<Arch>, error: Error) -> Checked {
    let wrong = error.outcome() == Outcome::Wrong;
    let mut checked = Checked::unchecked(session, shown.to_owned(), arch, error);
    checked.wrong = wrong;
    checked
}

/// Checks a recipe for one architecture. Its lock is asked before anything is made, and again of the image.
fn image(
    session: &Session<'_>,
    options: &CheckOptions,
    shared: &Shared,
    opened: &Loaded<'_>,
    plan: &Plan,
) -> Result<Checked, Error> {
    let beside = locking::beside(opened)?;
    let arch = plan.arch;
    match &beside {
        None if options.locked => return Err(locking::missing(opened)),
        None => {}
        Some(beside) => {
            opened.warn_of_old_lock(beside);
            locking::check_plan(opened, beside, plan)?;
        }
    }
    let slot = shared.slots.take();
    let look = RealizeOptions {
        verify: true,
        ..RealizeOptions::look(Some(arch))
    };
    let made = opened.image(&look)?;
    let (store, stored) = (made.store, made.realized);
    let fetch = session.fetch_options()?;
    let workshop = session.workshop(&store, &fetch);
    let failed = |error| opened.wrong(error, arch);
    let blobs = workshop.sources(plan, &opened.base).map_err(failed)?;
    if options.refetch {
        workshop
            .ask_everywhere(plan, &opened.base)
            .map_err(failed)?;
    }
    drop(slot);
    let mut unlike_lock = None;
    if let Some(beside) = &beside {
        session.keep_locked(&store, &beside.path)?;
        // Whether the rounds agree is worth knowing then, too.
        unlike_lock = locking::check_image(opened, beside, &stored).err();
    }
    let is_local = |name: &String| {
        let source = name.split('@').next().unwrap_or(name);
        let places = plan.sources.get(source).map(|source| &source.places);
        let local = |place: &recipe::Place| {
            matches!(place, recipe::Place::Local(_) | recipe::Place::OciLocal(_))
        };
        places.is_some_and(|places| places.iter().any(local))
    };
    let given: Vec<_> = blobs
        .iter()
        .filter(|(name, _)| !options.refetch || is_local(name))
        .map(|(_, blob)| blob.clone())
        .collect();
    let files = opened.shareable(&store)?;
    let size: u64 = blobs.values().map(|blob| blob.size).sum();
    let room = 2 * size + 3 * stored.image.archive_size + stored.image.kernel.size;
    let mut ground = ground(session, options.refetch, store.root(), shared, room)?;
    let absolute = files.keys().map(Path::new);
    let absolute = absolute.filter(|path| path.is_absolute());
    ground.users = readable(ground.users, shared, absolute);
    let mut child = session.options.environment.program_options.clone();
    for file in files
        .iter()
        .filter(|(name, _)| Path::new(name).is_absolute())
    {
        child.extend(["--allow-local".to_owned(), file.0.clone()]);
    }
    let values = opened.parsed.values.iter();
    child.extend(values.map(|(name, value)| format!("--set={name}={value}")));
    child.extend(opened.variant().map(|name| format!("--variant={name}")));
    if !options.refetch && !session.options.offline {
        child.push("--offline".to_owned());
    }
    let name = opened.path.file_name().unwrap_or_default();
    let name = match name.to_string_lossy() {
        name if name.ends_with(".kdl") => name.into_owned(),
        _ => "recipe.kdl".to_owned(),
    };
    let round = Round {
        recipe: (&name, opened.parsed.source.root().text.as_bytes()),
        files: &files,
        arch,
        blobs: &given,
        children: &session.options.environment.begun.children,
        options: &child,
    };
    let rounds = 0..usize::from(options.rounds);
    let worlds: Vec<World> = rounds.map(|number| World::of(&ground, number)).collect();
    let run = |world| {
        let _slot = shared.slots.take();
        round
            .run(&ground, world)
            .map(|done| (done, session.now() as i64))
    };
    let done: Vec<Result<(Done, i64), CheckError>> = thread::scope(|scope| {
        let started: Vec<_> = worlds
            .iter()
            .map(|world| scope.spawn(move || run(world)))
            .collect();
        let joined = started.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.collect()
    });
    let mut checked = judge(opened, &stored, &ground, &round, worlds, done)?;
    if let Some(failure) = unlike_lock {
        checked.unlike_lock(session, opened, failure);
    }
    Ok(checked)
}

/// Compares the images of the rounds, which are hashed here, with the one in the cache.
fn judge(
    opened: &Loaded<'_>,
    stored: &Realized,
    ground: &Ground,
    round: &Round<'_>,
    worlds: Vec<World>,
    done: Vec<Result<(Done, i64), CheckError>>,
) -> Result<Checked, Error> {
    let source = &opened.parsed.source;
    let mut checked = Checked::new(opened.path.display().to_string(), Some(stored.image.arch));
    checked.identities = vec![[stored.image.initramfs.digest, stored.image.kernel.digest]];
    let recipe = opened.parsed.of(stored.image.arch);
    checked.at(source, &recipe.name.span);
    checked.recipe = opened.shown();
    let mut table = Vec::new();
    let mut failed = Vec::new();
    for (world, done) in worlds.into_iter().zip(done) {
        let (done, now) = match done {
            Ok(done) => done,
            Err(error) => {
                failed.push(error);
                continue;
            }
        };
        let own = [&stored.image.initramfs.name, &stored.image.kernel.name]
            .map(|name| hash(&done.image.join(name)));
        let [initramfs, kernel] = own;
        let own = [initramfs?, kernel?];
        let described = dir::read(&done.image.join(IMAGE_FILE)).unwrap_or_default();
        let equal = own == checked.identities[0] && described == stored.image.text().as_bytes();
        if !equal && checked.verdict != Verdict::Different {
            checked.verdict = Verdict::Different;
            let span = match own[0] == checked.identities[0][0] {
                true => &recipe.kernel.span,
                false => &recipe.initramfs.span,
            };
            checked.at(source, span);
            checked.lines = explain(stored, &done, world.number + 1);
            checked.keep(stored, &done, ground);
        }
        checked.identities.push(own);
        let meant = round.meant(done.place.path(), &world);
        table.push((world, meant, done.seen.clone(), now));
    }
    let mut failed = failed.into_iter();
    match (failed.next(), checked.verdict) {
        (Some(error), Verdict::Equal) => return Err(error.into()),
        (Some(error), _) => checked.lines.push(error.to_string()),
        (None, _) => {}
    }
    checked.rows = rows(ground, &table);
    Ok(checked)
}

fn hash(path: &Path) -> Result<Digest, Error> {
    let hashed = dir::open(path).and_then(|mut file| digest::of_reader(&mut file));
    match hashed {
        Ok((digest, _)) => Ok(digest),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Returns what `mkimg diff` says of the image of a round. That there is a difference stays true where it says nothing.
fn explain(stored: &Realized, done: &Done, number: usize) -> Vec<String> {
    let told = || {
        let here = Side::open(&stored.path)?.named("in the cache");
        let there = Side::open(&done.image)?.named(format!("round {number}"));
        Ok(diff::compare(&here, &there)?.lines(false))
    };
    let mut lines = vec![format!("round {number} gave another image:")];
    lines.extend(told().unwrap_or_else(|error: diff::DiffError| {
        vec![format!("what differs cannot be told: {error}")]
    }));
    lines
}

impl Checked {
    /// Keeps the image of a round, and says where.
    fn keep(&mut self, stored: &Realized, done: &Done, ground: &Ground) {
        let to = tempfile::Builder::new()
            .prefix("mkimg-different-")
            .tempdir_in(&ground.temporary);
        let copy = |to: &Path| -> std::io::Result<()> {
            let names = [&stored.image.initramfs.name, &stored.image.kernel.name];
            for name in names.map(String::as_str).into_iter().chain([IMAGE_FILE]) {
                let mut to = fs::File::create_new(to.join(name))?;
                std::io::copy(&mut dir::open(&done.image.join(name))?, &mut to)?;
            }
            Ok(())
        };
        let kept: std::io::Result<PathBuf> = to.and_then(|to| {
            copy(to.path())?;
            Ok(to.keep())
        });
        match kept {
            Ok(kept) => {
                self.lines.push(format!(
                    "its image is kept; all of it: `mkimg diff --all {} {}`",
                    stored.path.display(),
                    kept.display()
                ));
                self.kept = Some(kept);
            }
            Err(error) => self
                .lines
                .push(format!("its image could not be kept: {error}")),
        }
    }

    /// Says that the image in the cache, and so each round like it, is not what the lock expects.
    fn unlike_lock(&mut self, session: &Session<'_>, opened: &Loaded<'_>, failure: Error) {
        let lock = lock::path_of(&opened.path);
        if self.verdict == Verdict::Equal {
            self.lines.push(
                "every round gave the image that is in the cache, and not the one of the lock"
                    .to_owned(),
            );
        }
        self.verdict = Verdict::Different;
        self.lines.extend(failure.lines());
        self.file = lock.display().to_string();
        let arch = self.arch.map_or("", Arch::name);
        let text = dir::read_to_string(&lock).unwrap_or_default();
        let head = format!("image \"{arch}\"");
        let variant = opened.variant().map(|name| format!(" variant=\"{name}\" "));
        let is_own = |line: &str| {
            let of_variant = variant
                .as_ref()
                .is_none_or(|variant| line.contains(variant));
            line.starts_with(&head) && of_variant
        };
        let at = text.lines().position(is_own);
        self.line = 1 + at.unwrap_or(0);
        session.report.failed(&failure);
    }
}
