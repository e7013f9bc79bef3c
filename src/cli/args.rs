//! The command line: what may be typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::global::Global;
use super::shared::{Boot, LockArgs, SubstituteArgs, Target};
use super::values::{self, parse_time};
use crate::arch::Arch;

/// A KDL recipe in, a kernel and an initramfs out: the same bytes on every machine.
#[derive(Debug, Parser)]
#[command(
    name = "mkimg",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    help_expected = true
)]
pub(super) struct Arguments {
    /// Options that every verb takes.
    #[command(flatten)]
    pub(super) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make the image of a recipe, or find that it is made; print its directory
    Realize(Realize),
    /// Make the image of a recipe and boot it, its console on this terminal
    Run(Run),
    /// Make the image of a recipe, boot it, and run the recipe's tests
    Test(Test),
    /// Write what a recipe gives into the lock beside it, which realize, run and test then hold it to
    Lock(LockVerb),
    /// Realize again from the sources under changed conditions, and compare
    Check(super::check::Check),
    /// One round of `check`, which `check` alone starts
    #[command(skip)]
    CheckRound(Box<super::check_round::CheckRound>),
    /// Answers one connection of a test's guest, which QEMU alone starts
    #[command(skip)]
    Answer(Answer),
    /// Say what differs between two images, down to entry and field, and the likely cause
    Diff(super::diff::Diff),
    /// Show what an image is, its identities, and what its size is made of
    Show(Look),
    /// List the entries of an image
    Ls(List),
    /// Print one file of an image
    Cat(Cat),
    /// Say which line of the recipe put a path into the image
    Why(Why),
    /// Print what is in an image, or how it came about: SPDX, or SLSA provenance
    Sbom(Sbom),
    /// Fetch the sources that have no sha256 and write it, and the size, into the recipe
    Pin(Pin),
    /// Put a local file into the cache and print the `source` line for it
    Add(Add),
    /// Put a recipe and its images into one file, a bundle
    Export(super::export::Export),
    /// Verify a bundle and fill the cache with it; print the image's directory
    Import(super::import::Import),
    /// Send an image of all its architectures to an OCI registry; print its digest
    Push(super::push::Push),
    /// Take an image from an OCI registry into the cache; print its digest and its directory
    Pull(super::pull::Pull),
    /// Sign a shared image where it is, in a registry or a bundle
    Sign(super::sign::Sign),
    /// Check a shared image: its bytes, who signed it, and whether its recipe gives it again
    Verify(super::verify::Verify),
    /// Make a shared image again and, where it is the same, say so beside it, signed
    Attest(super::attest::Attest),
    /// Remove from the cache what nobody needs and was not used lately; print what went and what stayed
    Gc(super::gc::Gc),
    /// Take over a cache that came from elsewhere
    Cache(super::cache::Cache),
    /// Write a recipe to start from: it realizes and boots as it is
    New(New),
    /// Print the completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man(Man),
    /// Print the help of a verb, or about `recipe` (the language) or `options` (those of every verb)
    Help(Help),
}

/// `mkimg answer`
#[derive(Debug, Args)]
pub(super) struct Answer {
    /// The directory with the pages
    // Its own id: `directory` is the global `-C`.
    #[arg(value_name = "DIRECTORY")]
    pub(super) pages: PathBuf,
}

/// `mkimg lock`
#[derive(Debug, Args)]
pub(super) struct LockVerb {
    /// The recipe: a file, or the NAME of `images/NAME.kdl` [default: the only one in `images/`]
    #[arg(value_name = "RECIPE")]
    pub(super) recipe: Option<PathBuf>,
    /// Write nothing; fail where the lock would change
    #[arg(long)]
    pub(super) check: bool,
}

/// `mkimg realize`
#[derive(Debug, Args)]
pub(super) struct Realize {
    /// Which image.
    #[command(flatten)]
    pub(super) target: Target,
    /// The lock.
    #[command(flatten)]
    pub(super) lock: LockArgs,
    /// Where the image may come from.
    #[command(flatten)]
    pub(super) substitutes: SubstituteArgs,
    /// Make PATH a symlink to the image, which keeps it in the cache
    #[arg(long, value_name = "PATH")]
    pub(super) out_link: Option<PathBuf>,
    /// Hash an image that is there again
    #[arg(long)]
    pub(super) verify: bool,
    /// Print JSON: what image.json says, and the path
    #[arg(long)]
    pub(super) json: bool,
}

/// `mkimg run`
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Which image.
    #[command(flatten)]
    pub(super) target: Target,
    /// The machine.
    #[command(flatten)]
    pub(super) boot: Boot,
    /// The lock.
    #[command(flatten)]
    pub(super) lock: LockArgs,
    /// Where the image may come from.
    #[command(flatten)]
    pub(super) substitutes: SubstituteArgs,
    /// End the machine after this time, such as 90s or 2min; the exit code is then 5
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) timeout: Option<Duration>,
    /// Print the QEMU command, ready to paste, and start nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Boot this kernel instead of a recipe's
    #[arg(long, value_name = "FILE", conflicts_with = "recipe")]
    pub(super) kernel: Option<PathBuf>,
    /// Boot with this initramfs; goes with --kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(super) initrd: Option<PathBuf>,
    /// Arguments for QEMU, after `--`
    #[arg(last = true, value_name = "ARGS")]
    pub(super) qemu_args: Vec<OsString>,
}

/// `mkimg test`
#[derive(Debug, Args)]
pub(super) struct Test {
    /// Which image.
    #[command(flatten)]
    pub(super) target: Target,
    /// The machine.
    #[command(flatten)]
    pub(super) boot: Boot,
    /// The lock.
    #[command(flatten)]
    pub(super) lock: LockArgs,
    /// Where the image may come from.
    #[command(flatten)]
    pub(super) substitutes: SubstituteArgs,
    /// Run only the tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Option<String>,
    /// Go on after a test that failed
    #[arg(long)]
    pub(super) keep_going: bool,
    /// Write a JUnit report; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write the console of each test, every line with its time since the start; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Arguments for QEMU, after `--`
    #[arg(last = true, value_name = "ARGS")]
    pub(super) qemu_args: Vec<OsString>,
}

/// `mkimg show`
#[derive(Debug, Args)]
pub(super) struct Look {
    /// Which image.
    #[command(flatten)]
    pub(super) target: Target,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `mkimg ls`
#[derive(Debug, Args)]
pub(super) struct List {
    /// Which image.
    #[command(flatten)]
    pub(super) target: Target,
    /// Only this path and what is below it
    #[arg(value_name = "PATH")]
    pub(super) path: Option<String>,
    /// Print one JSON array
    #[arg(long)]
    pub(super) json: bool,
    /// What to print: long (as `ls -ln` does), or gnu-cpio (a script that rebuilds the archive from its unpacked tree with GNU
    /// cpio)
    #[arg(
        long,
        value_name = "NAME",
        default_value = "long",
        conflicts_with = "json"
    )]
    pub(super) format: ListFormat,
}

/// What `mkimg ls` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ListFormat {
    /// A line for each entry.
    Long,
    /// A shell script for GNU cpio.
    GnuCpio,
}

/// `mkimg cat`
#[derive(Debug, Args)]
pub(super) struct Cat {
    /// The recipe: a file, or the NAME of `images/NAME.kdl`
    #[arg(value_name = "RECIPE")]
    pub(super) recipe: PathBuf,
    /// The file's path in the image; symlinks are followed within it
    #[arg(value_name = "PATH")]
    pub(super) path: String,
    #[arg(long, help = values::arch_help("the host's where the recipe has it"), value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    pub(super) arch: Option<Arch>,
}

/// `mkimg why`
#[derive(Debug, Args)]
pub(super) struct Why {
    /// What to look for.
    #[command(flatten)]
    pub(super) at: Cat,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `mkimg sbom`
#[derive(Debug, Args)]
pub(super) struct Sbom {
    /// Which image.
    #[command(flatten)]
    pub(super) target: Target,
    /// What to print: spdx (SPDX 2.3: packages, licences, files) or slsa (an in-toto statement with SLSA v1 provenance)
    #[arg(long, value_name = "NAME", default_value = "spdx")]
    pub(super) format: Inventory,
}

/// What `mkimg sbom` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Inventory {
    /// An SPDX 2.3 document in JSON.
    Spdx,
    /// An in-toto statement with SLSA v1 provenance.
    Slsa,
}

/// `mkimg pin`
#[derive(Debug, Args)]
pub(super) struct Pin {
    /// The recipe: a file, or the NAME of `images/NAME.kdl` [default: the only one in `images/`]
    #[arg(value_name = "RECIPE")]
    pub(super) recipe: Option<PathBuf>,
    /// Fetch every source (or those named with --source) anew and write what it is now
    #[arg(long)]
    pub(super) refresh: bool,
    /// Only this source; may be given several times
    #[arg(long = "source", value_name = "NAME")]
    pub(super) sources: Vec<String>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// `mkimg add`
#[derive(Debug, Args)]
pub(super) struct Add {
    /// The file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The source's name [default: from the file's name]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// The address it came from: printed as a `url` location instead of a `local` one
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `mkimg new`
#[derive(Debug, Args)]
pub(super) struct New {
    /// The image's name
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// Where to write it [default: `images/NAME.kdl`]; `-` prints it
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// `mkimg completions`
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: clap_complete::Shell,
}

/// `mkimg man`
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write `mkimg.1`, a page for each verb and `mkimg-recipe.5` into this directory instead
    // Its own id: `directory` is the global `-C`.
    #[arg(long = "directory", id = "pages", value_name = "DIR")]
    pub(super) pages: Option<PathBuf>,
}

/// `mkimg help`
#[derive(Debug, Args)]
pub(super) struct Help {
    /// A verb, `recipe` or `options` [default: all verbs]
    #[arg(value_name = "TOPIC")]
    pub(super) topic: Option<String>,
}
