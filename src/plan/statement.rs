//! Places in a recipe without its text, and what is wrong there: what the steps behind the plan say of it.

use crate::recipe::{
    Diagnostic, EntryKind, KernelOrigin, Origin, Recipe, SourceMap, Span, Spanned, statements,
};

/// A statement of a recipe, or a word of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementId {
    /// The name of the image.
    Name,
    /// The source of this name.
    Source(String),
    /// The kernel.
    Kernel(Word),
    /// An entry, by its index in the plan.
    Entry(usize, Word),
    /// The statement that a lock knows by this name.
    Named(String),
}

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The whole node.
    Whole,
    /// The file or directory beside the recipe that it names.
    Local,
    /// The BusyBox that it names.
    Of,
    /// The path or the glob with this text.
    Pattern(String),
    /// The glob of `modes` with this text.
    Mode(String),
}

impl StatementId {
    /// Returns the place of an entry, or of the kernel for what no entry put there.
    pub fn of_entry(index: Option<usize>) -> StatementId {
        match index {
            Some(index) => StatementId::Entry(index, Word::Whole),
            None => StatementId::Kernel(Word::Whole),
        }
    }

    /// Returns the place in the texts of a recipe, which is what the plan was made of: that of its variant and architecture.
    pub fn span(&self, recipe: &Recipe, source: &SourceMap) -> Span {
        let found = match self {
            StatementId::Name => Some(recipe.name.span.clone()),
            StatementId::Source(name) => recipe.source(name).map(|source| source.span.clone()),
            StatementId::Kernel(word) => kernel(recipe, word).map(|word| word.span.clone()),
            StatementId::Entry(index, word) => entry(recipe, *index, word),
            StatementId::Named(name) => {
                let mut all = statements(source).into_iter();
                all.find(|statement| statement.name == *name)
                    .map(|statement| statement.span)
            }
        };
        found.unwrap_or_else(|| recipe.kernel.span.clone())
    }
}

/// Returns a word of the kernel; nothing for the whole node.
fn kernel<'r>(recipe: &'r Recipe, word: &Word) -> Option<&'r Spanned<String>> {
    match (word, &recipe.kernel.origin) {
        (Word::Local, KernelOrigin::Local(name)) => Some(name),
        (Word::Pattern(_), KernelOrigin::Source { path, .. }) => path.as_ref(),
        _ => None,
    }
}

fn entry(recipe: &Recipe, index: usize, word: &Word) -> Option<Span> {
    let entry = recipe.initramfs.entries.get(index)?;
    let found = match (word, &entry.kind) {
        (Word::Of, EntryKind::Applets { of, .. }) => Some(of),
        // Its one pattern is for the BusyBox.
        (Word::Of | Word::Pattern(_), EntryKind::Init { busybox, .. }) => busybox.as_ref(),
        (Word::Local, kind) => kind.local(),
        (Word::Mode(text), EntryKind::Tree { modes, .. }) => {
            let mut globs = modes.iter().map(|(glob, _)| glob);
            globs.find(|glob| glob.value == *text)
        }
        (Word::Pattern(text), kind) => patterns(kind)
            .into_iter()
            .find(|pattern| pattern.value == *text),
        _ => None,
    };
    Some(found.map_or(&entry.span, |word| &word.span).clone())
}

fn patterns(kind: &EntryKind) -> Vec<&Spanned<String>> {
    match kind {
        EntryKind::File {
            origin: Origin::Source { path, .. },
            ..
        } => path.iter().collect(),
        EntryKind::Tree {
            include, exclude, ..
        } => include.iter().chain(exclude).collect(),
        _ => Vec::new(),
    }
}

/// Something that is wrong with a recipe, found behind its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Does it keep nobody from going on?
    pub is_warning: bool,
    /// What is wrong, in one line.
    pub message: String,
    /// Places with what is to be said there; the first is the main one.
    pub labels: Vec<(StatementId, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    /// Returns an error with one label.
    pub fn error(message: impl Into<String>, at: StatementId, label: impl Into<String>) -> Problem {
        Problem {
            is_warning: false,
            message: message.into(),
            labels: vec![(at, label.into())],
            help: None,
        }
    }

    /// Returns a warning with one label.
    pub fn warning(
        message: impl Into<String>,
        at: StatementId,
        label: impl Into<String>,
    ) -> Problem {
        Problem {
            is_warning: true,
            ..Problem::error(message, at, label)
        }
    }

    /// Adds a further label.
    #[must_use]
    pub fn and(mut self, at: StatementId, label: impl Into<String>) -> Problem {
        self.labels.push((at, label.into()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Returns it with the places in the texts of a recipe.
    pub fn located(&self, recipe: &Recipe, source: &SourceMap) -> Diagnostic {
        let mut labels = self.labels.iter();
        let main = labels.next();
        let span = main.map_or_else(|| Span::from(0..0), |(at, _)| at.span(recipe, source));
        let label = main.map_or("", |(_, label)| label);
        let mut diagnostic = match self.is_warning {
            true => Diagnostic::warning(&self.message, span, label),
            false => Diagnostic::error(&self.message, span, label),
        };
        for (at, label) in labels {
            diagnostic = diagnostic.and(at.span(recipe, source), label);
        }
        diagnostic.help = self.help.clone();
        diagnostic
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Mode, parse};

    const TEXT: &str = r#"image "x"
source "a" { url "https://a/b" sha256="00"; }
source "i" { oci "r.example/i" digest="sha256:00"; }
kernel from="a" path="boot/*"
initramfs {
    file "/f" from="a" path="f"
    file "/l" local="here"
    applets "/bin" of="/f"
    tree "/t" from="a" { include "i/**"; exclude "e"; modes { "m" 0o755; }; }
    tree "/d" local="there"
    init from="i" busybox="a"
}
"#;

    #[test]
    fn a_statement_is_found_again_in_the_text() {
        let text = TEXT.replace("00", &"0".repeat(64));
        let parsed = parse("x.kdl", text.as_bytes(), Mode::Strict).unwrap();
        let pattern = |text: &str| Word::Pattern(text.to_owned());
        let source = StatementId::Source("a".to_owned());
        let named = StatementId::Named("file \"/l\"".to_owned());
        for (at, expected) in [
            (StatementId::Name, "\"x\""),
            (StatementId::Kernel(Word::Whole), "kernel from="),
            (StatementId::Kernel(pattern("boot/*")), "\"boot/*\""),
            (StatementId::Kernel(Word::Local), "kernel from="),
            (StatementId::Entry(0, Word::Whole), "file \"/f\""),
            (StatementId::Entry(0, pattern("f")), "\"f\""),
            (StatementId::Entry(1, Word::Local), "\"here\""),
            (StatementId::Entry(2, Word::Of), "\"/f\""),
            (StatementId::Entry(3, pattern("i/**")), "\"i/**\""),
            (StatementId::Entry(3, pattern("e")), "\"e\""),
            (StatementId::Entry(3, pattern("other")), "tree \"/t\""),
            (StatementId::Entry(3, Word::Mode("m".to_owned())), "\"m\""),
            (StatementId::Entry(4, Word::Local), "\"there\""),
            (StatementId::Entry(5, pattern("**/busybox")), "\"a\""),
            (StatementId::Entry(9, Word::Whole), "kernel from="),
            (named, "file \"/l\""),
            (source, "source \"a\""),
        ] {
            let found = parsed
                .source
                .slice(&at.span(&parsed.recipe, &parsed.source));
            assert!(found.starts_with(expected), "{at:?}: {found}");
        }
        let problem = Problem::warning("odd", StatementId::Name, "this")
            .and(StatementId::of_entry(None), "that")
            .help("mend it");
        let shown = problem.located(&parsed.recipe, &parsed.source);
        assert_eq!((shown.message.as_str(), shown.labels.len()), ("odd", 2));
        assert_eq!(shown.labels[1].0, parsed.recipe.kernel.span);
        assert_eq!(shown.help.as_deref(), Some("mend it"));
    }
}
