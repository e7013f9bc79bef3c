//! Recipes: what is wrong with them is drawn, and what is right is planned and pinned.

use std::collections::BTreeMap;

use crate::arch::Arch;
use crate::digest::Digest;
use crate::plan::Plan;
use crate::recipe::{Invalid, Mode, Parsed, Pin, edit, parse, statements};
use crate::ui::report::drawn;

pub(super) fn run(data: &[u8]) {
    for mode in [Mode::Strict, Mode::Pin] {
        match parse("x.kdl", data, mode) {
            Ok(parsed) => read(&parsed, data),
            Err(Invalid::Wrong { text, diagnostics }) => {
                for columns in [None, Some(40), Some(100)] {
                    drawn(&text, &diagnostics, columns.is_none(), columns);
                }
            }
            Err(Invalid::Unreadable { .. }) => {}
        }
    }
}

fn read(parsed: &Parsed, data: &[u8]) {
    let recipe = &parsed.recipe;
    statements(&parsed.source);
    for arch in Arch::ALL {
        if let Ok(plan) = Plan::lower(recipe, arch, &BTreeMap::new()) {
            plan.id();
        }
    }
    let locations = recipe.sources.iter().flat_map(|source| &source.locations);
    let pins: Vec<Pin> = locations
        .map(|location| Pin {
            location: location.span.clone(),
            sha256: Digest::of(b""),
            size: Some(1),
            drop_snapshot: false,
        })
        .collect();
    // What is pinned is a recipe still.
    if let Ok(pinned) = edit::pin("x.kdl", data, &pins) {
        assert!(parse("x.kdl", &pinned, Mode::Pin).is_ok());
    }
}
