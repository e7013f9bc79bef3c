//! What tells one text of a recipe from another: what a lock knows of it.

use std::collections::BTreeMap;

use super::LocalFile;
use crate::digest::Digest;
use crate::recipe::{Parsed, SourceMap, SourceText, statements};

/// The digits of a statement's or a file's digest: it only tells which one changed, the recipe digest tells that one did.
const SHORT: usize = 12;

/// Digests of a recipe's text and of the files beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The image's name.
    pub name: String,
    /// The recipe digest.
    pub recipe: Digest,
    /// The statements in the order of the recipe, each with the first digits of its digest.
    pub statements: Vec<(String, String)>,
    /// The files beside the recipe that its kernel and its entries name, each with the first digits of its digest.
    pub files: BTreeMap<String, String>,
}

impl Fingerprint {
    /// Returns what is known of a recipe and the files beside it.
    pub fn of(parsed: &Parsed, files: &BTreeMap<String, LocalFile>) -> Fingerprint {
        let statements = statements(&parsed.source).into_iter().map(|statement| {
            let text = parsed.source.slice(&statement.span);
            let digest = Digest::of(text.replace("\r\n", "\n").as_bytes());
            (statement.name, short(digest))
        });
        let files_short = |(path, file): (&String, &LocalFile)| (path.clone(), short(file.digest));
        Fingerprint {
            name: parsed.recipe.name.value.clone(),
            recipe: recipe_digest(&parsed.source, files),
            statements: statements.collect(),
            files: files.iter().map(files_short).collect(),
        }
    }
}

fn short(digest: Digest) -> String {
    digest.to_string()[..SHORT].to_owned()
}

/// Returns a recipe's text with LF line ends. The byte order mark was taken off when it was read.
pub fn normal_text(source: &SourceText) -> String {
    source.text.replace("\r\n", "\n")
}

/// Returns the recipe digest: the sha256 of what `sha256sum` prints for the recipe, under the name `recipe`, with LF line ends
/// and without a byte order mark, and then for each file beside it that its kernel and its entries name, in the
/// order of the names.
pub fn recipe_digest(source: &SourceMap, files: &BTreeMap<String, LocalFile>) -> Digest {
    let mut listed = format!(
        "{}  recipe\n",
        Digest::of(normal_text(source.root()).as_bytes())
    );
    for (path, file) in files {
        listed.push_str(&format!("{}  {path}\n", file.digest));
    }
    Digest::of(listed.as_bytes())
}
