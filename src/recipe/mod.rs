//! KDL text to a typed [`Recipe`] that keeps its places, or to diagnostics. No file or network access.
//!
//! ```text
//! bytes --text--> text --scan--> tokens --shape--> plain text --kdl--> nodes --include--> nodes of all files
//! nodes of all files --compose, param--> those of a version --decode--> Recipe --check--> Recipe
//! ```
//!
//! `scan` and `shape` find every mistake of spelling and structure themselves: the kdl crate overflows the stack on deep nesting
//! and on long comments, and its labels often cover a whole node. What kdl is given has no block comments and no `/-` parts
//! (spaces stand in their place, so that all offsets stay) and is nested at most [`MAX_DEPTH`] deep.

pub mod choose;
pub mod diagnostic;
pub mod edit;
pub mod model;
pub mod template;

mod budget;
mod check;
mod compose;
mod decode;
mod entry;
mod include;
mod init;
mod location;
pub(crate) mod node;
mod oci;
mod param;
mod plain;
mod quantity;
pub(crate) mod report;
mod scan;
mod script;
mod shape;
mod source_map;
mod statement;
mod string;
pub(crate) mod syntax;
pub(crate) mod text;
mod tree;
mod version;
mod word;

pub use choose::ArchError;
pub use diagnostic::{Diagnostic, Located, Severity};
pub use edit::{Pin, PinError};
pub use include::{Documents, Files, Found, MAX_FILES, MAX_TOTAL, NoFiles, Refusal};
pub use model::*;
pub use source_map::{FileId, SourceMap, SourceText, Span};
pub use statement::{Statement, statements};
pub use template::template;
pub use version::{Options, Parsed};
pub use word::check_name;

/// The largest recipe in bytes: a thousand times what one needs, and small enough to be read whole without a thought.
pub const MAX_BYTES: usize = 1 << 20;

/// How deep braces and block comments may be nested. A recipe needs 3; kdl 6.7.1 survives 60 on a 2 MiB stack, not 80.
pub const MAX_DEPTH: usize = 32;

/// The most errors that are told at once. A file with more is no recipe, or was damaged as a whole.
const MAX_ERRORS: usize = 100;

/// Returns the names of the nodes that a recipe has, and the forms of all nodes.
#[cfg(test)]
pub(crate) fn language() -> (&'static [&'static str], Vec<&'static node::Form>) {
    let others = [
        decode::FORMS,
        entry::FORMS,
        tree::FORMS,
        init::FORMS,
        oci::FORMS,
        location::FORMS,
        script::FORMS,
    ];
    let own = [
        &budget::BUDGET,
        &include::INCLUDE,
        &param::PARAM,
        &param::SET,
        &compose::WHEN,
        &compose::VARIANT,
    ];
    let forms = others.concat().into_iter().chain(own);
    (&compose::NODES, forms.collect())
}

/// How strict the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every location has its sha256.
    Strict,
    /// A location without a sha256 (or with an empty one) passes: `mkimg pin` fills it in.
    Pin,
}

/// A recipe that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Invalid {
    /// The file is no text that could be shown, or has not what was asked for.
    #[error("{message}")]
    Unreadable {
        /// What is wrong, with the file's name.
        message: String,
        /// What to do.
        help: String,
    },
    /// The text is no recipe.
    #[error("`{}` has {}", .text.root().name, count(.diagnostics.len()))]
    Wrong {
        /// The texts, into which the diagnostics point.
        text: SourceMap,
        /// All errors, in the order of the text; at least one.
        diagnostics: Vec<Diagnostic>,
    },
}

fn count(errors: usize) -> String {
    match errors {
        1 => "1 error".to_owned(),
        more => format!("{more} errors"),
    }
}

/// Returns the recipe that `bytes` are, which includes no other file. `name` is the path, as messages show it. The caller should read no more than
/// [`MAX_BYTES`]` + 1` bytes.
///
/// # Errors
/// [`Invalid`], with every mistake of the file: those of spelling and structure where there are any, else those of meaning.
pub fn parse(name: &str, bytes: &[u8], mode: Mode) -> Result<Parsed, Invalid> {
    let at = std::path::Path::new(name);
    Documents::read(name, bytes, at, &mut NoFiles)?.recipe(&mode.into())
}

impl Invalid {
    pub(crate) fn wrong(text: impl Into<SourceMap>, mut diagnostics: Vec<Diagnostic>) -> Invalid {
        diagnostics.sort_by_key(Diagnostic::order);
        // What is wrong in several variants is wrong once.
        let mut seen: Vec<Diagnostic> = Vec::new();
        for one in std::mem::take(&mut diagnostics) {
            if !seen.contains(&one) {
                seen.push(one);
            }
            if seen.len() > MAX_ERRORS {
                break;
            }
        }
        let mut diagnostics = seen;
        if diagnostics.len() > MAX_ERRORS {
            diagnostics.truncate(MAX_ERRORS);
            let last = diagnostics.pop().map(|last| {
                let help = last.help.clone().unwrap_or_default();
                last.help(format!("{help} (there are more errors, not shown)"))
            });
            diagnostics.extend(last);
        }
        let text = text.into();
        Invalid::Wrong { text, diagnostics }
    }
}
