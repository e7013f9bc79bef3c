//! The architectures that mkimg makes images for.
//!
//! A leaf module: a plain word that the recipe, the plan and the machine all need, with no knowledge of any of them.

use std::fmt;
use std::str::FromStr;

/// An architecture, by the name that the kernel's `uname -m` prints for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit Arm, little-endian.
    Aarch64,
    /// 64-bit x86.
    X86_64,
}

/// A word that names no architecture that mkimg knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`: expected `x86_64` or `aarch64`{hint}", hint = Arch::hint(.0))]
pub struct UnknownArch(pub String);

impl Arch {
    /// Every architecture, in the order of their names.
    pub const ALL: [Arch; 2] = [Arch::Aarch64, Arch::X86_64];

    /// Returns the name, as `uname -m` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::Aarch64 => "aarch64",
            Arch::X86_64 => "x86_64",
        }
    }

    /// Returns the names by which others know it: Debian, Docker and Go, Windows.
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Arch::Aarch64 => &["arm64"],
            Arch::X86_64 => &["amd64", "x86-64", "x64"],
        }
    }

    /// Returns the architecture that `text` names, by its own name or by an alias.
    ///
    /// # Errors
    /// [`UnknownArch`].
    pub fn by_any_name(text: &str) -> Result<Arch, UnknownArch> {
        let named = |arch: &Arch| arch.name() == text || arch.aliases().contains(&text);
        let found = Arch::ALL.into_iter().find(named);
        found.ok_or_else(|| UnknownArch(text.to_owned()))
    }

    fn hint(text: &str) -> String {
        match Arch::by_any_name(text) {
            Ok(arch) => format!("; `{text}` is called `{arch}` here"),
            Err(_) => String::new(),
        }
    }

    /// Returns the architecture that this program was compiled for, where mkimg makes images for it.
    pub const fn host() -> Option<Arch> {
        if cfg!(target_arch = "x86_64") {
            Some(Arch::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Arch::Aarch64)
        } else {
            None
        }
    }

    /// Returns `e_machine` of an ELF file for this architecture (`include/uapi/linux/elf-em.h`).
    pub const fn elf_machine(self) -> u16 {
        match self {
            Arch::Aarch64 => 183,
            Arch::X86_64 => 62,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(text: &str) -> Result<Arch, UnknownArch> {
        Arch::ALL
            .into_iter()
            .find(|arch| arch.name() == text)
            .ok_or_else(|| UnknownArch(text.to_owned()))
    }
}
