//! The architectures that mkimg makes images for: what is known about each, in one file and one place.
//!
//! A leaf module: the recipe, the plan, the preflight and the machine ask [`Arch::facts`], and it knows none of them. Another
//! architecture is a file like `x86_64.rs` with its [`Facts`], and a line in the list below. What is made for it and not
//! known about it (the pinned QEMU's files, recipes, golden digests) is data elsewhere.

mod aarch64;
mod facts;
mod riscv64;
mod x86_64;

use std::env::consts;
use std::fmt;
use std::str::FromStr;

pub use facts::{Facts, KernelFormat, Packages, Probe};

/// Makes the type out of the list, in the order of the names: what is sorted by architecture is sorted by them.
macro_rules! architectures {
    ($($(#[$doc:meta])* $variant:ident = $file:ident,)*) => {
        /// An architecture, by the name that the kernel's `uname -m` prints for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Arch {
            $($(#[$doc])* $variant,)*
        }

        impl Arch {
            /// Every architecture, in the order of their names.
            pub const ALL: [Arch; [$(stringify!($variant)),*].len()] = [$(Arch::$variant),*];

            /// Returns what is known about it.
            pub const fn facts(self) -> &'static Facts {
                match self {
                    $(Arch::$variant => &$file::FACTS,)*
                }
            }
        }
    };
}

architectures! {
    /// 64-bit Arm, little-endian.
    Aarch64 = aarch64,
    /// 64-bit RISC-V.
    Riscv64 = riscv64,
    /// 64-bit x86.
    X86_64 = x86_64,
}

/// A word that names no architecture that mkimg knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`: expected {all}{hint}", all = Arch::list("`"), hint = Arch::hint(.0))]
pub struct UnknownArch(pub String);

impl Arch {
    /// Returns the name, as `uname -m` prints it.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Returns the other names that are taken for it on the command line: Debian's, OCI's, Windows'.
    pub fn aliases(self) -> Vec<&'static str> {
        let facts = self.facts();
        let mut all = vec![facts.debian, facts.oci];
        all.extend(facts.aliases);
        all.retain(|alias| *alias != facts.name);
        all.dedup();
        all
    }

    /// Says whether who writes `word` means it: by one of its names, or by a word that is nobody's name for it, as `rv64`.
    pub fn is_meant_by(self, word: &str) -> bool {
        self.name() == word
            || self.aliases().contains(&word)
            || self.facts().near_names.contains(&word)
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

    /// Returns all names as a list in words: each between two `quote`s, the last one behind `or`.
    pub fn list(quote: &str) -> String {
        let mut names = Arch::ALL
            .map(|arch| format!("{quote}{arch}{quote}"))
            .to_vec();
        let last = names.pop().unwrap_or_default();
        format!("{} or {last}", names.join(", "))
    }

    fn hint(text: &str) -> String {
        let mut all = Arch::ALL.into_iter();
        match all.find(|arch| arch.is_meant_by(text)) {
            Some(arch) => format!("; `{text}` is called `{arch}` here"),
            None => String::new(),
        }
    }

    /// Returns the architecture that this program was compiled for, where mkimg makes images for it.
    pub fn host() -> Option<Arch> {
        consts::ARCH.parse().ok()
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
        let found = Arch::ALL.into_iter().find(|arch| arch.name() == text);
        found.ok_or_else(|| UnknownArch(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_word_and_each_number_stands_for_one_architecture() {
        let mut words = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        for arch in Arch::ALL {
            let facts = arch.facts();
            assert!(numbers.insert(facts.elf_machine), "{arch}");
            assert!(!facts.boards.is_empty(), "{arch}");
            let names = [arch.name()].into_iter().chain(arch.aliases());
            for word in names.chain(facts.near_names.iter().copied()) {
                assert!(words.insert(word), "{word}");
                assert!(arch.is_meant_by(word), "{word}");
            }
            assert_eq!(arch.name().parse(), Ok(arch));
        }
        assert!(Arch::ALL.is_sorted_by_key(|arch| arch.name()));
    }

    #[test]
    fn a_name_that_others_have_is_taken_and_a_word_near_it_explained() {
        assert_eq!(Arch::by_any_name("amd64"), Ok(Arch::X86_64));
        let error = Arch::by_any_name("rv64").unwrap_err().to_string();
        let expected = "unknown architecture `rv64`: expected `aarch64`, `riscv64` or `x86_64`; \
                        `rv64` is called `riscv64` here";
        assert_eq!(error, expected);
        // In a recipe, a lock or an image's description the name itself is written.
        assert!("amd64".parse::<Arch>().is_err());
    }
}
