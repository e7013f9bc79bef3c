//! A recipe to its plan: what is looked up for one architecture, and nothing of the text.

use std::collections::BTreeMap;

use super::{FileOrigin, LocalFile, Pinned, Plan, Planned, PlannedKind, StatementId, Word};
use crate::arch::Arch;
use crate::pack::Compression;
use crate::recipe::{
    Compress, Diagnostic, Entry, EntryKind, Invalid, KernelOrigin, Mode, Origin, Recipe, Source,
    Spanned, parse,
};

impl Plan {
    /// Returns the plan of a recipe for an architecture. `locals` has every file that [`local_files`] lists.
    ///
    /// # Errors
    /// A diagnostic for each source that has no location for the architecture or no sha256, and for each local file that
    /// `locals` lacks.
    pub fn lower(
        recipe: &Recipe,
        arch: Arch,
        locals: &BTreeMap<String, LocalFile>,
    ) -> Result<Plan, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut sources = BTreeMap::new();
        for source in recipe.used_sources() {
            match pin(source, arch) {
                Ok(pinned) => {
                    sources.insert(source.name.value.clone(), pinned);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let mut lowering = Lowering { locals, problems };
        let kernel = match &recipe.kernel.origin {
            KernelOrigin::Source { from, path } => from_source(from, path.as_ref()),
            KernelOrigin::Local(name) => lowering.local(name),
        };
        let entries = recipe.initramfs.entries.iter();
        let entries: Vec<Planned> = entries.map(|entry| lowering.entry(entry)).collect();
        if !lowering.problems.is_empty() {
            return Err(lowering.problems);
        }
        Ok(Plan {
            name: recipe.name.value.clone(),
            arch,
            epoch: recipe.epoch,
            compress: match recipe.initramfs.compress {
                Compress::None => Compression::None,
                Compress::Gzip { level } => Compression::Gzip { level },
            },
            sources,
            kernel,
            entries,
            memory: recipe.boot.memory,
            cpus: recipe.boot.cpus,
            cmdline: recipe.boot.cmdline.clone(),
        })
    }

    /// Returns the plan of a recipe that names no file beside it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn of_text(name: &str, text: &str, arch: Arch) -> Result<Plan, String> {
        let first = |problems: Vec<Diagnostic>| {
            let first = problems.into_iter().next();
            first.map_or(String::new(), |first| first.message)
        };
        let parsed = parse(name, text.as_bytes(), Mode::Strict);
        let parsed = parsed.map_err(|invalid| match invalid {
            Invalid::Wrong { diagnostics, .. } => first(diagnostics),
            invalid @ Invalid::Unreadable { .. } => invalid.to_string(),
        })?;
        Plan::lower(parsed.of(arch), arch, &BTreeMap::new()).map_err(first)
    }
}

/// Returns the files beside the recipe that its kernel and its entries name, as they are written there, each with its place.
pub fn local_files(recipe: &Recipe) -> Vec<(String, StatementId)> {
    let kernel = match &recipe.kernel.origin {
        KernelOrigin::Local(name) => Some((name.value.clone(), StatementId::Kernel(Word::Local))),
        KernelOrigin::Source { .. } => None,
    };
    let entries = recipe.initramfs.entries.iter().enumerate();
    let entries = entries.filter_map(|(index, entry)| match &entry.kind {
        EntryKind::File {
            origin: Origin::Local(name),
            ..
        } => Some((name.value.clone(), StatementId::Entry(index, Word::Local))),
        _ => None,
    });
    kernel.into_iter().chain(entries).collect()
}

struct Lowering<'l> {
    locals: &'l BTreeMap<String, LocalFile>,
    problems: Vec<Diagnostic>,
}

impl Lowering<'_> {
    fn entry(&mut self, entry: &Entry) -> Planned {
        Planned {
            path: entry.path.value.clone(),
            replaces: entry.replaces,
            uid: entry.owner.uid,
            gid: entry.owner.gid,
            kind: self.kind(&entry.kind),
        }
    }

    fn kind(&mut self, kind: &EntryKind) -> PlannedKind {
        match kind {
            EntryKind::File { origin, mode } => PlannedKind::File {
                origin: match origin {
                    Origin::Source { from, path } => from_source(from, path.as_ref()),
                    Origin::Text(text) => FileOrigin::Text(text.clone()),
                    Origin::Local(name) => self.local(name),
                },
                mode: *mode,
            },
            EntryKind::Dir { mode } => PlannedKind::Dir { mode: *mode },
            EntryKind::Symlink { target } => PlannedKind::Symlink {
                target: target.clone(),
            },
            EntryKind::Device {
                class,
                major,
                minor,
                mode,
            } => PlannedKind::Device {
                class: *class,
                major: *major,
                minor: *minor,
                mode: *mode,
            },
            EntryKind::Applets { of, except } => PlannedKind::Applets {
                of: of.value.clone(),
                except: except.clone(),
            },
            EntryKind::Tree {
                from,
                strip,
                include,
                exclude,
            } => PlannedKind::Tree {
                from: from.value.clone(),
                strip: *strip,
                include: values(include),
                exclude: values(exclude),
            },
        }
    }

    fn local(&mut self, name: &Spanned<String>) -> FileOrigin {
        match self.locals.get(&name.value) {
            Some(file) => FileOrigin::Local {
                name: name.value.clone(),
                file: file.clone(),
            },
            None => {
                let message = format!("the local file `{}` was not read", name.value);
                let problem = Diagnostic::error(message, name.span.clone(), "named here");
                self.problems.push(problem);
                FileOrigin::Text(String::new())
            }
        }
    }
}

fn from_source(from: &Spanned<String>, path: Option<&Spanned<String>>) -> FileOrigin {
    FileOrigin::Source {
        from: from.value.clone(),
        path: path.map(|path| path.value.clone()),
    }
}

fn values(texts: &[Spanned<String>]) -> Vec<String> {
    texts.iter().map(|text| text.value.clone()).collect()
}

fn pin(source: &Source, arch: Arch) -> Result<Pinned, Diagnostic> {
    let fitting = || source.locations_for(arch);
    let Some(first) = fitting().next() else {
        let message = format!("source `{}` has no location for {arch}", source.name.value);
        let problem = Diagnostic::error(
            message,
            source.span.clone(),
            format!("nothing here is for {arch}"),
        );
        return Err(problem.help(format!(
            "add a location with arch=\"{arch}\", or pass `--arch` with one it has"
        )));
    };
    let Some(digest) = fitting().find_map(|location| location.sha256.as_ref()) else {
        let message = format!("source `{}` has no sha256", source.name.value);
        let problem = Diagnostic::error(
            message,
            first.span.clone(),
            "nothing says which bytes these are",
        );
        return Err(problem.help("`mkimg pin` fetches it and writes the sha256 here"));
    };
    Ok(Pinned {
        digest: digest.value,
        size: fitting().find_map(|location| location.size.as_ref().map(|size| size.value)),
        places: fitting().map(|location| location.place.clone()).collect(),
    })
}
