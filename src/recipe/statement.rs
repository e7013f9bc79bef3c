//! The statements of a recipe's text: what a lock names when one of them is no longer what it was.

use std::ops::Range;

use kdl::KdlNode;

use super::node::range;
use super::source_map::{FileId, SourceMap, Span};
use super::syntax;

/// A node of the recipe that has a name: a top-level one, or an entry of the initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its kind and first argument: `source "linux"`, `file "/init"`. Unique: a second one of the same has ` (2)` behind it.
    pub name: String,
    /// Where it stands; of `initramfs` the part before its block.
    pub span: Span,
}

/// Returns the statements of a recipe, file by file in their order; none of a file that is no KDL.
pub fn statements(source: &SourceMap) -> Vec<Statement> {
    let mut found = Vec::new();
    for (file, source) in source.files() {
        of_file(file, &source.text, &mut found);
    }
    found
}

fn of_file(file: FileId, text: &str, found: &mut Vec<Statement>) {
    let Ok(document) = syntax::document(text) else {
        return;
    };
    let mut add = |node: &KdlNode, head: bool| {
        let base = name(node);
        let mut own = base.clone();
        let mut count = 1;
        while found.iter().any(|other| other.name == own) {
            count += 1;
            own = format!("{base} ({count})");
        }
        let range = place(node, head, text);
        let span = Span { file, range };
        found.push(Statement { name: own, span });
    };
    for node in document.nodes() {
        let is_tree = node.name().value() == "initramfs";
        add(node, is_tree);
        let children = node.children().filter(|_| is_tree);
        for child in children.into_iter().flat_map(|block| block.nodes()) {
            add(child, false);
        }
    }
}

fn name(node: &KdlNode) -> String {
    let kind = node.name().value();
    let first = node.entries().iter().find(|entry| entry.name().is_none());
    match first.and_then(|entry| entry.value().as_string()) {
        Some(text) => format!("{kind} {}", serde_json::Value::from(text)),
        None => kind.to_owned(),
    }
}

fn place(node: &KdlNode, head: bool, text: &str) -> Range<usize> {
    let start = range(node.name().span()).start;
    let last = node
        .entries()
        .last()
        .map_or(range(node.name().span()).end, |entry| {
            range(entry.span()).end
        });
    if head {
        return start..last;
    }
    let end = range(node.span()).end;
    let whole = text.get(start..end).unwrap_or_default();
    let trimmed = whole.trim_end_matches([' ', '\t', '\\', '\r', '\n', ';']);
    start..(start + trimmed.len()).max(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::SourceText;

    #[test]
    fn statements_are_named_and_placed() {
        let text = "image \"a\" // x\nsource \"s\" {\n  url \"u\"\n}\ninitramfs compress=\"none\" {\n  dir \"/p\"; dir \"/q\"\n  dir \"/p\"\n}\n";
        let source = SourceText {
            name: "r".to_owned(),
            text: text.into(),
        };
        let source = SourceMap::from(source);
        let found: Vec<(String, &str)> = statements(&source)
            .into_iter()
            .map(|one| (one.name, source.slice(&one.span)))
            .collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, text)| (&**name, *text)).collect();
        let expected = [
            ("image \"a\"", "image \"a\""),
            ("source \"s\"", "source \"s\" {\n  url \"u\"\n}"),
            ("initramfs", "initramfs compress=\"none\""),
            ("dir \"/p\"", "dir \"/p\""),
            ("dir \"/q\"", "dir \"/q\""),
            ("dir \"/p\" (2)", "dir \"/p\""),
        ];
        assert_eq!(found, expected);
    }
}
