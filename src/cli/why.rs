//! `mkimg why`: which line of the recipe put a path into the image.

use std::fmt::Write as _;

use serde_json::json;

use super::args::Why;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::plan::{FileOrigin, PlannedKind, StatementId, TreeOrigin};
use crate::session::is_named;
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
        .map_err(|error| opened.wrong(error, plan.arch))?
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
    let origin = entry
        .origin
        .and_then(|index| Some((index, plan.entries.get(index)?)));
    let Some((index, planned)) = origin else {
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
    let span = StatementId::of_entry(Some(index)).span(opened.parsed.of(plan.arch), source);
    let (line, node) = (source.line(&span), source.slice(&span));
    let how = reason(
        &planned.kind,
        planned.path.trim_matches('/').as_bytes() == path.as_bytes(),
    );
    let file = source.name(&span);
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
fn reason(kind: &PlannedKind, itself: bool) -> String {
    match kind {
        PlannedKind::File { origin, .. } => match origin {
            FileOrigin::Source {
                from,
                path: Some(path),
            } => format!("`file` takes `{path}` out of source `{from}`"),
            FileOrigin::Source { from, path: None } => {
                format!("`file` takes source `{from}` as it is")
            }
            FileOrigin::Text(_) => "`file` with its text in the recipe".to_owned(),
            FileOrigin::Local { name, .. } => format!("`file` takes `{name}` beside the recipe"),
        },
        PlannedKind::Dir { .. } => "`dir`".to_owned(),
        PlannedKind::Symlink { .. } => "`symlink`".to_owned(),
        PlannedKind::Device { .. } => "`device`".to_owned(),
        PlannedKind::Applets { of, .. } => format!("`applets`: a name that `{of}` lists"),
        PlannedKind::Init { from, .. } if itself => {
            format!("`init`: written from the config of source `{from}`")
        }
        PlannedKind::Init { from, .. } => format!("`init`: what runs source `{from}`"),
        PlannedKind::Tree { origin, .. } => {
            let what = match origin {
                TreeOrigin::Source { from, .. } => format!("source `{from}`"),
                TreeOrigin::Local { name, .. } => {
                    format!("the directory `{name}` beside the recipe")
                }
            };
            match itself {
                true => format!("`tree`: the top of {what}"),
                false => format!("`tree`: a member of {what}"),
            }
        }
    }
}
