//! Removing from the cache what nobody needs and was not used lately.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::Error;
use super::open::Session;
use super::places::base;
use crate::arch::Arch;
use crate::digest::Digest;
use crate::fault::Outcome;
use crate::lock;
use crate::progress::Event;
use crate::share::bundle::is_bundle;
use crate::store::gc::{Collection, RootState, Rules, collect, mentions, preview};
use crate::tools;
use crate::units::bytes;

/// How long something that was found out about this machine is believed.
const STALE: Duration = Duration::from_secs(30 * DAY);
/// How long something is kept after its last use, where no age was given.
const RECENT: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// What goes.
#[derive(Debug, Clone, Default)]
pub struct GcOptions {
    /// Keep this too, and what it needs: recipes, locks, images' directories, plan ids or sha256s of blobs.
    pub keep: Vec<PathBuf>,
    /// Remove the least recently used until the cache takes no more bytes than this.
    pub max: Option<u64>,
    /// Remove what was not used for so long.
    pub older: Option<Duration>,
    /// Remove all that is not needed, however young.
    pub all: bool,
    /// Remove nothing.
    pub dry_run: bool,
    /// Roots that may go though they cannot be read.
    pub forget: Vec<PathBuf>,
    /// Fail where others use the cache, instead of waiting for them.
    pub no_wait: bool,
}

/// What went, and what stayed.
pub struct Collected {
    /// The cache.
    pub root: PathBuf,
    /// When it was looked at.
    pub now: SystemTime,
    /// What went, and what stayed and why.
    pub collection: Collection,
    /// Why the cache is larger than was wanted, where it is.
    pub error: Option<Error>,
}

impl Session<'_> {
    /// Removes from the cache what nobody needs.
    ///
    /// # Errors
    /// [`Error`] where what is to be kept is not there, or where the cache cannot be used.
    pub fn gc(&self, args: &GcOptions) -> Result<Collected, Error> {
        let root = self.cache(base())?.path;
        let now = self.time();
        let mut rules = Rules {
            keep: BTreeSet::new(),
            certain: BTreeSet::new(),
            tools: Arch::ALL.into_iter().map(tools::pinned_digest).collect(),
            forget: BTreeSet::new(),
            older: args
                .older
                .map(|age| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)),
            max: args.max,
            recent: now.checked_sub(RECENT).unwrap_or(SystemTime::UNIX_EPOCH),
            all: args.all,
            stale: now.checked_sub(STALE).unwrap_or(SystemTime::UNIX_EPOCH),
        };
        for path in &args.forget {
            let absolute =
                std::path::absolute(path).map_err(|error| Error::io("find", path, error))?;
            rules.forget.insert(absolute);
        }
        let mut kept: BTreeMap<Digest, &Path> = BTreeMap::new();
        for what in &args.keep {
            let (digests, certain) = named(self, what)?;
            if certain {
                rules.certain.extend(&digests);
            }
            kept.extend(digests.into_iter().map(|digest| (digest, what.as_path())));
        }
        rules.keep = kept.keys().copied().collect();
        rules.keep.extend(locked_here(&root));
        self.release();
        let mut waiting = |count: usize| {
            let others = match count {
                0 => "other processes that use".to_owned(),
                1 => "1 other process that uses".to_owned(),
                count => format!("{count} other processes that use"),
            };
            let note = format!("waiting for {others} the cache `{}`", root.display());
            self.note(note);
        };
        let found = match args.dry_run {
            true => preview(&root, &rules)?,
            false => collect(&root, &rules, !args.no_wait, &mut waiting)?,
        };
        if let Some(what) = found.unknown.iter().find_map(|digest| kept.get(digest)) {
            return Err(Error::usage(
                format!(
                    "`--keep {}` names nothing in the cache `{}`",
                    what.display(),
                    root.display()
                ),
                "look at the digest or the path again; nothing was removed",
            ));
        }
        warn(self, &found);
        for path in &rules.forget {
            if !found.roots.iter().any(|root| root.path == *path) {
                let text = format!("`--forget {}`: there is no such root", path.display());
                self.warn(text);
            }
        }
        let max = args.max.filter(|max| found.after > *max);
        let error = max.map(|max| too_large(&found, max));
        Ok(Collected {
            root,
            now,
            collection: found,
            error,
        })
    }
}

/// Returns the digests that something to keep stands for, and whether they must be in the cache.
fn named(session: &Session<'_>, what: &Path) -> Result<(BTreeSet<Digest>, bool), Error> {
    let text = what.to_string_lossy();
    let digest = text.strip_prefix("sha256:").unwrap_or(&text);
    if let Ok(digest) = digest.parse::<Digest>() {
        return Ok((BTreeSet::from([digest]), true));
    }
    let io = |error| Error::io("read", what, error);
    if what.is_dir() {
        let path = fs::canonicalize(what).map_err(io)?;
        let name = path.file_name().unwrap_or_default();
        let digests = mentions(name.as_encoded_bytes());
        if digests.is_empty() {
            return Err(Error::usage(
                format!("`{}` is no image's directory", what.display()),
                "`mkimg realize` prints an image's directory; an out-link leads to one",
            ));
        }
        return Ok((digests, true));
    }
    if what.extension().is_some_and(|end| end == "lock") {
        return Ok((mentions(&fs::read(what).map_err(io)?), false));
    }
    // Opening it would fill the cache.
    if is_bundle(what).is_ok_and(|found| found) {
        return Err(Error::usage(
            format!("`{}` is a bundle", what.display()),
            "what was imported is kept without a word; `--older` and `--max` let it go: then import it again",
        ));
    }
    let opened = session.load(what)?;
    let mut digests = BTreeSet::new();
    for arch in opened.parsed.recipe.archs_for(Arch::host()) {
        let plan = opened.plan(Some(arch))?;
        digests.insert(plan.id());
        digests.extend(plan.sources.values().map(|source| source.digest));
    }
    // What cannot be read is no reason to keep less than the recipe alone.
    digests.extend(mentions(
        &fs::read(lock::path_of(&opened.path)).unwrap_or_default(),
    ));
    Ok((digests, false))
}

/// Returns what the locks here and beside the cache name. They are roots where they lie, but a project may have been moved
/// since, or lie elsewhere in every job of a CI.
fn locked_here(cache: &Path) -> BTreeSet<Digest> {
    let beside = fs::canonicalize(cache).map(|cache| cache.with_file_name("images"));
    let mut digests = BTreeSet::new();
    for directory in [beside.unwrap_or_default(), base().to_path_buf()] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "lock") && path.is_file() {
                digests.extend(mentions(&fs::read(path).unwrap_or_default()));
            }
        }
    }
    digests
}

fn warn(session: &Session<'_>, found: &Collection) {
    let warning = |text: String| session.warn(text);
    for text in &found.warnings {
        warning(text.clone());
    }
    for (root, why) in found.unreadable() {
        let path = root.path.display();
        warning(format!(
            "the root `{path}` cannot be read: {why}; nothing goes that it may need, so only garbage goes. If it is gone for \
             good: `--forget {path}`"
        ));
    }
    for root in &found.roots {
        let says = match &root.state {
            RootState::Keeps(_) => "keeps what it names",
            RootState::Gone => "is gone",
            RootState::Unreadable(_) => continue,
        };
        let text = format!("the root `{}` {says}", root.path.display());
        session.report.event(Event::Detail(text));
    }
}

fn too_large(found: &Collection, max: u64) -> Error {
    let kept: Vec<String> = found
        .roots
        .iter()
        .filter(|root| root.state != RootState::Gone)
        .map(|root| format!("  {}", root.path.display()))
        .collect();
    let help = match kept.is_empty() {
        true => "give it more".to_owned(),
        false => format!(
            "give it more, or remove what needs it (an out-link; a project with its lock):\n{}",
            kept.join("\n")
        ),
    };
    Error::new(
        Outcome::Failed,
        format!(
            "the cache still takes {} bytes, {} more than `--max` allows: the rest is needed",
            found.after,
            bytes(found.after - max)
        ),
        Some(help),
    )
}
