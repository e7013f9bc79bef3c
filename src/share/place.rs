//! Places to ask for images before building them: a repository of a registry, or a directory of bundles, here or on a web
//! server.
//!
//! ```text
//! registry.example/team/images   https://files.example/images/   ../images   /srv/images   ~/images
//! ```
//!
//! What a text is hangs on its spelling alone: nothing is looked up, and a directory that is not there yet is one.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::Reference;
use crate::source::fetch::redirect::redacted;

/// A place that may have images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A repository; an image is found by the tag of its plan.
    Registry(Reference),
    /// A directory of a web server, with a `/` at its end; an image is the bundle with the plan's name.
    Web(Url),
    /// A directory of this machine, the same.
    Directory(PathBuf),
}

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no place to ask for images: {problem}", crate::text::shown(.text))]
pub struct PlaceError {
    /// The text, cut to a length that can be shown.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Place {
    /// Reads a place. A relative directory starts at `base`, one with `~/` at `home`.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn parse(text: &str, base: &Path, home: Option<&Path>) -> Result<Place, PlaceError> {
        read(text, base, home).map_err(|problem| PlaceError {
            text: redacted(text).chars().take(300).collect(),
            problem,
        })
    }
}

/// Returns a path as it is meant: below `home` for `~/`, else below `base`.
pub fn expand(text: &str, base: &Path, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => base.join(text),
    }
}

fn read(text: &str, base: &Path, home: Option<&Path>) -> Result<Place, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters".to_owned());
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return web(text, scheme);
    }
    let first = text.split('/').next().unwrap_or_default();
    let path = text.starts_with(['/', '.', '~']) || !text.contains('/');
    let host = first.contains(['.', ':', '[', '@']) || first.eq_ignore_ascii_case("localhost");
    if path || !host {
        return Ok(Place::Directory(expand(text, base, home)));
    }
    let reference: Reference = text.parse().map_err(|error: super::ReferenceError| {
        format!("{}; a directory starts with `/` or `./`", error.problem)
    })?;
    if reference.tag.is_some() || reference.digest.is_some() {
        return Err(format!(
            "write `{}`: which image is asked for hangs on the recipe",
            reference.name()
        ));
    }
    Ok(Place::Registry(reference))
}

fn web(text: &str, scheme: &str) -> Result<Place, String> {
    if !matches!(scheme, "http" | "https") {
        return Err(
            "it is neither http nor https; a registry is written without a scheme, and a directory as a path".to_owned(),
        );
    }
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "an address with a name or a password in it would be shown to everybody".to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it is no directory: leave out what follows the path".to_owned());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(Place::Web(url))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Registry(reference) => f.write_str(&reference.name()),
            Place::Web(url) => f.write_str(url.as_str()),
            Place::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_place_is_hangs_on_its_spelling() {
        let (base, home) = (Path::new("/base"), Some(Path::new("/home/me")));
        let cases = [
            (
                "registry.example/team/images",
                "registry registry.example/team/images",
            ),
            ("localhost:5000/x", "registry localhost:5000/x"),
            ("127.0.0.1:5000/x", "registry 127.0.0.1:5000/x"),
            ("https://files.example/a", "web https://files.example/a/"),
            ("http://files.example", "web http://files.example/"),
            ("/srv/images", "directory /srv/images"),
            ("./a.b/c", "directory /base/./a.b/c"),
            ("../images", "directory /base/../images"),
            ("images", "directory /base/images"),
            ("images.d", "directory /base/images.d"),
            ("a/b", "directory /base/a/b"),
            ("~/images", "directory /home/me/images"),
            ("", "is empty"),
            ("a\u{1b}b", "control"),
            ("ftp://files.example/", "neither http nor https"),
            ("oci://registry.example/x", "without a scheme"),
            ("https://me:pw@files.example/", "password"),
            ("https://files.example/?a=b", "leave out"),
            ("registry.example/team:1", "write `registry.example/team`"),
            ("registry.example/Team", "a directory starts with"),
        ];
        for (text, wanted) in cases {
            let found = match Place::parse(text, base, home) {
                Ok(place @ Place::Registry(_)) => format!("registry {place}"),
                Ok(place @ Place::Web(_)) => format!("web {place}"),
                Ok(place @ Place::Directory(_)) => format!("directory {place}"),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(wanted), "{text}: {found}");
        }
    }
}
