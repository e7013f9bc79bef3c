//! `mkimg check-round`, which only `mkimg check` starts: changes its own world, and realizes in it.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::shared::Target;
use crate::session::RealizeOptions;

/// `mkimg check-round`
#[derive(Debug, Args)]
pub(super) struct CheckRound {
    /// Which image.
    #[command(flatten)]
    target: Target,
    /// The umask, in octal digits; with it the process changes its world and starts itself anew
    #[arg(long, value_name = "MASK")]
    umask: Option<String>,
    /// The host's name
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// User and group
    #[arg(long, value_name = "ID")]
    user: Option<u32>,
    /// The only processor
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Seconds by which the clock is to be wrong
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "clock",
        allow_negative_numbers = true
    )]
    shift: Option<i64>,
    /// The library that does that
    #[arg(long, value_name = "FILE")]
    clock: Option<PathBuf>,
    /// Open files
    #[arg(long, value_name = "N")]
    files: Option<u64>,
    /// Bytes of stack
    #[arg(long, value_name = "N")]
    stack: Option<u64>,
}

pub(super) fn run(context: &Context<'_>, args: &CheckRound) -> Result<(), Failure> {
    if let Some(umask) = &args.umask {
        return Err(enter(context, args, umask));
    }
    let opened = context.open(args.target.recipe.as_deref())?;
    let made = opened.image(&RealizeOptions::look(args.target.arch))?;
    let seen = context.session.seen(made.store.root(), Some(&opened.base));
    output::print_json(&json!({ "path": made.realized.path.display().to_string(), "seen": seen }))
}

/// Changes what of its world a process can change, and goes on as a process that was born there. Whatever could not be
/// changed will be seen.
fn enter(context: &Context<'_>, args: &CheckRound, umask: &str) -> Failure {
    let mask = u32::from_str_radix(umask, 8).unwrap_or(0o077);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
    if let Some(host) = &args.host {
        let _ = rustix::system::sethostname(host.as_bytes());
    }
    if let Some(cpu) = args.cpu {
        let mut only = CpuSet::new();
        only.set(cpu);
        let _ = sched_setaffinity(None, &only);
    }
    for (resource, value) in [
        (Resource::Nofile, args.files),
        (Resource::Stack, args.stack),
    ] {
        if value.is_some() {
            let maximum = getrlimit(resource).maximum;
            let _ = setrlimit(
                resource,
                Rlimit {
                    current: value,
                    maximum,
                },
            );
        }
    }
    let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let mut command = Command::new(&program);
    command
        .args(["check-round", "--quiet"])
        .args(&args.target.recipe);
    if let Some(arch) = args.target.arch {
        command.args(["--arch", arch.name()]);
    }
    command
        .args(&context.session.options.environment.program_options)
        .args(["--jobs", &context.session.jobs().to_string()]);
    if let Some(cache) = &context.session.options.cache {
        command.arg("--cache").arg(cache);
    }
    if let (Some(shift), Some(library)) = (args.shift, &args.clock) {
        // Without the shared memory, which would be another user's; and waiting takes as long as ever.
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME", format!("{shift:+}s"));
        command
            .env("FAKETIME_DISABLE_SHM", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    if let Some(user) = args.user {
        command.uid(user).gid(user);
    }
    let error = command.exec();
    Failure::io("start", &program, error)
}
