//! What `mkimg check` says of an image: as a table, as JSON, and as the annotation of a workflow.

use std::env;
use std::path::{self, Path, PathBuf};

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::session::{Checked, Verdict};

fn name(checked: &Checked) -> String {
    match checked.arch {
        Some(arch) => format!("{} {arch}", checked.recipe),
        None => checked.recipe.clone(),
    }
}

/// Returns it as a table.
pub(super) fn text(checked: &Checked) -> String {
    let mut text = format!("{}: {}\n", name(checked), told(checked));
    for row in &checked.rows {
        let (mark, what) = match &row.why {
            None => ("applied", row.rounds.join(" | ")),
            Some(why) => ("NOT APPLIED", why.clone()),
        };
        text.push_str(&format!("  {:<20} {mark:<12} {what}\n", row.name));
    }
    let lines = checked.lines.iter().skip(checked.printed);
    let lines = lines.map(|line| format!("  {line}\n"));
    text.extend(lines);
    text
}

fn told(checked: &Checked) -> String {
    let applied = checked.rows.iter().filter(|row| row.applied).count();
    let rounds = checked.identities.len().saturating_sub(1);
    let verdict = checked.verdict.name();
    match (checked.verdict, checked.rows.len()) {
        (Verdict::Different, 0) => "not what its lock says".to_owned(),
        (_, 0) => "could not be checked".to_owned(),
        (_, all) => {
            let s = if rounds == 1 { "" } else { "s" };
            format!("{verdict} in {rounds} round{s}, {applied} of {all} variations applied")
        }
    }
}

/// Returns the annotation of a workflow; `%`, and line ends, are written as GitHub wants them.
pub(super) fn annotation(checked: &Checked) -> String {
    let kind = match checked.verdict {
        Verdict::Equal => "notice",
        _ => "error",
    };
    let escape = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let file = escape(&relative(&checked.file))
        .replace(':', "%3A")
        .replace(',', "%2C");
    let mut message = format!("{}: {}", name(checked), told(checked));
    for line in &checked.lines {
        message.push_str(&format!("\n{line}"));
    }
    format!(
        "::{kind} file={file},line={}::{}\n",
        checked.line,
        escape(&message)
    )
}

/// Returns it as `docs/check.md` has it.
pub(super) fn json(checked: &Checked) -> Value {
    let identities = |pair: &[Digest; 2]| json!({ "initramfs": pair[0].to_string(), "kernel": pair[1].to_string() });
    json!({
        "arch": checked.arch.map(|arch| arch.name()),
        "explanation": checked.lines,
        "kept": checked.kept.as_ref().map(|path| path.display().to_string()),
        "recipe": checked.recipe,
        "rounds": checked.identities.iter().skip(1).map(identities).collect::<Vec<_>>(),
        "stored": checked.identities.first().map(identities),
        "variations": checked.rows.iter().map(|row| json!({
            "applied": row.applied,
            "here": row.here,
            "name": row.name,
            "rounds": row.rounds,
            "why_not": row.why,
        })).collect::<Vec<_>>(),
        "verdict": checked.verdict.name(),
    })
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
