//! Which files of this machine a recipe may take without their hash, and which ones went in.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::context::{Context, set};
use super::failure::Failure;
use super::opened::Opened;
use super::sharing::cache_around;
use super::substitutes;
use crate::plan::{LocalFile, Plan};
use crate::realize::Workshop;
use crate::source::local::Reach;
use crate::ui::bytes;

impl Context<'_> {
    /// Returns the reach of a recipe in `base`: its project, and what the user allows. The user's configuration is read where it
    /// is asked for.
    pub(super) fn reach(&self, base: &Path) -> Result<Reach, Failure> {
        let mut reach = Reach::of(base, set("HOME").as_deref());
        for path in &self.global.allow_local {
            reach
                .allow(path)
                .map_err(|error| Failure::io("find the file for `--allow-local`,", path, error))?;
        }
        for path in substitutes::allowed_by_user()? {
            // What is not there allows nothing.
            let _ = reach.allow(&path);
        }
        Ok(reach)
    }

    /// Holds the sources of a plan to the files of this machine that they name. A recipe out of a bundle names another machine's.
    pub(super) fn check_local_sources(
        &self,
        opened: &Opened,
        workshop: &Workshop<'_>,
        plan: &Plan,
    ) -> Result<(), Failure> {
        if opened.bundle.is_some() || cache_around(&opened.base).is_some() {
            return Ok(());
        }
        workshop
            .check_local_sources(plan, &opened.base)
            .map_err(|error| Failure::realize(error, &opened.parsed.source))
    }

    /// Says which files of this machine went into what leaves it.
    pub(super) fn tell_local_files(&self, files: &BTreeMap<String, LocalFile>) {
        for (name, file) in files {
            self.terminal.line(&format!(
                "local file `{name}` went in: {}, sha256 {}",
                bytes(file.size),
                file.digest
            ));
        }
    }
}

/// Returns the files of this machine that went in, as JSON.
pub(super) fn local_files(files: &BTreeMap<String, LocalFile>) -> Value {
    let one = |(name, file): (&String, &LocalFile)| {
        json!({
            "path": name,
            "sha256": file.digest.to_string(),
            "size": file.size,
        })
    };
    files.iter().map(one).collect()
}
