//! The pipeline: a recipe to an image in the cache, or to the finding that it is there already.

mod elf;
mod error;
mod explain;
mod findings;
mod image;
mod images;
mod kernel;
mod libraries;
mod locals;
mod packed;
mod preflight;
mod programs;
mod script;
mod stored;
mod verify;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

pub use error::{ImageFailure, RealizeError};
pub use image::{ArtifactRole, FILE as IMAGE_FILE, Image, ImageError, ImageFile, KERNEL};
pub use locals::{Beside, local_files, shareable, unpacked};
pub use stored::{holds, made_here, sums};

/// What `fuzz/` runs on the private parts.
#[cfg(fuzzing)]
#[path = "../../fuzz/fuzz_targets/elf.rs"]
pub(crate) mod fuzzing;

use crate::assemble::{Assembled, assemble};
use crate::pack::{self, Packed};
use crate::plan::{Pinned, Plan, Problem};
use crate::progress::{Event, Progress, Stage};
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
    /// What is in it and would not work; known where it was made now.
    pub warnings: Vec<Problem>,
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
        match self.find(plan, base, verify, None)? {
            Some(there) => Ok(there),
            None => self.make(plan, base),
        }
    }

    /// Realizes a plan that the cache has no image of.
    ///
    /// # Errors
    /// As [`Workshop::realize`].
    pub fn make(&self, plan: &Plan, base: &Path) -> Result<Realized, RealizeError> {
        self.repairing(|| {
            let blobs = self.fetch(plan, base)?;
            let assembled = self.assemble(plan, &blobs)?;
            let warnings = match preflight::preflight(plan, &assembled.tree, &assembled.kernel) {
                Ok(warnings) => warnings,
                Err(problems) => {
                    // What looks like a mistake of the recipe may be a damaged object of the cache.
                    verify::contents(&assembled)?;
                    return Err(RealizeError::Recipe(problems));
                }
            };
            let made = self.write(plan, &assembled)?;
            Ok(Realized { warnings, ..made })
        })
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

    /// Returns the sources of a plan by name, every byte compared with its digest. What a container image is made of comes as
    /// `NAME@sha256:HEX`, but for the document that the recipe names.
    ///
    /// # Errors
    /// [`RealizeError`].
    pub fn sources(
        &self,
        plan: &Plan,
        base: &Path,
    ) -> Result<BTreeMap<String, Blob>, RealizeError> {
        self.repairing(|| {
            let blobs = self.fetch(plan, base)?;
            blobs.values().try_for_each(Blob::verify)?;
            Ok(blobs)
        })
    }

    /// Does the work again when it met a damaged object of the cache, after removing that.
    ///
    /// # Errors
    /// What the work gives; [`StoreError`] where a damaged object cannot be removed.
    pub fn repairing<T>(
        &self,
        work: impl Fn() -> Result<T, RealizeError>,
    ) -> Result<T, RealizeError> {
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
            self.removed(&error.to_string(), path)?;
        }
        work()
    }

    /// Compares the files of this machine that the sources of a plan name with what the recipe pins, so that no cached bytes of
    /// yesterday stand for what was built today. A file that is not there is none to compare with.
    ///
    /// # Errors
    /// [`RealizeError::Fetch`] about each that differs.
    pub fn check_local_sources(&self, plan: &Plan, base: &Path) -> Result<(), RealizeError> {
        Ok(self.fetcher().check_local(&wishes(plan, base))?)
    }

    /// Asks every location of every source of a plan by itself, into a cache that is gone with the process.
    ///
    /// # Errors
    /// [`RealizeError`] where a location gives other bytes than the recipe pins, or where that cache cannot be written. One that
    /// gives nothing is a warning.
    pub fn ask_everywhere(&self, plan: &Plan, base: &Path) -> Result<(), RealizeError> {
        let aside = Store::open(&self.store.scratch_directory()?.join("asked"))?;
        let options = FetchOptions {
            mirrors: Vec::new(),
            ..self.fetch.clone()
        };
        let fetcher = Fetcher::new(&aside, self.progress, options);
        Ok(fetcher.ask_everywhere(&wishes(plan, base))?)
    }

    fn fetcher(&self) -> Fetcher<'_> {
        Fetcher::new(self.store, self.progress, self.fetch.clone())
    }

    /// Returns the blob of each source of a plan. Whoever reads it compares.
    fn fetch(&self, plan: &Plan, base: &Path) -> Result<BTreeMap<String, Blob>, RealizeError> {
        let wanted = wishes(plan, base);
        let blobs = self.fetch_wanted(&wanted)?;
        let names = wanted.into_iter().map(|wanted| wanted.name);
        let mut found: BTreeMap<String, Blob> = names.zip(blobs).collect();
        for (name, parts) in self.fetch_images(plan, base)? {
            // The document that the recipe names stands for the image.
            for (index, blob) in parts.blobs.into_iter().enumerate() {
                let part = match index {
                    0 => name.clone(),
                    _ => format!("{name}@sha256:{}", blob.digest),
                };
                found.insert(part, blob);
            }
        }
        Ok(found)
    }

    fn fetch_wanted(&self, wanted: &[Wanted]) -> Result<Vec<Blob>, RealizeError> {
        let fetcher = Fetcher::new(self.store, self.progress, self.fetch.clone());
        Ok(fetcher.fetch_all(wanted)?)
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
        let locals = locals::members(plan, self.store, limits.jobs)?;
        assemble(plan, blobs, locals, self.store, &limits, self.progress)
            .map_err(|error| explain::assembly(plan, error))
    }

    /// Packs and compresses the tree while the kernel is checked beside it, and gives the image its name.
    fn write(&self, plan: &Plan, assembled: &Assembled) -> Result<Realized, RealizeError> {
        let target = self.store.image_path(&plan.id(), &plan.name);
        let mut new = self.store.new_image(&target)?;
        let kernel = match plan.kernel.local() {
            Some((_, file)) => locals::kernel(self.store, file)?,
            None => kernel_blob(self.store, &assembled.kernel)?,
        };
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
        let path = new.publish(&sums(&image))?;
        Ok(Realized {
            path,
            image,
            up_to_date: false,
            warnings: Vec::new(),
        })
    }

    fn pack(
        &self,
        plan: &Plan,
        assembled: &Assembled,
        new: &mut NewImage<'_>,
    ) -> Result<Packed, RealizeError> {
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
        let packed = pack::pack(tree, plan.compress, self.jobs, &mut out, &mut advanced)
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

fn wishes(plan: &Plan, base: &Path) -> Vec<Wanted> {
    let sources = plan.sources.iter().filter(|(_, source)| !source.is_oci());
    sources
        .map(|(name, source)| wish(name, source, base))
        .collect()
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
