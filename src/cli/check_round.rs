//! `mkimg check-round`, which only `mkimg check` starts: changes its own world, and realizes in it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::json;

use super::args::Target;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::check::Seen;
use crate::recipe::Mode;

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
    let opened = context.open(args.target.recipe.as_deref(), Mode::Strict)?;
    let (store, made) = context.realize_opened(&opened, args.target.arch, false)?;
    let seen = seen(context, store.root(), Some(&opened.base));
    output::print_json(&json!({ "path": made.path.display().to_string(), "seen": seen }))
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
        .args(options(
            context,
            &context.global.set.iter().cloned().collect(),
            context.global.variant.as_deref(),
        ))
        .args(["--jobs", &context.jobs().to_string()]);
    if let Some(cache) = &context.global.cache {
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

/// Returns the options of every verb that a child takes over; which recipe it is hangs on the values and the variant.
pub(super) fn options(
    context: &Context<'_>,
    values: &BTreeMap<String, String>,
    variant: Option<&str>,
) -> Vec<String> {
    let global = &context.global;
    let mut options: Vec<String> = [
        ("--max-unpacked", global.max_unpacked),
        ("--max-download", global.max_download),
    ]
    .map(|(name, size)| [name.to_owned(), size.to_string()])
    .concat();
    for (name, value) in values {
        options.push(format!("--set={name}={value}"));
    }
    options.extend(variant.map(|name| format!("--variant={name}")));
    for path in &global.allow_local {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        options.extend(["--allow-local".to_owned(), path.display().to_string()]);
    }
    if global.offline {
        options.push("--offline".to_owned());
    }
    for mirror in &global.mirrors {
        options.extend(["--mirror".to_owned(), from_anywhere(mirror)]);
    }
    for mirror in global
        .debian_mirror
        .iter()
        .filter(|mirror| !mirror.is_empty())
    {
        options.extend(["--debian-mirror".to_owned(), from_anywhere(mirror)]);
    }
    options
}

/// Returns a mirror as it is called in any directory.
fn from_anywhere(mirror: &str) -> String {
    match std::path::absolute(mirror) {
        Ok(path) if !mirror.starts_with("file:") && !mirror.contains("://") => {
            path.display().to_string()
        }
        _ => mirror.to_owned(),
    }
}

/// Returns what this process sees of its world.
#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where environment and clock are read"
)]
pub(super) fn seen(context: &Context<'_>, cache: &Path, recipes: Option<&Path>) -> Seen {
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| "unset".to_owned());
    let soft = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
    let cpus: Vec<String> = cpus().iter().map(usize::to_string).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let id = (rustix::process::geteuid(), rustix::process::getegid());
    let host = rustix::system::uname();
    let all = [
        ("time zone", variable("TZ")),
        ("locale", variable("LC_ALL")),
        ("umask", umask()),
        ("home", variable("HOME")),
        ("temporary directory", env::temp_dir().display().to_string()),
        (
            "working directory",
            env::current_dir()
                .map_or_else(|error| error.to_string(), |path| path.display().to_string()),
        ),
        ("cache path", cache.display().to_string()),
        ("user", format!("{}:{}", id.0.as_raw(), id.1.as_raw())),
        ("host name", host.nodename().to_string_lossy().into_owned()),
        ("clock", now.map_or(0, |now| now.as_secs()).to_string()),
        ("threads", context.jobs().to_string()),
        ("cpu affinity", cpus.join(",")),
        ("creation order", recipes.map(order).unwrap_or_default()),
        ("file system", file_system(cache)),
        (
            "environment",
            format!("SOURCE_DATE_EPOCH={}", variable("SOURCE_DATE_EPOCH")),
        ),
        ("standard input", standard_input()),
        (
            "soft limits",
            crate::check::limits_text([soft(Resource::Nofile), soft(Resource::Stack)]),
        ),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Returns the processors that this process may run on.
pub(super) fn cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

/// Returns the umask: the kernel tells it without its being changed.
fn umask() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    mask.map_or_else(|| "unknown".to_owned(), |mask| format!("{mask:03o}"))
}

/// Returns the names of a directory's files in the order in which they were made.
fn order(directory: &Path) -> String {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if let Ok(found) = entry.metadata()
            && found.is_file()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((found.mtime(), found.mtime_nsec(), name));
        }
    }
    files.sort();
    let names: Vec<String> = files.into_iter().map(|(_, _, name)| name).collect();
    names.join(", ")
}

/// Returns the name of the file system below a path.
pub(super) fn file_system(path: &Path) -> String {
    match rustix::fs::statfs(path).map(|found| found.f_type as u64) {
        Ok(0x0102_1994) => "tmpfs".to_owned(),
        Ok(0xef53) => "ext4".to_owned(),
        Ok(0x794c_7630) => "overlay".to_owned(),
        Ok(0x9123_683e) => "btrfs".to_owned(),
        Ok(0x5846_5342) => "xfs".to_owned(),
        Ok(other) => format!("{other:#x}"),
        Err(error) => error.to_string(),
    }
}

fn standard_input() -> String {
    let file = fs::read_link("/proc/self/fd/0")
        .map_or_else(|_| "closed".to_owned(), |path| path.display().to_string());
    let how = match rustix::fs::fcntl_getfl(std::io::stdin()) {
        Ok(flags) if flags.contains(rustix::fs::OFlags::RDWR) => " to read and write",
        Ok(_) => " to read",
        Err(_) => "",
    };
    format!("{file}{how}")
}
