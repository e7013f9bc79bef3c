//! `mkimg cache`: takes over a cache that came from elsewhere.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::progress::{Event, Progress as _};
use crate::store::{Adopted, adopt};
use crate::ui::bytes;

/// The most removed things that are listed one by one.
const LISTED: usize = 20;

/// `mkimg cache`
#[derive(Debug, Args)]
pub(super) struct Cache {
    /// What to do with a cache
    #[command(subcommand)]
    verb: CacheVerb,
}

#[derive(Debug, Subcommand)]
enum CacheVerb {
    /// Take over a cache that came from elsewhere, as CI restores one: keep the blobs whose bytes are right, and nothing else
    Adopt(Adopt),
}

/// `mkimg cache adopt`
#[derive(Debug, Args)]
struct Adopt {
    /// The cache's directory
    #[arg(value_name = "DIR")]
    restored: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context<'_>, args: &Cache) -> Result<(), Failure> {
    let CacheVerb::Adopt(args) = &args.verb;
    let Some(state) = &context.session.options.environment.state else {
        return Err(Failure::usage(
            "there is no place to remember whose a cache is: HOME is not set",
            "set HOME or XDG_STATE_HOME, or name the cache with `--cache DIR` whenever it is used",
        ));
    };
    if !args.restored.is_dir() {
        return Err(Failure::usage(
            format!("`{}` is no directory", args.restored.display()),
            "name the cache that was restored",
        ));
    }
    let mut waiting = |_| {
        let note = "waiting for other processes that use the cache".to_owned();
        context.terminal.event(Event::Note(note));
    };
    let done = adopt(&args.restored, state, &mut waiting)?;
    match args.json {
        true => output::print_json(&as_json(&done)),
        false => output::print(&as_text(&done)),
    }
}

fn shown(path: &Path) -> String {
    path.as_os_str()
        .as_encoded_bytes()
        .escape_ascii()
        .to_string()
}

fn as_text(done: &Adopted) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    for (path, why) in done.removed.iter().take(LISTED) {
        let _ = writeln!(text, "removed {}: {why}", shown(path));
    }
    let more = done.removed.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(text, "removed {more} more");
    }
    let noun = if done.kept == 1 { "blob" } else { "blobs" };
    let copied = match done.copied {
        0 => String::new(),
        count => format!(", {count} of them written anew"),
    };
    let (kept, size, path) = (done.kept, bytes(done.bytes), done.path.display());
    let _ = writeln!(
        text,
        "kept {kept} {noun}, {size}{copied}; {path} is adopted"
    );
    text
}

fn as_json(done: &Adopted) -> Value {
    let removed = done.removed.iter();
    let removed = removed.map(|(path, why)| json!({ "path": shown(path), "why": why }));
    json!({
        "cache": done.path.display().to_string(),
        "kept": done.kept,
        "kept_bytes": done.bytes,
        "copied": done.copied,
        "removed": removed.collect::<Value>(),
    })
}
