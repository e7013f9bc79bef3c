//! `mkimg why`: which line of the recipe put a path into the image.

use std::fmt::Write as _;

use serde_json::json;

use super::args::Why;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::recipe::{EntryKind, Origin, TreeOrigin};
use crate::session::{Error, is_named};
use crate::tree::EntryPath;

pub(super) fn run(context: &Context<'_>, args: &Why) -> Result<(), Failure> {
    let opened = context.open(Some(&args.at.recipe))?;
    let plan = opened.plan(args.at.arch)?;
    let store = context.session.store(&opened.base)?;
    let fetch = context.session.fetch_options()?;
    let workshop = context.session.workshop(&store, &fetch);
    opened.check_local_sources(&workshop, &plan)?;
    let assembled = workshop.tree(&plan, &opened.base);
    context.terminal.clear();
    let source = &opened.parsed.source;
    let tree = assembled
        .map_err(|error| Error::realize(error, source))?
        .tree;
    let asked = args.at.path.trim_matches('/');
    let absent = || {
        Failure::usage(
            format!("nothing puts `{}` into the image", args.at.path),
            "`mkimg ls` lists all it has",
        )
    };
    let path = EntryPath::new(asked.as_bytes()).ok();
    let (path, entry) = path
        .and_then(|path| tree.get(&path).map(|entry| (path, entry)))
        .or_else(|| {
            let named = |path: &EntryPath| is_named(path.as_bytes(), asked);
            let found = tree.iter().find(|(path, _)| named(path));
            found.map(|(path, entry)| (path.clone(), entry))
        })
        .ok_or_else(absent)?;
    let planned = entry.origin.and_then(|index| plan.entries.get(index));
    let Some(planned) = planned else {
        let inside = tree
            .iter()
            .filter(|(below, _)| below.parent().as_ref() == Some(&path))
            .count();
        if args.json {
            return output::print_json(
                &json!({ "line": null, "path": path.to_string(), "why": "parent" }),
            );
        }
        return output::print(&format!(
            "{path}: no line of its own; it is there for the {inside} entries in it\n"
        ));
    };
    let line = source.line(&planned.entry.span);
    let node = source.slice(&planned.entry.span);
    let how = origin(
        &planned.entry.kind,
        planned.entry.path.value.trim_matches('/').as_bytes() == path.as_bytes(),
    );
    let file = source.name(&planned.entry.span);
    if args.json {
        return output::print_json(&json!({
            "file": file,
            "line": line,
            "node": node,
            "path": path.to_string(),
            "why": how,
        }));
    }
    let mut text = format!("{file}:{line}: {how}\n");
    for (number, shown) in node.trim_end().lines().take(6).enumerate() {
        let _ = writeln!(text, "{:>5} | {shown}", line + number);
    }
    if node.trim_end().lines().count() > 6 {
        text.push_str("      | ..\n");
    }
    let _ = writeln!(text, "{entry} {path}{}", entry.tail());
    output::print(&text)
}

/// Says how a node of the recipe comes to put an entry there; `itself` is whether the node's own path is the entry's.
fn origin(kind: &EntryKind, itself: bool) -> String {
    match kind {
        EntryKind::File {
            origin:
                Origin::Source {
                    from,
                    path: Some(path),
                },
            ..
        } => {
            format!(
                "`file` takes `{}` out of source `{}`",
                path.value, from.value
            )
        }
        EntryKind::File {
            origin: Origin::Source { from, path: None },
            ..
        } => {
            format!("`file` takes source `{}` as it is", from.value)
        }
        EntryKind::File {
            origin: Origin::Text(_),
            ..
        } => "`file` with its text in the recipe".to_owned(),
        EntryKind::File {
            origin: Origin::Local(name),
            ..
        } => format!("`file` takes `{}` beside the recipe", name.value),
        EntryKind::Dir { .. } => "`dir`".to_owned(),
        EntryKind::Symlink { .. } => "`symlink`".to_owned(),
        EntryKind::Device { .. } => "`device`".to_owned(),
        EntryKind::Applets { of, .. } => format!("`applets`: a name that `{}` lists", of.value),
        EntryKind::Init { from, .. } if itself => {
            format!("`init`: written from the config of source `{}`", from.value)
        }
        EntryKind::Init { from, .. } => {
            format!("`init`: what runs source `{}`", from.value)
        }
        EntryKind::Tree { origin, .. } => {
            let what = match origin {
                TreeOrigin::Source(from) => format!("source `{}`", from.value),
                TreeOrigin::Local { name, .. } => {
                    format!("the directory `{}` beside the recipe", name.value)
                }
            };
            match itself {
                true => format!("`tree`: the top of {what}"),
                false => format!("`tree`: a member of {what}"),
            }
        }
    }
}
