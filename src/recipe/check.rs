//! What the nodes of a recipe say about each other: names that must be declared, paths that must not collide.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::Diagnostic;
use super::model::{Recipe, Spanned};
use super::node::Value;
use super::report::Report;
use super::source_map::Span;
use super::word::{list, nearest, suggest};
use crate::text::shown;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    File,
    Dir,
    Symlink,
    Device,
    Applets,
    Tree,
}

impl Shape {
    /// Says whether the entry stands for many, in the directory that its path names.
    pub(super) fn is_many(self) -> bool {
        matches!(self, Shape::Applets | Shape::Tree)
    }

    fn noun(self) -> &'static str {
        match self {
            Shape::File => "a file",
            Shape::Dir | Shape::Applets | Shape::Tree => "a directory",
            Shape::Symlink => "a symlink",
            Shape::Device => "a device",
        }
    }
}

/// An entry as far as other nodes must know it.
struct Item {
    shape: Shape,
    path: Spanned<String>,
    /// Its `override=#true`.
    replaces: Option<Span>,
}

/// What the nodes declare and use, gathered even from those that are partly wrong, so that one mistake is one error.
#[derive(Default)]
pub(super) struct Declared {
    sources: Vec<Spanned<String>>,
    uses: Vec<Spanned<String>>,
    entries: Vec<Item>,
    /// The `of=` of `applets`.
    pub(super) busyboxes: Vec<Spanned<String>>,
    /// A source has a name that could not be read.
    pub(super) unknown_source: bool,
    /// An entry has a path that could not be read.
    pub(super) unknown_path: bool,
}

impl Declared {
    /// Takes in the name of a source.
    pub(super) fn source(&mut self, name: Option<Spanned<String>>) {
        self.unknown_source |= name.is_none();
        self.sources.extend(name);
    }

    /// Takes in a `from=` and returns it.
    pub(super) fn used(&mut self, value: &Value<'_>) -> Option<Spanned<String>> {
        let name = value.text()?;
        self.uses.push(name.clone());
        Some(name)
    }

    /// Takes in an entry.
    pub(super) fn entry(&mut self, shape: Shape, path: Spanned<String>, replaces: Option<Span>) {
        self.entries.push(Item {
            shape,
            path,
            replaces,
        });
    }

    /// Reports everything that does not fit together.
    pub(super) fn check(&self, report: &Report<'_>) {
        twice("source", &self.sources, report);
        self.names(report);
        let standing = self.collisions(report);
        if report.is_full() {
            return;
        }
        self.parents(&standing, report);
        self.applets(&standing, report);
    }

    fn names(&self, report: &Report<'_>) {
        if self.unknown_source {
            return;
        }
        let names = self.sources.iter().map(|name| name.value.as_str());
        let known: Vec<&str> = names.clone().collect();
        let declared: BTreeSet<&str> = names.collect();
        for name in &self.uses {
            if declared.contains(name.value.as_str()) {
                continue;
            }
            if report.is_full() {
                return;
            }
            let message = format!("no source is called `{}`", shown(&name.value));
            let mut error = Diagnostic::error(message, name.span.clone(), "not declared");
            let near = nearest(&name.value, &known);
            let shown = self
                .sources
                .iter()
                .filter(|s| near.is_none_or(|near| near == s.value));
            for source in shown.take(4) {
                error = error.and(source.span.clone(), "declared here");
            }
            let help = match known.as_slice() {
                [] => {
                    "declare it: `source \"NAME\" { url \"https://..\" sha256=\"..\" }`".to_owned()
                }
                known => suggest(
                    &name.value,
                    known,
                    &format!("the sources are {}", list(known)),
                ),
            };
            report.add(error.help(help));
        }
    }

    /// Reports entries at one path; returns the one that stands at each path in the end.
    fn collisions(&self, report: &Report<'_>) -> BTreeMap<&str, &Item> {
        let mut standing: BTreeMap<&str, &Item> = BTreeMap::new();
        let mut many: Vec<&Item> = Vec::new();
        for (index, item) in self.entries.iter().enumerate() {
            if report.is_full() {
                break;
            }
            let path = item.path.value.as_str();
            let there = standing.get(path).filter(|_| !item.shape.is_many());
            match (there, &item.replaces) {
                (Some(there), None) => {
                    let message = format!("`{path}` is declared twice");
                    let error =
                        Diagnostic::error(message, item.path.span.clone(), "declared again here");
                    let error = error.and(there.path.span.clone(), "declared here first");
                    report.add(error.help(
                        "remove one of them, or write `override=#true` on the later one to let it take the place of the first",
                    ));
                }
                (None, Some(flag)) if !self.unknown_path => {
                    // What an archive or a BusyBox has is not known here.
                    let provided = match item.shape.is_many() {
                        true => index > 0,
                        false => many.iter().any(|many| is_below(path, &many.path.value)),
                    };
                    if !provided {
                        self.nothing_to_replace(item, flag, report);
                    }
                }
                _ => {}
            }
            match item.shape.is_many() {
                true => many.push(item),
                false => drop(standing.insert(path, item)),
            }
        }
        standing
    }

    fn nothing_to_replace(&self, item: &Item, flag: &Span, report: &Report<'_>) {
        let path = item.path.value.as_str();
        let message = format!("nothing before it declares `{path}`");
        let mut error = Diagnostic::error(message, flag.clone(), "takes the place of nothing");
        let same = |other: &&Item| other.path.value == path && other.path.span != item.path.span;
        if let Some(later) = self.entries.iter().find(same) {
            error = error.and(later.path.span.clone(), "stands after it");
        }
        let help = "remove `override`, or move this entry below the one whose place it takes";
        report.add(error.help(help));
    }

    /// Reports entries below something that is no directory.
    fn parents(&self, standing: &BTreeMap<&str, &Item>, report: &Report<'_>) {
        for item in &self.entries {
            let path = item.path.value.as_str();
            let own = item.shape.is_many().then_some(path);
            let ends = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            let blocks = |parent: &&Item| !matches!(parent.shape, Shape::Dir);
            let parent = ends
                .chain(own)
                .filter_map(|p| standing.get(p).copied())
                .find(blocks);
            if let Some(parent) = parent {
                let place = &parent.path.value;
                let noun = parent.shape.noun();
                let message = match path == place {
                    true => format!("`{path}` should hold entries and is {noun}"),
                    false => format!("`{path}` is below `{place}`, which is {noun}"),
                };
                let error =
                    Diagnostic::error(message, item.path.span.clone(), "needs a directory there");
                let error = error.and(parent.path.span.clone(), format!("{noun}, not a directory"));
                let help = match parent.shape {
                    Shape::Symlink => format!(
                        "name the place that the symlink leads to: no entry is written through a symlink; or make `{place}` a `dir`"
                    ),
                    _ => format!("move one of them, or make `{place}` a `dir`"),
                };
                report.add(error.help(help));
            }
        }
    }

    /// Reports `applets` of a file that is not there.
    fn applets(&self, standing: &BTreeMap<&str, &Item>, report: &Report<'_>) {
        for of in &self.busyboxes {
            let path = of.value.as_str();
            match standing.get(path) {
                Some(item) if item.shape == Shape::File => {}
                Some(item) => {
                    let noun = item.shape.noun();
                    let message = format!("`{path}` is {noun}, not a BusyBox");
                    let error = Diagnostic::error(message, of.span.clone(), "a file is wanted");
                    let error = error.and(item.path.span.clone(), noun);
                    report.add(
                        error.help("name the BusyBox file itself: the applets are read out of it"),
                    );
                }
                None if self.unknown_path || self.trees_provide(path) => {}
                None => {
                    let files = self.entries.iter().filter(|item| item.shape == Shape::File);
                    let files: Vec<&str> = files.map(|item| item.path.value.as_str()).collect();
                    let message = format!("no entry puts `{path}` into the image");
                    let label = "the applets are read out of this file";
                    let form = format!(
                        "declare it: `file \"{path}\" from=\"SOURCE\" path=\"GLOB\" mode=0o755`"
                    );
                    let help = suggest(path, &files, &form);
                    report.error(message, &of.span, label, help);
                }
            }
        }
    }

    fn trees_provide(&self, path: &str) -> bool {
        let mut trees = self.entries.iter().filter(|item| item.shape == Shape::Tree);
        trees.any(|tree| is_below(path, &tree.path.value))
    }

    /// Returns what the author of a correct recipe should perhaps know.
    pub(super) fn warnings(&self, recipe: &Recipe) -> Vec<Diagnostic> {
        let mut warnings = Vec::new();
        for source in &recipe.sources {
            if !self.uses.iter().any(|name| name.value == source.name.value) {
                let message = format!("the source `{}` is not used", source.name.value);
                let warning =
                    Diagnostic::warning(message, source.name.span.clone(), "no `from=` names it");
                warnings.push(
                    warning.help("remove it, or use it: `file \"/PATH\" from=\"..\" path=\"..\"`"),
                );
            }
        }
        let init = self
            .entries
            .iter()
            .any(|item| item.path.value == "/init" && !item.shape.is_many());
        let many = self.entries.iter().filter(|item| item.shape.is_many());
        if !init
            && !many
                .into_iter()
                .any(|item| is_below("/init", &item.path.value))
        {
            let message = "the image has no `/init`";
            let label = "no entry here is `/init`";
            let warning = Diagnostic::warning(message, recipe.initramfs.span.clone(), label);
            warnings.push(
                warning.help("the kernel starts `/init`: `file \"/init\" mode=0o755 text=\"..\"`"),
            );
        }
        warnings.sort_by_key(Diagnostic::order);
        warnings
    }
}

/// Says whether a path is below a directory.
fn is_below(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Reports names that are declared more than once.
pub(super) fn twice(what: &str, names: &[Spanned<String>], report: &Report<'_>) {
    let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
    for name in names {
        if let Some(first) = seen.get(name.value.as_str()) {
            let message = format!("two {what}s are called `{}`", shown(&name.value));
            let error = Diagnostic::error(message, name.span.clone(), "again here");
            let error = error.and((*first).clone(), "the first one");
            report.add(error.help("give one of them another name"));
        } else {
            seen.insert(&name.value, &name.span);
        }
    }
}
