//! Where the errors of meaning are gathered: a bad node never hides the errors of the others.

use std::cell::RefCell;
use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::source_map::{FileId, SourceText, Span};
use super::{MAX_ERRORS, Mode};

/// The errors so far, and what every part of the decoder needs to know.
pub(crate) struct Report<'t> {
    file: FileId,
    pub(crate) text: &'t str,
    pub(crate) name: &'t str,
    pub(crate) mode: Mode,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(file: FileId, source: &'t SourceText, mode: Mode) -> Report<'t> {
        Report {
            file,
            text: &source.text,
            name: &source.name,
            mode,
            found: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn add(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    /// Says whether there are more errors than will be told: what takes long to find out can be left.
    pub(crate) fn is_full(&self) -> bool {
        self.found.borrow().len() > MAX_ERRORS
    }

    /// Adds an error with one label, and what to do.
    pub(crate) fn error(
        &self,
        message: impl Into<String>,
        span: &Span,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Diagnostic::error(message, span.clone(), label).help(help));
    }

    /// Returns the place of some bytes of the file.
    pub(crate) fn place(&self, range: Range<usize>) -> Span {
        let file = self.file;
        Span { file, range }
    }

    /// Returns some bytes of the file.
    pub(crate) fn slice(&self, range: &Range<usize>) -> &'t str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}
