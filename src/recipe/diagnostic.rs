//! What is wrong with a recipe, where, and what to do: one type for the parser and for every later step that can
//! point into the text.

use std::fmt;
use std::sync::Arc;

use miette::{LabeledSpan, NamedSource, SourceCode, SourceSpan};

use super::source_map::{FileId, SourceText, Span};

/// How much a diagnostic weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The recipe cannot be used.
    Error,
    /// The recipe can be used, and does perhaps not say what its author meant.
    Warning,
    /// What belongs to the finding before it, in another file.
    Advice,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its weight.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Places in the text with a word about each; the first is the main one.
    pub labels: Vec<(Span, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Returns an error with one label.
    pub fn error(
        message: impl Into<String>,
        span: impl Into<Span>,
        label: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            labels: vec![(span.into(), label.into())],
            help: None,
        }
    }

    /// Returns a warning with one label.
    pub fn warning(
        message: impl Into<String>,
        span: impl Into<Span>,
        label: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(message, span, label)
        }
    }

    /// Adds a further label.
    #[must_use]
    pub fn and(mut self, span: impl Into<Span>, label: impl Into<String>) -> Diagnostic {
        self.labels.push((span.into(), label.into()));
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Returns what diagnostics are sorted by: the place of the main label.
    pub fn order(&self) -> (FileId, usize) {
        let main = self.labels.first();
        main.map_or_else(Default::default, |(span, _)| span.order())
    }

    /// Returns the file of the main label.
    pub fn file(&self) -> FileId {
        let main = self.labels.first();
        main.map_or_else(FileId::default, |(span, _)| span.file)
    }

    /// Returns the diagnostic in pieces, each of which points into one file; the last one says what to do.
    pub fn by_file(&self) -> Vec<Diagnostic> {
        let mut pieces: Vec<Diagnostic> = Vec::new();
        for (span, label) in &self.labels {
            if let Some(piece) = pieces.iter_mut().find(|piece| piece.file() == span.file) {
                piece.labels.push((span.clone(), label.clone()));
                continue;
            }
            let (severity, message) = match pieces.is_empty() {
                true => (self.severity, self.message.as_str()),
                false => (Severity::Advice, "the other place"),
            };
            let piece = Diagnostic::error(message, span.clone(), label);
            pieces.push(Diagnostic { severity, ..piece });
        }
        if pieces.is_empty() {
            return vec![self.clone()];
        }
        if let Some(last) = pieces.last_mut() {
            last.help.clone_from(&self.help);
        }
        pieces
    }

    /// Joins the diagnostic with the one text that it points into, for rendering.
    pub fn located(self, source: &SourceText) -> Located {
        Located {
            source: NamedSource::new(source.name.as_str(), Arc::clone(&source.text))
                .with_language("kdl"),
            diagnostic: self,
        }
    }
}

/// A diagnostic with its text: what `miette` can draw.
#[derive(Debug)]
pub struct Located {
    source: NamedSource<Arc<str>>,
    diagnostic: Diagnostic,
}

impl Located {
    /// Returns the diagnostic alone.
    pub fn diagnostic(&self) -> &Diagnostic {
        &self.diagnostic
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Located {}

impl miette::Diagnostic for Located {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Advice => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.diagnostic.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.diagnostic.labels.iter().enumerate();
        Some(Box::new(labels.map(|(index, (span, text))| {
            let place = SourceSpan::new(span.start().into(), span.range.len());
            let text = Some(text.clone()).filter(|text| !text.is_empty());
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, place)
            } else {
                LabeledSpan::new_with_span(text, place)
            }
        })))
    }
}
