//! The files and directories beside a recipe: hashed for its plan, and the kernel among them taken into the cache.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::packed::{self, PackedError};
use super::{RealizeError, explain};
use crate::digest::{self, Digest};
use crate::plan::{LocalFile, Named, Plan, Planned, Problem, StatementId, Taken};
use crate::source::directory::{self, Directory, DirectoryError};
use crate::source::known::Known;
use crate::source::local::{self, LocalError, Opened, Reach, Regular, reading_error};
use crate::source::{Member, Selection, select};
use crate::store::{Blob, Store, StoreError, limit_help};

/// What is beside a recipe, and how it is read.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// The recipe's directory.
    pub base: &'a Path,
    /// What may be taken without a hash.
    pub reach: &'a Reach,
    /// What the cache knows of files and directories, which need not be read then.
    pub known: Option<Known<'a>>,
    /// How many threads may read at once.
    pub jobs: usize,
}

/// Returns the files and directories that a recipe names without their hash, each read once, by their keys. `named` is what
/// [`crate::plan::local_files`] lists.
///
/// # Errors
/// [`RealizeError::Recipe`] about each that cannot be taken.
pub fn local_files(
    named: Vec<Named>,
    beside: Beside<'_>,
) -> Result<BTreeMap<String, LocalFile>, RealizeError> {
    let mut files = BTreeMap::new();
    let mut problems = Vec::new();
    for one in named {
        let key = one.key();
        if files.contains_key(&key) {
            continue;
        }
        let (what, read) = match &one.taken {
            Some(taken) => {
                let read = local_tree(&one.name, taken, beside);
                let refused = |error| match error {
                    DirectoryError::Local(LocalError::Io(error)) if is_limit(&error) => {
                        Refused::Limit(error)
                    }
                    error => Refused::Told(format!("{}: {error}", verb(&error)), error.help()),
                };
                ("directory", read.map_err(refused))
            }
            None => ("file", local_file(&one.name, beside)),
        };
        match read {
            Ok(file) => drop(files.insert(key, file)),
            Err(Refused::Limit(error)) => {
                return Err(StoreError::io("read", &beside.base.join(&one.name), error).into());
            }
            Err(Refused::Told(reason, help)) => {
                let message = format!("the local {what} `{}` cannot be {reason}", one.name);
                problems.push(Problem::error(message, one.at, "named here").help(help));
            }
        }
    }
    match problems.is_empty() {
        true => Ok(files),
        false => Err(RealizeError::Recipe(problems)),
    }
}

/// Why something beside a recipe cannot be taken.
enum Refused {
    /// A limit of this process is reached, which is no mistake of the recipe.
    Limit(io::Error),
    /// The reason, and what to do.
    Told(String, String),
}

fn is_limit(error: &io::Error) -> bool {
    limit_help(error).is_some()
}

fn verb(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Local(LocalError::Io(_)) | DirectoryError::Io { .. } => "read",
        _ => "taken",
    }
}

fn local_tree(name: &str, taken: &Taken, beside: Beside<'_>) -> Result<LocalFile, DirectoryError> {
    let opened = local::open(beside.base, Path::new(name)).map_err(DirectoryError::Local)?;
    let path = match &opened {
        Opened::Directory(_, path) => path.clone(),
        Opened::File(file) => file.path().to_path_buf(),
    };
    beside
        .reach
        .check_path(&path)
        .map_err(DirectoryError::Local)?;
    match &opened {
        Opened::Directory(..) => {
            let store = beside.known.map(|known| known.store);
            let directory = directory(path.clone(), taken, beside.reach, store, beside.jobs);
            let (digest, size) = directory.digest()?;
            Ok(LocalFile { path, digest, size })
        }
        Opened::File(_) => packed_file(path, taken, name),
    }
}

/// Returns what is taken of a packed directory.
fn packed_file(path: PathBuf, taken: &Taken, name: &str) -> Result<LocalFile, DirectoryError> {
    let members = packed_members(&path, taken, name)?;
    Ok(LocalFile {
        path,
        digest: Digest::of(directory::manifest(&members).as_bytes()),
        size: directory::size(&members),
    })
}

fn packed_members(path: &Path, taken: &Taken, name: &str) -> Result<Vec<Member>, DirectoryError> {
    let members = packed::open(path)?;
    select(members, &selection(taken), name).map_err(DirectoryError::Pattern)
}

fn directory<'a>(
    path: PathBuf,
    taken: &Taken,
    reach: &Reach,
    store: Option<&'a Store>,
    jobs: usize,
) -> Directory<'a> {
    let home = reach
        .home()
        .map(|home| (home.to_path_buf(), "a home directory"));
    let cache = store.map(|store| (store.root().to_path_buf(), "mkimg's cache"));
    Directory {
        path,
        selection: selection(taken),
        git: taken.git,
        private: home.into_iter().chain(cache).collect(),
        store,
        jobs,
    }
}

fn selection(taken: &Taken) -> Selection {
    Selection {
        include: taken.include.clone(),
        exclude: taken.exclude.clone(),
    }
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
        let Some((_, taken, local)) = planned.directory() else {
            continue;
        };
        let shown = local.path.display().to_string();
        let read = || {
            let members = match local.path.is_dir() {
                true => {
                    let reach = Reach::of(&local.path, None);
                    directory(local.path.clone(), taken, &reach, Some(store), jobs).members()?
                }
                false => packed_members(&local.path, taken, &shown)?,
            };
            match Digest::of(directory::manifest(&members).as_bytes()) == local.digest {
                true => Ok(members),
                false => Err(DirectoryError::Changed {
                    path: shown.clone(),
                }),
            }
        };
        let members = read().map_err(|error: DirectoryError| {
            let message = format!("a local directory cannot be taken in: {error}");
            let at = StatementId::of_entry(Some(index));
            let problem = Problem::error(message, at, "named here").help(error.help());
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
        let planned = plan.entries.get(index);
        let Some((name, taken, _)) = planned.and_then(Planned::directory) else {
            continue;
        };
        files.remove(&taken.key(name));
        let entry = directories.entry(name).or_insert((Vec::new(), index));
        entry.0.extend(members);
    }
    for (name, (members, index)) in directories {
        let blob = packed::pack(&members, store).map_err(|error| match error {
            PackedError::Store(error) => RealizeError::Store(error),
            PackedError::Pack(error) => RealizeError::Pack(error),
            PackedError::Conflict(error) => {
                let message =
                    format!("what is taken of the directory `{name}` cannot be packed: {error}");
                let at = StatementId::of_entry(Some(index));
                let problem = Problem::error(message, at, "named here");
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
/// [`shareable`]. `named` is what [`crate::plan::local_files`] lists.
///
/// # Errors
/// The path of one that is no packed directory, and why.
pub fn unpacked(
    named: &[Named],
    files: &BTreeMap<String, LocalFile>,
) -> Result<BTreeMap<String, LocalFile>, (String, Box<DirectoryError>)> {
    let mut locals = files.clone();
    for one in named {
        let (Some(taken), Some(file)) = (&one.taken, files.get(&one.name)) else {
            continue;
        };
        let local = packed_file(file.path.clone(), taken, &one.name)
            .map_err(|error| (one.name.clone(), Box::new(error)))?;
        locals.insert(one.key(), local);
    }
    Ok(locals)
}

/// Reads a file beside a recipe; otherwise returns what cannot be, and what to do.
fn local_file(name: &str, beside: Beside<'_>) -> Result<LocalFile, Refused> {
    let refused = |error: LocalError| {
        let verb = match error {
            LocalError::Io(error) if is_limit(&error) => return Refused::Limit(error),
            LocalError::Outside { .. } | LocalError::Kernel { .. } => "taken",
            _ => "read",
        };
        Refused::Told(format!("{verb}: {error}"), error.help())
    };
    let mut file = Regular::open(beside.base, Path::new(name)).map_err(refused)?;
    beside.reach.check(&file).map_err(refused)?;
    let size = file.size();
    // The archive's own limit, told before so much is read.
    if size > u64::from(u32::MAX) {
        let reason = format!("taken: it has {size} bytes, an archive holds files below 4 GiB");
        let help = "split it, or give it to the guest in another way than its initramfs";
        return Err(Refused::Told(reason, help.to_owned()));
    }
    let hashed = match beside.known {
        Some(known) => known.digest(&mut file),
        None => digest::of_reader(&mut file),
    };
    let (digest, size) = hashed.map_err(|error| refused(reading_error(error)))?;
    let path = file.path().to_path_buf();
    Ok(LocalFile { path, digest, size })
}

/// Copies a kernel beside the recipe into the cache: an image must not change with a file that is the user's.
pub(super) fn kernel(store: &Store, file: &LocalFile) -> Result<Blob, RealizeError> {
    let changed = |error: LocalError| explain::changed_kernel(&error);
    let mut from = Regular::open_own(&file.path).map_err(changed)?;
    let blob = store.blob_from(&mut from, &file.path)?;
    match blob.digest == file.digest {
        true => Ok(blob),
        false => Err(changed(LocalError::Changed)),
    }
}
