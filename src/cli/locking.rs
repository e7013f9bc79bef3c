//! Holding a recipe to the lock beside it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::args::LockArgs;
use super::context::Context;
use super::failure::{Code, Failure};
use super::opened::Opened;
use crate::dir;
use crate::lock::{self, Change, Lock, LockError, Locked};
use crate::plan::Plan;
use crate::progress::{Event, Progress as _};
use crate::realize::{Image, Realized};
use crate::recipe::{Diagnostic, MAX_BYTES, Span};

/// How the lock beside a recipe is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockUse {
    /// The recipe is held to it where there is one.
    Default,
    /// There must be one.
    Needed,
    /// It is written anew.
    Update,
    /// It is not looked at.
    Ignore,
}

impl LockArgs {
    /// Returns what was asked for.
    pub(super) fn lock_use(&self) -> LockUse {
        match (self.locked, self.update_lock) {
            (true, _) => LockUse::Needed,
            (_, true) => LockUse::Update,
            _ => LockUse::Default,
        }
    }
}

/// The lock beside a recipe.
pub(super) struct Beside {
    /// Its path.
    pub(super) path: PathBuf,
    /// What it says.
    pub(super) lock: Lock,
    /// Its text.
    pub(super) text: String,
}

impl Context<'_> {
    /// Says how to renew a lock of an older version; what came out of a bundle stays what it is.
    pub(super) fn tell_old_lock(&self, opened: &Opened, beside: &Beside) {
        let version = beside.lock.version;
        if version < lock::VERSION && !opened.is_shared() {
            self.terminal.event(Event::Warning(format!(
                "the lock `{}` is of version {version}, which the next release does not read: `mkimg lock {}` renews it",
                beside.path.display(),
                opened.path.display()
            )));
        }
    }
}

/// Returns the lock beside a recipe, where there is one.
pub(super) fn beside(opened: &Opened) -> Result<Option<Beside>, Failure> {
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
        Err(error) => Err(unusable(error)),
    }
}

/// Returns the image that the lock beside a recipe expects of a plan; whether the lock can be used is said elsewhere.
pub(super) fn expected(opened: &Opened, plan: &Plan) -> Option<Image> {
    let beside = beside(opened).ok().flatten()?;
    let lock = beside.lock;
    let variant = opened.parsed.variant.as_deref();
    lock.of_image(variant, plan.arch)?.image(plan)
}

/// Reads a lock's file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let io = |error| Failure::io("read the lock", path, error);
    let found = match dir::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // The recipe came through a pipe.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if !found.is_file() || found.len() > MAX_BYTES as u64 {
        return Err(Failure::usage(
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

fn unusable(error: LockError) -> Failure {
    let help = error.help().to_owned();
    let code = match error {
        LockError::Format { .. } | LockError::Version { .. } => Code::Different,
        LockError::Line { .. } | LockError::Merge { .. } => Code::Wrong,
    };
    Failure::Plain {
        error: Box::new(error),
        help: Some(help),
        code,
    }
}

/// Returns the failure of a recipe that has no lock and should have one.
pub(super) fn missing(opened: &Opened) -> Failure {
    let path = lock::path_of(&opened.path);
    Failure::Plain {
        error: format!("there is no lock `{}`", path.display()).into(),
        help: Some(format!(
            "`mkimg lock {}` writes it: commit it beside the recipe",
            opened.path.display()
        )),
        code: Code::Different,
    }
}

/// Holds a recipe and its plan to a lock, before anything is fetched.
pub(super) fn check_plan(opened: &Opened, beside: &Beside, plan: &Plan) -> Result<(), Failure> {
    let lock = &beside.lock;
    let shown = beside.path.display();
    if lock.values != opened.parsed.values {
        return Err(other_values(opened, beside));
    }
    let changes = lock.recipe_changes(&opened.parsed, &opened.files());
    let locked = lock.of_image(opened.parsed.variant.as_deref(), plan.arch);
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
            .filter(|change| change.span.is_some() && change.what.contains(": the lock says"));
        changes.extend(sources);
        return Err(stale(opened, &what, &changes, accept(opened)));
    }
    let Some(locked) = locked else {
        return Err(Failure::Plain {
            error: format!("the lock `{shown}` has nothing for {}", which(opened, plan)).into(),
            help: Some(accept(opened)),
            code: Code::Different,
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
pub(super) fn check_image(
    opened: &Opened,
    beside: &Beside,
    made: &Realized,
) -> Result<(), Failure> {
    let variant = opened.parsed.variant.as_deref();
    let Some(locked) = beside.lock.of_image(variant, made.image.arch) else {
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
    Err(Failure::Plain {
        error: error.into(),
        help: Some(format!(
            "the image is in `{}`; `mkimg check {1}` finds out whether it comes out the same each time, and `mkimg lock {1}` \
             accepts it",
            made.path.display(),
            opened.path.display()
        )),
        code: Code::Different,
    })
}

/// Returns the failure of a lock that was made with other values of the parameters.
fn other_values(opened: &Opened, beside: &Beside) -> Failure {
    let shown = |values: &BTreeMap<String, String>| {
        let each = values.iter().map(|(name, value)| format!("{name}={value}"));
        let all = each.collect::<Vec<_>>().join(" ");
        if all.is_empty() {
            "none".to_owned()
        } else {
            all
        }
    };
    Failure::Plain {
        error: format!(
            "the lock `{}` was made with other values of the parameters: {}, not {}",
            beside.path.display(),
            shown(&beside.lock.values),
            shown(&opened.parsed.values)
        )
        .into(),
        help: Some(format!(
            "`mkimg lock {}` with `--set` for each value writes it anew",
            opened.path.display()
        )),
        code: Code::Different,
    }
}

/// Names an image among those of its recipe.
fn which(opened: &Opened, plan: &Plan) -> String {
    match &opened.parsed.variant {
        Some(variant) => format!("{} of the variant `{variant}`", plan.arch),
        None => plan.arch.to_string(),
    }
}

/// Returns the values of parameters that the lock at `path` was made with, where there is one that can be read.
pub(super) fn values(path: &Path) -> Option<BTreeMap<String, String>> {
    let bytes = read(path).ok().flatten()?;
    let lock = Lock::parse(&path.display().to_string(), &bytes).ok()?;
    Some(lock.values)
}

fn accept(opened: &Opened) -> String {
    format!(
        "if that is what you want, `mkimg lock {}` accepts it, and so does `--update-lock`",
        opened.path.display()
    )
}

/// Returns the failure of a lock that no longer fits, with a label at every statement that has a place.
fn stale(opened: &Opened, what: &str, changes: &[Change], help: String) -> Failure {
    const SHOWN: usize = 8;
    let source = &opened.parsed.source;
    let placed: Vec<(Span, &str)> = changes
        .iter()
        .filter_map(|change| Some((first_line(opened, change.span.clone()?), &*change.what)))
        .collect();
    let mut others: Vec<&str> = changes
        .iter()
        .filter(|change| change.span.is_none())
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
        return Failure::Plain {
            error: message.into(),
            help: Some(help),
            code: Code::Different,
        };
    };
    let mut diagnostic = Diagnostic::error(message, span, label);
    for (span, label) in shown {
        diagnostic = diagnostic.and(span, label);
    }
    Failure::Recipe {
        source: source.clone(),
        diagnostics: vec![diagnostic.help(help)],
        code: Code::Different,
    }
}

/// Returns the part of a place on its first line.
fn first_line(opened: &Opened, span: Span) -> Span {
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
