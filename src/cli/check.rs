//! `mkimg check`: realizes again from the sources under changed conditions, and compares.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::check_recipes::recipes;
use super::check_report::{self, annotation, text};
use super::context::Context;
use super::failure::Failure;
use super::output;
use super::values;
use crate::arch::Arch;
use crate::fault::Outcome;
use crate::session::{CheckOptions, Checked, Verdict};

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
    #[arg(long, help = values::arch_help("every one that the recipe has"), value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    pub(super) arch: Option<Arch>,
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
    let options = CheckOptions {
        arch: args.arch,
        rounds: args.rounds,
        refetch: args.refetch,
        locked: args.locked,
    };
    let checked = context.session.check(
        &recipes(&args.recipes, args.all.as_deref(), &args.except)?,
        &options,
    )?;
    let worst = checked.iter().map(|one| one.verdict).max();
    let worst = worst.unwrap_or(Verdict::Unchecked);
    context.terminal.clear();
    if args.json {
        output::print_json(&json!({
            "images": checked.iter().map(check_report::json).collect::<Vec<Value>>(),
            "verdict": worst.name(),
        }))?;
    } else {
        let line = |one: &Checked| match args.format {
            Format::Text => text(one),
            Format::Github => annotation(one),
        };
        output::print(&checked.iter().map(line).collect::<String>())?;
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
        Verdict::Different => Err(Failure::Said(Outcome::Different)),
        Verdict::Unchecked if checked.iter().any(|one| one.wrong) => {
            Err(Failure::Said(Outcome::Wrong))
        }
        Verdict::Unchecked => Err(Failure::Said(Outcome::Failed)),
    }
}
