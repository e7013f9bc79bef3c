//! A recipe with what belongs to it: its lock and the files beside it, as they are shared and as they are unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use super::ShareError;
use super::text::fit;
use crate::digest::{self, Digest, Hasher};
use crate::dir;
use crate::lock::{self, Lock};
use crate::plan::{LocalFile, Named, local_files};
use crate::realize::unpacked;
use crate::recipe::{Documents, Files, Found, Invalid, Mode, Options, Parsed, Refusal};
use crate::store::{Store, StoreError, There, replace};

/// The most directories above the recipe's own that a file of it may be in.
const MAX_UP: usize = 16;

/// A recipe with what belongs to it.
#[derive(Debug, Clone)]
pub struct Project {
    /// The image's name.
    pub name: String,
    /// One line about it.
    pub description: Option<String>,
    /// The recipe's text, with LF line ends and without a byte order mark.
    pub recipe: String,
    /// The recipe digest, as the lock has it.
    pub digest: Digest,
    /// The lock's text.
    pub lock: String,
    /// The files that the recipe includes and those beside it, by their paths from the recipe.
    pub files: BTreeMap<String, LocalFile>,
}

/// Where something is to lie; without a file it is the recipe or the lock.
type Copy<'p> = (PathBuf, Option<&'p LocalFile>);

impl Project {
    /// Refuses files that could not be put beside the recipe on another machine.
    ///
    /// # Errors
    /// [`ShareError::Invalid`].
    pub fn check_paths(&self) -> Result<(), ShareError> {
        check_names(self.files.keys())?;
        let (recipe, copies) = self.places(Path::new(""))?;
        let mut seen: BTreeMap<&Path, Digest> = BTreeMap::new();
        for (path, file) in &copies {
            let digest = match file {
                Some(file) => file.digest,
                None if *path == recipe => Digest::of(self.recipe.as_bytes()),
                None => Digest::of(self.lock.as_bytes()),
            };
            if seen
                .insert(path, digest)
                .is_some_and(|other| other != digest)
            {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                return Err(ShareError::invalid(
                    format!("the file `{}` of the recipe", fit(&name)),
                    "it would lie where another file lies: the recipe, its lock or a file of other bytes",
                ));
            }
        }
        Ok(())
    }

    /// Reads the recipe again, and the files that it includes.
    ///
    /// # Errors
    /// [`ShareError::Invalid`] where it is none.
    pub fn parsed(&self) -> Result<Parsed, ShareError> {
        self.parsed_with(&mut Beside(&self.files))
    }

    /// Reads the recipe again; the files that it includes come from elsewhere.
    ///
    /// # Errors
    /// [`ShareError::Invalid`] where it is none.
    pub(super) fn parsed_with(&self, included: &mut dyn Files) -> Result<Parsed, ShareError> {
        let wrong = |error: Invalid| ShareError::invalid("the recipe inside", told(&error));
        let name = format!("{}.kdl", self.name);
        let at = Path::new(&name);
        let documents = Documents::read(&name, self.recipe.as_bytes(), at, included);
        let documents = documents.map_err(wrong)?;
        let mut options = Options::from(Mode::Strict);
        // The values of its parameters stand in the lock alone.
        if documents.has_params()
            && let Ok(lock) = Lock::parse(&name, self.lock.as_bytes())
        {
            options.values = lock.values;
        }
        documents.recipe(&options).map_err(wrong)
    }

    /// Returns the files that the recipe names without their hash, as a plan knows them: by their keys, packed directories by what is
    /// taken of them.
    ///
    /// # Errors
    /// [`ShareError::Invalid`] about a file that is no packed directory.
    pub(super) fn locals(
        &self,
        parsed: &Parsed,
    ) -> Result<BTreeMap<String, LocalFile>, ShareError> {
        let named: Vec<Named> = parsed.recipes().flat_map(local_files).collect();
        let found = unpacked(&named, &self.files).map_err(|(name, error)| {
            ShareError::invalid(format!("the file `{}`", fit(&name)), error.to_string())
        })?;
        let keys = named.iter().map(Named::key);
        Ok(keys
            .filter_map(|key| Some((key.clone(), found.get(&key)?.clone())))
            .collect())
    }

    /// Reads what was unpacked below a directory with the name of its identity, and compares all of it with that.
    ///
    /// # Errors
    /// [`ShareError::Mismatch`] where something of it is no longer what came along.
    pub fn check_unpacked(
        directory: &Path,
        recipe: &Path,
        parsed: &Parsed,
    ) -> Result<(), ShareError> {
        let unread = |path: &Path, error| ShareError::io("read", path, error);
        let base = recipe.parent().unwrap_or(directory);
        let name = recipe.file_stem().unwrap_or_default().to_string_lossy();
        let lock = lock::path_of(recipe);
        let mut project = Project {
            name: name.into_owned(),
            description: None,
            recipe: parsed.source.root().text.to_string(),
            digest: Digest::of(b""),
            lock: dir::read_to_string(&lock).map_err(|error| unread(&lock, error))?,
            files: BTreeMap::new(),
        };
        for name in names(parsed) {
            let path = base.join(&name);
            let read = dir::open(&path).and_then(|mut file| digest::of_reader(&mut file));
            let (digest, size) = read.map_err(|error| unread(&path, error))?;
            let file = LocalFile { path, digest, size };
            project.files.insert(name, file);
        }
        let found = project.identity().to_string();
        let expected = directory.file_name().unwrap_or_default().to_string_lossy();
        if expected == found {
            return Ok(());
        }
        Err(ShareError::Mismatch {
            object: format!(
                "the imported recipe `{}` with what belongs to it",
                recipe.display()
            ),
            expected: expected.into_owned(),
            found,
        })
    }

    /// Returns what tells the project from any other: the sha256 over the recipe, the lock and the files.
    pub fn identity(&self) -> Digest {
        let mut hasher = Hasher::new();
        let mut add = |text: &str| hasher.update(format!("{}:{text}\n", text.len()).as_bytes());
        add(&self.name);
        add(&self.recipe);
        add(&self.lock);
        for (path, file) in &self.files {
            add(path);
            add(&file.digest.to_string());
        }
        hasher.finish()
    }

    /// Writes recipe, lock and files below a directory of the cache, and returns the recipe's path. The recipe goes as deep as
    /// its files' `..` need it. Whatever else is there is replaced: the place says what must be there.
    ///
    /// # Errors
    /// [`ShareError`] where it cannot be written.
    pub fn unpack(&self, root: &Path, store: &Store) -> Result<PathBuf, ShareError> {
        self.lay_out(root, |path, bytes| Ok(store.put(path, bytes)?))
    }

    /// Writes them below a directory of the user's. A file that is there with the same bytes stays.
    ///
    /// # Errors
    /// [`ShareError`] where it cannot be written, or something else is there.
    pub fn extract(&self, root: &Path) -> Result<PathBuf, ShareError> {
        self.lay_out(root, write)
    }

    fn lay_out(
        &self,
        root: &Path,
        put: impl Fn(&Path, &[u8]) -> Result<(), ShareError>,
    ) -> Result<PathBuf, ShareError> {
        let (recipe, copies) = self.places(root)?;
        for (path, file) in copies {
            let bytes = match file {
                Some(file) => whole(file)?,
                None if path == recipe => self.recipe.clone().into_bytes(),
                None => self.lock.clone().into_bytes(),
            };
            put(&path, &bytes)?;
        }
        Ok(recipe)
    }

    /// Returns where the recipe lies below `root`, and where all lies: the recipe and its lock, which have no file, and the files.
    fn places(&self, root: &Path) -> Result<(PathBuf, Vec<Copy<'_>>), ShareError> {
        let mut depth = 0;
        for path in self.files.keys() {
            depth = depth.max(ups(path)?);
        }
        let mut base = root.to_path_buf();
        for _ in 0..depth {
            base.push("images");
        }
        let recipe = base.join(format!("{}.kdl", self.name));
        let lock = base.join(format!("{}.lock", self.name));
        let mut copies = vec![(recipe.clone(), None), (lock, None)];
        for (path, file) in &self.files {
            copies.push((normal(&base, path), Some(file)));
        }
        Ok((recipe, copies))
    }
}

/// Returns the files that belong to a recipe, by their paths as it has them: those that it includes, and those that it names without
/// their hash.
pub(super) fn names(parsed: &Parsed) -> BTreeSet<String> {
    let named = parsed.recipes().flat_map(local_files).map(|one| one.name);
    let included = parsed.source.included().iter();
    let paths = included.flat_map(|file| file.paths().cloned());
    named.chain(paths).collect()
}

/// Returns the first thing that is wrong with a recipe, and where.
fn told(error: &Invalid) -> String {
    match error {
        Invalid::Wrong { text, diagnostics } => match diagnostics.first() {
            Some(first) => {
                let span = first.labels.first().map(|(span, _)| span);
                let place = span.map(|span| format!("{}:{}: ", text.name(span), text.line(span)));
                format!("{}{}", place.unwrap_or_default(), first.message)
            }
            None => error.to_string(),
        },
        Invalid::Unreadable { .. } => error.to_string(),
    }
}

/// The files beside a recipe that came along with it.
struct Beside<'f>(&'f BTreeMap<String, LocalFile>);

impl Files for Beside<'_> {
    fn read(&mut self, path: &str) -> Result<Found, Refusal> {
        let bytes = match self.0.get(path) {
            Some(file) => whole(file).map_err(|error| error.to_string()),
            None => Err("it did not come along".to_owned()),
        };
        let bytes = bytes.map_err(|reason| Refusal {
            reason: format!("read: {reason}"),
            help: "export it again".to_owned(),
        })?;
        // Two paths of one file came along as two files.
        let at = PathBuf::from(Digest::of(&bytes).to_string());
        Ok(Found { at, bytes })
    }
}

/// Refuses paths that lead nowhere below a directory of another machine.
pub(super) fn check_names<'p>(
    mut paths: impl Iterator<Item = &'p String>,
) -> Result<(), ShareError> {
    paths.try_for_each(|path| ups(path).map(drop))
}

/// Reads a file that belongs to the recipe, and compares it.
fn whole(file: &LocalFile) -> Result<Vec<u8>, ShareError> {
    let bytes = dir::read(&file.path).map_err(|error| ShareError::io("read", &file.path, error))?;
    let actual = Digest::of(&bytes);
    if actual == file.digest {
        return Ok(bytes);
    }
    Err(ShareError::Store(StoreError::Damaged {
        path: file.path.clone(),
        expected: file.digest,
        actual,
    }))
}

/// Writes a file unless it is there with the same bytes.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ShareError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)
        .map_err(|error| ShareError::io("create the directory", directory, error))?;
    match fs::read(path) {
        Ok(found) if found == bytes => return Ok(()),
        Ok(_) => {
            return Err(ShareError::Exists {
                path: path.to_path_buf(),
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(ShareError::io("read", path, error)),
    }
    let io = |error| ShareError::io("write", path, error);
    match replace(path, There::Keep, io, |file| {
        file.write_all(bytes).map_err(io)
    }) {
        // Another process was faster with the same bytes.
        Err(_) if fs::read(path).is_ok_and(|found| found == bytes) => Ok(()),
        written => written,
    }
}

/// Returns how far above the recipe's directory a file's path begins.
///
/// # Errors
/// [`ShareError::Invalid`] for a path that only one machine knows, or that leads in and out of directories.
fn ups(path: &str) -> Result<usize, ShareError> {
    let wrong = |problem: &str| {
        let object = format!("the file `{}` of the recipe", fit(path));
        Err(ShareError::invalid(object, problem))
    };
    let mut up = 0;
    let mut inside = false;
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir if inside => {
                return wrong("its path goes back up after a directory: write it without");
            }
            Component::ParentDir => up += 1,
            Component::CurDir => {}
            Component::Normal(_) => inside = true,
            Component::RootDir | Component::Prefix(_) => {
                return wrong("its path is absolute: put it beside the recipe to share it");
            }
        }
    }
    match (inside, up <= MAX_UP) {
        (false, _) => wrong("its path names no file"),
        (_, false) => wrong("its path goes up too far"),
        _ => Ok(up),
    }
}

/// Returns where a path leads from a directory, its `..` resolved by name.
fn normal(base: &Path, path: &str) -> PathBuf {
    let mut whole = base.to_path_buf();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => {
                whole.pop();
            }
            Component::Normal(name) => whole.push(name),
            _ => {}
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_takes_the_place_of_the_recipe_or_of_another_file() {
        let file = |text: &str| LocalFile {
            path: PathBuf::new(),
            digest: Digest::of(text.as_bytes()),
            size: text.len() as u64,
        };
        for (files, fits) in [
            ([("x.kdl", "recipe"), ("../y", "1")], true),
            ([("x.kdl", "evil"), ("../y", "1")], false),
            ([("./x.lock", "evil"), ("../y", "1")], false),
            ([("../images/x.kdl", "evil"), ("../y", "1")], false),
            ([("a", "1"), ("./a", "1")], true),
            ([("a", "1"), ("./a", "2")], false),
        ] {
            let project = Project {
                name: "x".to_owned(),
                description: None,
                recipe: "recipe".to_owned(),
                digest: Digest::of(b""),
                lock: "lock".to_owned(),
                files: files
                    .iter()
                    .map(|(path, text)| ((*path).to_owned(), file(text)))
                    .collect(),
            };
            assert_eq!(project.check_paths().is_ok(), fits, "{files:?}");
        }
    }

    #[test]
    fn a_file_may_lie_above_the_recipe_but_nowhere_on_one_machine_alone() {
        assert_eq!(ups("init").unwrap(), 0);
        assert_eq!(ups("./a/b").unwrap(), 0);
        assert_eq!(ups("../../files/init").unwrap(), 2);
        for path in ["/etc/passwd", "a/../b", "..", "", &"../".repeat(20)] {
            assert!(ups(path).is_err(), "{path}");
        }
    }
}
