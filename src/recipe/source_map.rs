//! The texts of a recipe's files, and places in them.

use std::ops::Range;
use std::sync::Arc;

/// One of the files of a recipe; the default is the recipe itself, the others are those that it includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FileId(usize);

/// A place in a recipe: one of its files, and byte offsets in it, end excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The bytes.
    pub range: Range<usize>,
}

impl Span {
    /// Returns the offset of the first byte.
    pub fn start(&self) -> usize {
        self.range.start
    }

    /// Returns the offset behind the last byte.
    pub fn end(&self) -> usize {
        self.range.end
    }

    /// Returns what places are sorted by: the file, then the offset.
    pub fn order(&self) -> (FileId, usize) {
        (self.file, self.range.start)
    }
}

impl From<Range<usize>> for Span {
    /// Returns a place in a text that stands alone.
    fn from(range: Range<usize>) -> Span {
        let file = FileId::default();
        Span { file, range }
    }
}

/// The text of one file and the name it goes by in messages.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// The path, as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
}

impl SourceText {
    /// Returns the line number (from 1) of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        let bytes = self.text.as_bytes();
        let end = offset.min(bytes.len());
        1 + bytes[..end].iter().filter(|byte| **byte == b'\n').count()
    }
}

/// The texts of all files of a recipe.
#[derive(Debug, Clone)]
pub struct SourceMap {
    root: SourceText,
    included: Vec<SourceText>,
}

impl From<SourceText> for SourceMap {
    fn from(root: SourceText) -> SourceMap {
        let included = Vec::new();
        SourceMap { root, included }
    }
}

impl SourceMap {
    /// Returns the recipe itself.
    pub fn root(&self) -> &SourceText {
        &self.root
    }

    /// Returns the files with their texts: the recipe itself, then those that it includes in the order in which they were read.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &SourceText)> {
        let all = [&self.root].into_iter().chain(&self.included);
        all.enumerate().map(|(index, text)| (FileId(index), text))
    }

    /// Returns the text of a file.
    pub fn file(&self, file: FileId) -> &SourceText {
        let included = file.0.checked_sub(1);
        included
            .and_then(|index| self.included.get(index))
            .unwrap_or(&self.root)
    }

    /// Returns the text at a place.
    pub fn slice(&self, span: &Span) -> &str {
        let text = &self.file(span.file).text;
        text.get(span.range.clone()).unwrap_or_default()
    }

    /// Returns the name of the file that a place is in.
    pub fn name(&self, span: &Span) -> &str {
        &self.file(span.file).name
    }

    /// Returns the line number (from 1) at which a place begins.
    pub fn line(&self, span: &Span) -> usize {
        self.file(span.file).line(span.start())
    }
}
