//! A recipe for one architecture, with everything that decides the image's bytes, in one canonical text; the sha256 of that
//! text is the plan id (what Nix calls a derivation).
//!
//! What decides no byte is not in it: comments, layout, the description, tests, sources that nothing uses, where the recipe
//! lies. What is in `image.json` is, so that one plan has one image directory: names, locations, the boot node.

#[cfg(test)]
mod complete;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::arch::Arch;
use crate::digest::{Digest, Hasher};
use crate::recipe::{
    Boot, Compress, Diagnostic, Entry, EntryKind, Kernel, KernelOrigin, Place, Recipe, Source,
    Span, Spanned, TreeOrigin,
};

/// The version of the rules that turn a plan into bytes (`docs/canonical-image.md`). Any change of them that alters a byte of
/// any image raises it; so does another version of the compressor.
pub const FORMAT: u32 = 1;

/// Everything that decides an image's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The image's name.
    pub name: String,
    /// The architecture.
    pub arch: Arch,
    /// The modification time of every entry, in seconds since 1970.
    pub epoch: u32,
    /// How the archive is compressed.
    pub compress: Compress,
    /// The sources that the image uses, by name.
    pub sources: BTreeMap<String, Pinned>,
    /// The kernel.
    pub kernel: Kernel,
    /// The file beside the recipe that is the kernel, where it names one.
    pub local_kernel: Option<LocalFile>,
    /// The entries, in the order of the recipe: an index into this list is an entry's origin.
    pub entries: Vec<Planned>,
    /// How the image wants to be run.
    pub boot: Boot,
}

/// A source as one architecture needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes, where the recipe says.
    pub size: Option<u64>,
    /// Where the bytes can be had, in the order of the recipe.
    pub places: Vec<Place>,
    /// The source's node in the recipe.
    pub span: Span,
}

impl Pinned {
    /// Says whether it is a container image.
    pub fn is_oci(&self) -> bool {
        self.places.iter().any(Place::is_oci)
    }
}

/// An entry of the recipe with what had to be looked up for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The recipe's words.
    pub entry: Entry,
    /// The file beside the recipe, where the entry names one, or the directory.
    pub local: Option<LocalFile>,
}

/// A file beside a recipe. Of a directory, which has the same fields, the digest is over what is taken of it: names, kinds,
/// modes, digests; and the size is that of all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is on this machine.
    pub path: PathBuf,
    /// The sha256 of its bytes: that, not the path, is in the plan.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Plan {
    /// Resolves a recipe for an architecture. `locals` has every file that [`local_files`] lists.
    ///
    /// # Errors
    /// A diagnostic for each source that has no location for the architecture or no sha256, and for each local file that
    /// `locals` lacks.
    pub fn resolve(
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
        let mut local = |named: Option<(String, Span)>| {
            let (name, span) = named?;
            let found = locals.get(&name).cloned();
            if found.is_none() {
                let message = format!("the local file `{name}` was not read");
                problems.push(Diagnostic::error(message, span, "named here"));
            }
            found
        };
        let kernel = named_kernel(&recipe.kernel);
        let local_kernel = local(kernel.map(|name| (name.value.clone(), name.span.clone())));
        let mut entries = Vec::new();
        for entry in &recipe.initramfs.entries {
            entries.push(Planned {
                local: local(
                    local_key(&entry.kind).zip(entry.kind.local().map(|name| name.span.clone())),
                ),
                entry: entry.clone(),
            });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Plan {
            name: recipe.name.value.clone(),
            arch,
            epoch: recipe.epoch,
            compress: recipe.initramfs.compress,
            sources,
            kernel: recipe.kernel.clone(),
            local_kernel,
            entries,
            boot: recipe.boot.clone(),
        })
    }

    /// Returns the files beside the recipe that went in, by their paths as the recipe writes them, and the directories by their
    /// [`local_key`].
    pub fn local_files(&self) -> BTreeMap<String, LocalFile> {
        let kernel = named_kernel(&self.kernel).zip(self.local_kernel.as_ref());
        let kernel = kernel.map(|(name, file)| (name.value.clone(), file.clone()));
        let entries = self.entries.iter();
        let entries =
            entries.filter_map(|planned| local_key(&planned.entry.kind).zip(planned.local.clone()));
        kernel.into_iter().chain(entries).collect()
    }

    /// Says whether a source is a container image.
    pub fn is_oci(&self, source: Option<&Spanned<String>>) -> bool {
        let source = source.and_then(|from| self.sources.get(&from.value));
        source.is_some_and(Pinned::is_oci)
    }

    /// Returns the plan id: the sha256 of the canonical text.
    pub fn id(&self) -> Digest {
        Digest::of(self.to_string().as_bytes())
    }

    /// Returns the identity of the inputs: the sha256 over the sorted digests of the sources, each in hexadecimal and with a
    /// line feed. Sources of the same bytes count once.
    pub fn sources_identity(&self) -> Digest {
        let mut digests: Vec<Digest> = self.sources.values().map(|source| source.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        let mut hasher = Hasher::new();
        for digest in digests {
            hasher.update(format!("{digest}\n").as_bytes());
        }
        hasher.finish()
    }
}

/// Returns the files and directories beside the recipe that its kernel and its entries name, as they are written there, each with
/// its place.
pub fn local_files(recipe: &Recipe) -> Vec<(&str, Span)> {
    let entries = recipe.initramfs.entries.iter();
    let entries = entries.filter_map(|entry| entry.kind.local());
    let names = named_kernel(&recipe.kernel).into_iter().chain(entries);
    names
        .map(|name| (name.value.as_str(), name.span.clone()))
        .collect()
}

/// Returns what a file or directory beside a recipe is known by in a plan and a lock. A file goes by its path; a directory, with a `/`
/// behind it, by what is taken of it, too.
pub fn local_key(kind: &EntryKind) -> Option<String> {
    let EntryKind::Tree {
        origin: TreeOrigin::Local { name, git },
        include,
        exclude,
        ..
    } = kind
    else {
        return kind.local().map(|name| name.value.clone());
    };
    let mut taken: Vec<String> = git.then(|| "git".to_owned()).into_iter().collect();
    for (word, globs) in [("include", include), ("exclude", exclude)] {
        let quoted = |glob: &Spanned<String>| format!("{word} {}", text::Quoted(&glob.value));
        taken.extend(globs.iter().map(quoted));
    }
    let name = &name.value;
    Some(match taken.is_empty() {
        true => format!("{name}/"),
        false => format!("{name}/ ({})", taken.join(", ")),
    })
}

fn named_kernel(kernel: &Kernel) -> Option<&Spanned<String>> {
    match &kernel.origin {
        KernelOrigin::Local(name) => Some(name),
        KernelOrigin::Source { .. } => None,
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
        span: source.span.clone(),
    })
}
