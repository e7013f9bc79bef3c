//! Questions to a recipe: its sources, and the architectures that it can be realized for.

use crate::arch::Arch;

use super::model::{EntryKind, Location, Recipe, Source};

/// Why no architecture could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchError {
    /// A source has no location for the one that was asked for.
    #[error(
        "the recipe has no `{asked}`: its source `{source_name}` has locations for {known} only"
    )]
    Unsupported {
        /// What was asked for.
        asked: Arch,
        /// A source that lacks it.
        source_name: String,
        /// What that source has, in backticks.
        known: String,
    },
    /// Nothing is there for the one that was asked for.
    #[error("the recipe has no `{asked}`, only {known}")]
    Absent {
        /// What was asked for.
        asked: Arch,
        /// What the recipe has, in backticks.
        known: String,
    },
    /// None was asked for, the host's is none of them, and there are several.
    #[error(
        "the recipe has {known}, and none of them is this machine's: say which one with `--arch`"
    )]
    Ambiguous {
        /// What the recipe has, in backticks.
        known: String,
    },
}

impl Recipe {
    /// Returns the source of a name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name.value == name)
    }

    /// Returns the sources that the kernel or an entry is taken from, in the order of the file.
    pub fn used_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| {
            let name = &source.name.value;
            let used = |kind: &EntryKind| kind.sources().any(|from| from.value == *name);
            self.kernel.from().is_some_and(|from| from.value == *name)
                || self.initramfs.entries.iter().any(|entry| used(&entry.kind))
        })
    }

    /// Returns the architectures that every used source serves, in the order of their names; at least one.
    pub fn archs(&self) -> Vec<Arch> {
        let serves = |arch: &Arch| self.used_sources().all(|source| source.serves(*arch));
        Arch::ALL.into_iter().filter(serves).collect()
    }

    /// Returns the architectures to realize where all are wanted: those that the sources' locations name, or `host` where no
    /// location names any and so nothing says for what it is.
    pub fn archs_for(&self, host: Option<Arch>) -> Vec<Arch> {
        match (self.names_archs(), host) {
            (false, Some(host)) => vec![host],
            _ => self.archs(),
        }
    }

    /// Says whether the location of a used source names its architecture.
    pub(super) fn names_archs(&self) -> bool {
        let mut locations = self.used_sources().flat_map(|source| &source.locations);
        locations.any(|location| location.arch.is_some())
    }

    /// Returns the architecture to realize: the one that was asked for, else the host's where the recipe has it, else the
    /// recipe's only one.
    ///
    /// # Errors
    /// [`ArchError`] where the recipe does not have the one that was asked for, or has several and not the host's.
    pub fn choose_arch(&self, asked: Option<Arch>, host: Option<Arch>) -> Result<Arch, ArchError> {
        let archs = self.archs();
        if let Some(asked) = asked {
            let lacking = self.used_sources().find(|source| !source.serves(asked));
            return match lacking {
                None => Ok(asked),
                Some(source) => Err(ArchError::Unsupported {
                    asked,
                    source_name: source.name.value.clone(),
                    known: names(&source.archs()),
                }),
            };
        }
        match (host.filter(|host| archs.contains(host)), archs.as_slice()) {
            (Some(host), _) => Ok(host),
            (None, [only]) => Ok(*only),
            (None, _) => Err(ArchError::Ambiguous {
                known: names(&archs),
            }),
        }
    }
}

impl Source {
    /// Returns the locations that serve an architecture, in the order of the file: mirrors of the same bytes.
    pub fn locations_for(&self, arch: Arch) -> impl Iterator<Item = &Location> {
        let serves = move |own: Option<Arch>| own.is_none_or(|own| own == arch);
        self.locations
            .iter()
            .filter(move |location| serves(location.arch))
    }

    /// Returns the architectures that it serves, in the order of their names.
    pub fn archs(&self) -> Vec<Arch> {
        Arch::ALL
            .into_iter()
            .filter(|arch| self.serves(*arch))
            .collect()
    }

    fn serves(&self, arch: Arch) -> bool {
        self.locations_for(arch).next().is_some()
    }
}

fn names(archs: &[Arch]) -> String {
    let names: Vec<String> = archs.iter().map(|arch| format!("`{arch}`")).collect();
    names.join(" and ")
}
