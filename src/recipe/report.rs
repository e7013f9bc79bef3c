//! Where the errors of meaning are gathered: a bad node never hides the errors of the others.

use std::cell::RefCell;

use super::diagnostic::Diagnostic;
use super::model::Span;
use super::{MAX_ERRORS, Mode};

/// The errors so far, and what every part of the decoder needs to know.
pub(super) struct Report<'t> {
    pub(super) text: &'t str,
    pub(super) name: &'t str,
    pub(super) mode: Mode,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(name: &'t str, text: &'t str, mode: Mode) -> Report<'t> {
        Report {
            text,
            name,
            mode,
            found: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn add(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    /// Says whether there are more errors than will be told: what takes long to find out can be left.
    pub(super) fn is_full(&self) -> bool {
        self.found.borrow().len() > MAX_ERRORS
    }

    /// Adds an error with one label, and what to do.
    pub(super) fn error(
        &self,
        message: impl Into<String>,
        span: &Span,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Diagnostic::error(message, span.clone(), label).help(help));
    }

    /// Returns the text at a place.
    pub(super) fn slice(&self, span: &Span) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}
