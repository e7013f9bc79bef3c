//! The files and directories that a recipe names without their hash.

use super::quoted::Quoted;
use super::{StatementId, Word};
use crate::recipe::{EntryKind, KernelOrigin, Recipe, Spanned, TreeOrigin};

/// A file or a directory beside a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its path as the recipe writes it.
    pub name: String,
    /// Where the recipe names it.
    pub at: StatementId,
    /// Of a directory: what is taken of it.
    pub taken: Option<Taken>,
}

/// What is taken of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What git tracks in it, and nothing else.
    pub git: bool,
    /// Globs over the paths in it; empty is everything.
    pub include: Vec<String>,
    /// Globs over the paths in it, which win over `include`.
    pub exclude: Vec<String>,
}

impl Named {
    /// Returns what it is known by in a plan and a lock: a file by its path, a directory as [`Taken::key`] says.
    pub fn key(&self) -> String {
        match &self.taken {
            Some(taken) => taken.key(&self.name),
            None => self.name.clone(),
        }
    }
}

impl Taken {
    /// Returns what a directory is known by in a plan and a lock: its path with a `/` behind it, and what is taken of it.
    pub fn key(&self, name: &str) -> String {
        let mut words: Vec<String> = self.git.then(|| "git".to_owned()).into_iter().collect();
        for (word, globs) in [("include", &self.include), ("exclude", &self.exclude)] {
            let quoted = |glob: &String| format!("{word} {}", Quoted(glob));
            words.extend(globs.iter().map(quoted));
        }
        match words.is_empty() {
            true => format!("{name}/"),
            false => format!("{name}/ ({})", words.join(", ")),
        }
    }

    /// Returns what an entry takes of a directory, where it takes one.
    pub(super) fn of(kind: &EntryKind) -> Option<Taken> {
        match kind {
            EntryKind::Tree {
                origin: TreeOrigin::Local { git, .. },
                include,
                exclude,
                ..
            } => Some(Taken {
                git: *git,
                include: values(include),
                exclude: values(exclude),
            }),
            _ => None,
        }
    }
}

/// Returns the files and directories beside the recipe that its kernel and its entries name.
pub fn local_files(recipe: &Recipe) -> Vec<Named> {
    let kernel = match &recipe.kernel.origin {
        KernelOrigin::Local(name) => Some(Named {
            name: name.value.clone(),
            at: StatementId::Kernel(Word::Local),
            taken: None,
        }),
        KernelOrigin::Source { .. } => None,
    };
    let entries = recipe.initramfs.entries.iter().enumerate();
    let entries = entries.filter_map(|(index, entry)| {
        Some(Named {
            name: entry.kind.local()?.value.clone(),
            at: StatementId::Entry(index, Word::Local),
            taken: Taken::of(&entry.kind),
        })
    });
    kernel.into_iter().chain(entries).collect()
}

pub(super) fn values(texts: &[Spanned<String>]) -> Vec<String> {
    texts.iter().map(|text| text.value.clone()).collect()
}
