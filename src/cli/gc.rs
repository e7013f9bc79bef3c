//! `mkimg gc`: removes from the cache what nobody needs and was not used lately; prints what went, what stayed and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::failure::{Code, Failure};
use super::output;
use super::sharing;
use super::values::parse_size;
use crate::arch::Arch;
use crate::digest::Digest;
use crate::lock;
use crate::progress::{Event, Progress as _};
use crate::recipe::Mode;
use crate::share::bundle::is_bundle;
use crate::store::gc::{Collection, Kind, RootState, Rules, Why, collect, mentions, preview};
use crate::tools;
use crate::ui::bytes;

/// How long something that was found out about this machine is believed.
const STALE: Duration = Duration::from_secs(30 * DAY);
/// How long something is kept after its last use, where no age was given.
const RECENT: Duration = Duration::from_secs(30 * DAY);
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
    let root = context.cache(sharing::base())?.path;
    let now = now();
    let mut rules = Rules {
        keep: BTreeSet::new(),
        certain: BTreeSet::new(),
        tools: Arch::ALL.into_iter().map(tools::pinned_digest).collect(),
        forget: BTreeSet::new(),
        older: args
            .older
            .map(|age| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)),
        max: args.max,
        recent: now.checked_sub(RECENT).unwrap_or(SystemTime::UNIX_EPOCH),
        all: args.all,
        stale: now.checked_sub(STALE).unwrap_or(SystemTime::UNIX_EPOCH),
    };
    for path in &args.forget {
        let absolute =
            std::path::absolute(path).map_err(|error| Failure::io("find", path, error))?;
        rules.forget.insert(absolute);
    }
    let mut kept: BTreeMap<Digest, &Path> = BTreeMap::new();
    for what in &args.keep {
        let (digests, certain) = named(context, what)?;
        if certain {
            rules.certain.extend(&digests);
        }
        kept.extend(digests.into_iter().map(|digest| (digest, what.as_path())));
    }
    rules.keep = kept.keys().copied().collect();
    rules.keep.extend(locked_here(&root));
    context.let_go();
    let mut waiting = |count: usize| {
        let others = match count {
            0 => "other processes that use".to_owned(),
            1 => "1 other process that uses".to_owned(),
            count => format!("{count} other processes that use"),
        };
        let note = format!("waiting for {others} the cache `{}`", root.display());
        context.terminal.event(Event::Note(note));
    };
    let found = match args.dry_run {
        true => preview(&root, &rules)?,
        false => collect(&root, &rules, !args.no_wait, &mut waiting)?,
    };
    if let Some(what) = found.unknown.iter().find_map(|digest| kept.get(digest)) {
        return Err(Failure::usage(
            format!(
                "`--keep {}` names nothing in the cache `{}`",
                what.display(),
                root.display()
            ),
            "look at the digest or the path again; nothing was removed",
        ));
    }
    warn(context, &found);
    for path in &rules.forget {
        if !found.roots.iter().any(|root| root.path == *path) {
            let text = format!("`--forget {}`: there is no such root", path.display());
            context.terminal.event(Event::Warning(text));
        }
    }
    match args.json {
        true => output::print_json(&as_json(&root, &found, args))?,
        false => output::print(&as_text(&root, &found, args.dry_run, now))?,
    }
    match args.max.filter(|max| found.after > *max) {
        Some(max) => Err(too_large(&found, max)),
        None => Ok(()),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where the clock is read"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns the digests that something to keep stands for, and whether they must be in the cache.
fn named(context: &Context<'_>, what: &Path) -> Result<(BTreeSet<Digest>, bool), Failure> {
    let text = what.to_string_lossy();
    let digest = text.strip_prefix("sha256:").unwrap_or(&text);
    if let Ok(digest) = digest.parse::<Digest>() {
        return Ok((BTreeSet::from([digest]), true));
    }
    let io = |error| Failure::io("read", what, error);
    if what.is_dir() {
        let path = fs::canonicalize(what).map_err(io)?;
        let name = path.file_name().unwrap_or_default();
        let digests = mentions(name.as_encoded_bytes());
        if digests.is_empty() {
            return Err(Failure::usage(
                format!("`{}` is no image's directory", what.display()),
                "`mkimg realize` prints an image's directory; an out-link leads to one",
            ));
        }
        return Ok((digests, true));
    }
    if what.extension().is_some_and(|end| end == "lock") {
        return Ok((mentions(&fs::read(what).map_err(io)?), false));
    }
    // Opening it would fill the cache.
    if is_bundle(what).is_ok_and(|found| found) {
        return Err(Failure::usage(
            format!("`{}` is a bundle", what.display()),
            "what was imported is kept without a word; `--older` and `--max` let it go: then import it again",
        ));
    }
    let opened = context.open(Some(what), Mode::Strict)?;
    let mut digests = BTreeSet::new();
    for opened in opened.each_variant()? {
        for arch in opened.parsed.archs_for(Arch::host()) {
            let plan = context.plan(&opened, Some(arch))?;
            digests.insert(plan.id());
            digests.extend(plan.sources.values().map(|source| source.digest));
        }
    }
    // What cannot be read is no reason to keep less than the recipe alone.
    digests.extend(mentions(
        &fs::read(lock::path_of(&opened.path)).unwrap_or_default(),
    ));
    Ok((digests, false))
}

/// Returns what the locks here and beside the cache name. They are roots where they lie, but a project may have been moved
/// since, or lie elsewhere in every job of a CI.
fn locked_here(cache: &Path) -> BTreeSet<Digest> {
    let beside = fs::canonicalize(cache).map(|cache| cache.with_file_name("images"));
    let mut digests = BTreeSet::new();
    for directory in [beside.unwrap_or_default(), sharing::base().to_path_buf()] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "lock") && path.is_file() {
                digests.extend(mentions(&fs::read(path).unwrap_or_default()));
            }
        }
    }
    digests
}

fn warn(context: &Context<'_>, found: &Collection) {
    let warning = |text: String| context.terminal.event(Event::Warning(text));
    for text in &found.warnings {
        warning(text.clone());
    }
    for (root, why) in found.unreadable() {
        let path = root.path.display();
        warning(format!(
            "the root `{path}` cannot be read: {why}; nothing goes that it may need, so only garbage goes. If it is gone for \
             good: `--forget {path}`"
        ));
    }
    for root in &found.roots {
        let says = match &root.state {
            RootState::Keeps(_) => "keeps what it names",
            RootState::Gone => "is gone",
            RootState::Unreadable(_) => continue,
        };
        let text = format!("the root `{}` {says}", root.path.display());
        context.terminal.event(Event::Detail(text));
    }
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

fn too_large(found: &Collection, max: u64) -> Failure {
    let kept: Vec<String> = found
        .roots
        .iter()
        .filter(|root| root.state != RootState::Gone)
        .map(|root| format!("  {}", root.path.display()))
        .collect();
    let help = match kept.is_empty() {
        true => "give it more".to_owned(),
        false => format!(
            "give it more, or remove what needs it (an out-link; a project with its lock):\n{}",
            kept.join("\n")
        ),
    };
    Failure::Plain {
        error: format!(
            "the cache still takes {} bytes, {} more than `--max` allows: the rest is needed",
            found.after,
            bytes(found.after - max)
        )
        .into(),
        help: Some(help),
        code: Code::Failed,
    }
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
