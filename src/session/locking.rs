//! Holding a recipe to the lock beside it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::load::Loaded;
use crate::dir;
use crate::fault::Outcome;
use crate::lock::{self, Change, Lock, Locked};
use crate::plan::{Fingerprint, Plan};
use crate::realize::{Image, Realized};
use crate::recipe::{Diagnostic, MAX_BYTES, Span};

/// How the lock beside a recipe is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockUse {
    /// The recipe is held to it where there is one.
    #[default]
    Default,
    /// There must be one.
    Needed,
    /// It is written anew.
    Update,
    /// It is not looked at.
    Ignore,
    /// It binds nothing, but an image that it expects counts as checked.
    Hint,
}

/// The lock beside a recipe.
pub(crate) struct Beside {
    /// Its path.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) lock: Lock,
    /// Its text.
    pub(crate) text: String,
}

impl Loaded<'_> {
    /// Reports how to renew a lock of an older version; what came out of a bundle stays what it is.
    pub(crate) fn warn_of_old_lock(&self, beside: &Beside) {
        let version = beside.lock.version;
        if version < lock::VERSION && !self.is_shared() {
            self.session.warn(format!(
                "the lock `{}` is of version {version}, which the next release does not read: `mkimg lock {}` renews it",
                beside.path.display(),
                self.path.display()
            ));
        }
    }
}

/// Returns the lock beside a recipe, where there is one.
pub(crate) fn beside(opened: &Loaded<'_>) -> Result<Option<Beside>, Error> {
    let path = lock::path_of(&opened.path);
    let Some(bytes) = read(&path)? else {
        return Ok(None);
    };
    match Lock::parse(&path.display().to_string(), &bytes) {
        Ok(lock) => Ok(Some(Beside {
            path,
            lock,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })),
        Err(error) => Err(error.into()),
    }
}

/// Returns the image that the lock beside a recipe expects of a plan; whether the lock can be used is said elsewhere.
pub(crate) fn expected(opened: &Loaded<'_>, plan: &Plan) -> Option<Image> {
    let beside = beside(opened).ok().flatten()?;
    beside.lock.images.get(&plan.arch)?.image(plan)
}

/// Reads a lock's file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let io = |error| Error::io("read the lock", path, error);
    let found = match dir::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // The recipe came through a pipe.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if !found.is_file() || found.len() > MAX_BYTES as u64 {
        return Err(Error::usage(
            format!(
                "`{}` is where the recipe's lock would be, and is none",
                path.display()
            ),
            "move it away, or give the recipe another name",
        ));
    }
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let file = dir::open(path).map_err(io)?;
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

/// Returns the failure of a recipe that has no lock and should have one.
pub(crate) fn missing(opened: &Loaded<'_>) -> Error {
    let path = lock::path_of(&opened.path);
    Error::Plain {
        error: format!("there is no lock `{}`", path.display()).into(),
        help: Some(format!(
            "`mkimg lock {}` writes it: commit it beside the recipe",
            opened.path.display()
        )),
        outcome: Outcome::Different,
    }
}

/// Holds a recipe and its plan to a lock, before anything is fetched.
pub(crate) fn check_plan(opened: &Loaded<'_>, beside: &Beside, plan: &Plan) -> Result<(), Error> {
    let lock = &beside.lock;
    let shown = beside.path.display();
    let now = Fingerprint::of(&opened.parsed, &plan.local_files());
    let changes = lock.recipe_changes(&now);
    let locked = lock.images.get(&plan.arch);
    if !changes.is_empty() {
        let mut what = format!("the lock `{shown}` is out of date");
        if locked.is_some_and(|locked| locked.plan == plan.id()) {
            what.push_str(", though the image stays the same");
        }
        // Which source it is, digest by digest, says more than that its statement changed.
        let mut changes = changes;
        let sources = locked.map(|locked| locked.plan_changes(plan));
        let sources = sources
            .into_iter()
            .flatten()
            .filter(|change| change.at.is_some() && change.what.contains(": the lock says"));
        changes.extend(sources);
        return Err(stale(opened, &what, &changes, accept(opened)));
    }
    let Some(locked) = locked else {
        return Err(Error::Plain {
            error: format!("the lock `{shown}` has nothing for {}", plan.arch).into(),
            help: Some(accept(opened)),
            outcome: Outcome::Different,
        });
    };
    let changes = locked.plan_changes(plan);
    if changes.is_empty() {
        return Ok(());
    }
    let what = format!(
        "the lock `{shown}` is of this recipe, but does not say what it gives for {}: it was edited by hand, or another mkimg wrote it",
        plan.arch
    );
    Err(stale(opened, &what, &changes, accept(opened)))
}

/// Holds an image to a lock whose plan is the same.
pub(crate) fn check_image(
    opened: &Loaded<'_>,
    beside: &Beside,
    made: &Realized,
) -> Result<(), Error> {
    let Some(locked) = beside.lock.images.get(&made.image.arch) else {
        return Ok(());
    };
    let changes = locked.image_changes(&Locked::of(&made.image));
    if changes.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = changes.into_iter().map(|change| change.what).collect();
    let error = format!(
        "{} {} is not the image that the lock `{}` expects\n  {}",
        made.image.name,
        made.image.arch,
        beside.path.display(),
        listed.join("\n  ")
    );
    Err(Error::Plain {
        error: error.into(),
        help: Some(format!(
            "the image is in `{}`; `mkimg check {1}` finds out whether it comes out the same each time, and `mkimg lock {1}` \
             accepts it",
            made.path.display(),
            opened.path.display()
        )),
        outcome: Outcome::Different,
    })
}

fn accept(opened: &Loaded<'_>) -> String {
    format!(
        "if that is what you want, `mkimg lock {}` accepts it, and so does `--update-lock`",
        opened.path.display()
    )
}

/// Returns the failure of a lock that no longer fits, with a label at every statement that has a place.
fn stale(opened: &Loaded<'_>, what: &str, changes: &[Change], help: String) -> Error {
    const SHOWN: usize = 8;
    let source = &opened.parsed.source;
    let placed: Vec<(Span, &str)> = changes
        .iter()
        .filter_map(|change| {
            let span = change.at.as_ref()?.span(&opened.parsed);
            Some((first_line(opened, span), &*change.what))
        })
        .collect();
    let mut others: Vec<&str> = changes
        .iter()
        .filter(|change| change.at.is_none())
        .map(|change| &*change.what)
        .collect();
    let more = format!("{} more statements", placed.len().saturating_sub(SHOWN));
    if placed.len() > SHOWN {
        others.push(&more);
    }
    let message = match others.is_empty() {
        true => what.to_owned(),
        false => format!("{what}: {}", others.join(", ")),
    };
    let mut shown = placed.into_iter().take(SHOWN);
    let Some((span, label)) = shown.next() else {
        return Error::Plain {
            error: message.into(),
            help: Some(help),
            outcome: Outcome::Different,
        };
    };
    let mut diagnostic = Diagnostic::error(message, span, label);
    for (span, label) in shown {
        diagnostic = diagnostic.and(span, label);
    }
    Error::Recipe {
        source: source.clone(),
        diagnostics: vec![diagnostic.help(help)],
        outcome: Outcome::Different,
    }
}

/// Returns the part of a place on its first line.
fn first_line(opened: &Loaded<'_>, span: Span) -> Span {
    let text = opened.parsed.source.slice(&span);
    let line = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches([' ', '\\', '{']);
    let start = span.start();
    let range = start..start + line.len().max(1);
    Span { range, ..span }
}
