//! The pipeline: a recipe to an image in the cache, or to the finding that it is there already.

mod elf;
mod error;
mod explain;
mod image;
mod kernel;
mod preflight;
mod verify;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

pub use error::{Outcome, RealizeError};
pub use image::{FILE as IMAGE_FILE, Image, ImageError, ImageFile, KERNEL};

use crate::arch::Arch;
use crate::assemble::{Assembled, assemble};
use crate::digest;
use crate::dir;
use crate::pack::{self, Compression, Packed};
use crate::plan::{self, LocalFile, Pinned, Plan};
use crate::progress::{Event, Progress, Stage};
use crate::recipe::{Compress, Diagnostic, Recipe};
use crate::source::Limits;
use crate::source::fetch::{FetchOptions, Fetcher, Wanted};
use crate::store::{Blob, NewImage, Store, StoreError};
use crate::tree::{Content, Place};

/// How often a realization starts over since an object of the cache turned out to be damaged.
const REPAIRS: usize = 8;

/// What realizing works with.
#[derive(Clone, Copy)]
pub struct Workshop<'a> {
    /// The cache.
    pub store: &'a Store,
    /// How sources are fetched.
    pub fetch: &'a FetchOptions,
    /// Threads for reading and compressing; never part of the bytes.
    pub jobs: NonZeroUsize,
    /// The most bytes that an archive may unpack to.
    pub max_unpacked: u64,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// An image in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realized {
    /// Its directory.
    pub path: PathBuf,
    /// What is in it.
    pub image: Image,
    /// Was it there already?
    pub up_to_date: bool,
}

impl Realized {
    /// Returns the path of the initramfs.
    pub fn initramfs(&self) -> PathBuf {
        self.path.join(&self.image.initramfs.name)
    }

    /// Returns the path of the kernel.
    pub fn kernel(&self) -> PathBuf {
        self.path.join(&self.image.kernel.name)
    }
}

/// Returns the plan of a recipe that lies in `base`, for an architecture.
///
/// # Errors
/// [`RealizeError::Recipe`] where a source cannot serve the architecture or a local file cannot be read.
pub fn plan(recipe: &Recipe, base: &Path, arch: Arch) -> Result<Plan, RealizeError> {
    let mut locals = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, span) in plan::local_files(recipe) {
        match local_file(base.join(name)) {
            Ok(file) => {
                locals.insert(name.to_owned(), file);
            }
            Err((reason, help)) => {
                let message = format!("the local file `{name}` cannot be {reason}");
                problems.push(Diagnostic::error(message, span, "named here").help(help));
            }
        }
    }
    if !problems.is_empty() {
        return Err(RealizeError::Recipe(problems));
    }
    Plan::resolve(recipe, arch, &locals).map_err(RealizeError::Recipe)
}

/// Reads a file beside a recipe; otherwise returns what cannot be, and what to do.
fn local_file(path: PathBuf) -> Result<LocalFile, (String, &'static str)> {
    let help = "a relative path starts at the recipe's own directory";
    let unread = |error: std::io::Error| (format!("read: {error}"), help);
    // Looked at before it is opened: a pipe would wait, a device might never end.
    let found = dir::metadata(&path).map_err(unread)?;
    if found.is_dir() {
        let help =
            "name each file of it, or pack it (`tar cf`) and take that in with a `tree` node";
        return Err(("read: it is a directory".to_owned(), help));
    }
    if !found.is_file() {
        return Err(("read: it is no regular file".to_owned(), help));
    }
    // The archive's own limit, told before so much is read.
    if found.len() > u64::from(u32::MAX) {
        let reason = format!(
            "taken: it has {} bytes, an archive holds files below 4 GiB",
            found.len()
        );
        return Err((
            reason,
            "split it, or give it to the guest in another way than its initramfs",
        ));
    }
    let mut file = dir::open(&path).map_err(unread)?;
    let (digest, size) = digest::of_reader(&mut file).map_err(unread)?;
    Ok(LocalFile { path, digest, size })
}

impl Workshop<'_> {
    /// Realizes a plan, or finds that it is realized. With `verify` every byte of an image that is there is hashed again.
    ///
    /// A damaged object of the cache is named, removed and made again.
    ///
    /// # Errors
    /// [`RealizeError`]; the cache has no image of the plan then that it did not have before.
    pub fn realize(
        &self,
        plan: &Plan,
        base: &Path,
        verify: bool,
    ) -> Result<Realized, RealizeError> {
        if let Some(there) = self.existing(plan, verify)? {
            return Ok(there);
        }
        let made = self.repairing(|| {
            let blobs = self.fetch(plan, base)?;
            let assembled = self.assemble(plan, &blobs)?;
            let problems = preflight::preflight(plan, &assembled.tree, &assembled.kernel);
            if !problems.is_empty() {
                // What looks like a mistake of the recipe may be a damaged object of the cache.
                verify::contents(&assembled)?;
                return Err(RealizeError::Recipe(problems));
            }
            self.write(plan, &assembled)
        })?;
        Ok(made)
    }

    /// Returns the finished tree of a plan without packing it.
    ///
    /// # Errors
    /// [`RealizeError`].
    pub fn tree(&self, plan: &Plan, base: &Path) -> Result<Assembled, RealizeError> {
        self.repairing(|| {
            let blobs = self.fetch(plan, base)?;
            self.assemble(plan, &blobs)
        })
    }

    /// Returns the verified sources of a plan by name.
    ///
    /// # Errors
    /// [`RealizeError`].
    pub fn sources(
        &self,
        plan: &Plan,
        base: &Path,
    ) -> Result<BTreeMap<String, Blob>, RealizeError> {
        self.repairing(|| self.fetch(plan, base))
    }

    /// Does the work again when it met a damaged object, after removing that.
    fn repairing<T>(&self, work: impl Fn() -> Result<T, RealizeError>) -> Result<T, RealizeError> {
        for _ in 0..REPAIRS {
            let error = match work() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let Some(path) = error
                .damaged()
                .filter(|path| path.starts_with(self.store.root()))
            else {
                return Err(error);
            };
            self.progress.event(Event::Warning(format!(
                "{error}; removed, it is made again"
            )));
            self.store.remove_damaged(path)?;
        }
        work()
    }

    /// Returns the image of a plan where the cache has it; a damaged one is named and removed.
    ///
    /// # Errors
    /// [`RealizeError`] where it cannot be removed.
    pub fn existing(&self, plan: &Plan, verify: bool) -> Result<Option<Realized>, RealizeError> {
        let path = self.store.image_path(&plan.id(), &plan.name);
        let text = match dir::read(&path.join(image::FILE)) {
            Ok(text) => text,
            Err(_) if !dir::exists(&path) => return Ok(None),
            Err(error) => {
                return self.damaged_image(plan, &format!("`image.json` cannot be read: {error}"));
            }
        };
        let image = match Image::parse(&text) {
            Ok(image) => image,
            Err(error) => return self.damaged_image(plan, &format!("`image.json`: {error}")),
        };
        if !image.is_of(plan) || image.text().as_bytes() != text {
            return self.damaged_image(plan, "`image.json` is not what it was");
        }
        for file in [&image.kernel, &image.initramfs] {
            let found = dir::metadata(&path.join(&file.name)).map(|found| found.len());
            if found.as_ref().ok() != Some(&file.size) {
                return self.damaged_image(
                    plan,
                    &format!("`{}` has not its {} bytes", file.name, file.size),
                );
            }
        }
        if verify {
            self.started(
                Stage::Verify,
                &plan.name,
                Some(image.kernel.size + image.initramfs.size),
            );
            if let Err(what) = verify::image(&path, &image) {
                return self.damaged_image(plan, &what);
            }
            self.progress.event(Event::StageFinished {
                stage: Stage::Verify,
            });
        }
        self.store.used(&path);
        Ok(Some(Realized {
            path,
            image,
            up_to_date: true,
        }))
    }

    fn damaged_image(&self, plan: &Plan, what: &str) -> Result<Option<Realized>, RealizeError> {
        let path = self.store.image_path(&plan.id(), &plan.name);
        let text = format!(
            "damaged image `{}`: {what}; removed, it is made again",
            path.display()
        );
        self.progress.event(Event::Warning(text));
        self.store.remove_image(&plan.id(), &plan.name)?;
        Ok(None)
    }

    /// Returns the verified blob of each source of a plan.
    fn fetch(&self, plan: &Plan, base: &Path) -> Result<BTreeMap<String, Blob>, RealizeError> {
        let wanted: Vec<Wanted> = plan
            .sources
            .iter()
            .map(|(name, source)| wish(name, source, base))
            .collect();
        let fetcher = Fetcher::new(self.store, self.progress, self.fetch.clone());
        let blobs = fetcher.fetch_all(&wanted)?;
        Ok(plan.sources.keys().cloned().zip(blobs).collect())
    }

    fn assemble(
        &self,
        plan: &Plan,
        blobs: &BTreeMap<String, Blob>,
    ) -> Result<Assembled, RealizeError> {
        let limits = Limits {
            max_unpacked: self.max_unpacked,
            jobs: self.jobs.get(),
        };
        assemble(plan, blobs, self.store, &limits, self.progress)
            .map_err(|error| explain::assembly(plan, error))
    }

    /// Packs and compresses the tree while the kernel is checked beside it, and gives the image its name.
    fn write(&self, plan: &Plan, assembled: &Assembled) -> Result<Realized, RealizeError> {
        let mut new = self.store.new_image(&plan.id(), &plan.name)?;
        let kernel = kernel_blob(self.store, &assembled.kernel)?;
        let (packed, verified) = thread::scope(|scope| {
            let verifying = thread::Builder::new().spawn_scoped(scope, || kernel.verify());
            let packed = self.pack(plan, assembled, &mut new);
            // No thread to be had, or lost: then one after the other.
            let verified = verifying.ok().and_then(|thread| thread.join().ok());
            let verified = verified.unwrap_or_else(|| kernel.verify());
            (packed, verified)
        });
        verified?;
        let packed = packed?;
        new.link(&kernel, KERNEL)?;
        let kernel = ImageFile {
            name: KERNEL.to_owned(),
            digest: kernel.digest,
            size: kernel.size,
        };
        let initramfs = ImageFile {
            name: image::initramfs_name(plan).to_owned(),
            digest: packed.output,
            size: packed.output_size,
        };
        let image = Image::new(plan, packed.tree, packed.archive_size, kernel, initramfs);
        let at = new.path(image::FILE);
        let mut file = new.file(image::FILE)?;
        file.write_all(image.text().as_bytes())
            .map_err(|error| StoreError::io("write", &at, error))?;
        let path = new.publish()?;
        Ok(Realized {
            path,
            image,
            up_to_date: false,
        })
    }

    fn pack(
        &self,
        plan: &Plan,
        assembled: &Assembled,
        new: &mut NewImage,
    ) -> Result<Packed, RealizeError> {
        let compression = match plan.compress {
            Compress::None => Compression::None,
            Compress::Gzip { level } => Compression::Gzip { level },
        };
        self.started(
            Stage::Pack,
            &plan.name,
            pack::archive_size(&assembled.tree).ok(),
        );
        let jobs = self.jobs;
        let threads = if jobs.get() == 1 { "thread" } else { "threads" };
        self.progress
            .event(Event::Detail(format!("compressing on {jobs} {threads}")));
        let name = image::initramfs_name(plan);
        let mut out = BufWriter::with_capacity(256 * 1024, new.file(name)?);
        let mut advanced = |done| {
            let stage = Stage::Pack;
            self.progress.event(Event::StageAdvanced { stage, done });
        };
        let at = new.path(name);
        let tree = &assembled.tree;
        #[cfg(feature = "broken")]
        let tree = &pack::broken::disturbed(&plan.name, tree);
        let packed = pack::pack(tree, compression, self.jobs, &mut out, &mut advanced)
            .and_then(|packed| out.flush().map(|()| packed).map_err(pack::PackError::Write))
            .map_err(|error| explain::packing(plan, &assembled.tree, &at, error))?;
        self.progress
            .event(Event::StageFinished { stage: Stage::Pack });
        Ok(packed)
    }

    fn started(&self, stage: Stage, what: &str, size: Option<u64>) {
        let what = what.to_owned();
        self.progress
            .event(Event::StageStarted { stage, what, size });
    }
}

fn wish(name: &str, source: &Pinned, base: &Path) -> Wanted {
    Wanted {
        name: name.to_owned(),
        digest: source.digest,
        size: source.size,
        places: source.places.clone(),
        base: base.to_path_buf(),
    }
}

/// Returns the kernel as a blob of the cache: it is one already, unless it came out of a whole unpacked archive.
fn kernel_blob(store: &Store, kernel: &Content) -> Result<Blob, StoreError> {
    match &kernel.place {
        Place::File(region) if region.offset == 0 => Ok(Blob {
            digest: kernel.digest,
            size: kernel.size,
            path: region.path.clone(),
        }),
        place => {
            let path = match place {
                Place::File(region) => region.path.as_path(),
                Place::Memory(_) => store.root(),
            };
            let mut from = kernel
                .open()
                .map_err(|error| StoreError::io("open", path, error))?;
            store.blob_from(&mut from, path)
        }
    }
}
