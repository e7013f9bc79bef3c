//! A recipe to its plan: what is looked up for one architecture, and nothing of the text.

use std::collections::BTreeMap;

use super::named::values;
use super::{FileOrigin, LocalFile, Pinned, Plan, Planned, PlannedKind, Taken, TreeOrigin};
use crate::arch::Arch;
use crate::pack::Compression;
use crate::recipe::{
    self, Compress, Diagnostic, Entry, EntryKind, Invalid, KernelOrigin, Mode, Origin, Recipe,
    Source, Spanned, parse,
};

impl Plan {
    /// Returns the plan of a recipe for an architecture. `locals` has all that
    /// [`local_files`](super::local_files) lists, by the keys.
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
        let mut lowering = Lowering {
            locals,
            sources: &sources,
            problems,
        };
        let kernel = match &recipe.kernel.origin {
            KernelOrigin::Source { from, path } => from_source(from, path.as_ref()),
            KernelOrigin::Local(name) => lowering.local_file(name),
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

struct Lowering<'l> {
    locals: &'l BTreeMap<String, LocalFile>,
    sources: &'l BTreeMap<String, Pinned>,
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
                    Origin::Local(name) => self.local_file(name),
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
            EntryKind::Init { from, busybox } => PlannedKind::Init {
                from: from.value.clone(),
                busybox: busybox.as_ref().map(|busybox| busybox.value.clone()),
            },
            EntryKind::Tree {
                origin,
                strip,
                include,
                exclude,
                modes,
                owners,
            } => {
                let source = origin.source();
                let source = source.and_then(|from| self.sources.get(&from.value));
                let modes = modes.iter().map(|(glob, mode)| (glob.value.clone(), *mode));
                PlannedKind::Tree {
                    strip: *strip,
                    modes: modes.collect(),
                    // Those of a container image are taken where nothing is said.
                    owners: owners.unwrap_or(source.is_some_and(Pinned::is_oci)),
                    origin: self.tree_origin(origin, values(include), values(exclude)),
                }
            }
        }
    }

    fn tree_origin(
        &mut self,
        origin: &recipe::TreeOrigin,
        include: Vec<String>,
        exclude: Vec<String>,
    ) -> TreeOrigin {
        let (name, git) = match origin {
            recipe::TreeOrigin::Local { name, git } => (name, *git),
            recipe::TreeOrigin::Source(from) => {
                let from = from.value.clone();
                return TreeOrigin::Source {
                    from,
                    include,
                    exclude,
                };
            }
        };
        let taken = Taken {
            git,
            include,
            exclude,
        };
        match self.local(name, &taken.key(&name.value)) {
            Some(file) => TreeOrigin::Local {
                name: name.value.clone(),
                taken,
                file,
            },
            None => TreeOrigin::Source {
                from: String::new(),
                include: Vec::new(),
                exclude: Vec::new(),
            },
        }
    }

    fn local_file(&mut self, name: &Spanned<String>) -> FileOrigin {
        match self.local(name, &name.value) {
            Some(file) => FileOrigin::Local {
                name: name.value.clone(),
                file,
            },
            None => FileOrigin::Text(String::new()),
        }
    }

    /// Returns what a file or directory was when it was read.
    fn local(&mut self, name: &Spanned<String>, key: &str) -> Option<LocalFile> {
        let found = self.locals.get(key).cloned();
        if found.is_none() {
            let message = format!("the local file `{key}` was not read");
            let problem = Diagnostic::error(message, name.span.clone(), "named here");
            self.problems.push(problem);
        }
        found
    }
}

fn from_source(from: &Spanned<String>, path: Option<&Spanned<String>>) -> FileOrigin {
    FileOrigin::Source {
        from: from.value.clone(),
        path: path.map(|path| path.value.clone()),
    }
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
