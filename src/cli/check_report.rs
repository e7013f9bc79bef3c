//! What `mkimg check` says of an image: as a table, as JSON, and as the annotation of a workflow.

use std::env;
use std::path::{self, Path, PathBuf};

use serde_json::{Value, json};

use super::context::Context;
use super::failure::{Code, Failure};
use crate::arch::Arch;
use crate::check::Row;
use crate::digest::Digest;
use crate::recipe::{SourceMap, Span};

/// What came of it; the worst is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Every round gave the same image.
    Equal,
    /// There is nothing to compare.
    Unchecked,
    /// One did not, or the lock expects another.
    Different,
}

/// What came of one image.
pub(super) struct Checked {
    /// The recipe, as it was named.
    pub(super) recipe: String,
    /// For which architecture.
    pub(super) arch: Option<Arch>,
    /// What came of it.
    pub(super) verdict: Verdict,
    /// Was it the user's fault, or the recipe's?
    pub(super) wrong: bool,
    /// What was varied.
    pub(super) rows: Vec<Row>,
    /// The initramfs and kernel: stored, and of each round.
    pub(super) identities: Vec<[Digest; 2]>,
    /// What there is to explain, and what to do.
    pub(super) lines: Vec<String>,
    /// How many of these lines standard error has already.
    printed: usize,
    /// The image of a round that differs.
    pub(super) kept: Option<PathBuf>,
    /// The file to point at: the recipe, or its lock.
    pub(super) file: String,
    /// The line of it.
    pub(super) line: usize,
}

impl Verdict {
    /// Returns its word.
    pub(super) fn name(self) -> &'static str {
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

    /// Takes a place of the recipe for the one to look at.
    pub(super) fn at(&mut self, source: &SourceMap, span: &Span) {
        (self.file, self.line) = (source.name(span).to_owned(), source.line(span));
    }

    /// Returns what is said of an image that was not compared; its failure is told at once.
    pub(super) fn unchecked(
        context: &Context<'_>,
        recipe: String,
        arch: Option<Arch>,
        failure: Failure,
    ) -> Checked {
        let mut checked = Checked::new(recipe, arch);
        checked.verdict = match failure.code() {
            Some(Code::Different) => Verdict::Different,
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
        failure.print(context.terminal);
        checked
    }

    fn name(&self) -> String {
        match self.arch {
            Some(arch) => format!("{} {arch}", self.recipe),
            None => self.recipe.clone(),
        }
    }

    /// Returns it as a table.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.name(), self.told());
        for row in &self.rows {
            let (mark, what) = match &row.why {
                None => ("applied", row.rounds.join(" | ")),
                Some(why) => ("NOT APPLIED", why.clone()),
            };
            text.push_str(&format!("  {:<20} {mark:<12} {what}\n", row.name));
        }
        let lines = self.lines.iter().skip(self.printed);
        let lines = lines.map(|line| format!("  {line}\n"));
        text.extend(lines);
        text
    }

    fn told(&self) -> String {
        let applied = self.rows.iter().filter(|row| row.applied).count();
        let rounds = self.identities.len().saturating_sub(1);
        let verdict = self.verdict.name();
        match (self.verdict, self.rows.len()) {
            (Verdict::Different, 0) => "not what its lock says".to_owned(),
            (_, 0) => "could not be checked".to_owned(),
            (_, all) => {
                let s = if rounds == 1 { "" } else { "s" };
                format!("{verdict} in {rounds} round{s}, {applied} of {all} variations applied")
            }
        }
    }

    /// Returns the annotation of a workflow; `%`, and line ends, are written as GitHub wants them.
    pub(super) fn annotation(&self) -> String {
        let kind = match self.verdict {
            Verdict::Equal => "notice",
            _ => "error",
        };
        let escape = |text: &str| {
            text.replace('%', "%25")
                .replace('\r', "%0D")
                .replace('\n', "%0A")
        };
        let file = escape(&relative(&self.file))
            .replace(':', "%3A")
            .replace(',', "%2C");
        let mut message = format!("{}: {}", self.name(), self.told());
        for line in &self.lines {
            message.push_str(&format!("\n{line}"));
        }
        format!(
            "::{kind} file={file},line={}::{}\n",
            self.line,
            escape(&message)
        )
    }

    /// Returns it as `docs/check.md` has it.
    pub(super) fn json(&self) -> Value {
        let identities = |pair: &[Digest; 2]| json!({ "initramfs": pair[0].to_string(), "kernel": pair[1].to_string() });
        json!({
            "arch": self.arch.map(|arch| arch.name()),
            "explanation": self.lines,
            "kept": self.kept.as_ref().map(|path| path.display().to_string()),
            "recipe": self.recipe,
            "rounds": self.identities.iter().skip(1).map(identities).collect::<Vec<_>>(),
            "stored": self.identities.first().map(identities),
            "variations": self.rows.iter().map(|row| json!({
                "applied": row.applied,
                "here": row.here,
                "name": row.name,
                "rounds": row.rounds,
                "why_not": row.why,
            })).collect::<Vec<_>>(),
            "verdict": self.verdict.name(),
        })
    }
}

/// Returns a path as GitHub takes it: from the root of the checkout, which the workflow names, else from here.
#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where the environment is read"
)]
fn relative(file: &str) -> String {
    let absolute = path::absolute(file).unwrap_or_else(|_| PathBuf::from(file));
    let roots = [
        env::var_os("GITHUB_WORKSPACE").map(PathBuf::from),
        env::current_dir().ok(),
    ];
    let inside = roots
        .iter()
        .flatten()
        .find_map(|root| absolute.strip_prefix(root).ok());
    let shown: &Path = inside.unwrap_or(Path::new(file));
    shown.display().to_string()
}
