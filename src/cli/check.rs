//! `mkimg check`: realizes again from the sources under changed conditions, and compares.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::args::Variants;
use super::check_ground::Shared;
use super::check_image;
use super::check_recipes::recipes;
use super::check_report::{Checked, Verdict};
use super::context::Context;
use super::failure::{Code, Failure};
use super::opened::Opened;
use super::output;
use super::values;
use crate::arch::Arch;
use crate::recipe::Mode;

/// `mkimg check`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The recipes, or bundles: files, or the NAME of `images/NAME.kdl` [default: the only one in `images/`]
    #[arg(value_name = "RECIPE")]
    pub(super) recipes: Vec<PathBuf>,
    /// Every recipe in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "recipes")]
    pub(super) all: Option<PathBuf>,
    /// With --all, a recipe to leave out, by NAME; may be given several times
    #[arg(long, value_name = "NAME", requires = "all")]
    pub(super) except: Vec<String>,
    /// The architecture, x86_64 or aarch64 [default: every one that the recipe has]
    #[arg(long, value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    pub(super) arch: Option<Arch>,
    /// Which variants.
    #[command(flatten)]
    pub(super) variants: Variants,
    /// How often each image is realized again
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(super) rounds: u8,
    /// Fetch the sources again too, in every round
    #[arg(long)]
    pub(super) refetch: bool,
    /// Fail where a recipe has no lock
    #[arg(long)]
    pub(super) locked: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How it is told: text, or github (annotations of a workflow)
    #[arg(long, value_name = "NAME", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// Annotations.
    Github,
}

const EXAMPLES: &str = "\
Examples:
  mkimg check images/minimal.kdl         twice, for every architecture that it has
  mkimg check --all images --locked      as CI does; without a lock a recipe fails

Exit codes: 0 equal, 4 different (or a lock is missing or out of date), 1 could not check,
2 wrong usage or recipe.";

pub(super) fn run(context: &Context<'_>, args: &Check) -> Result<(), Failure> {
    let recipes = recipes(args)?;
    let shared = Shared::new(context)?;
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Vec<Checked>)>> = Mutex::default();
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(recipe) = recipes.get(number) else {
                return;
            };
            let checked = check(context, args, &shared, recipe.as_deref());
            let mut done = done.lock().unwrap_or_else(|poison| poison.into_inner());
            done.push((number, checked));
        }
    };
    thread::scope(|scope| {
        for _ in 0..recipes.len().min(context.jobs().get()) {
            scope.spawn(worker);
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    done.sort_by_key(|(number, _)| *number);
    let checked: Vec<Checked> = done.into_iter().flat_map(|(_, checked)| checked).collect();
    let worst = checked.iter().map(|one| one.verdict).max();
    let worst = worst.unwrap_or(Verdict::Unchecked);
    context.terminal.clear();
    if args.json {
        output::print_json(&json!({
            "images": checked.iter().map(Checked::json).collect::<Vec<Value>>(),
            "verdict": worst.name(),
        }))?;
    } else {
        let text = |one: &Checked| match args.format {
            Format::Text => one.text(),
            Format::Github => one.annotation(),
        };
        output::print(&checked.iter().map(text).collect::<String>())?;
    }
    let count = |verdict| checked.iter().filter(|one| one.verdict == verdict).count();
    let left_out = match args.except.as_slice() {
        [] => String::new(),
        names => format!("; left out: {}", names.join(", ")),
    };
    context.terminal.line(&format!(
        "{} equal, {} different, {} could not be checked{left_out}",
        count(Verdict::Equal),
        count(Verdict::Different),
        count(Verdict::Unchecked),
    ));
    match worst {
        Verdict::Equal => Ok(()),
        Verdict::Different => Err(Failure::Said(Code::Different)),
        Verdict::Unchecked if checked.iter().any(|one| one.wrong) => {
            Err(Failure::Said(Code::Wrong))
        }
        Verdict::Unchecked => Err(Failure::Said(Code::Failed)),
    }
}

/// Checks a recipe, for each architecture.
fn check(
    context: &Context<'_>,
    args: &Check,
    shared: &Shared,
    recipe: Option<&Path>,
) -> Vec<Checked> {
    let shown = recipe.map_or_else(
        || "the recipe".to_owned(),
        |path| path.display().to_string(),
    );
    // Up to the plan it is the user's, or the recipe's, fault.
    let wrong = |shown: &str, arch, failure: Failure| {
        let wrong = failure.code() == Some(Code::Wrong);
        let mut checked = Checked::unchecked(context, shown.to_owned(), arch, failure);
        checked.wrong = wrong;
        checked
    };
    let opened = match context.open(recipe, Mode::Strict) {
        Ok(opened) => opened,
        Err(failure) => return vec![wrong(&shown, None, failure)],
    };
    let shown = opened.path.display().to_string();
    let each = match context.variants(opened, &args.variants) {
        Ok(each) => each,
        Err(failure) => return vec![wrong(&shown, None, failure)],
    };
    let of_variant = |opened: &Opened| {
        let archs = match args.arch {
            Some(arch) => vec![arch],
            None => opened.parsed.archs_for(Arch::host()),
        };
        let shown = match &opened.parsed.variant {
            Some(variant) => format!("{shown} (variant {variant})"),
            None => shown.clone(),
        };
        let one = |arch| {
            let plan = match context.plan(opened, Some(arch)) {
                Ok(plan) => plan,
                Err(failure) => return wrong(&shown, Some(arch), failure),
            };
            check_image::image(context, args, shared, opened, &plan).unwrap_or_else(|failure| {
                Checked::unchecked(context, shown.clone(), Some(arch), failure)
            })
        };
        archs.into_iter().map(one).collect::<Vec<_>>()
    };
    each.iter().flat_map(of_variant).collect()
}
