//! Which recipes `mkimg check` checks.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Returns the recipes that were named.
pub(super) fn recipes(
    named: &[PathBuf],
    all: Option<&Path>,
    except: &[String],
) -> Result<Vec<Option<PathBuf>>, Failure> {
    let Some(directory) = all else {
        return Ok(match named {
            [] => vec![None],
            named => named.iter().cloned().map(Some).collect(),
        });
    };
    let mut found = Vec::new();
    let mut except = except.to_vec();
    let entries = fs::read_dir(directory).map_err(|error| Failure::io("read", directory, error))?;
    for entry in entries {
        let path = entry
            .map_err(|error| Failure::io("read", directory, error))?
            .path();
        if path.extension().is_none_or(|extension| extension != "kdl") {
            continue;
        }
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match except.iter().position(|other| *other == name) {
            Some(at) => drop(except.remove(at)),
            None => found.push(path),
        }
    }
    if let Some(name) = except.first() {
        return Err(Failure::usage(
            format!(
                "`--except {name}`: there is no `{name}.kdl` in `{}`",
                directory.display()
            ),
            "take it off, or name a recipe without its directory and `.kdl`",
        ));
    }
    if found.is_empty() {
        return Err(Failure::usage(
            format!("there is no recipe to check in `{}`", directory.display()),
            "name the directory that has the .kdl files",
        ));
    }
    found.sort();
    Ok(found.into_iter().map(Some).collect())
}
