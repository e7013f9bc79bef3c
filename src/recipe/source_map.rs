//! The texts of a recipe's files, and places in them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::digest::Digest;

/// One of the files of a recipe; the default is the recipe itself, the others are those that it includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FileId(usize);

impl FileId {
    /// Returns its place in [`SourceMap::files`].
    pub(super) fn index(self) -> usize {
        self.0
    }
}

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

impl Included {
    /// Returns all paths by which it is included.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        [&self.path].into_iter().chain(&self.aliases)
    }
}

/// The texts of all files of a recipe.
#[derive(Debug, Clone)]
pub struct SourceMap {
    root: SourceText,
    included: Vec<Included>,
}

/// A file that a recipe includes.
#[derive(Debug, Clone)]
pub struct Included {
    /// Its text.
    pub source: SourceText,
    /// Its path relative to the recipe, with `/`, and `..` at its beginning alone.
    pub path: String,
    /// Other paths that lead to it.
    pub(super) aliases: Vec<String>,
    /// Where it was read.
    pub at: PathBuf,
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The files that include it.
    pub(super) by: Vec<FileId>,
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
        let included = self.included.iter().map(|included| &included.source);
        let all = [&self.root].into_iter().chain(included);
        all.enumerate().map(|(index, text)| (FileId(index), text))
    }

    /// Returns the text of a file.
    pub fn file(&self, file: FileId) -> &SourceText {
        let included = self.get(file);
        included.map_or(&self.root, |included| &included.source)
    }

    /// Returns the files that the recipe includes, in the order in which they were read.
    pub fn included(&self) -> &[Included] {
        &self.included
    }

    /// Returns where a file was read that the recipe includes.
    pub fn included_at(&self, file: FileId) -> Option<&PathBuf> {
        self.get(file).map(|included| &included.at)
    }

    /// Returns the file that the recipe includes by a path.
    pub fn included_as(&self, path: &str) -> Option<FileId> {
        let index = self
            .included
            .iter()
            .position(|own| own.paths().any(|own| own == path))?;
        Some(FileId(index + 1))
    }

    /// Returns the directory of a file, relative to the recipe's: empty, or with a `/` at its end.
    pub(super) fn directory(&self, file: FileId) -> &str {
        let path = self.get(file).map_or("", |included| &included.path);
        path.rfind('/')
            .and_then(|end| path.get(..=end))
            .unwrap_or_default()
    }

    fn get(&self, file: FileId) -> Option<&Included> {
        self.included.get(file.0.checked_sub(1)?)
    }

    /// Returns the file at a path that was read before.
    pub(super) fn find(&mut self, at: &PathBuf) -> Option<(FileId, &mut Included)> {
        let mut all = self.included.iter_mut().enumerate();
        let (index, found) = all.find(|(_, included)| included.at == *at)?;
        Some((FileId(index + 1), found))
    }

    pub(super) fn add(&mut self, included: Included) -> FileId {
        self.included.push(included);
        FileId(self.included.len())
    }

    /// Says whether a file includes another one, itself or through files that it includes.
    pub(super) fn includes(&self, outer: FileId, inner: FileId) -> bool {
        let mut seen = BTreeSet::from([inner]);
        let mut next = vec![inner];
        while let Some(file) = next.pop() {
            for by in self.get(file).map_or(&[][..], |included| &included.by) {
                if *by == outer {
                    return true;
                }
                if seen.insert(*by) {
                    next.push(*by);
                }
            }
        }
        false
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
