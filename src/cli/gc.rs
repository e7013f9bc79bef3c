//! `mkimg gc`: removes from the cache what nobody needs and was not used lately; prints what went, what stayed and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::failure::Failure;
use super::output;
use super::values::parse_size;
use crate::session::GcOptions;
use crate::store::gc::{Collection, Kind, RootState, Why};
use crate::units::bytes;

const DAY: u64 = 24 * 60 * 60;

/// `mkimg gc`
#[derive(Debug, Args)]
pub(super) struct Gc {
    /// Keep this too, and what it needs: a recipe, a lock, an image's directory, a plan id or a blob's sha256; may be given
    /// several times
    #[arg(long, value_name = "WHAT")]
    keep: Vec<PathBuf>,
    /// Remove the least recently used until the cache takes no more than this, such as 2GiB; what is needed stays
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max: Option<u64>,
    /// Remove what was not used for so long, such as 30d or 12h; what is needed stays
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older: Option<Duration>,
    /// Remove all that is not needed, however young, and what `mkimg add` put in
    #[arg(long, conflicts_with_all = ["max", "older"])]
    all: bool,
    /// List what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Let a root go that cannot be read: the path of an out-link or a lock
    #[arg(long, value_name = "PATH")]
    forget: Vec<PathBuf>,
    /// Fail where others use the cache, instead of waiting for them
    #[arg(long)]
    no_wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context<'_>, args: &Gc) -> Result<(), Failure> {
    let collected = context.session.gc(&GcOptions {
        keep: args.keep.clone(),
        max: args.max,
        older: args.older,
        all: args.all,
        dry_run: args.dry_run,
        forget: args.forget.clone(),
        no_wait: args.no_wait,
    })?;
    let (root, found) = (&collected.root, &collected.collection);
    match args.json {
        true => output::print_json(&as_json(root, found, args))?,
        false => output::print(&as_text(root, found, args.dry_run, collected.now))?,
    }
    collected.error.map_or(Ok(()), |error| Err(error.into()))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Garbage => "garbage",
        Kind::Note => "notes",
        Kind::Import => "imports",
        Kind::Members => "members",
        Kind::Image => "images",
        Kind::Tool => "tools",
        Kind::Blob => "blobs",
    }
}

fn as_text(root: &Path, found: &Collection, dry_run: bool, now: SystemTime) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    if dry_run {
        for gone in &found.removed {
            let age = now.duration_since(gone.used).unwrap_or_default();
            let _ = writeln!(
                text,
                "{:>8}  {:>10}  {}",
                bytes(gone.bytes),
                ago(age),
                gone.name.display()
            );
        }
        if !found.removed.is_empty() {
            text.push('\n');
        }
    }
    let (goes, free) = match dry_run {
        true => ("would go", "would free"),
        false => ("removed", "freed"),
    };
    if !found.kinds.is_empty() {
        let _ = writeln!(text, "{:8} {goes:>16} {:>16}", "", "kept");
    }
    for (kind, count) in found.kinds.iter().rev() {
        let cell = |count: usize, size: u64| match count {
            0 => "-".to_owned(),
            _ => format!("{count:>5} {:>9}", bytes(size)),
        };
        let _ = writeln!(
            text,
            "{:8} {:>16} {:>16}",
            word(*kind),
            cell(count.removed, count.removed_bytes),
            cell(count.kept, count.kept_bytes)
        );
    }
    for (why, count) in &found.kept {
        let (noun, size) = (objects(count.kept), bytes(count.kept_bytes));
        let _ = writeln!(text, "kept {noun}, {size}: {}", reason(*why));
    }
    let (freed, left) = (bytes(found.freed()), bytes(found.after));
    let _ = writeln!(text, "{free} {freed}; {left} stay in {}", root.display());
    text
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Needed => "a lock, an out-link, `--keep` or a running process needs it",
        Why::Added => "`mkimg add` put it in (`--all` removes it)",
        Why::Recent => {
            "used in the last 30 days, or as `--older` and `--max` say (`--all` removes it)"
        }
        Why::Spared => "imported, or the pinned QEMU (`--older`, `--max` or `--all` removes it)",
    }
}

fn objects(count: usize) -> String {
    match count {
        1 => "1 object".to_owned(),
        count => format!("{count} objects"),
    }
}

fn as_json(root: &Path, found: &Collection, args: &Gc) -> Value {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default().as_secs()
    };
    let kinds: BTreeMap<&str, Value> = found
        .kinds
        .iter()
        .map(|(kind, count)| {
            let value = json!({
                "removed": count.removed,
                "removed_bytes": count.removed_bytes,
                "kept": count.kept,
                "kept_bytes": count.kept_bytes,
            });
            (word(*kind), value)
        })
        .collect();
    let kept = found.kept.iter().map(|(why, count)| {
        let why = match why {
            Why::Needed => "needed",
            Why::Added => "added",
            Why::Recent => "recent",
            Why::Spared => "spared",
        };
        (
            why,
            json!({ "objects": count.kept, "bytes": count.kept_bytes }),
        )
    });
    let removed = found.removed.iter().map(|gone| {
        json!({
            "kind": word(gone.kind),
            "path": gone.name.display().to_string(),
            "bytes": gone.bytes,
            "used": seconds(gone.used),
        })
    });
    let roots = found.roots.iter().map(|root| {
        let state = match root.state {
            RootState::Keeps(_) => "kept",
            RootState::Gone => "gone",
            RootState::Unreadable(_) => "unreadable",
        };
        json!({ "path": root.path.display().to_string(), "state": state })
    });
    json!({
        "cache": root.display().to_string(),
        "dry_run": args.dry_run,
        "before": found.before,
        "after": found.after,
        "freed": found.freed(),
        "max": args.max,
        "kept": kept.collect::<BTreeMap<&str, Value>>(),
        "kinds": kinds,
        "removed": removed.collect::<Value>(),
        "roots": roots.collect::<Value>(),
    })
}

/// Returns an age in the unit that fits.
fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..DAY => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / DAY),
    }
}

/// Returns an age: a whole number of s, min, h, d or w.
fn parse_age(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return Err("expected an age with its unit, such as 30d, 12h or 2w".to_owned()),
    };
    let seconds = number.parse::<u64>().ok();
    let seconds = seconds.and_then(|number| number.checked_mul(factor));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a whole number before the unit".to_owned())
}
