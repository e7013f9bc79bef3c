//! Errors of later steps, told as problems of the recipe.

use std::error::Error;
use std::path::Path;

use super::RealizeError;
use crate::assemble::applets::AppletsError;
use crate::assemble::{AssembleError, InitError};
use crate::pack::PackError;
use crate::plan::{Plan, PlannedKind, Problem, StatementId, Word};
use crate::source::ArchiveError;
use crate::source::local::LocalError;
use crate::store::StoreError;
use crate::tree::{Conflict, EntryPath, Tree};

/// Returns what an error of the assembly means for the recipe.
pub(super) fn assembly(plan: &Plan, error: AssembleError) -> RealizeError {
    let diagnostic = match error {
        AssembleError::Several(errors) => {
            let mut told = Vec::new();
            for error in errors {
                match assembly(plan, error) {
                    RealizeError::Recipe(diagnostics) => told.extend(diagnostics),
                    other => return other,
                }
            }
            return RealizeError::Recipe(told);
        }
        AssembleError::Store(error) => return RealizeError::Store(error),
        AssembleError::Source { at, error, .. } => match *error {
            ArchiveError::Store(error) => return RealizeError::Store(error),
            ArchiveError::Damaged { source, .. } => return RealizeError::Store(*source),
            ArchiveError::Read { path, source, .. } => {
                return RealizeError::Store(StoreError::io("read", &path, source));
            }
            error => {
                let diagnostic = Problem::error(with_causes(&error), at, "wanted here");
                match archive_help(&error) {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                }
            }
        },
        AssembleError::Missing { name, at } => {
            Problem::error(format!("`{name}` is not at hand"), at, "needed here")
                .help("this is a bug of mkimg: report it")
        }
        AssembleError::Modes { at, error, .. } => {
            Problem::error(error.to_string(), at, "has a mode of its own here")
                .help("a glob is matched against the paths before `strip`; a symlink has no mode")
        }
        AssembleError::Init { error, entry } => {
            let help = match error {
                InitError::NoShell | InitError::NoProgram(_) | InitError::NoSwitch(_) => {
                    "name a source with a static BusyBox: `init from=\"..\" busybox=\"busybox\"`; or write `file \"/init\"` yourself"
                }
                _ => "write `file \"/init\"` yourself: it mounts, and runs what you want",
            };
            let message = format!("no `/init` can be written: {error}");
            Problem::error(message, place(entry), "wanted here").help(help)
        }
        AssembleError::Flawed {
            member,
            problem,
            entry,
        } => {
            let message = format!("`{member}` in the container image is refused: {problem}");
            Problem::error(message, place(entry), "put there by this")
                .help("leave it out with `exclude \"..\"`, or take another image")
        }
        AssembleError::Conflict { conflict, entry } => clash(plan, &conflict, entry),
        AssembleError::Path {
            member,
            error,
            entry,
        } => {
            let message = format!("`{member}` cannot be an entry: {error}");
            Problem::error(message, place(entry), "put there by this")
                .help("exclude it (`exclude \"..\"`), or change the path that it lands at")
        }
        AssembleError::NoBusyBox { of, found, entry } => {
            let message = format!("`{of}`, which should be a BusyBox, is {found}");
            Problem::error(message, StatementId::Entry(entry, Word::Of), "named here").help(
                format!(
                    "declare it: file \"{of}\" from=\"busybox\" path=\"bin/busybox\" mode=0o755"
                ),
            )
        }
        AssembleError::Applets { of, error, entry } => {
            let message = format!("no applets can be read out of `{of}`: {error}");
            Problem::error(message, StatementId::Entry(entry, Word::Of), "named here").help(match error {
                AppletsError::Archive => {
                    "take the BusyBox out of it: file \"/bin/busybox\" from=\"busybox\" path=\"bin/busybox\" mode=0o755"
                }
                _ => {
                    "name the applets yourself, each with a line such as: symlink \"/bin/sh\" target=\"/bin/busybox\""
                }
            })
        }
    };
    RealizeError::Recipe(vec![diagnostic])
}

/// Returns what an error of packing means. `at` is where the image was being written.
pub(super) fn packing(plan: &Plan, tree: &Tree, at: &Path, error: PackError) -> RealizeError {
    let of = |path: &EntryPath| tree.get(path).and_then(|entry| entry.origin);
    // No object of the cache: a file beside the recipe, whose digest is in the plan.
    let mut entries = plan.entries.iter();
    let changed = entries.position(|planned| {
        let (local, at) = (planned.local(), error.place());
        // A file of a directory is below it.
        local.is_some_and(|(_, file)| at.is_some_and(|at| at.starts_with(&file.path)))
    });
    if let Some(entry) = changed {
        let message = format!("a local file changed while it was taken in: {error}");
        let diagnostic = Problem::error(message, place(entry), "named here")
            .help("run mkimg again when nothing writes to it");
        return RealizeError::Recipe(vec![diagnostic]);
    }
    match error {
        PackError::Write(error) => RealizeError::Store(StoreError::io("write", at, error)),
        PackError::Damaged {
            place: Some(path),
            expected,
            actual,
            ..
        } => RealizeError::Store(StoreError::Damaged {
            path,
            expected,
            actual,
        }),
        PackError::TooLarge { ref path, .. }
        | PackError::Mode { ref path, .. }
        | PackError::Device { ref path, .. }
        | PackError::Target { ref path, .. } => {
            let at = StatementId::of_entry(of(path));
            RealizeError::Recipe(vec![
                Problem::error(error.to_string(), at, "put there by this")
                    .help("leave it out, or change it"),
            ])
        }
        other => RealizeError::Pack(other),
    }
}

/// Returns that the kernel beside the recipe is not what it was when it was looked at.
pub(super) fn changed_kernel(error: &LocalError) -> RealizeError {
    let message = format!("the kernel beside the recipe cannot be taken in: {error}");
    let diagnostic = Problem::error(message, StatementId::Kernel(Word::Whole), "named here");
    RealizeError::Recipe(vec![diagnostic.help(error.help())])
}

fn clash(plan: &Plan, conflict: &Conflict, entry: usize) -> Problem {
    let (later, what) = (place(entry), conflict.to_string());
    let (origin, label) = match conflict {
        Conflict::Taken { origin, .. } | Conflict::Differs { origin, .. } => {
            (origin, "it came from here")
        }
        Conflict::Parent { origin, .. } => (origin, "this put it there"),
        Conflict::Occupied { origin, .. } => (origin, "what it holds came from here"),
    };
    let mut diagnostic = Problem::error(what, later, "this wants it again");
    if let Some(origin) = origin.filter(|origin| *origin != entry) {
        diagnostic = diagnostic.and(place(origin), label);
    }
    let applets = plan
        .entries
        .get(entry)
        .is_some_and(|planned| matches!(planned.kind, PlannedKind::Applets { .. }));
    diagnostic.help(match conflict {
        Conflict::Taken { path, .. } if applets => {
            let name = String::from_utf8_lossy(path.name()).into_owned();
            format!("leave this applet out with except=\"{name}\", or let the applet win with override=#true")
        }
        Conflict::Differs { .. } => {
            "let them agree, or add override=#true to the later one to say that it wins".to_owned()
        }
        Conflict::Taken { .. } => "remove one of them, or add override=#true to the later one to say that it wins".to_owned(),
        Conflict::Parent { .. } => {
            "put the entry where that leads to, or replace it by a directory with override=#true".to_owned()
        }
        Conflict::Occupied { .. } => "move what it holds, or let it stay a directory".to_owned(),
    })
}

/// Returns what to do about an archive; nothing where the message says it or where the recipe is not the place for it.
fn archive_help(error: &ArchiveError) -> Option<&'static str> {
    Some(match error {
        ArchiveError::NotAnArchive { .. } => "without `path` the source is taken as it is",
        ArchiveError::Unsupported { .. } => {
            "pack it anew in one of these forms, or take another source"
        }
        ArchiveError::Image { .. } => "take another image, or name another digest of it",
        ArchiveError::Several { .. } => "make the pattern narrower",
        ArchiveError::NoMatch { .. } => {
            "a path starts at the root of the archive, without a leading `/` or `./`, and is matched as a whole"
        }
        ArchiveError::Pattern { .. } => "correct the pattern",
        ArchiveError::NotAFile { .. } => "name a file, or take all of it with a `tree` node",
        ArchiveError::Member { problem, .. } if problem.may_be_left_out() => {
            "leave it out with `exclude \"..\"` in the `tree` node, or take another source"
        }
        ArchiveError::Member { .. } => {
            "every member of an archive is checked for this, wanted or not: pack the archive anew, or take another source"
        }
        ArchiveError::TooMany { .. } => "take another source, or a part of it packed anew",
        ArchiveError::Deb { .. }
        | ArchiveError::Decompress { .. }
        | ArchiveError::Stream { .. } => {
            "its sha256 is the declared one, so it was like this when it was pinned: take a whole file and pin that with \
             `mkimg pin --refresh`"
        }
        // The message says what to do.
        ArchiveError::All(_)
        | ArchiveError::TooLarge { .. }
        | ArchiveError::Store(_)
        | ArchiveError::Damaged { .. }
        | ArchiveError::Read { .. } => {
            return None;
        }
    })
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let line = next.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = next.source();
    }
    text
}

fn place(entry: usize) -> StatementId {
    StatementId::of_entry(Some(entry))
}
