//! What is in a cache, object by object, with the bytes that each takes on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::mention;
use crate::digest::Digest;
use crate::dir;
use crate::store::{StoreError, added, scratch};

/// What an object is; in this order they go where they were used at the same time: what can be made again first, what would
/// have to be downloaded last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What nobody needs for sure: interrupted downloads, files of dead processes, links that lead nowhere.
    Garbage,
    /// A small text about something that can be found out again.
    Note,
    /// A recipe that came with an image.
    Import,
    /// What was read out of an archive.
    Members,
    /// An image.
    Image,
    /// The pinned QEMU.
    Tool,
    /// A blob.
    Blob,
}

/// A thing that is kept or removed as a whole.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its path in the cache.
    pub name: PathBuf,
    /// The digest by which others name it.
    pub digest: Option<Digest>,
    /// When it was last used, as far as is known.
    pub used: Option<SystemTime>,
    /// What it needs.
    pub(super) needs: BTreeSet<Digest>,
    /// Its paths, in the order in which they are removed.
    pub(super) paths: Vec<PathBuf>,
    /// What it has on the disk.
    pub(super) extents: Vec<Extent>,
}

/// A file or directory on the disk: hard links are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) inode: (u64, u64),
    /// The names that must go before its bytes do.
    pub(super) names: u64,
    pub(super) bytes: u64,
}

impl Extent {
    fn of(found: &Metadata) -> Extent {
        Extent {
            inode: (found.dev(), found.ino()),
            // The links of a directory count its subdirectories, which go with it.
            names: if found.is_dir() { 1 } else { found.nlink() },
            // POSIX: blocks of 512 bytes, whatever the file system's are.
            bytes: found.blocks() * 512,
        }
    }
}

/// Everything in a cache.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) objects: Vec<Object>,
    /// The bytes of everything below the cache's directory, known or not: what `du -s` says.
    pub(super) total: u64,
    /// Digests that running processes said they need, though they let go of the cache.
    pub(super) leased: BTreeSet<Digest>,
    /// Digests of blobs that the user put in.
    pub(super) added: BTreeSet<Digest>,
    /// What was passed over, for the user to read.
    pub(super) warnings: Vec<String>,
}

/// Looks through a cache. Other processes may work in it: what goes away meanwhile is not seen.
pub(super) fn inventory(root: &Path) -> Result<Inventory, StoreError> {
    let mut found = Inventory {
        added: added::all(root),
        ..Inventory::default()
    };
    let mut there = BTreeSet::new();
    for fan in found.bucket(root, "blobs-v1")? {
        for path in entries(&fan)? {
            if let Some(digest) = fanned(&fan, &name(&path)) {
                let marked = found.added.remove(&digest);
                let mark = marked.then(|| added::path(root, &digest));
                let needs = mention::of_document(&path);
                let paths = [path].into_iter().chain(mark).collect();
                found.add(root, Kind::Blob, Some(digest), paths)?;
                found.last_needs(needs);
                there.extend(marked.then_some(digest));
            }
        }
    }
    for digest in std::mem::replace(&mut found.added, there) {
        found.add(root, Kind::Garbage, None, vec![added::path(root, &digest)])?;
    }
    found.members(root)?;
    for bucket in ["images-v1", "imports-v1"] {
        for path in found.bucket(root, bucket)? {
            if let Some(digest) = leading(&name(&path)) {
                let needs = mention::of_file(&path.join("image.json"));
                found.add(root, Kind::Image, Some(digest), vec![path])?;
                found.last_needs(needs);
            }
        }
    }
    found.tools(root)?;
    for path in found.bucket(root, "recipes-v1")? {
        if let Some(digest) = leading(&name(&path)) {
            let needs = needs_of_recipe(&path);
            found.add(root, Kind::Import, Some(digest), vec![path])?;
            found.last_needs(needs);
        }
    }
    for path in found.bucket(root, "notes-v1")? {
        let digest = name(&path).strip_prefix("vmlinux-").and_then(leading);
        let needs = mention::of_file(&path);
        found.add(root, Kind::Note, digest, vec![path])?;
        found.last_needs(needs);
    }
    found.stamps(root)?;
    for path in found.bucket(root, "partial")? {
        found.add(root, Kind::Garbage, None, vec![path])?;
    }
    found.scratch(root)?;
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    measure(root, &mut all)?;
    all.retain(|extent| seen.insert(extent.inode));
    found.total = all.iter().map(|extent| extent.bytes).sum();
    Ok(found)
}

impl Inventory {
    /// Returns the entries of a bucket, sorted. One that is a symlink is not looked into: what it leads to is not the cache.
    fn bucket(&mut self, root: &Path, bucket: &str) -> Result<Vec<PathBuf>, StoreError> {
        let path = root.join(bucket);
        if dir::metadata(&path).is_ok_and(|found| found.is_symlink()) {
            self.warnings.push(format!(
                "`{}` is a symlink: nothing behind it is looked at or removed",
                path.display()
            ));
            return Ok(Vec::new());
        }
        entries(&path)
    }

    fn add(
        &mut self,
        root: &Path,
        kind: Kind,
        digest: Option<Digest>,
        paths: Vec<PathBuf>,
    ) -> Result<(), StoreError> {
        let Some(first) = paths.first() else {
            return Ok(());
        };
        let Ok(found) = dir::metadata(first) else {
            return Ok(());
        };
        let mut extents = Vec::new();
        for path in &paths {
            measure(path, &mut extents)?;
        }
        self.objects.push(Object {
            kind,
            name: first.strip_prefix(root).unwrap_or(first).to_path_buf(),
            digest,
            used: found.modified().ok(),
            needs: BTreeSet::new(),
            paths,
            extents,
        });
        Ok(())
    }

    /// Says what the object that was added last needs.
    fn last_needs(&mut self, needs: BTreeSet<Digest>) {
        if let Some(object) = self.objects.last_mut() {
            object.needs = needs;
        }
    }

    fn members(&mut self, root: &Path) -> Result<(), StoreError> {
        for fan in self.bucket(root, "members-v1")? {
            let paths = entries(&fan)?;
            for path in &paths {
                let name = name(path);
                let stem = name.strip_suffix(".data").unwrap_or(&name);
                let Some(archive) = stem.get(..62).and_then(|rest| fanned(&fan, rest)) else {
                    continue;
                };
                let listing = path.with_file_name(stem);
                let data = path.with_file_name(format!("{stem}.data"));
                if stem != name {
                    // Its listing was never written, or is gone.
                    if !paths.contains(&listing) {
                        self.add(root, Kind::Garbage, None, vec![data])?;
                    }
                    continue;
                }
                // The listing goes first: it must not stand for bytes that are not there.
                if paths.contains(&data) {
                    self.add(root, Kind::Members, Some(archive), vec![listing, data])?;
                } else {
                    let needs = mention::of_file(&listing);
                    self.add(root, Kind::Members, Some(archive), vec![listing])?;
                    self.last_needs(needs);
                }
            }
        }
        Ok(())
    }

    fn tools(&mut self, root: &Path) -> Result<(), StoreError> {
        let paths = self.bucket(root, "tools-v1")?;
        for path in &paths {
            let name = name(path);
            let (stem, end) = name.split_once('.').unwrap_or((&name, ""));
            let Some(digest) = leading(stem).filter(|_| stem.len() == 64) else {
                continue;
            };
            match end {
                "note" => self.add(root, Kind::Note, None, vec![path.clone()])?,
                "lock" if !paths.contains(&path.with_extension("")) => {
                    self.add(root, Kind::Garbage, None, vec![path.clone()])?;
                }
                "" => {
                    let lock = path.with_extension("lock");
                    let both = [path.clone(), lock];
                    let there = both.into_iter().filter(|path| paths.contains(path));
                    self.add(root, Kind::Tool, Some(digest), there.collect())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets the stamps of an image, a tool, a kernel's note or a blob go with it.
    fn stamps(&mut self, root: &Path) -> Result<(), StoreError> {
        for path in self.bucket(root, "stamps-v1")? {
            let stem = name(&path);
            let blob = stem.strip_prefix("blob-").and_then(leading);
            let mut objects = self.objects.iter_mut();
            let own = objects.find(|object| match object.kind {
                Kind::Blob => blob.is_some() && object.digest == blob,
                Kind::Image | Kind::Tool | Kind::Note => {
                    object.name.file_name().is_some_and(|name| name == &*stem)
                }
                _ => false,
            });
            match own {
                Some(object) => {
                    measure(&path, &mut object.extents)?;
                    object.paths.push(path);
                }
                None => self.add(root, Kind::Garbage, None, vec![path])?,
            }
        }
        Ok(())
    }

    /// Sorts the scratch directories into those of running processes and garbage.
    fn scratch(&mut self, root: &Path) -> Result<(), StoreError> {
        for path in self.bucket(root, "tmp")? {
            let stem = path.with_extension("");
            let lock = path.with_extension("lock");
            // Each pair once: by its lock file, or by the directory that has none.
            if path != lock && dir::exists(&lock) {
                continue;
            }
            let live = dir::open(&lock).is_ok_and(|file| file.try_lock_shared().is_err());
            if live {
                let text = mention::of_file(&stem.join(scratch::LEASE));
                self.leased.extend(text);
                continue;
            }
            let both = [stem, lock].into_iter().filter(|path| dir::exists(path));
            self.add(root, Kind::Garbage, None, both.collect())?;
        }
        Ok(())
    }

    /// Returns the objects that are named by each digest.
    pub(super) fn by_digest(&self) -> BTreeMap<Digest, Vec<usize>> {
        let mut by_digest: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for (index, object) in self.objects.iter().enumerate() {
            if let Some(digest) = object.digest {
                by_digest.entry(digest).or_default().push(index);
            }
        }
        by_digest
    }
}

/// Returns what the lock of an imported recipe names; how deep it lies depends on the files beside it.
fn needs_of_recipe(directory: &Path) -> BTreeSet<Digest> {
    let mut needs = BTreeSet::new();
    for path in entries(directory).unwrap_or_default() {
        if path.extension().is_some_and(|end| end == "lock") {
            needs.extend(mention::of_file(&path));
        } else if dir::metadata(&path).is_ok_and(|found| found.is_dir()) {
            needs.extend(needs_of_recipe(&path));
        }
    }
    needs
}

/// Returns the digest of an object in `ab/` whose name is the rest of it.
fn fanned(fan: &Path, rest: &str) -> Option<Digest> {
    format!("{}{rest}", name(fan)).parse().ok()
}

/// Returns the digest at the beginning of a name.
fn leading(name: &str) -> Option<Digest> {
    name.get(..64)?.parse().ok()
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Returns the paths in a directory, sorted; none where there is no directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let gone = |error: &io::Error| matches!(error.kind(), NotFound | NotADirectory);
    let failed = |error| StoreError::io("read", directory, error);
    // A symlink is an object by itself, wherever it leads.
    match dir::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Ok(Vec::new()),
        Err(error) if gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    }
    match dir::entries(directory) {
        Err(error) if gone(&error) => Ok(Vec::new()),
        listed => listed.map_err(failed),
    }
}

/// Adds what a path and everything below it has on the disk; symlinks are not followed.
fn measure(path: &Path, extents: &mut Vec<Extent>) -> Result<(), StoreError> {
    let found = match dir::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("look at", path, error)),
    };
    extents.push(Extent::of(&found));
    if found.is_dir() {
        for entry in entries(path)? {
            measure(&entry, extents)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn stamps_go_with_what_they_are_of_and_imports_are_images_of_their_plan() {
        let bed = tempfile::tempdir().unwrap();
        let root = dir::hold(bed.path()).unwrap();
        let write = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        let plan = Digest::of(b"plan");
        let own = format!("{plan}-x");
        let import = format!("{plan}-x-{}", &Digest::of(b"image").to_string()[..32]);
        let kernel = format!("vmlinux-{}", Digest::of(b"kernel"));
        for path in [
            format!("images-v1/{own}/image.json"),
            format!("imports-v1/{import}/image.json"),
            format!("tools-v1/{plan}/lib/x"),
            format!("notes-v1/{kernel}"),
            format!("stamps-v1/{own}"),
            format!("stamps-v1/{import}"),
            format!("stamps-v1/{plan}"),
            format!("stamps-v1/{kernel}"),
            "stamps-v1/gone".to_owned(),
        ] {
            write(&path);
        }
        let found = inventory(&root).unwrap();
        let seen: Vec<(Kind, String, usize)> = found
            .objects
            .iter()
            .map(|object| {
                let name = object.name.display().to_string();
                (object.kind, name, object.paths.len())
            })
            .collect();
        let expected = [
            (Kind::Image, format!("images-v1/{own}"), 2),
            (Kind::Image, format!("imports-v1/{import}"), 2),
            (Kind::Tool, format!("tools-v1/{plan}"), 2),
            (Kind::Note, format!("notes-v1/{kernel}"), 2),
            (Kind::Garbage, "stamps-v1/gone".to_owned(), 1),
        ];
        assert_eq!(seen, expected);
        assert_eq!(found.by_digest()[&plan].len(), 3);
    }
}
