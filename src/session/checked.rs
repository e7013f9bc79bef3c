//! What came of a check.

use std::path::PathBuf;

use super::error::Error;
use super::open::Session;
use crate::arch::Arch;
use crate::check::Row;
use crate::digest::Digest;
use crate::fault::Outcome;

/// What came of it; the worst is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every round gave the same image.
    Equal,
    /// There is nothing to compare.
    Unchecked,
    /// One did not, or the lock expects another.
    Different,
}

/// What came of one image.
pub struct Checked {
    /// The recipe, as it was named.
    pub recipe: String,
    /// For which architecture.
    pub arch: Option<Arch>,
    /// What came of it.
    pub verdict: Verdict,
    /// Was it the user's fault, or the recipe's?
    pub wrong: bool,
    /// What was varied.
    pub rows: Vec<Row>,
    /// The initramfs and kernel: stored, and of each round.
    pub identities: Vec<[Digest; 2]>,
    /// What there is to explain, and what to do.
    pub lines: Vec<String>,
    /// How many of these lines standard error has already.
    pub(crate) printed: usize,
    /// The image of a round that differs.
    pub kept: Option<PathBuf>,
    /// The file to point at: the recipe, or its lock.
    pub file: String,
    /// The line of it.
    pub line: usize,
}

impl Verdict {
    /// Returns its word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Equal => "equal",
            Verdict::Different => "different",
            Verdict::Unchecked => "unchecked",
        }
    }
}

impl Checked {
    /// Returns what is said of an image of which nothing is known yet.
    pub(super) fn new(recipe: String, arch: Option<Arch>) -> Checked {
        Checked {
            file: recipe.clone(),
            recipe,
            arch,
            verdict: Verdict::Equal,
            wrong: false,
            rows: Vec::new(),
            identities: Vec::new(),
            lines: Vec::new(),
            printed: 0,
            kept: None,
            line: 1,
        }
    }

    /// Returns what is said of an image that was not compared; its failure is told at once.
    pub(super) fn unchecked(
        session: &Session<'_>,
        recipe: String,
        arch: Option<Arch>,
        failure: Error,
    ) -> Checked {
        let mut checked = Checked::new(recipe, arch);
        checked.verdict = match failure.outcome() {
            Outcome::Different => Verdict::Different,
            _ => Verdict::Unchecked,
        };
        if let Some((file, line)) = failure.place() {
            (checked.file, checked.line) = (file, line);
        }
        checked.lines = failure.lines();
        checked.printed = checked.lines.len();
        let says_how = checked.lines.iter().any(|line| line.contains("`mkimg "));
        if checked.verdict == Verdict::Unchecked && arch.is_some() && !says_how {
            let arch = arch.map_or_else(String::new, |arch| format!(" --arch {arch}"));
            let recipe = &checked.recipe;
            let next = format!("next: `mkimg realize {recipe}{arch} --verify` has to work first");
            checked.lines.push(next);
        }
        session.report.failed(&failure);
        checked
    }
}
