//! Text to the nodes of the kdl crate.

use kdl::{KdlDiagnostic, KdlDocument};

use super::diagnostic::Diagnostic;
use super::shape;

/// Returns the nodes of a text.
///
/// # Errors
/// All mistakes of spelling and structure.
pub(super) fn document(text: &str) -> Result<KdlDocument, Vec<Diagnostic>> {
    let plain = shape::plain(text)?;
    KdlDocument::parse_v2(&plain).map_err(|error| {
        let length = text.len();
        error
            .diagnostics
            .iter()
            .map(|found| rewrite(found, length))
            .collect()
    })
}

/// Returns our form of what kdl found. Few mistakes come this far: a number that is too large, say.
fn rewrite(found: &KdlDiagnostic, length: usize) -> Diagnostic {
    let start = found.span.offset().min(length);
    let end = (start + found.span.len()).min(length);
    let message = found.message.as_deref().unwrap_or("this is not KDL 2");
    let mut letters = message.chars();
    let message = match letters.next() {
        Some(first) => format!("{}{}", first.to_lowercase(), letters.as_str()),
        None => String::new(),
    };
    let label = found.label.as_deref().unwrap_or("here");
    let help = found
        .help
        .as_deref()
        .unwrap_or("put a text in quotes: `\"..\"`");
    Diagnostic::error(message.trim_end_matches('.'), start..end, label).help(help)
}
