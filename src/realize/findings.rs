//! What would not work in an image, gathered: a thousand programs that miss one library are one warning.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Plan, Problem, StatementId};
use crate::tree::{EntryPath, Tree};

/// Warnings of one kind; what goes beyond is told in one more.
const MOST: usize = 6;
/// Names that are spelled out in a message, and places of the recipe that are shown.
const SPELLED: usize = 3;

/// The order of a kind of fault, and the reason where it has several.
type Kind = (u8, &'static str);

/// Why a file would not work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// It is for a machine that the image is not for.
    Foreign { machine: String },
    /// It is for a machine that some kernels can be, with an option.
    Compatible {
        machine: String,
        option: &'static str,
    },
    /// It lies in a directory of PATH without an execute bit.
    NotExecutable,
    /// Its interpreter cannot be started.
    Interpreter { name: Vec<u8>, why: &'static str },
    /// `env` does not find what it names.
    Command { name: Vec<u8> },
    /// Its loader cannot be started.
    Loader { name: Vec<u8>, why: &'static str },
    /// A library that it needs is not there, or for another machine alone.
    Library {
        name: Vec<u8>,
        elsewhere: Option<String>,
    },
}

impl Fault {
    /// Returns what one warning can be about: faults of one kind for one reason.
    fn kind(&self) -> Kind {
        match self {
            Fault::Foreign { .. } => (0, ""),
            Fault::Compatible { option, .. } => (1, option),
            Fault::NotExecutable => (2, ""),
            Fault::Interpreter { why, .. } => (3, why),
            Fault::Command { .. } => (4, ""),
            Fault::Loader { why, .. } => (5, why),
            Fault::Library { .. } => (6, ""),
        }
    }

    /// Returns what is at fault, as it is named in a message.
    fn thing(&self) -> String {
        let quoted = |name: &[u8]| format!("`{}`", name.escape_ascii());
        match self {
            Fault::Foreign { machine } | Fault::Compatible { machine, .. } => machine.clone(),
            Fault::NotExecutable => String::new(),
            Fault::Interpreter { name, .. }
            | Fault::Command { name }
            | Fault::Loader { name, .. }
            | Fault::Library {
                name,
                elsewhere: None,
            } => quoted(name),
            Fault::Library {
                name,
                elsewhere: Some(machine),
            } => format!("{} (there is one for {machine})", quoted(name)),
        }
    }
}

/// The files that would not work, by why.
#[derive(Debug, Default)]
pub(super) struct Findings<'a> {
    found: BTreeMap<Fault, BTreeSet<&'a EntryPath>>,
}

/// One warning.
struct Group<'a> {
    faults: Vec<Fault>,
    files: BTreeSet<&'a EntryPath>,
}

impl<'a> Findings<'a> {
    /// Adds a file.
    pub(super) fn add(&mut self, fault: Fault, file: &'a EntryPath) {
        self.found.entry(fault).or_default().insert(file);
    }

    /// Returns the warnings. A library that is in memory under one of the names `loaded` is not missing.
    pub(super) fn diagnostics(
        self,
        plan: &Plan,
        tree: &Tree,
        loaded: &BTreeSet<Vec<u8>>,
    ) -> Vec<Problem> {
        // Those with the same kind and the same files are one warning.
        let mut groups: BTreeMap<(Kind, BTreeSet<&EntryPath>), Vec<Fault>> = BTreeMap::new();
        for (fault, files) in self.found {
            if !matches!(&fault, Fault::Library { name, .. } if loaded.contains(name)) {
                groups.entry((fault.kind(), files)).or_default().push(fault);
            }
        }
        let mut told: Vec<Group<'_>> = Vec::new();
        let mut last: Option<(Kind, usize)> = None;
        for ((kind, files), faults) in groups {
            let count = match last {
                Some((before, count)) if before == kind => count + 1,
                _ => 1,
            };
            last = Some((kind, count));
            match told.last_mut() {
                Some(group) if count > MOST => {
                    group.faults.extend(faults);
                    group.files.extend(files);
                }
                _ => told.push(Group { faults, files }),
            }
        }
        let told = told.iter().filter_map(|group| group.diagnostic(plan, tree));
        told.collect()
    }
}

impl Group<'_> {
    fn diagnostic(&self, plan: &Plan, tree: &Tree) -> Option<Problem> {
        let (message, verb, help) = self.text(plan)?;
        let mut by_entry: BTreeMap<Option<usize>, Vec<&EntryPath>> = BTreeMap::new();
        for file in &self.files {
            let origin = tree.get(file).and_then(|entry| entry.origin);
            by_entry.entry(origin).or_default().push(file);
        }
        let mut diagnostic: Option<Problem> = None;
        for files in by_entry.values().take(SPELLED) {
            let entry = tree.get(files.first()?)?;
            let names: Vec<String> = files.iter().map(|file| format!("`{file}`")).collect();
            let label = format!("{verb}{}", listed(&names));
            let span = StatementId::of_entry(entry.origin);
            diagnostic = Some(match diagnostic {
                None => Problem::warning(&message, span, label),
                Some(first) => first.and(span, label),
            });
        }
        diagnostic.map(|diagnostic| diagnostic.help(help))
    }

    /// Returns the message, what stands before the names of the files, and the help.
    fn text(&self, plan: &Plan) -> Option<(String, &'static str, String)> {
        let count = self.files.len();
        let (programs, arch) = (counted(count, "program"), plan.arch);
        let mut things: Vec<String> = self.faults.iter().map(Fault::thing).collect();
        things.dedup();
        let (is, names) = (
            if things.len() == 1 { "is" } else { "are" },
            listed(&things),
        );
        Some(match self.faults.first()? {
            Fault::Foreign { .. } => (
                format!("{programs} for {names} in an image for {arch}"),
                "the kernel would say `Exec format error` of ",
                format!("give the source a location with arch=\"{arch}\""),
            ),
            Fault::Compatible { option, .. } => (
                format!("{programs} for {names} in an image for {arch}: a kernel with {option} starts it"),
                "",
                format!("without that option the kernel says `Exec format error`: take a build for {arch}"),
            ),
            Fault::NotExecutable => (
                format!("{programs} without an execute bit in a directory of PATH"),
                "the shell would say `Permission denied` of ",
                "add mode=0o755".to_owned(),
            ),
            Fault::Interpreter { why, .. } => (
                format!("{} {}: {} with it", names, self.plural(why, is), begin(count)),
                "",
                "put the interpreter into the image, or leave out what needs it".to_owned(),
            ),
            Fault::Command { .. } => (
                format!("{names} {is} in no directory of PATH: {} with `env`, which looks for it", begin(count)),
                "",
                "put it into the image; several words after `env` need `env -S`".to_owned(),
            ),
            Fault::Loader { why, .. } => (
                format!(
                    "{names} {}: the loader of {programs}",
                    self.plural(why, is)
                ),
                "",
                "put the loader and the libraries into the image, or take a statically linked build".to_owned(),
            ),
            Fault::Library { .. } => {
                let libraries = if self.faults.len() == 1 { "library" } else { "libraries" };
                (
                    format!("the {libraries} {names} {is} not in the image"),
                    "needed by ",
                    "put the packages that have them into the image: without them the loader says `error while loading shared libraries`"
                        .to_owned(),
                )
            }
        })
    }

    /// Returns a predicate that begins with `is` for the number of things that it is about.
    fn plural(&self, why: &str, is: &str) -> String {
        let rest = why.strip_prefix("is").unwrap_or(why);
        format!("{is}{rest}")
    }
}

fn begin(count: usize) -> String {
    let verb = if count == 1 { "begins" } else { "begin" };
    format!("{} {verb}", counted(count, "script"))
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Returns the first names, and how many more there are.
fn listed(names: &[String]) -> String {
    // One more is spelled out rather than counted.
    if names.len() <= SPELLED + 1 {
        return names.join(", ");
    }
    let (first, rest) = names.split_at(SPELLED);
    format!("{} and {} more", first.join(", "), rest.len())
}
