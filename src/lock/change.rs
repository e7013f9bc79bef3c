//! What is no longer as a lock says, in the order in which one thing follows from another.

use super::{Lock, Locked};
use crate::digest::Digest;
use crate::plan::{Fingerprint, Plan, StatementId};
use crate::realize::ArtifactRole;

/// One thing that is no longer as a lock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What, in words: `` `file "/init"` changed ``.
    pub what: String,
    /// Where it stands in the recipe.
    pub at: Option<StatementId>,
}

impl Change {
    fn new(what: impl Into<String>) -> Change {
        let what = what.into();
        Change { what, at: None }
    }

    fn at(what: impl Into<String>, at: StatementId) -> Change {
        let (what, at) = (what.into(), Some(at));
        Change { what, at }
    }
}

impl Lock {
    /// Returns what changed in the recipe and the files beside it since it was locked; empty where nothing did.
    pub fn recipe_changes(&self, now: &Fingerprint) -> Vec<Change> {
        if now.recipe == self.recipe {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if now.name != self.name {
            let what = format!(
                "the image is `{}`, the lock is that of `{}`",
                now.name, self.name
            );
            changes.push(Change::at(what, StatementId::Name));
        }
        for (name, digest) in &now.statements {
            let what = match self.statements.get(name) {
                Some(old) if old == digest => continue,
                Some(_) => format!("`{name}` changed"),
                None => format!("`{name}` is new"),
            };
            changes.push(Change::at(what, StatementId::Named(name.clone())));
        }
        let is_gone = |name: &&String| now.statements.iter().all(|(own, _)| own != *name);
        for name in self.statements.keys().filter(is_gone) {
            changes.push(Change::new(format!("`{name}` is gone")));
        }
        for (path, digest) in &now.files {
            // A file that is new or gone is one of a statement that changed.
            if self.files.get(path).is_some_and(|old| old != digest) {
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
            let what = match self.inputs.get(name) {
                Some(old) if *old == source.digest => continue,
                Some(old) => differs(&format!("source `{name}`"), old, &source.digest),
                None => format!("source `{name}` is new"),
            };
            changes.push(Change::at(what, StatementId::Source(name.clone())));
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
        let artifact = |role: ArtifactRole| {
            let (old, new) = (self.artifacts.get(&role)?, now.artifacts.get(&role)?);
            sized(&format!("the {role}"), *old, *new)
        };
        changes.extend(artifact(ArtifactRole::Kernel));
        let trees = (self.tree, self.archive_size);
        changes.extend(sized("the tree", trees, (now.tree, now.archive_size)));
        if self.compressor != now.compressor {
            changes.push(Change::new(format!(
                "the compressor: the lock says `{}`, this is `{}`",
                self.compressor, now.compressor
            )));
        }
        changes.extend(artifact(ArtifactRole::Initramfs));
        changes
    }
}

fn differs(what: &str, old: &Digest, new: &Digest) -> String {
    format!("{what}: the lock says {old}, this is {new}")
}
