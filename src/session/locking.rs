//! Holding a recipe to the lock beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::Error;
use super::load::Loaded;
use super::lock_file;
use crate::arch::Arch;
use crate::fault::Outcome;
use crate::lock::{self, Change, Lock, Locked};
use crate::plan::{Fingerprint, Plan};
use crate::realize::{Image, Realized};
use crate::recipe::{Diagnostic, Span};

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
    let Some(bytes) = lock_file::read(&path)? else {
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
    let locked = beside.lock.of_image(opened.variant(), plan.arch)?;
    locked.image(plan)
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
    if lock.values != opened.parsed.values {
        return Err(other_values(opened, beside));
    }
    let now = Fingerprint::of(&opened.parsed, &opened.files()?);
    let changes = lock.recipe_changes(&now);
    let locked = lock.of_image(opened.variant(), plan.arch);
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
        return Err(stale(opened, plan.arch, &what, &changes));
    }
    let Some(locked) = locked else {
        return Err(Error::Plain {
            error: format!("the lock `{shown}` has nothing for {}", which(opened, plan)).into(),
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
    Err(stale(opened, plan.arch, &what, &changes))
}

/// Holds an image to a lock whose plan is the same.
pub(crate) fn check_image(
    opened: &Loaded<'_>,
    beside: &Beside,
    made: &Realized,
) -> Result<(), Error> {
    let Some(locked) = beside.lock.of_image(opened.variant(), made.image.arch) else {
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

/// Returns the error of a lock that was made with other values of the parameters.
fn other_values(opened: &Loaded<'_>, beside: &Beside) -> Error {
    let shown = |values: &BTreeMap<String, String>| {
        let each = values.iter().map(|(name, value)| format!("{name}={value}"));
        let all = each.collect::<Vec<_>>().join(" ");
        match all.is_empty() {
            true => "none".to_owned(),
            false => all,
        }
    };
    let error = format!(
        "the lock `{}` was made with other values of the parameters: {}, not {}",
        beside.path.display(),
        shown(&beside.lock.values),
        shown(&opened.parsed.values)
    );
    let help = format!(
        "`mkimg lock {}` with `--set` for each value writes it anew",
        opened.path.display()
    );
    Error::new(Outcome::Different, error, Some(help))
}

/// Names an image among those of its recipe.
fn which(opened: &Loaded<'_>, plan: &Plan) -> String {
    match opened.variant() {
        Some(variant) => format!("{} of the variant `{variant}`", plan.arch),
        None => plan.arch.to_string(),
    }
}

fn accept(opened: &Loaded<'_>) -> String {
    format!(
        "if that is what you want, `mkimg lock {}` accepts it, and so does `--update-lock`",
        opened.path.display()
    )
}

/// Returns the failure of a lock that no longer fits, with a label at every statement that has a place.
fn stale(opened: &Loaded<'_>, arch: Arch, what: &str, changes: &[Change]) -> Error {
    const SHOWN: usize = 8;
    let (recipe, help) = (opened.parsed.of(arch), accept(opened));
    let source = &opened.parsed.source;
    let placed: Vec<(Span, &str)> = changes
        .iter()
        .filter_map(|change| {
            let span = change.at.as_ref()?.span(recipe, source);
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
