//! What is no longer as a lock says, in the order in which one thing follows from another.

use std::collections::BTreeMap;

use super::{Lock, Locked, file_digests, recipe_digest, statement_digests};
use crate::digest::Digest;
use crate::plan::{LocalFile, Plan};
use crate::recipe::{Parsed, Span, statements};

/// One thing that is no longer as a lock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What, in words: `` `file "/init"` changed ``.
    pub what: String,
    /// Where it stands in the recipe.
    pub span: Option<Span>,
}

impl Change {
    fn new(what: impl Into<String>) -> Change {
        let what = what.into();
        Change { what, span: None }
    }
}

impl Lock {
    /// Returns what changed in the recipe and the files beside it since it was locked; empty where nothing did.
    pub fn recipe_changes(
        &self,
        parsed: &Parsed,
        files: &BTreeMap<String, LocalFile>,
    ) -> Vec<Change> {
        if recipe_digest(&parsed.source, files) == self.recipe {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if parsed.recipe.name.value != self.name {
            let own = &parsed.recipe.name.value;
            changes.push(Change {
                what: format!("the image is `{own}`, the lock is that of `{}`", self.name),
                span: Some(parsed.recipe.name.span.clone()),
            });
        }
        let now = statement_digests(&parsed.source);
        let places: BTreeMap<String, Span> = statements(&parsed.source)
            .into_iter()
            .map(|statement| (statement.name, statement.span))
            .collect();
        for (name, digest) in &now {
            let what = match self.statements.get(name) {
                Some(old) if old == digest => continue,
                Some(_) => format!("`{name}` changed"),
                None => format!("`{name}` is new"),
            };
            let span = places.get(name).cloned();
            changes.push(Change { what, span });
        }
        // In the order of the recipe.
        changes.sort_by_key(|change| change.span.as_ref().map(Span::order));
        for name in self
            .statements
            .keys()
            .filter(|name| !now.contains_key(*name))
        {
            changes.push(Change::new(format!("`{name}` is gone")));
        }
        for (path, digest) in file_digests(files) {
            // A file that is new or gone is one of a statement that changed.
            if self.files.get(&path).is_some_and(|old| *old != digest) {
                changes.push(Change::new(format!("the file `{path}` changed")));
            }
        }
        if changes.is_empty() {
            let what = "only comments, layout or the order of statements changed";
            changes.push(Change::new(what));
        }
        changes
    }
}

impl Locked {
    /// Returns what is other in a plan than the lock says of its architecture; to be asked before anything is fetched.
    pub fn plan_changes(&self, plan: &Plan) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, source) in &plan.sources {
            match self.inputs.get(name) {
                Some(old) if *old == source.digest => {}
                Some(old) => changes.push(Change {
                    what: differs(&format!("source `{name}`"), old, &source.digest),
                    span: Some(source.span.clone()),
                }),
                None => changes.push(Change {
                    what: format!("source `{name}` is new"),
                    span: Some(source.span.clone()),
                }),
            }
        }
        for name in self
            .inputs
            .keys()
            .filter(|name| !plan.sources.contains_key(*name))
        {
            changes.push(Change::new(format!("source `{name}` is gone")));
        }
        if changes.is_empty() && self.sources != plan.sources_identity() {
            changes.push(Change::new(differs(
                "the identity of the sources",
                &self.sources,
                &plan.sources_identity(),
            )));
        }
        if self.plan != plan.id() {
            changes.push(Change::new(differs("the plan", &self.plan, &plan.id())));
        }
        changes
    }

    /// Returns what is other in an image than the lock says, where the plan is the same.
    pub fn image_changes(&self, now: &Locked) -> Vec<Change> {
        let mut changes = Vec::new();
        let sized = |what: &str, old: (Digest, u64), new: (Digest, u64)| {
            if old == new {
                return None;
            }
            let text = differs(what, &old.0, &new.0);
            Some(Change::new(match old.1 == new.1 {
                true => text,
                false => format!("{text} ({} to {} bytes)", old.1, new.1),
            }))
        };
        changes.extend(sized("the kernel", self.kernel, now.kernel));
        let trees = (self.tree, self.archive_size);
        changes.extend(sized("the tree", trees, (now.tree, now.archive_size)));
        if self.compressor != now.compressor {
            changes.push(Change::new(format!(
                "the compressor: the lock says `{}`, this is `{}`",
                self.compressor, now.compressor
            )));
        }
        changes.extend(sized("the initramfs", self.initramfs, now.initramfs));
        changes
    }
}

fn differs(what: &str, old: &Digest, new: &Digest) -> String {
    format!("{what}: the lock says {old}, this is {new}")
}
