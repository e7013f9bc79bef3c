//! Where the errors of meaning are gathered: a bad node never hides the errors of the others.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use kdl::KdlValue;

use super::diagnostic::Diagnostic;
use super::param::{self, Values};
use super::source_map::{FileId, SourceMap, SourceText, Span};
use super::{MAX_ERRORS, Mode};

/// The errors so far, and what every part of the decoder needs to know.
pub(crate) struct Report<'t> {
    file: FileId,
    pub(crate) text: &'t str,
    /// The recipe's name, which is not that of a file that it includes.
    pub(crate) name: &'t str,
    /// The file's directory, relative to the recipe's: empty, or with a `/` at its end.
    pub(super) directory: &'t str,
    pub(crate) mode: Mode,
    /// The parameters whose names may stand in the file.
    pub(super) values: BTreeMap<&'t str, &'t KdlValue>,
    found: Rc<RefCell<Vec<Diagnostic>>>,
    warnings: Rc<RefCell<Vec<Diagnostic>>>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(file: FileId, source: &'t SourceText, mode: Mode) -> Report<'t> {
        Report {
            file,
            text: &source.text,
            name: &source.name,
            directory: "",
            mode,
            values: BTreeMap::new(),
            found: Rc::default(),
            warnings: Rc::default(),
        }
    }

    /// Returns a report for each file, of the errors of all. `values` are those of the parameters.
    pub(super) fn each(map: &'t SourceMap, mode: Mode, values: &'t Values) -> Vec<Report<'t>> {
        let (found, warnings) = (Rc::default(), Rc::default());
        let seen = |file: FileId| {
            let here = values.iter().filter(move |(_, (declared, _))| {
                *declared == file || map.includes(file, *declared)
            });
            here.map(|(name, (_, value))| (name.as_str(), value))
                .collect()
        };
        let report = |(file, source): (FileId, &'t SourceText)| Report {
            file,
            text: &source.text,
            name: &map.root().name,
            directory: map.directory(file),
            mode,
            values: seen(file),
            found: Rc::clone(&found),
            warnings: Rc::clone(&warnings),
        };
        map.files().map(report).collect()
    }

    pub(crate) fn add(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    pub(super) fn warn(&self, diagnostic: Diagnostic) {
        self.warnings.borrow_mut().push(diagnostic);
    }

    /// Returns a value with the parameters that are named in it replaced, and whether it is the value of one.
    pub(super) fn replaced<'v>(&self, value: &'v KdlValue) -> (Cow<'v, KdlValue>, bool)
    where
        't: 'v,
    {
        let text = value.as_string().unwrap_or_default();
        if let Some(own) = param::whole(text, &self.values) {
            return (Cow::Borrowed(own), true);
        }
        match param::replaced(text, &self.values) {
            Some(text) => (Cow::Owned(KdlValue::String(text)), false),
            None => (Cow::Borrowed(value), false),
        }
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

    /// Returns the errors so far.
    pub(crate) fn take_found(&self) -> Vec<Diagnostic> {
        self.found.take()
    }

    /// Returns the warnings so far.
    pub(super) fn take_warnings(&self) -> Vec<Diagnostic> {
        self.warnings.take()
    }
}
