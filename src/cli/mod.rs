//! The command line: one file for each verb. Only here are the environment, the clock and the terminal read.

mod add;
mod args;
mod attest;
mod cache;
mod cat;
mod check;
mod check_recipes;
mod check_report;
mod check_round;
mod command;
mod completions;
mod context;
mod diff;
mod export;
mod export_container;
mod failure;
mod gc;
mod global;
mod gnu_cpio;
mod help;
mod import;
mod interrupt;
mod lock;
mod ls;
mod man;
mod new;
mod options;
mod output;
mod pin;
mod pull;
mod push;
mod realize;
mod run;
mod sbom;
mod seen;
mod shared;
mod show;
mod sign;
mod test;
mod test_report;
mod values;
mod verify;
mod why;

use std::env;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use args::{Arguments, Verb};
use context::Context;
use failure::Failure;
use global::Global;

use crate::session::{self, Begun};
use crate::ui::{Terminal, Verbosity};

/// Runs the command line of this process and returns its exit code.
pub fn main() -> ExitCode {
    let arguments = command::parse(env::args_os()).unwrap_or_else(|error| error.exit());
    let terminal = terminal(&arguments.global);
    interrupt::outlive_size_limit();
    let begun = Begun::default();
    interrupt::watch(arguments.global.quiet, begun.clone());
    let done = run(arguments, &terminal, begun);
    interrupt::wait_if_ending();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.print(&terminal)),
    }
}

fn run(arguments: Arguments, terminal: &Terminal, begun: Begun) -> Result<(), Failure> {
    let Arguments { global, verb } = arguments;
    if let Some(directory) = &global.directory {
        env::set_current_dir(directory)
            .map_err(|error| Failure::io("change to", directory, error))?;
    }
    let context = Context::new(&global, terminal, begun)?;
    match verb {
        Verb::Realize(args) => realize::run(&context, &args),
        Verb::Run(args) => run::run(&context, &args),
        Verb::Test(args) => test::run(&context, &args),
        Verb::Check(args) => check::run(&context, &args),
        Verb::CheckRound(args) => check_round::run(&context, &args),
        Verb::Answer(args) => {
            session::serve(&args.pages);
            Ok(())
        }
        Verb::Lock(args) => lock::run(&context, &args),
        Verb::Diff(args) => diff::run(&context, &args),
        Verb::Show(args) => show::run(&context, &args),
        Verb::Ls(args) => ls::run(&context, &args),
        Verb::Cat(args) => cat::run(&context, &args),
        Verb::Why(args) => why::run(&context, &args),
        Verb::Sbom(args) => sbom::run(&context, &args),
        Verb::Pin(args) => pin::run(&context, &args),
        Verb::Add(args) => add::run(&context, &args),
        Verb::Export(args) => export::run(&context, &args),
        Verb::Import(args) => import::run(&context, &args),
        Verb::Push(args) => push::run(&context, &args),
        Verb::Pull(args) => pull::run(&context, &args),
        Verb::Sign(args) => sign::run(&context, &args),
        Verb::Verify(args) => verify::run(&context, &args),
        Verb::Attest(args) => attest::run(&context, &args),
        Verb::Gc(args) => gc::run(&context, &args),
        Verb::Cache(args) => cache::run(&context, &args),
        Verb::New(args) => new::run(&context, &args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args),
        Verb::Help(args) => help::run(&args),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where the environment is read"
)]
fn terminal(global: &Global) -> Terminal {
    let verbosity = match (global.quiet, global.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, 0) => Verbosity::Normal,
        _ => Verbosity::Verbose,
    };
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let capable =
        std::io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb");
    Terminal::new(verbosity, capable, capable && !is_set("NO_COLOR"))
}
