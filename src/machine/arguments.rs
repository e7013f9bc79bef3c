//! A machine as a value, and QEMU's arguments for it as small pure functions. `docs/machine.md` gives the reasons and the
//! numbers; what each function returns is pinned by snapshots.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use super::accelerator::Accelerator;
use super::cmdline;
use crate::arch::Arch;

/// Everything that decides QEMU's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The guest's architecture.
    pub arch: Arch,
    /// Which board.
    pub kind: MachineKind,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// The kernel: a bzImage or, quicker, what [`vmlinux`](super::vmlinux()) made of it.
    pub kernel: PathBuf,
    /// Is the kernel built for pages of 16 KiB?
    pub pages_16k: bool,
    /// The initramfs, where there is one.
    pub initrd: Option<PathBuf>,
    /// The recipe's kernel command line, without a console unless it wants a certain one.
    pub cmdline: String,
    /// Memory in bytes; QEMU gets it rounded up to MiB.
    pub memory: u64,
    /// Virtual CPUs, at least 1.
    pub cpus: u32,
    /// The network.
    pub net: Net,
    /// The command that QEMU starts for each connection of the guest to [`SERVED`], where there is one: then the guest has a
    /// card, and reaches that alone unless `net` opens more.
    pub serve: Option<Vec<OsString>>,
    /// The user's window as (rows, columns), handed to `/init` as `LINES` and `COLUMNS`.
    pub window: Option<(u16, u16)>,
    /// Arguments for QEMU, as given, after all others.
    pub extra: Vec<OsString>,
}

/// A board of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MachineKind {
    /// The first of the architecture's: the one that booted fastest and still can do everything.
    #[default]
    Auto,
    /// No PCI, no legacy devices.
    Microvm,
    /// The classic line: a PC with all its default devices, and no kernel arguments to hurry it.
    Pc,
    /// A PC with PCI Express.
    Q35,
    /// QEMU's own board, which no hardware has: of Arm and RISC-V.
    Virt,
}

/// The address in the guest's network that is answered by [`Machine::serve`]: QEMU wants one of its own network, and neither the
/// host's (.2) nor the name server's (.3).
pub const SERVED: &str = "10.0.2.100:80";

/// What the guest's network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Net {
    /// No network card.
    #[default]
    None,
    /// A virtio card behind QEMU's own NAT; the host's loopback is 10.0.2.2.
    User,
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Net, String> {
        match text {
            "none" => Ok(Net::None),
            "user" => Ok(Net::User),
            other => Err(format!(
                "unknown network `{other}`: expected `none` or `user`"
            )),
        }
    }
}

/// A board that the architecture does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{arch} has no machine `{kind}`")]
pub struct Unsuitable {
    /// The architecture.
    pub arch: Arch,
    /// The board.
    pub kind: MachineKind,
}

impl MachineKind {
    /// Every word, with its name.
    pub const NAMES: [(MachineKind, &str); 5] = [
        (MachineKind::Auto, "auto"),
        (MachineKind::Microvm, "microvm"),
        (MachineKind::Pc, "pc"),
        (MachineKind::Q35, "q35"),
        (MachineKind::Virt, "virt"),
    ];

    /// Returns its name.
    fn name(self) -> &'static str {
        let found = MachineKind::NAMES.iter().find(|(kind, _)| *kind == self);
        found.map_or("", |(_, name)| name)
    }

    /// Returns the board that this one stands for on an architecture.
    ///
    /// # Errors
    /// [`Unsuitable`] where the architecture has no such board.
    pub fn on(self, arch: Arch) -> Result<MachineKind, Unsuitable> {
        let boards = arch.facts().boards;
        let found = match self {
            MachineKind::Auto => boards.first().and_then(|name| name.parse().ok()),
            kind => boards.contains(&kind.name()).then_some(kind),
        };
        found.ok_or(Unsuitable { arch, kind: self })
    }
}

impl fmt::Display for MachineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for MachineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<MachineKind, String> {
        let found = MachineKind::NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(kind, _)| *kind).ok_or_else(|| {
            format!("unknown machine `{text}`: expected `auto`, `microvm`, `pc`, `q35` or `virt`")
        })
    }
}

/// Returns QEMU's arguments, without the program.
///
/// # Errors
/// [`Unsuitable`] where the architecture has no such board.
pub fn arguments(machine: &Machine) -> Result<Vec<OsString>, Unsuitable> {
    let kind = machine.kind.on(machine.arch)?;
    let mut all = board_arguments(kind);
    all.extend(processor_arguments(machine, kind));
    all.extend(memory_arguments(machine));
    all.extend(network_arguments(machine, kind));
    all.extend(kernel_arguments(machine, kind));
    all.extend(machine.extra.iter().cloned());
    Ok(all)
}

/// Returns the words that mkimg puts before the recipe's kernel command line, for `--dry-run` to name.
///
/// # Errors
/// [`Unsuitable`] where the architecture has no such board.
pub fn added_words(machine: &Machine) -> Result<Vec<String>, Unsuitable> {
    let kind = machine.kind.on(machine.arch)?;
    Ok(cmdline::taken(
        &wanted_words(machine, kind),
        &machine.cmdline,
    ))
}

fn own(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The board, the console and the end. `mon:stdio` keeps Ctrl-C for the guest and gives a pasted command its Ctrl-A X
/// (pitfall 65); QEMU takes Ctrl-A out of the guest's input, so `input` sends it twice.
fn board_arguments(kind: MachineKind) -> Vec<OsString> {
    let mut all = match kind {
        MachineKind::Pc => own(&["-nographic"]),
        _ => own(&["-nodefaults", "-no-user-config", "-display", "none"]),
    };
    match kind {
        MachineKind::Pc | MachineKind::Auto => {}
        _ => all.extend([OsString::from("-machine"), kind.to_string().into()]),
    }
    all.extend(own(&["-serial", "mon:stdio", "-no-reboot"]));
    all
}

/// The accelerator, then the CPU that it can offer, then how many.
fn processor_arguments(machine: &Machine, kind: MachineKind) -> Vec<OsString> {
    let mut all = own(&["-accel", machine.accelerator.name()]);
    let facts = machine.arch.facts();
    let model = match machine.accelerator {
        Accelerator::Kvm | Accelerator::Hvf => Some("host"),
        Accelerator::Tcg if kind == MachineKind::Pc => None,
        Accelerator::Tcg => Some(match facts.cpu_16k_pages {
            Some(model) if machine.pages_16k => model,
            _ => facts.cpu,
        }),
    };
    if let Some(model) = model {
        all.extend(own(&["-cpu", model]));
    }
    if machine.cpus > 1 {
        all.extend([OsString::from("-smp"), machine.cpus.to_string().into()]);
    }
    all
}

fn memory_arguments(machine: &Machine) -> Vec<OsString> {
    let mebibytes = machine.memory.div_ceil(1 << 20);
    vec!["-m".into(), mebibytes.to_string().into()]
}

/// No ROM is loaded for the card: nothing boots from it. `restrict` leaves the guest nothing but what is forwarded by name.
fn network_arguments(machine: &Machine, kind: MachineKind) -> Vec<OsString> {
    let mut netdev = OsString::from("user,id=net0");
    match (machine.net, &machine.serve) {
        // The other boards have none, by `-nodefaults`.
        (Net::None, None) if kind == MachineKind::Pc => return own(&["-nic", "none"]),
        (Net::None, None) => return Vec::new(),
        (Net::None, Some(_)) => netdev.push(",restrict=on,ipv6=off"),
        (Net::User, _) => {}
    }
    if let Some(command) = &machine.serve {
        netdev.push(format!(",guestfwd=tcp:{SERVED}-cmd:"));
        netdev.push(one_item(command));
    }
    let device = match kind {
        MachineKind::Microvm => "virtio-net-device,netdev=net0",
        _ => "virtio-net-pci,netdev=net0,romfile=",
    };
    let mut all = own(&["-netdev"]);
    all.push(netdev);
    all.extend(own(&["-device", device]));
    all
}

/// Returns a command as part of an option: its words in the shell's quotes, which GLib takes off again, and each `,` twice, as
/// QEMU wants it.
fn one_item(command: &[OsString]) -> OsString {
    let mut item = Vec::new();
    for (index, word) in command.iter().enumerate() {
        item.extend_from_slice(if index > 0 { b" '" } else { b"'" });
        for byte in word.as_encoded_bytes() {
            match byte {
                b'\'' => item.extend_from_slice(b"'\\''"),
                b',' => item.extend_from_slice(b",,"),
                byte => item.push(*byte),
            }
        }
        item.push(b'\'');
    }
    OsString::from_vec(item)
}

fn kernel_arguments(machine: &Machine, kind: MachineKind) -> Vec<OsString> {
    let mut all = vec![OsString::from("-kernel"), machine.kernel.clone().into()];
    if let Some(initrd) = &machine.initrd {
        all.extend([OsString::from("-initrd"), initrd.clone().into()]);
    }
    // One item whatever it holds; `-append` is not split by QEMU. pitfall 69
    let cmdline = cmdline::joined(&wanted_words(machine, kind), &machine.cmdline);
    all.extend([OsString::from("-append"), cmdline.into()]);
    all
}

/// The kernel parameters that mkimg would like, before the recipe is asked.
fn wanted_words(machine: &Machine, kind: MachineKind) -> Vec<String> {
    let facts = machine.arch.facts();
    let mut all = vec![format!("console={}", facts.console), "panic=-1".to_owned()];
    match kind {
        MachineKind::Pc => all.push("acpi=off".to_owned()),
        _ if machine.accelerator == Accelerator::Tcg => {
            all.push("cryptomgr.notests".to_owned());
            if machine.cpus == 1 {
                let own = facts.one_cpu_words.iter();
                let own = own.filter(|(_, board)| board.is_none_or(|board| board == kind.name()));
                all.extend(own.map(|(word, _)| (*word).to_owned()));
            }
        }
        _ => {}
    }
    if let Some((rows, columns)) = machine.window {
        all.extend([format!("LINES={rows}"), format!("COLUMNS={columns}")]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(arch: Arch, accelerator: Accelerator) -> Machine {
        Machine {
            arch,
            kind: MachineKind::Auto,
            accelerator,
            kernel: "/cache/vmlinux".into(),
            pages_16k: false,
            initrd: Some("/cache/my image/initramfs.cpio.gz".into()),
            cmdline: "quiet".to_owned(),
            memory: 128 << 20,
            cpus: 1,
            net: Net::None,
            serve: None,
            window: None,
            extra: Vec::new(),
        }
    }

    /// Returns the arguments, a line for each option with its value.
    fn lines(machine: &Machine) -> String {
        let mut text = String::new();
        for argument in arguments(machine).unwrap() {
            let argument = argument.into_string().unwrap();
            let option = argument.starts_with('-') && !text.ends_with("-append");
            if !text.is_empty() {
                text.push(if option { '\n' } else { ' ' });
            }
            text.push_str(&argument);
        }
        text
    }

    #[test]
    fn the_arguments_of_each_machine_are_these() {
        use Accelerator::{Hvf, Kvm, Tcg};
        let mut all = String::new();
        for arch in Arch::ALL {
            for accelerator in [Kvm, Hvf, Tcg] {
                let text = lines(&machine(arch, accelerator));
                all += &format!("## {arch}, {}\n{text}\n\n", accelerator.name());
            }
        }
        for kind in [MachineKind::Pc, MachineKind::Microvm] {
            let machine = Machine {
                kind,
                net: Net::User,
                ..machine(Arch::X86_64, Tcg)
            };
            all += &format!("## x86_64, {kind}, with a network\n{}\n\n", lines(&machine));
        }
        let serve = ["/opt/it's, here/mkimg", "answer", "/tmp/x y"].map(OsString::from);
        for (net, kind) in [
            (Net::None, MachineKind::Auto),
            (Net::None, MachineKind::Microvm),
            (Net::User, MachineKind::Pc),
        ] {
            let machine = Machine {
                kind,
                net,
                serve: Some(serve.to_vec()),
                ..machine(Arch::X86_64, Tcg)
            };
            all += &format!(
                "## x86_64, {kind}, serves, {net:?}\n{}\n\n",
                lines(&machine)
            );
        }
        let machine = Machine {
            initrd: None,
            cmdline: "console=tty0 nolapic_timer=off -- x".to_owned(),
            memory: (512 << 20) + 1,
            cpus: 4,
            net: Net::User,
            window: Some((24, 80)),
            extra: vec!["-s".into()],
            ..machine(Arch::X86_64, Tcg)
        };
        all += &format!("## everything else\n{}\n", lines(&machine));
        insta::assert_snapshot!("arguments", all);
    }

    #[test]
    fn a_kernel_for_pages_of_16_kib_gets_a_processor_that_has_them() {
        let machine = |accelerator| Machine {
            pages_16k: true,
            ..machine(Arch::Aarch64, accelerator)
        };
        assert!(lines(&machine(Accelerator::Tcg)).contains("\n-cpu max,pauth-impdef=on\n"));
        assert!(lines(&machine(Accelerator::Kvm)).contains("\n-cpu host\n"));
    }

    #[test]
    fn a_board_of_another_architecture_is_refused() {
        let machine = Machine {
            kind: MachineKind::Virt,
            ..machine(Arch::X86_64, Accelerator::Tcg)
        };
        let refused = arguments(&machine).unwrap_err();
        assert_eq!(refused.to_string(), "x86_64 has no machine `virt`");
    }
}
