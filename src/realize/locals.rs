//! The files and directories beside a recipe: hashed for its plan, and the kernel among them taken into the cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::packed::{self, PackedError};
use super::{RealizeError, explain};
use crate::arch::Arch;
use crate::digest::{self, Digest};
use crate::plan::{self, LocalFile, Plan};
use crate::recipe::{Diagnostic, EntryKind, KernelOrigin, Recipe, Spanned, TreeOrigin};
use crate::source::directory::{self, Directory, DirectoryError};
use crate::source::local::{self, LocalError, Opened, Reach, Regular, reading_error};
use crate::source::{Member, Selection, select};
use crate::store::{Blob, Store};

/// What is beside a recipe, and how it is read.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// The recipe's directory.
    pub base: &'a Path,
    /// What may be taken without a hash.
    pub reach: &'a Reach,
    /// The cache that remembers what directories came to.
    pub store: Option<&'a Store>,
    /// How many threads may read at once.
    pub jobs: usize,
}

/// Returns the plan of a recipe that lies in `base`, for an architecture. Files beside it that have no hash come from its own
/// project alone.
///
/// # Errors
/// [`RealizeError::Recipe`] where a source cannot serve the architecture or a local file cannot be taken.
pub fn plan(recipe: &Recipe, base: &Path, arch: Arch) -> Result<Plan, RealizeError> {
    let beside = Beside {
        base,
        reach: &Reach::of(base, None),
        store: None,
        jobs: 1,
    };
    plan_within(recipe, arch, beside)
}

/// Returns the plan of a recipe as [`plan`] does; files beside it that have no hash come from what is within reach.
///
/// # Errors
/// Those of [`plan`].
pub fn plan_within(recipe: &Recipe, arch: Arch, beside: Beside<'_>) -> Result<Plan, RealizeError> {
    let mut locals = BTreeMap::new();
    let mut problems = Vec::new();
    let mut add = |name: &Spanned<String>, what: &str, key: String, read: Read| match read {
        Ok(file) => {
            locals.insert(key, file);
        }
        Err((reason, help)) => {
            let message = format!("the local {what} `{}` cannot be {reason}", name.value);
            let problem = Diagnostic::error(message, name.span.clone(), "named here");
            problems.push(problem.help(help));
        }
    };
    if let KernelOrigin::Local(name) = &recipe.kernel.origin {
        add(
            name,
            "file",
            name.value.clone(),
            local_file(&name.value, beside),
        );
    }
    for entry in &recipe.initramfs.entries {
        let (Some(name), Some(key)) = (entry.kind.local(), plan::local_key(&entry.kind)) else {
            continue;
        };
        match &entry.kind {
            EntryKind::Tree { .. } => {
                let read = local_tree(&name.value, &entry.kind, beside)
                    .map_err(|error| (format!("{}: {error}", verb(&error)), error.help()));
                add(name, "directory", key, read);
            }
            _ => add(name, "file", key, local_file(&name.value, beside)),
        }
    }
    if !problems.is_empty() {
        return Err(RealizeError::Recipe(problems));
    }
    Plan::resolve(recipe, arch, &locals).map_err(RealizeError::Recipe)
}

/// What was read; otherwise what cannot be, and what to do.
type Read = Result<LocalFile, (String, String)>;

fn verb(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Local(LocalError::Io(_)) | DirectoryError::Io { .. } => "read",
        _ => "taken",
    }
}

fn local_tree(
    name: &str,
    kind: &EntryKind,
    beside: Beside<'_>,
) -> Result<LocalFile, DirectoryError> {
    let opened = local::open(beside.base, Path::new(name)).map_err(DirectoryError::Local)?;
    let path = match &opened {
        Opened::Directory(_, path) => path.clone(),
        Opened::File(file) => file.path().to_path_buf(),
    };
    beside
        .reach
        .check_path(&path)
        .map_err(DirectoryError::Local)?;
    let (digest, size) = match &opened {
        Opened::Directory(..) => directory(path.clone(), kind, beside).digest()?,
        Opened::File(_) => {
            let members = packed::open(&path)?;
            let members =
                select(members, &selection(kind), name).map_err(DirectoryError::Pattern)?;
            (
                Digest::of(directory::manifest(&members).as_bytes()),
                directory::size(&members),
            )
        }
    };
    Ok(LocalFile { path, digest, size })
}

fn directory<'a>(path: PathBuf, kind: &EntryKind, beside: Beside<'a>) -> Directory<'a> {
    let home = beside
        .reach
        .home()
        .map(|home| (home.to_path_buf(), "a home directory"));
    let cache = beside
        .store
        .map(|store| (store.root().to_path_buf(), "mkimg's cache"));
    Directory {
        path,
        selection: selection(kind),
        git: is_git(kind),
        private: home.into_iter().chain(cache).collect(),
        store: beside.store,
        jobs: beside.jobs,
    }
}

fn selection(kind: &EntryKind) -> Selection {
    let texts = |globs: &[Spanned<String>]| globs.iter().map(|glob| glob.value.clone()).collect();
    match kind {
        EntryKind::Tree {
            include, exclude, ..
        } => Selection {
            include: texts(include),
            exclude: texts(exclude),
        },
        _ => Selection::default(),
    }
}

fn is_git(kind: &EntryKind) -> bool {
    let EntryKind::Tree { origin, .. } = kind else {
        return false;
    };
    matches!(origin, TreeOrigin::Local { git: true, .. })
}

/// Returns the members of the directories that entries of a plan take, by the entry's index.
///
/// # Errors
/// [`RealizeError::Recipe`] where a directory is not what it was when the plan was made.
pub(super) fn members(
    plan: &Plan,
    store: &Store,
    jobs: usize,
) -> Result<BTreeMap<usize, Vec<Member>>, RealizeError> {
    let mut found = BTreeMap::new();
    for (index, planned) in plan.entries.iter().enumerate() {
        let (EntryKind::Tree { .. }, Some(local)) = (&planned.entry.kind, &planned.local) else {
            continue;
        };
        let kind = &planned.entry.kind;
        let read = || {
            let members = match local.path.is_dir() {
                true => {
                    let reach = Reach::of(&local.path, None);
                    let beside = Beside {
                        base: &local.path,
                        reach: &reach,
                        store: Some(store),
                        jobs,
                    };
                    directory(local.path.clone(), kind, beside).members()?
                }
                false => {
                    let name = local.path.display().to_string();
                    let members = packed::open(&local.path)?;
                    select(members, &selection(kind), &name).map_err(DirectoryError::Pattern)?
                }
            };
            match Digest::of(directory::manifest(&members).as_bytes()) == local.digest {
                true => Ok(members),
                false => Err(DirectoryError::Changed {
                    path: local.path.display().to_string(),
                }),
            }
        };
        let members = read().map_err(|error: DirectoryError| {
            let message = format!("a local directory cannot be taken in: {error}");
            let at = planned.entry.span.clone();
            let problem = Diagnostic::error(message, at, "named here").help(error.help());
            RealizeError::Recipe(vec![problem])
        })?;
        found.insert(index, members);
    }
    Ok(found)
}

/// Returns the files beside a recipe as they can leave this machine, by their paths as the recipe writes them: directories are
/// packed into the cache.
///
/// # Errors
/// [`RealizeError`] where a directory cannot be packed.
pub fn shareable(
    plan: &Plan,
    store: &Store,
    jobs: usize,
) -> Result<BTreeMap<String, LocalFile>, RealizeError> {
    let mut files = plan.local_files();
    let mut directories: BTreeMap<&str, (Vec<Member>, usize)> = BTreeMap::new();
    for (index, members) in members(plan, store, jobs)? {
        let kind = plan.entries.get(index).map(|planned| &planned.entry.kind);
        let (Some(name), Some(key)) = (
            kind.and_then(EntryKind::local),
            kind.and_then(plan::local_key),
        ) else {
            continue;
        };
        files.remove(&key);
        let entry = directories
            .entry(&name.value)
            .or_insert((Vec::new(), index));
        entry.0.extend(members);
    }
    for (name, (members, index)) in directories {
        let blob = packed::pack(&members, store).map_err(|error| match error {
            PackedError::Store(error) => RealizeError::Store(error),
            PackedError::Pack(error) => RealizeError::Pack(error),
            PackedError::Conflict(error) => {
                let at = plan
                    .entries
                    .get(index)
                    .map(|planned| planned.entry.span.clone());
                let message =
                    format!("what is taken of the directory `{name}` cannot be packed: {error}");
                let problem = Diagnostic::error(
                    message,
                    at.unwrap_or_else(|| plan.kernel.span.clone()),
                    "named here",
                );
                RealizeError::Recipe(vec![problem.help("take it with one `tree` node")])
            }
        })?;
        let file = LocalFile {
            path: blob.path,
            digest: blob.digest,
            size: blob.size,
        };
        files.insert(name.to_owned(), file);
    }
    Ok(files)
}

/// Returns what a plan needs to know of the files that came along with a recipe, packed directories among them: the reverse of
/// [`shareable`].
///
/// # Errors
/// The path of one that is no packed directory, and why.
pub fn unpacked(
    recipe: &Recipe,
    files: &BTreeMap<String, LocalFile>,
) -> Result<BTreeMap<String, LocalFile>, (String, Box<DirectoryError>)> {
    let mut locals = files.clone();
    for entry in &recipe.initramfs.entries {
        let (EntryKind::Tree { .. }, Some(name)) = (&entry.kind, entry.kind.local()) else {
            continue;
        };
        let (Some(file), Some(key)) = (files.get(&name.value), plan::local_key(&entry.kind)) else {
            continue;
        };
        let read = || {
            let members = packed::open(&file.path)?;
            select(members, &selection(&entry.kind), &name.value).map_err(DirectoryError::Pattern)
        };
        let members = read().map_err(|error| (name.value.clone(), Box::new(error)))?;
        let local = LocalFile {
            path: file.path.clone(),
            digest: Digest::of(directory::manifest(&members).as_bytes()),
            size: directory::size(&members),
        };
        locals.insert(key, local);
    }
    Ok(locals)
}

/// Reads a file beside a recipe.
fn local_file(name: &str, beside: Beside<'_>) -> Read {
    let refused = |error: LocalError| {
        let verb = match error {
            LocalError::Outside { .. } | LocalError::Kernel { .. } => "taken",
            _ => "read",
        };
        (format!("{verb}: {error}"), error.help())
    };
    let mut file = Regular::open(beside.base, Path::new(name)).map_err(refused)?;
    beside.reach.check(&file).map_err(refused)?;
    let size = file.size();
    // The archive's own limit, told before so much is read.
    if size > u64::from(u32::MAX) {
        let reason = format!("taken: it has {size} bytes, an archive holds files below 4 GiB");
        let help = "split it, or give it to the guest in another way than its initramfs";
        return Err((reason, help.to_owned()));
    }
    let hashed = digest::of_reader(&mut file);
    let (digest, size) = hashed.map_err(|error| refused(reading_error(error)))?;
    let path = file.path().to_path_buf();
    Ok(LocalFile { path, digest, size })
}

/// Copies a kernel beside the recipe into the cache: an image must not change with a file that is the user's.
pub(super) fn kernel(store: &Store, plan: &Plan, file: &LocalFile) -> Result<Blob, RealizeError> {
    let changed = |error: LocalError| explain::changed_kernel(plan, &error);
    let mut from = Regular::open_own(&file.path).map_err(changed)?;
    let blob = store.blob_from(&mut from, &file.path)?;
    match blob.digest == file.digest {
        true => Ok(blob),
        false => Err(changed(LocalError::Changed)),
    }
}
