//! `mkimg add`: a local file into the cache, and the `source` node for it on standard output.

use std::path::Path;

use serde_json::{Value, json};

use super::args::Add;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::recipe;
use crate::source::local::{LocalError, Regular};

pub(super) fn run(context: &Context<'_>, args: &Add) -> Result<(), Failure> {
    let path = &args.file;
    let mut file = Regular::open_own(path).map_err(|error| match error {
        LocalError::Io(error) => Failure::io("open", path, error),
        LocalError::Directory => Failure::usage(
            format!("`{}` is a directory", path.display()),
            "add one file: an archive of the directory, say",
        ),
        error => Failure::usage(
            format!("`{}` cannot be added: {error}", path.display()),
            error.help(),
        ),
    })?;
    let absolute = file.path().to_path_buf();
    let Some(shown) = absolute
        .to_str()
        .filter(|path| !path.chars().any(char::is_control))
    else {
        return Err(Failure::usage(
            format!("`{}` has a name that no recipe can hold", path.display()),
            "rename the file",
        ));
    };

    let store = context.session.store(Path::new("images"))?;
    let blob = store.blob_from(&mut file, path)?;
    store.keep_added(&blob.digest)?;
    let name = args.name.clone().unwrap_or_else(|| source_name(path));
    recipe::check_name(&name).map_err(|reason| {
        Failure::usage(
            format!("`{name}` cannot be the name of a source: it {reason}"),
            "give one with `--name`",
        )
    })?;
    let location = match &args.url {
        Some(url) => format!("url {}", quoted(url)),
        None => format!("local {}", quoted(shown)),
    };
    let line = format!(
        "source {} {{\n    {location} size={} \\\n        sha256=\"{}\"\n}}\n",
        quoted(&name),
        blob.size,
        blob.digest
    );
    if args.json {
        return output::print_json(&json!({
            "name": name,
            "path": blob.path.display().to_string(),
            "sha256": blob.digest.to_string(),
            "size": blob.size,
            "source": line,
        }));
    }
    output::print(&line)
}

/// Returns a text as a KDL string: without control characters, JSON's are the same.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Returns a name for a source from a file's name: up to the first character that no name has.
fn source_name(path: &Path) -> String {
    let file = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let good = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let name: String = file.chars().take_while(good).collect();
    let name = name
        .split(".tar")
        .next()
        .unwrap_or_default()
        .trim_start_matches(['.', '-', '+']);
    if name.is_empty() {
        "file".to_owned()
    } else {
        name.to_owned()
    }
}
