//! Writes sha256 and size into a recipe in place, for `mkimg pin`.
//!
//! The values are replaced in the bytes of the file: comments, layout, line ends, continued lines and a byte order mark stay.
//! (`KdlEntry::set_value` of kdl 6.7.1 does not reach the text that is printed, and `KdlNode::insert` loses continued lines.)
//! The result is parsed again, and must say what the file said, but for the pinned values.

use std::collections::BTreeMap;
use std::ops::Range;

use kdl::{KdlDocument, KdlEntry, KdlNode, KdlValue};

use crate::digest::Digest;

use super::node::range;
use super::source_map::Span;
use super::{Invalid, Mode, parse, syntax, text};

/// What to write into one location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The location, by its [`super::Location::span`].
    pub location: Span,
    /// The sha256 to write.
    pub sha256: Digest,
    /// The size in bytes to write; `None` leaves the size as it is.
    pub size: Option<u64>,
    /// Whether to take `snapshot` out: the archive of that time has other bytes.
    pub drop_snapshot: bool,
}

/// Why a recipe was not edited.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The file is no recipe, even without hashes.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No location starts at that place: the file was changed in between.
    #[error("no location starts at offset {0}: the recipe has changed since it was read")]
    NoLocation(usize),
    /// The edited text says more, or less, than it should. A bug; nothing should be written.
    #[error("the edited recipe would not say the same as before: nothing was changed")]
    Changed,
}

/// A replacement of some bytes.
type Edit = (Range<usize>, String);

/// One node, without its layout: its depth, name, arguments and properties.
type Record = (usize, String, Vec<KdlValue>, BTreeMap<String, KdlValue>);

/// Returns the bytes of the file `name` of a recipe with the pins, which are of that file, written into them. Spans are those of the
/// same bytes.
///
/// # Errors
/// [`PinError`]; then nothing should be written.
pub fn pin(name: &str, bytes: &[u8], pins: &[Pin]) -> Result<Vec<u8>, PinError> {
    let source = text::read(name, bytes)?;
    let mut edited = source.text.to_string();
    let document = match syntax::document(&edited) {
        Ok(document) => document,
        Err(found) => return Err(Invalid::wrong(source, found).into()),
    };
    let mut locations: BTreeMap<usize, &KdlNode> = BTreeMap::new();
    locations_of(&document, &mut locations);
    let mut edits: Vec<Edit> = Vec::new();
    let mut wanted: BTreeMap<usize, &Pin> = BTreeMap::new();
    for pin in pins {
        let start = pin.location.start();
        let node = locations.get(&start).ok_or(PinError::NoLocation(start))?;
        if wanted.insert(start, pin).is_none() {
            edits.extend(changes(&edited, node, pin));
        }
    }
    // From the end to the beginning; what is inserted stands before what is taken out at the same place.
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    for (span, new) in edits.into_iter().rev() {
        if edited.get(span.clone()).is_none() {
            return Err(PinError::Changed);
        }
        edited.replace_range(span, &new);
    }
    let mut expected = Vec::new();
    records(&document, 0, &wanted, &mut expected);
    let mut found = Vec::new();
    records(&nodes(&edited)?, 0, &BTreeMap::new(), &mut found);
    if expected != found {
        return Err(PinError::Changed);
    }
    let mark = if bytes.starts_with(text::BOM) {
        text::BOM
    } else {
        b""
    };
    let edited = [mark, edited.as_bytes()].concat();
    // What a recipe includes, or includes others, need not be one by itself.
    if parse(name, bytes, Mode::Pin).is_ok() {
        parse(name, &edited, Mode::Pin)?;
    }
    Ok(edited)
}

/// Finds the locations of all sources, also of those in a `when` or a `variant`, by their places.
fn locations_of<'d>(document: &'d KdlDocument, found: &mut BTreeMap<usize, &'d KdlNode>) {
    for node in document.nodes() {
        let Some(inner) = node.children() else {
            continue;
        };
        match node.name().value() {
            "source" => {
                let places = inner.nodes().iter();
                found.extend(places.map(|node| (range(node.name().span()).start, node)));
            }
            "when" | "variant" => locations_of(inner, found),
            _ => {}
        }
    }
}

fn nodes(text: &str) -> Result<KdlDocument, PinError> {
    syntax::document(text).map_err(|_| PinError::Changed)
}

/// Returns the replacements for one location.
fn changes(text: &str, node: &KdlNode, pin: &Pin) -> Vec<Edit> {
    let mut edits = Vec::new();
    if let Some(snapshot) = node.entry("snapshot").filter(|_| pin.drop_snapshot) {
        let span = range(snapshot.span());
        let before = text.get(..span.start).unwrap_or_default();
        let start = before.trim_end_matches([' ', '\t']).len();
        edits.push((start..span.end, String::new()));
    }
    let mut missing = String::new();
    let (name, sha256) = hash(node, pin);
    let sha256 = format!("\"{sha256}\"");
    let size = pin.size.map(|size| size.to_string());
    for (name, new) in [(name, Some(sha256)), ("size", size)] {
        let Some(new) = new else {
            continue;
        };
        match node.entry(name) {
            Some(entry) => edits.push((value(entry), new)),
            None => missing.push_str(&format!(" {name}={new}")),
        }
    }
    // The parser saw to it that there is exactly one place.
    let place = node.entry(0).or(node.entry("local"));
    if let Some(place) = place.filter(|_| !missing.is_empty()) {
        let end = range(place.span()).end;
        edits.push((end..end, missing));
    }
    edits
}

/// Returns the property that has the hash, and its text.
fn hash(node: &KdlNode, pin: &Pin) -> (&'static str, String) {
    match node.name().value() {
        "oci" => ("digest", format!("sha256:{}", pin.sha256)),
        _ => ("sha256", pin.sha256.to_string()),
    }
}

/// Returns the place of an entry's value.
fn value(entry: &KdlEntry) -> Range<usize> {
    let end = range(entry.span()).end;
    let length = entry.format().map_or(0, |format| format.value_repr.len());
    end.saturating_sub(length)..end
}

/// Lists the nodes of a document, with the pins already in them.
fn records(
    document: &KdlDocument,
    depth: usize,
    pins: &BTreeMap<usize, &Pin>,
    out: &mut Vec<Record>,
) {
    for node in document.nodes() {
        let mut arguments = Vec::new();
        let mut properties = BTreeMap::new();
        for entry in node.entries() {
            match entry.name() {
                Some(name) => {
                    drop(properties.insert(name.value().to_owned(), entry.value().clone()))
                }
                None => arguments.push(entry.value().clone()),
            }
        }
        if let Some(pin) = pins.get(&range(node.name().span()).start) {
            if pin.drop_snapshot {
                properties.remove("snapshot");
            }
            let (name, sha256) = hash(node, pin);
            properties.insert(name.to_owned(), KdlValue::String(sha256));
            if let Some(size) = pin.size {
                properties.insert("size".to_owned(), KdlValue::Integer(i128::from(size)));
            }
        }
        out.push((depth, node.name().value().to_owned(), arguments, properties));
        if let Some(children) = node.children() {
            records(children, depth + 1, pins, out);
        }
    }
}
