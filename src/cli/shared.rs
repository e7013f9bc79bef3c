//! Options that several verbs share, and how a session takes them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::values::{self, parse_memory, parse_time};
use crate::arch::Arch;
use crate::machine::{Choice, MachineKind, Net};
use crate::session::{BootOptions, Connection, LockUse, RealizeOptions, Substitutes};
use crate::share::Place;
use crate::tools;

/// Which recipe, and for which architecture.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The recipe: a file, the NAME of `images/NAME.kdl`, or a bundle [default: the only one in `images/`]
    #[arg(value_name = "RECIPE")]
    pub(super) recipe: Option<PathBuf>,
    #[arg(long, help = values::arch_help("the host's where the recipe has it"), value_name = "ARCH", value_parser = values::arch(), hide_possible_values = true)]
    pub(super) arch: Option<Arch>,
}

/// What becomes of the lock beside the recipe.
#[derive(Debug, Clone, Args)]
pub(super) struct LockArgs {
    /// Fail where the recipe has no lock [default: hold it to the lock where there is one]
    #[arg(long)]
    pub(super) locked: bool,
    /// Accept what changed: write the lock anew
    #[arg(long, conflicts_with = "locked")]
    pub(super) update_lock: bool,
}

impl LockArgs {
    /// Returns what was asked for.
    fn lock_use(&self) -> LockUse {
        match (self.locked, self.update_lock) {
            (true, _) => LockUse::Needed,
            (_, true) => LockUse::Update,
            _ => LockUse::Default,
        }
    }
}

/// Where an image may come from.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SubstituteArgs {
    /// Ask this repository of a registry, or directory of bundles (a path or http(s)://..), for the image before it is made;
    /// may be given several times, and comes before the places of the configuration
    #[arg(long, value_name = "REF-or-DIR", value_parser = values::place)]
    pub(super) from: Vec<Place>,
    /// Take images that a key in FILE (ssh-keygen's ALLOWED SIGNERS) has signed, beside those of the configuration
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Vec<PathBuf>,
    /// Ask nobody: make the image where the cache does not have it
    #[arg(long, conflicts_with = "from")]
    pub(super) no_substitutes: bool,
}

impl Target {
    /// Returns how the recipe is realized.
    pub(super) fn realize(&self, lock: &LockArgs, from: &SubstituteArgs) -> RealizeOptions {
        RealizeOptions {
            arch: self.arch,
            verify: false,
            lock: lock.lock_use(),
            substitutes: Some(Substitutes {
                from: from.from.clone(),
                trust: from.trust.clone(),
                none: from.no_substitutes,
            }),
        }
    }
}

/// How to reach a registry.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Reach {
    /// Speak plain http with a registry on another machine: everybody on the way can read along
    #[arg(long)]
    pub(super) plain_http: bool,
    /// How long a silent registry is waited for, such as 5s [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) timeout: Option<Duration>,
}

impl Reach {
    /// Returns it as a session takes it.
    pub(super) fn connection(&self) -> Connection {
        Connection {
            plain_http: self.plain_http,
            timeout: self.timeout,
        }
    }
}

/// How a machine is to be.
#[derive(Debug, Clone, Args)]
pub(super) struct Boot {
    /// Guest memory, such as 256MiB [default: the recipe's]
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    pub(super) memory: Option<u64>,
    /// Guest CPUs [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(super) cpus: Option<u32>,
    /// Words to add to the kernel's command line
    #[arg(long, value_name = "TEXT")]
    pub(super) append: Option<String>,
    /// What runs the guest's instructions: auto, kvm, hvf or tcg
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = values::accelerator(), hide_possible_values = true)]
    pub(super) accel: Choice,
    /// The board: auto; on x86_64 q35, microvm or pc, which is the classic QEMU line; on the others virt
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = values::machine(), hide_possible_values = true)]
    pub(super) machine: MachineKind,
    /// The network: none, or user (QEMU's own NAT)
    #[arg(long, value_name = "NAME", default_value = "none", value_parser = values::net(), hide_possible_values = true)]
    pub(super) net: Net,
    /// Which QEMU: system, pinned, or the path of one [default: the system's where it is new enough, else pinned]
    #[arg(long, value_name = "WHICH")]
    pub(super) qemu: Option<PathBuf>,
}

impl Boot {
    /// Returns it as a session takes it.
    pub(super) fn options(&self, extra: &[OsString]) -> BootOptions {
        BootOptions {
            memory: self.memory,
            cpus: self.cpus,
            append: self.append.clone(),
            accelerator: self.accel,
            machine: self.machine,
            net: self.net,
            qemu: match &self.qemu {
                None => tools::Choice::Auto,
                Some(word) if word == Path::new("system") => tools::Choice::System,
                Some(word) if word == Path::new("pinned") => tools::Choice::Pinned,
                Some(path) => tools::Choice::Path(path.clone()),
            },
            extra: extra.to_vec(),
            ..BootOptions::default()
        }
    }
}
