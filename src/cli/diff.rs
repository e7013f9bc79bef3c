//! `mkimg diff`: what differs between two images, down to entry and field, and the likely cause.

use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::values;
use crate::arch::Arch;
use crate::fault::Outcome;

/// `mkimg diff`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Diff {
    /// A recipe (a file, or the NAME of `images/NAME.kdl`), an image's directory, a bundle, or an archive (.cpio, .cpio.gz and
    /// others, whoever made it)
    #[arg(value_name = "A")]
    a: PathBuf,
    /// What to compare it with
    #[arg(value_name = "B")]
    b: PathBuf,
    #[arg(long, help = values::arch_help("the host's where recipes and bundles have it"), value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    arch: Option<Arch>,
    /// Print one line for each kind of difference
    #[arg(long, conflicts_with = "json")]
    stat: bool,
    /// Print JSON, with every entry
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  mkimg diff images/minimal.kdl /boot/initrd.img   another packer's image against mine
  mkimg diff old.cpio.gz new.cpio.zst -v           every entry, not a few of each kind

Exit codes: 0 nothing differs, 4 something does.";

pub(super) fn run(context: &Context<'_>, args: &Diff) -> Result<(), Failure> {
    let difference = context.session.diff(&args.a, &args.b, args.arch)?;
    if args.json {
        output::print_json(&difference.json())?;
    } else {
        let lines = match args.stat {
            true => difference.counts(),
            false => difference.lines(context.verbose),
        };
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        output::print(&text)?;
    }
    match difference.is_same() {
        true => Ok(()),
        false => Err(Failure::Said(Outcome::Different)),
    }
}
