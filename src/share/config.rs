//! Configuration files: which places to ask for images, and whom to trust. KDL 2, read as recipes are.
//!
//! ```text
//! ~/.config/mkimg/config.kdl    from "PLACE" ..   trust "ALLOWED_SIGNERS" ..   allow-local "PATH" ..
//! PROJECT/mkimg.kdl             from "PLACE" ..
//! ```
//!
//! A project's file comes with the project, from whoever wrote that: it may say where to look, and never whom to
//! believe or what of this machine a recipe may take.

use std::path::{Path, PathBuf};

use super::place::{Place, expand};
use crate::recipe::node::{Form, Node, kinds};
use crate::recipe::report::Report;
use crate::recipe::{FileId, Invalid, Mode, syntax, text};

const NODES: [&str; 3] = ["from", "trust", "allow-local"];

const FROM: Form = Form {
    name: "from",
    arguments: &["the place"],
    required: 1,
    properties: &[],
    children: &[],
    example: "`from \"registry.example/team/images\"`",
};

const TRUST: Form = Form {
    name: "trust",
    arguments: &["the file"],
    required: 1,
    properties: &[],
    children: &[],
    example: "`trust \"allowed_signers\"`",
};

const ALLOW_LOCAL: Form = Form {
    name: "allow-local",
    arguments: &["the path"],
    required: 1,
    properties: &[],
    children: &[],
    example: "`allow-local \"~/linux\"`",
};

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The user's own.
    User,
    /// A project's, which came along with it.
    Project,
}

/// What a configuration file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The places to ask, in order.
    pub places: Vec<Place>,
    /// The files with the keys to trust.
    pub trust: Vec<PathBuf>,
    /// Files and directories that `local=` may take without a hash.
    pub allow_local: Vec<PathBuf>,
}

impl Config {
    /// Reads a configuration file. `name` is its path, as messages show it; relative paths in it start at `base`, those with
    /// `~/` at `home`.
    ///
    /// # Errors
    /// [`Invalid`], with every mistake.
    pub fn parse(
        name: &str,
        bytes: &[u8],
        owner: Owner,
        base: &Path,
        home: Option<&Path>,
    ) -> Result<Config, Invalid> {
        let source = text::read(name, bytes)?;
        let document = syntax::document(&source.text)
            .map_err(|diagnostics| Invalid::wrong(source.clone(), diagnostics))?;
        let report = Report::new(FileId::default(), &source, Mode::Strict);
        let mut config = Config::default();
        for (kind, kdl) in kinds(document.nodes(), "a configuration", &NODES, &report) {
            let (form, users) = match kind {
                "from" => (&FROM, None),
                "trust" => (&TRUST, Some(("whom to trust", "--trust FILE"))),
                _ => {
                    let what = "what `local=` may take of this machine";
                    (&ALLOW_LOCAL, Some((what, "--allow-local PATH")))
                }
            };
            let node = Node::read(kdl, form, &report);
            if let (Some((what, option)), Owner::Project) = (users, owner) {
                report.error(
                    format!("a project cannot say {what}"),
                    &node.head,
                    "this file came along with the project",
                    format!(
                        "write it into your own `~/.config/mkimg/config.kdl`, or give `{option}`"
                    ),
                );
                continue;
            }
            let Some(value) = node.get(0) else { continue };
            let Some(text) = value.line() else { continue };
            let paths = match kind {
                "trust" => Some(&mut config.trust),
                "allow-local" => Some(&mut config.allow_local),
                _ => None,
            };
            if let Some(paths) = paths {
                paths.push(expand(&text.value, base, home));
                continue;
            }
            match Place::parse(&text.value, base, home) {
                Ok(place) if config.places.contains(&place) => value.refuse(
                    "this place is named twice",
                    "named again here",
                    "keep one of them: places are asked in the order of the file",
                ),
                Ok(place) => config.places.push(place),
                Err(error) => value.refuse(
                    "this is no place to ask for images",
                    error.problem,
                    "write a repository of a registry (`registry.example/team/images`), a web directory (`https://..`) or a path",
                ),
            }
        }
        let found = report.into_found();
        match found.is_empty() {
            true => Ok(config),
            false => Err(Invalid::wrong(source, found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, owner: Owner) -> Result<Config, Invalid> {
        let home = Some(Path::new("/home/me"));
        Config::parse("c.kdl", text.as_bytes(), owner, Path::new("/base"), home)
    }

    #[test]
    fn places_come_in_the_order_of_the_file_and_paths_from_its_directory() {
        let text = "// ours\nfrom \"b.example/x\"\nfrom images\ntrust \"~/signers\"\ntrust keys\nallow-local \"~/linux\"\n";
        let config = parse(text, Owner::User).unwrap();
        let places: Vec<String> = config.places.iter().map(Place::to_string).collect();
        assert_eq!(places, ["b.example/x", "/base/images"]);
        let trust = ["/home/me/signers", "/base/keys"].map(PathBuf::from);
        assert_eq!(config.trust, trust);
        assert_eq!(config.allow_local, [PathBuf::from("/home/me/linux")]);
        assert_eq!(parse("", Owner::Project).unwrap(), Config::default());
    }

    #[test]
    fn a_mistake_is_shown_at_its_place_with_what_was_meant() {
        let cases = [
            ("form \"/a\"", Owner::User, "form", "did you mean `from`?"),
            (
                "trsut \"/a\"",
                Owner::User,
                "trsut",
                "did you mean `trust`?",
            ),
            ("from", Owner::User, "from", "write `from \"registry"),
            ("from 5", Owner::User, "5", "write `\"5\"`"),
            ("from \"/a\" \"/b\"", Owner::User, "\"/b\"", "write `from"),
            ("from \"/a\" trust=1", Owner::User, "trust", "it has none"),
            (
                "from \"/a\"\nfrom \"/a\"",
                Owner::User,
                "\"/a\"",
                "keep one",
            ),
            (
                "from \"ftp://a/\"",
                Owner::User,
                "\"ftp://a/\"",
                "web directory",
            ),
            (
                "trust \"keys\"",
                Owner::Project,
                "trust \"keys\"",
                "your own `~/.config",
            ),
            (
                "allow-local \"/\"",
                Owner::Project,
                "allow-local \"/\"",
                "`--allow-local PATH`",
            ),
            ("from \"/a", Owner::User, "\"", ""),
        ];
        for (text, owner, at, help) in cases {
            let Err(Invalid::Wrong {
                text: source,
                diagnostics,
            }) = parse(text, owner)
            else {
                panic!("{text} passes");
            };
            let first = diagnostics.first().unwrap();
            let (span, _) = first.labels.first().unwrap();
            assert!(source.slice(span).contains(at), "{text}: {first:?}");
            let told = first.help.clone().unwrap_or_default();
            assert!(told.contains(help), "{text}: {told}");
        }
    }
}
