//! The QEMU that mkimg brings along: `tools-v1/DIGEST/` in the cache.
//!
//! ```text
//! ld-linux-x86-64.so.2     the dynamic loader of Debian's C library: what the host executes
//! lib/                     every library that the emulator needs
//! GUEST/qemu-system-GUEST  GUEST/firmware/  GUEST/modules/
//! ```
//!
//! The loader is told where the libraries are and to look nowhere else, so nothing of the host but its kernel takes part. All
//! files but the loader are hard links to blobs of the cache. What each of them must be is compiled in (`manifest`): neither the
//! packages nor what lies in the cache has a say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::ToolsError;
use super::manifest::{self, Manifest};
use super::recipe::{File, LIBRARIES, LOADER, Parts, VERSION, digest, parts};
use super::together::Together;
use super::{Emulator, Host, Toolbox};
use crate::arch::Arch;
use crate::dir;
use crate::progress::Event;
use crate::source::fetch::Fetcher;
use crate::source::{self, ArchiveError, Limits, Member, MemberKind, Want};
use crate::store::{Blob, NewTool, Store, StoreError, Sum};

/// The most bytes that one of the packages unpacks to, and some: they are pinned, so this guards against nothing but mistakes.
const MAX_UNPACKED: u64 = 1 << 30;

/// How often unpacking starts over since an object of the cache turned out to be damaged.
const REPAIRS: usize = 8;

/// What is found in a tool's place.
enum Found {
    Good,
    Nothing,
    /// With what is wrong.
    Damaged(String),
}

impl Toolbox<'_> {
    /// Returns the pinned QEMU for a guest; it is fetched and unpacked where the cache does not have it whole. `why` says in the
    /// note about the download why it is needed.
    ///
    /// # Errors
    /// [`ToolsError`]; the cache has no tool then that it did not have before.
    pub(super) fn pinned(
        &self,
        guest: Arch,
        host: &Host<'_>,
        why: &str,
    ) -> Result<Emulator, ToolsError> {
        if !host.runs_pinned() {
            return Err(ToolsError::NotForThisHost {
                install: host.install(guest),
            });
        }
        let digest = digest(guest);
        let path = self.store.tool_path(&digest);
        let manifest = Manifest::pinned(guest)?;
        let look = || look(self.store, &path, &manifest);
        if matches!(look(), Found::Good) {
            self.store.used(&path);
            return Ok(emulator(&path, guest));
        }
        let mut waiting = || {
            let note = "waiting for another mkimg that unpacks QEMU".to_owned();
            self.progress.event(Event::Note(note));
        };
        let lock = self.store.lock_tool(&digest, &mut waiting)?;
        match look() {
            // Somebody else was faster.
            Found::Good => return Ok(emulator(&path, guest)),
            Found::Nothing => {}
            Found::Damaged(what) => self.progress.event(Event::Warning(format!(
                "damaged QEMU in `{}`: {what}; it is unpacked again",
                path.display()
            ))),
        }
        let parts = parts(guest)?;
        self.announce(&parts, guest, why);
        let tool = self.repairing(|| self.unpack(&parts, &manifest, guest, host))?;
        let path = tool.publish(&lock)?;
        match look() {
            Found::Good => Ok(emulator(&path, guest)),
            Found::Nothing => Err(ToolsError::BuiltIn("it has no files".to_owned())),
            Found::Damaged(what) => Err(ToolsError::BuiltIn(what)),
        }
    }

    /// Returns the text of `src/machine/qemu.files`, read out of the packages that are pinned.
    ///
    /// # Errors
    /// [`ToolsError`].
    pub fn list_pinned(&self, host: &Host<'_>) -> Result<String, ToolsError> {
        let mut lines = BTreeMap::new();
        for guest in Arch::ALL {
            let parts = parts(guest)?;
            let found = self.repairing(|| self.read(&parts, guest, host))?;
            for (file, blob) in found {
                let sum = Sum {
                    name: file.path.clone(),
                    digest: blob.digest,
                    size: blob.size,
                };
                lines.insert(file.path.clone(), manifest::line(&sum, mode(&file.path)));
            }
        }
        Ok(lines.into_values().collect())
    }

    /// Says once what is going to be downloaded.
    fn announce(&self, parts: &Parts, guest: Arch, why: &str) {
        let missing = || {
            let packages = parts.packages.iter();
            packages.filter(|package| self.store.blob(&package.digest).is_none())
        };
        let count = missing().count();
        if count > 0 {
            let bytes: u64 = missing().filter_map(|package| package.size).sum();
            let megabytes = bytes as f64 / 1e6;
            let packages = if count == 1 { "package" } else { "packages" };
            self.progress.event(Event::Note(format!(
                "{why}fetching the pinned QEMU {VERSION} for {guest} ({count} {packages}, {megabytes:.1} MB), once"
            )));
        }
    }

    /// Does the work again when it met a damaged object, after removing that.
    fn repairing<T>(&self, work: impl Fn() -> Result<T, ToolsError>) -> Result<T, ToolsError> {
        for _ in 0..REPAIRS {
            let error = match work() {
                Err(ToolsError::Store(error @ StoreError::Damaged { .. })) => error,
                done => return done,
            };
            if let StoreError::Damaged { path, .. } = &error {
                self.store.remove_damaged(path)?;
            }
            self.progress.event(Event::Warning(format!(
                "{error}; removed, it is made again"
            )));
        }
        work()
    }

    fn unpack(
        &self,
        parts: &Parts,
        manifest: &Manifest,
        guest: Arch,
        host: &Host<'_>,
    ) -> Result<NewTool<'_>, ToolsError> {
        let mut tool = self.store.new_tool()?;
        for (file, blob) in self.read(parts, guest, host)? {
            let path = &file.path;
            match manifest.file(path) {
                Some((sum, _)) if (sum.digest, sum.size) == (blob.digest, blob.size) => {}
                _ => {
                    let what = format!("`{path}` of its packages is not the one that is listed");
                    return Err(ToolsError::BuiltIn(what));
                }
            }
            match mode(path) {
                LIBRARY => tool.link(&blob, Path::new(path))?,
                mode => tool.copy(&blob, Path::new(path), mode)?,
            }
        }
        Ok(tool)
    }

    /// Fetches the packages; returns the files out of them.
    fn read<'p>(
        &self,
        parts: &'p Parts,
        guest: Arch,
        host: &Host<'_>,
    ) -> Result<Vec<(&'p File, Blob)>, ToolsError> {
        let size = parts
            .packages
            .iter()
            .filter_map(|package| package.size)
            .sum();
        let together = Together::start(self.progress, "qemu", size);
        let blobs = Fetcher::new(self.store, &together, self.fetch.clone())
            .fetch_all(&parts.packages)
            .map_err(|error| ToolsError::fetch(error, host.install(guest)))?;
        drop(together);
        let names = parts.packages.iter().map(|package| package.name.as_str());
        let blobs: BTreeMap<&str, &Blob> = names.zip(&blobs).collect();
        let mut files = Vec::new();
        for (package, archive) in blobs {
            let own: Vec<&File> = parts
                .files
                .iter()
                .filter(|file| file.package == package)
                .collect();
            for (file, member) in own.iter().zip(self.members(package, archive, &own)?) {
                files.push((*file, blob(self.store, file, &member)?));
            }
        }
        Ok(files)
    }

    /// Reads the files of one package.
    fn members(
        &self,
        package: &str,
        archive: &Blob,
        files: &[&File],
    ) -> Result<Vec<Member>, ToolsError> {
        let wants: Vec<Want> = files
            .iter()
            .map(|file| Want::One {
                path: file.member.clone(),
            })
            .collect();
        let limits = Limits {
            max_unpacked: MAX_UNPACKED,
            jobs: self.jobs.get(),
        };
        let lists = source::members(self.store, archive, package, &wants, &limits, self.progress)
            .map_err(|error| match error {
            ArchiveError::Store(error) => ToolsError::Store(error),
            ArchiveError::Damaged { source, .. } => ToolsError::Store(*source),
            error => ToolsError::Archive(error),
        })?;
        // `Want::One` gives one member, or an error.
        Ok(lists.into_iter().flatten().collect())
    }
}

/// The mode of a file that is only read: by the loader, or by the emulator.
const LIBRARY: u32 = 0o444;

/// Returns the permission bits of a file of the tool.
fn mode(path: &str) -> u32 {
    match path {
        // Executed by the kernel, which wants a mode that no blob has. The emulator is only read, by the loader.
        LOADER => 0o555,
        _ => LIBRARY,
    }
}

/// Returns the blob of a member that was read by `Want::One`.
fn blob(store: &Store, file: &File, member: &Member) -> Result<Blob, ToolsError> {
    let MemberKind::File(content) = &member.kind else {
        return Err(ToolsError::BuiltIn(format!("`{}` is no file", file.member)));
    };
    Ok(Blob {
        digest: content.digest,
        size: content.size,
        path: store.blob_path(&content.digest),
    })
}

/// Finds out whether a whole tool is at `path`.
fn look(store: &Store, path: &Path, manifest: &Manifest) -> Found {
    if !dir::exists(path) {
        return Found::Nothing;
    }
    match manifest.fault(store, path, &Store::record_name(path)) {
        Some(fault) => Found::Damaged(fault),
        None => Found::Good,
    }
}

/// Returns how the tool at `path` is started.
fn emulator(path: &Path, guest: Arch) -> Emulator {
    let own: PathBuf = path.join(guest.name());
    let leading_args: Vec<OsString> = vec![
        // Not even the host's cache of library names is read.
        "--inhibit-cache".into(),
        "--library-path".into(),
        // Below the emulator's own directory, for a `:` in the path of the cache would end a plain path here, and the loader
        // would turn to the host's libraries without a word.
        format!("$ORIGIN/../{LIBRARIES}").into(),
        own.join(guest.facts().qemu).into(),
        "-L".into(),
        own.join("firmware").into(),
    ];
    Emulator {
        program: path.join(LOADER),
        leading_args,
        env: vec![
            ("QEMU_MODULE_DIR".into(), own.join("modules").into()),
            // What the host wants loaded into every program was made for another C library.
            ("LD_PRELOAD".into(), OsString::new()),
        ],
        version: VERSION.to_owned(),
    }
}
