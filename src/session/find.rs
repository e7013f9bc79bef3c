//! Which file a recipe's name means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::realize::IMAGE_FILE;
use crate::share::Reference;

/// The directory that recipes lie in.
const IMAGES: &str = "images";

/// Returns the recipe's file: as named, or as named in `images/` or here, or the only one there is.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    let Some(named) = named else {
        return only();
    };
    if named.exists() && !named.is_dir() {
        return Ok(named.to_path_buf());
    }
    // `NAME` or `NAME.kdl`; a name may have a `.` in it.
    if named.components().count() == 1 {
        let mut with_kdl = named.as_os_str().to_owned();
        with_kdl.push(".kdl");
        let inside = [named.as_os_str(), &with_kdl].map(|file| Path::new(IMAGES).join(file));
        let mut places = inside.into_iter().chain([PathBuf::from(&with_kdl)]);
        if let Some(found) = places.find(|path| path.is_file()) {
            return Ok(found);
        }
    }
    if named.is_dir() {
        return Ok(named.to_path_buf());
    }
    Err(missing(named))
}

fn missing(named: &Path) -> Error {
    let listed = match listing() {
        Ok(listed) => listed,
        Err(failure) => return failure,
    };
    let text = named.to_string_lossy();
    let is_reference = text.contains('/') && text.parse::<Reference>().is_ok();
    let help = match (is_reference, listed.as_slice()) {
        (true, _) => format!(
            "if that is an image in a registry, `mkimg pull {0}` fetches it, and `mkimg import` or `pull` name its recipe",
            text.escape_debug()
        ),
        (false, []) => "`mkimg new NAME` writes a recipe to start from".to_owned(),
        (false, names) => format!("recipes here: {}", names.join(", ")),
    };
    Error::usage(format!("there is no recipe `{}`", named.display()), help)
}

fn only() -> Result<PathBuf, Error> {
    match listing()?.as_slice() {
        [] => Err(Error::usage(
            "no recipe was named, and there is none in `images/`",
            "name one, or write one with `mkimg new NAME`",
        )),
        [only] => Ok(PathBuf::from(only)),
        several => Err(Error::usage(
            "no recipe was named, and there are several",
            format!("name one of {}", several.join(", ")),
        )),
    }
}

/// Returns the recipes in `images/`, sorted.
fn listing() -> Result<Vec<String>, Error> {
    let images = Path::new(IMAGES);
    let entries = match fs::read_dir(images) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::io("read the directory", images, error)),
    };
    let mut found: Vec<String> = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "kdl") {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the failure of a directory that was named for a recipe.
pub(crate) fn directory(path: &Path) -> Error {
    let shown = path.display();
    if path.join(IMAGE_FILE).is_file() {
        return Error::usage(
            format!("`{shown}` is a finished image, not a recipe"),
            format!(
                "name the recipe that it was made from; `mkimg diff {shown} OTHER` compares it, and `mkimg run --kernel {shown}/vmlinuz --initrd {shown}/initramfs.cpio.gz` boots it"
            ),
        );
    }
    Error::usage(
        format!("`{shown}` is a directory, not a recipe"),
        "name the .kdl file in it",
    )
}
