//! What runs the guest's instructions, and the truth about KVM.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::emulator::Emulator;
use super::error::MachineError;
use super::{probe, sys};
use crate::arch::Arch;
use crate::progress::{Event, Progress};

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself, by Linux.
    Kvm,
    /// The processor itself, by macOS.
    Hvf,
    /// QEMU's emulator: any architecture on any host, slower.
    Tcg,
}

/// What the user wants to run the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The fastest that works.
    #[default]
    Auto,
    /// This one or an error.
    Only(Accelerator),
}

/// The system that QEMU runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Linux, on this architecture where mkimg knows it.
    Linux(Option<Arch>),
    /// macOS, on this architecture where mkimg knows it.
    MacOs(Option<Arch>),
    /// Anything else: TCG alone.
    Other,
}

/// What was found out about KVM on a host, to be kept by the caller for as long as `host` stays the same text
/// (`/proc/sys/kernel/random/boot_id` and which QEMU it was).
///
/// Printed and parsed as one line: the host, a tab, `works` or the reason why it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The host, as the caller names it: one line without tabs.
    pub host: String,
    /// Why KVM cannot be used; none where it can.
    pub fault: Option<String>,
}

/// What the caller keeps about this host.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The host, its boot and the emulator in one word, such as the boot id and the program's path: one line without tabs.
    pub name: &'a str,
    /// What was found out earlier, about any host.
    pub verdict: Option<&'a Verdict>,
    /// A directory for a file that is gone afterwards.
    pub scratch: &'a Path,
}

/// What [`choose`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The accelerator to use.
    pub accelerator: Accelerator,
    /// A new verdict to keep, where KVM was tried now.
    pub verdict: Option<Verdict>,
}

impl Accelerator {
    /// Returns the name that QEMU's `-accel` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Hvf => "hvf",
            Accelerator::Tcg => "tcg",
        }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "auto" => Ok(Choice::Auto),
            "kvm" => Ok(Choice::Only(Accelerator::Kvm)),
            "hvf" => Ok(Choice::Only(Accelerator::Hvf)),
            "tcg" => Ok(Choice::Only(Accelerator::Tcg)),
            other => Err(format!(
                "unknown accelerator `{other}`: expected `auto`, `kvm`, `hvf` or `tcg`"
            )),
        }
    }
}

impl Host {
    /// Returns the system that this program was compiled for.
    pub fn this() -> Host {
        if cfg!(target_os = "linux") {
            Host::Linux(Arch::host())
        } else if cfg!(target_os = "macos") {
            Host::MacOs(Arch::host())
        } else {
            Host::Other
        }
    }

    /// Returns what could be faster than TCG for a guest of `arch`.
    pub fn candidate(self, arch: Arch) -> Option<Accelerator> {
        match self {
            Host::Linux(own) if own == Some(arch) => Some(Accelerator::Kvm),
            Host::MacOs(own) if own == Some(arch) => Some(Accelerator::Hvf),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\t{}",
            self.host,
            self.fault.as_deref().unwrap_or("works")
        )
    }
}

impl FromStr for Verdict {
    type Err = ();

    fn from_str(text: &str) -> Result<Verdict, ()> {
        let (host, fault) = text.trim_end().split_once('\t').ok_or(())?;
        Ok(Verdict {
            host: host.to_owned(),
            fault: (fault != "works").then(|| fault.to_owned()),
        })
    }
}

/// Returns the accelerator for a guest of `arch` on `host`.
///
/// `auto` takes KVM only after a machine was created and a small guest ran to its end in it; an earlier verdict
/// counts when it is of the same name. A KVM that fails is told of once, by one warning; a remembered failure is a detail.
///
/// # Errors
/// [`MachineError::Accelerator`] where one was asked for by name that this host does not have.
pub fn choose(
    choice: Choice,
    arch: Arch,
    host: Host,
    emulator: &Emulator,
    known: Known<'_>,
    progress: &dyn Progress,
) -> Result<Decision, MachineError> {
    let decided = |accelerator| Decision {
        accelerator,
        verdict: None,
    };
    let candidate = host.candidate(arch);
    match choice {
        Choice::Only(Accelerator::Tcg) => return Ok(decided(Accelerator::Tcg)),
        Choice::Only(wanted) => {
            let reason = if candidate != Some(wanted) {
                Some(format!("not on this host for a guest of {arch}"))
            } else if wanted == Accelerator::Kvm {
                refusal()
            } else {
                None
            };
            return match reason {
                None => Ok(decided(wanted)),
                Some(reason) => Err(MachineError::Accelerator {
                    accelerator: wanted.name(),
                    reason,
                }),
            };
        }
        Choice::Auto => {}
    }
    match candidate {
        Some(Accelerator::Kvm) => {}
        // Apple's hypervisor has no such half-working state that anybody reported; QEMU says so itself where it is missing.
        Some(other) => return Ok(decided(other)),
        None => return Ok(decided(Accelerator::Tcg)),
    }
    if let Some(verdict) = known.verdict.filter(|verdict| verdict.host == known.name) {
        return Ok(decided(match &verdict.fault {
            None => Accelerator::Kvm,
            Some(fault) => {
                progress.event(Event::Detail(format!(
                    "KVM is not used on this host: {fault}"
                )));
                Accelerator::Tcg
            }
        }));
    }
    // No device, or no right to it, is an ordinary state: cheap to find again, and it may change before the next boot.
    if let Some(reason) = refusal() {
        progress.event(Event::Detail(format!("KVM is not used: {reason}")));
        return Ok(decided(Accelerator::Tcg));
    }
    let fault = match probe::probe(emulator, arch, Accelerator::Kvm, known.scratch) {
        Ok(fault) => fault,
        Err(source) => {
            return Err(MachineError::Start {
                program: emulator.program.clone(),
                source,
            });
        }
    };
    if let Some(fault) = &fault {
        progress.event(Event::Warning(format!(
            "KVM is there but does not work on this host ({fault}): continuing with TCG, which is slower"
        )));
    }
    Ok(Decision {
        accelerator: match fault {
            None => Accelerator::Kvm,
            Some(_) => Accelerator::Tcg,
        },
        verdict: Some(Verdict {
            host: known.name.to_owned(),
            fault,
        }),
    })
}

/// Returns why no KVM machine can be created, where none can.
fn refusal() -> Option<String> {
    sys::create_kvm_machine()
        .err()
        .map(|error| format!("`/dev/kvm`: {error}"))
}

/// How much longer a guest may take under TCG than on the processor itself.
const TCG_FACTOR: u32 = 3;

/// Returns a time limit as it holds under an accelerator: limits are written for a guest that runs on the processor itself.
pub fn scaled(limit: Duration, accelerator: Accelerator) -> Duration {
    match accelerator {
        Accelerator::Tcg => limit.saturating_mul(TCG_FACTOR),
        Accelerator::Kvm | Accelerator::Hvf => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_the_hosts_own_for_its_own_architecture() {
        let cases = [
            (
                Host::Linux(Some(Arch::X86_64)),
                Arch::X86_64,
                Some(Accelerator::Kvm),
            ),
            (Host::Linux(Some(Arch::X86_64)), Arch::Aarch64, None),
            (Host::Linux(None), Arch::X86_64, None),
            (
                Host::MacOs(Some(Arch::Aarch64)),
                Arch::Aarch64,
                Some(Accelerator::Hvf),
            ),
            (Host::MacOs(Some(Arch::Aarch64)), Arch::X86_64, None),
            (Host::Other, Arch::X86_64, None),
        ];
        for (host, arch, expected) in cases {
            assert_eq!(host.candidate(arch), expected, "{host:?} {arch}");
        }
    }

    #[test]
    fn a_verdict_prints_as_it_parses() {
        for fault in [None, Some("QEMU ended with signal: 6".to_owned())] {
            let verdict = Verdict {
                host: "id /usr/bin/qemu".to_owned(),
                fault,
            };
            assert_eq!(format!("{verdict}\n").parse(), Ok(verdict));
        }
        assert_eq!("nothing".parse::<Verdict>(), Err(()));
    }
}
