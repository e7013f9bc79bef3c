//! Where the errors of meaning are gathered: a bad node never hides the errors of the others.

use std::cell::RefCell;

use super::diagnostic::Diagnostic;
use super::model::Span;
use super::{MAX_ERRORS, Mode};

/// The errors so far, and what every part of the decoder needs to know.
pub(crate) struct Report<'t> {
    pub(crate) text: &'t str,
    pub(crate) name: &'t str,
    pub(crate) mode: Mode,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(name: &'t str, text: &'t str, mode: Mode) -> Report<'t> {
        Report {
            text,
            name,
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

    /// Returns the text at a place.
    pub(crate) fn slice(&self, span: &Span) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}
