//! What tells one text of a recipe from another: what a lock knows of it.

use std::collections::{BTreeMap, BTreeSet};

use super::LocalFile;
use crate::digest::Digest;
use crate::recipe::{FileId, Parsed, SourceMap, SourceText, Statement, statements};

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
    /// The files that the recipe includes, and those beside it that its kernel and its entries name, each with the first digits of
    /// its digest.
    pub files: BTreeMap<String, String>,
    /// The files that the recipe includes, each with the names of its statements.
    pub included: BTreeMap<String, BTreeSet<String>>,
    /// The values of the recipe's parameters that were given to it.
    pub values: BTreeMap<String, String>,
}

impl Fingerprint {
    /// Returns what is known of a recipe and the files beside it, those that it includes among them.
    pub fn of(parsed: &Parsed, files: &BTreeMap<String, LocalFile>) -> Fingerprint {
        let source = &parsed.source;
        let all = statements(source);
        let known = |statement: &Statement| {
            let text = source.slice(&statement.span).replace("\r\n", "\n");
            (statement.name.clone(), short(Digest::of(text.as_bytes())))
        };
        let files_short = all_digests(source, files).into_iter();
        Fingerprint {
            name: parsed.recipe.name.value.clone(),
            recipe: recipe_digest(source, files),
            statements: all.iter().map(known).collect(),
            files: files_short
                .map(|(path, digest)| (path, short(digest)))
                .collect(),
            included: included(source, &all),
            values: parsed.values.clone(),
        }
    }
}

/// Returns the files that a recipe includes, by each of their paths, with the names of their statements.
fn included(source: &SourceMap, all: &[Statement]) -> BTreeMap<String, BTreeSet<String>> {
    let names = |file: Option<FileId>| -> BTreeSet<String> {
        let own = all.iter().filter(|one| Some(one.span.file) == file);
        own.map(|one| one.name.clone()).collect()
    };
    let paths = source.included().iter().flat_map(|file| file.paths());
    paths
        .map(|path| (path.clone(), names(source.included_as(path))))
        .collect()
}

fn short(digest: Digest) -> String {
    digest.to_string()[..SHORT].to_owned()
}

/// Returns a recipe's text with LF line ends. The byte order mark was taken off when it was read.
pub fn normal_text(source: &SourceText) -> String {
    source.text.replace("\r\n", "\n")
}

/// Returns the recipe digest: the sha256 of what `sha256sum` prints for the recipe, under the name `recipe`, and then for each file
/// that it includes and each file beside it that its kernel and its entries name, in the order of the names. The recipe and the
/// included files count with LF line ends and without a byte order mark.
pub fn recipe_digest(source: &SourceMap, files: &BTreeMap<String, LocalFile>) -> Digest {
    let mut listed = format!(
        "{}  recipe\n",
        Digest::of(normal_text(source.root()).as_bytes())
    );
    for (path, digest) in all_digests(source, files) {
        listed.push_str(&format!("{digest}  {path}\n"));
    }
    Digest::of(listed.as_bytes())
}

/// Returns the digests of the files beside the recipe. A file that is included counts as text, whatever else it is.
fn all_digests(
    source: &SourceMap,
    files: &BTreeMap<String, LocalFile>,
) -> BTreeMap<String, Digest> {
    let own = files.iter().map(|(path, file)| (path.clone(), file.digest));
    let mut all: BTreeMap<String, Digest> = own.collect();
    for included in source.included() {
        let digest = Digest::of(normal_text(&included.source).as_bytes());
        all.extend(included.paths().map(|path| (path.clone(), digest)));
    }
    all
}
