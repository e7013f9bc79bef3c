//! `mkimg run`: realize and boot, the console on this terminal.

use std::io::{IsTerminal as _, stdin, stdout};
use std::os::fd::AsFd as _;

use super::args::Run;
use super::context::Context;
use super::failure::Failure;
use super::interrupt;
use crate::arch::Arch;
use crate::fault::Outcome;
use crate::machine::{self, End, Ran, Seat};
use crate::session::{BootOptions, Error};

/// How many lines of the console a failure is told with.
const TOLD: usize = 15;

pub(super) fn run(context: &Context<'_>, args: &Run) -> Result<(), Failure> {
    let (input, output) = (stdin(), stdout());
    let window = match input.is_terminal() && output.is_terminal() {
        true => machine::window(output.as_fd()),
        false => None,
    };
    let options = BootOptions {
        window,
        ..args.boot.options(&args.qemu_args)
    };
    let opened;
    let boot = if let Some(kernel) = &args.kernel {
        let arch = args.target.arch.or(Arch::host()).unwrap_or(Arch::X86_64);
        let initrd = args.initrd.as_deref();
        context.session.boot_files(kernel, initrd, arch, &options)?
    } else {
        opened = context.open(args.target.recipe.as_deref())?;
        let realize = args.target.realize(&args.lock, &args.substitutes);
        opened.boot(&realize, &options)?
    };
    if args.dry_run {
        let words = boot.added.join(" ");
        context.terminal.line(&format!(
            "mkimg's own words on the kernel's command line: {words}"
        ));
        return super::output::print(&format!("{}\n", boot.command));
    }
    // From here on the machine hears the signals: it has a terminal to put right.
    interrupt::hand_over();
    machine::restore_on_panic();
    let ran = boot.run(Seat {
        input: input.as_fd(),
        output: output.as_fd(),
        limit: args.timeout,
    })?;
    if ran.end.exit_code() == 0 {
        return Ok(());
    }
    if let End::Signalled(signal) = ran.end {
        return Err(Failure::Signalled(signal));
    }
    let help = Some(told(&ran)).filter(|help| !help.is_empty());
    Err(Error::new(Outcome::Guest, ran.end.to_string(), help).into())
}

/// Returns what is said of a run that did not end well. The console itself is on the terminal already.
fn told(ran: &Ran) -> String {
    let panicked = matches!(ran.end, End::Panicked { .. });
    let mut help: Vec<String> = match (&ran.cause, panicked) {
        (Some(cause), true) => vec![format!("likely cause: {}", cause.text)],
        (Some(cause), false) => vec![cause.text.clone()],
        (None, _) => Vec::new(),
    };
    let from = ran.tail.len().saturating_sub(TOLD);
    let tail = ran.tail.iter().skip(from).map(|line| line.text.as_str());
    let tail: Vec<&str> = tail.collect();
    let title = match panicked {
        true => "the lines before the panic:",
        false => "the last lines of the console:",
    };
    match tail.is_empty() {
        false => help.push(format!("{title}\n{}", tail.join("\n"))),
        true if help.is_empty() => help.push(
            "the console said nothing: is its `console=` one that this machine has?".to_owned(),
        ),
        true => {}
    }
    help.join("\n")
}
