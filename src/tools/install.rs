//! How QEMU is installed on a machine, by what its `/etc/os-release` says (os-release(5)).

use crate::arch::Arch;

/// Returns the command that installs a QEMU for `guest`; `os` is `std::env::consts::OS`.
pub(super) fn install(os: &str, os_release: &str, guest: Arch) -> String {
    if os == "macos" {
        return "brew install qemu".to_owned();
    }
    let names = names(os_release);
    let is = |name: &str| names.iter().any(|found| found == name);
    let packages = guest.facts().qemu_packages;
    let (command, package) = if is("alpine") {
        ("apk add", packages.alpine)
    } else if is("rhel") || is("centos") {
        // The only emulator there is for the host's own architecture, and outside of PATH.
        return "dnf install qemu-kvm, then add `--qemu /usr/libexec/qemu-kvm`".to_owned();
    } else if is("fedora") {
        ("dnf install", packages.fedora)
    } else if is("arch") {
        ("pacman -S", packages.arch)
    } else if is("debian") || is("ubuntu") {
        ("apt install", packages.debian)
    } else {
        return format!(
            "install QEMU, so that `{}` is on PATH, or name it with `--qemu PATH`",
            guest.facts().qemu
        );
    };
    format!("{command} {package}")
}

/// Returns the values of `ID` and `ID_LIKE`.
fn names(os_release: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in os_release.lines() {
        let Some((key, value)) = line.trim().split_once('=') else {
            continue;
        };
        if matches!(key, "ID" | "ID_LIKE") {
            let value = value.trim_matches(['"', '\'']);
            names.extend(value.split_whitespace().map(str::to_ascii_lowercase));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use Arch::{Aarch64, Riscv64, X86_64};

    #[test]
    fn the_command_is_the_one_of_the_system() {
        let other =
            "install QEMU, so that `qemu-system-x86_64` is on PATH, or name it with `--qemu PATH`";
        let cases = [
            (
                "linux",
                "ID=debian\n",
                X86_64,
                "apt install qemu-system-x86",
            ),
            (
                "linux",
                "NAME=x\nID=ubuntu\nID_LIKE=debian",
                Aarch64,
                "apt install qemu-system-arm",
            ),
            (
                "linux",
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                X86_64,
                "apt install qemu-system-x86",
            ),
            (
                "linux",
                "ID='fedora'\n",
                X86_64,
                "dnf install qemu-system-x86-core",
            ),
            (
                "linux",
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                X86_64,
                "dnf install qemu-kvm, then add `--qemu /usr/libexec/qemu-kvm`",
            ),
            (
                "linux",
                "ID=manjaro\nID_LIKE=arch\n",
                Aarch64,
                "pacman -S qemu-system-aarch64",
            ),
            ("linux", "ID=alpine\n", X86_64, "apk add qemu-system-x86_64"),
            (
                "linux",
                "ID=debian\n",
                Riscv64,
                "apt install qemu-system-riscv64",
            ),
            ("linux", "ID=nixos\n", X86_64, other),
            ("linux", "VERSION_ID=debian\n", X86_64, other),
            ("linux", "", X86_64, other),
            ("freebsd", "", X86_64, other),
            ("macos", "", Aarch64, "brew install qemu"),
        ];
        for (os, os_release, guest, command) in cases {
            assert_eq!(install(os, os_release, guest), command, "{os} {os_release}");
        }
    }
}
