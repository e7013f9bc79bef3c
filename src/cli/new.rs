//! `mkimg new`: a recipe to start from, that realizes and boots as it is.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::args::New;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::recipe;
use crate::store::{There, replace};

pub(super) fn run(context: &Context<'_>, args: &New) -> Result<(), Failure> {
    let name = &args.name;
    recipe::check_name(name).map_err(|reason| {
        Failure::usage(
            format!("`{name}` cannot be the name of an image: it {reason}"),
            "letters, digits, `.`, `_`, `+` and `-` are good",
        )
    })?;
    let text = recipe::template(name);
    let path = match &args.output {
        Some(path) if path == Path::new("-") => return output::print(&text),
        Some(path) => path.clone(),
        None => default_path(name)?,
    };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::usage(
            format!("`{}` is there already", path.display()),
            "take another name, or another file with `--output`; `--output -` prints the recipe",
        ),
        _ => Failure::io("create", &path, error),
    };
    replace(&path, There::Keep, failed, |file| {
        file.write_all(text.as_bytes()).map_err(failed)
    })?;
    let shown = path.display();
    context.terminal.line(&format!(
        "wrote {shown}; `mkimg realize {shown}` makes the image"
    ));
    output::print(&format!("{shown}\n"))
}

/// Returns `images/NAME.kdl`, after making the directory: there other verbs find a recipe by its name, and a `cache/` beside it
/// is used. Whoever stands in an `images` already gets no second one.
#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where the environment is read"
)]
fn default_path(name: &str) -> Result<PathBuf, Failure> {
    let file = format!("{name}.kdl");
    let here = std::env::current_dir().unwrap_or_default();
    if here.file_name().is_some_and(|name| name == "images") {
        return Ok(PathBuf::from(file));
    }
    let images = Path::new("images");
    std::fs::create_dir_all(images).map_err(|error| Failure::io("create", images, error))?;
    Ok(images.join(file))
}
