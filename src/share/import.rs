//! Shared images into the cache.

use std::io::Write as _;
use std::path::PathBuf;

use super::shared::Shared;
use super::unsigned::check_index;
use super::{Found, Origin, Project, ShareError};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::lock::{Lock, Locked};
use crate::plan::{Plan, recipe_digest};
use crate::realize::{self, IMAGE_FILE, Image, Realized};
use crate::store::{Blob, Store, StoreError};

/// The bucket with the recipes that came along with images.
const RECIPES: &str = "recipes-v1";

/// What of a shared image is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// One architecture alone.
    pub arch: Option<Arch>,
    /// The sources too, where they came along.
    pub sources: bool,
    /// The most bytes that a layer may claim to have.
    pub limit: u64,
}

/// What came into the cache.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The manifest or index that was named.
    pub root: super::oci::Descriptor,
    /// The images.
    pub images: Vec<Realized>,
    /// What was read of each, in the same order.
    pub shared: Vec<Shared>,
    /// The recipe inside, unpacked in the cache.
    pub recipe: PathBuf,
    /// The recipe inside.
    pub project: Project,
}

/// A shared image of one architecture, found to be right.
#[derive(Debug, Clone)]
pub struct Part {
    /// What was read of it.
    pub shared: Shared,
    /// The plan that the recipe inside gives.
    pub plan: Plan,
    /// The kernel.
    pub kernel: Blob,
    /// The initramfs.
    pub initramfs: Blob,
}

/// What was found under a tag or a digest, and to be right.
#[derive(Debug, Clone)]
pub struct Examined {
    /// The images.
    pub parts: Vec<Part>,
    /// The recipe inside.
    pub project: Project,
}

/// Verifies what was found under a tag or a digest: every byte against its digest, and all that is said against all else. Blobs
/// come into the cache; no image does.
///
/// # Errors
/// [`ShareError`], which names the object that is not what it should be.
pub fn examine(
    origin: &dyn Origin,
    found: &Found,
    selection: &Selection,
    store: &Store,
) -> Result<Examined, ShareError> {
    let mut parts = Vec::new();
    let mut whole: Option<Project> = None;
    for descriptor in &found.images {
        let listed = descriptor.architecture.as_deref();
        if selection
            .arch
            .is_some_and(|arch| listed.is_some_and(|name| name != arch.facts().oci))
        {
            continue;
        }
        let shared = Shared::read(origin, descriptor, store, selection.limit)?;
        if selection.arch.is_some_and(|arch| arch != shared.image.arch) {
            continue;
        }
        let object = format!("the manifest `sha256:{}`", descriptor.digest);
        let Some((mut project, plan)) = shared.project(origin, store)? else {
            return Err(ShareError::invalid(object, "it has no recipe"));
        };
        project.digest = check_lock(&shared, &project)?;
        match &whole {
            Some(other) if other.identity() != project.identity() => {
                let problem = "its recipe is another one than that of the other architecture";
                return Err(ShareError::invalid(object, problem));
            }
            Some(_) => {}
            None => whole = Some(project),
        }
        let (kernel, initramfs) = shared.files(origin, store)?;
        if selection.sources {
            shared.sources(origin, &plan, store)?;
        }
        parts.push(Part {
            shared,
            plan,
            kernel,
            initramfs,
        });
    }
    let Some(project) = whole else {
        let arch = selection.arch.map_or("any architecture", Arch::name);
        return Err(ShareError::Missing {
            object: format!("an image for {arch}"),
            place: format!("`{}`", origin.name()),
        });
    };
    check_index(origin, found, &project.name)?;
    Ok(Examined { parts, project })
}

/// Verifies what was found under a tag or a digest, and fills the cache with it. Nothing gets a name in the cache before all of
/// it was found to be right.
///
/// # Errors
/// [`ShareError`], which names the object that is not what it should be.
pub fn import(
    origin: &dyn Origin,
    found: &Found,
    selection: &Selection,
    store: &Store,
) -> Result<Imported, ShareError> {
    let Examined { parts, project } = examine(origin, found, selection, store)?;
    let root = store
        .root()
        .join(RECIPES)
        .join(project.identity().to_string());
    // The directory's name is of what is in it: other bytes there are damage.
    let recipe = project.unpack(&root, store)?;
    store.used(&root);
    let mut images = Vec::new();
    let mut shareds = Vec::new();
    for part in parts {
        images.push(keep_apart(&part, store)?);
        shareds.push(part.shared);
    }
    Ok(Imported {
        root: found.root.clone(),
        images,
        shared: shareds,
        recipe,
        project,
    })
}

/// Gives an image that came along its name in the cache, apart from the ones that were made here: nothing but its own digests
/// says that it is the one of its plan. One that was made here and is the same stands for both.
pub(super) fn keep_apart(part: &Part, store: &Store) -> Result<Realized, ShareError> {
    let image = &part.shared.image;
    let own = store.image_path(&image.plan, &image.name);
    if let Some(there) = realize::made_here(store, &own) {
        return same(image, &there, own);
    }
    let described = Digest::of(image.text().as_bytes());
    let apart = store.import_path(&image.plan, &image.name, &described);
    publish(image, apart, &part.kernel, &part.initramfs, store)
}

/// Gives an image whose files are in the cache the name `path`. One that is there already stays if it is the same, and whole.
fn publish(
    image: &Image,
    path: PathBuf,
    kernel: &Blob,
    initramfs: &Blob,
    store: &Store,
) -> Result<Realized, ShareError> {
    let realized = |path| Realized {
        path,
        image: image.clone(),
        up_to_date: false,
        warnings: Vec::new(),
    };
    if realize::holds(store, &path, image) {
        store.used(&path);
        return Ok(realized(path));
    }
    let text = image.text();
    let mut new = store.new_image(&path)?;
    new.link(kernel, &image.kernel.name)?;
    new.link(initramfs, &image.initramfs.name)?;
    let at = new.path(IMAGE_FILE);
    new.file(IMAGE_FILE)?
        .write_all(text.as_bytes())
        .map_err(|error| StoreError::io("write", &at, error))?;
    let path = new.publish(&realize::sums(image))?;
    Ok(realized(path))
}

/// Returns the image that was made here, if it is this one.
fn same(image: &Image, there: &Image, path: PathBuf) -> Result<Realized, ShareError> {
    if there == image {
        return Ok(Realized {
            path,
            image: image.clone(),
            up_to_date: false,
            warnings: Vec::new(),
        });
    }
    Err(ShareError::Mismatch {
        object: format!("the image of the plan {}", image.plan),
        expected: format!(
            "sha256:{}, as the cache has it in `{}`",
            Digest::of(there.text().as_bytes()),
            path.display()
        ),
        found: format!("sha256:{}", Digest::of(image.text().as_bytes())),
    })
}

/// Brings the image of a plan into the cache, and nothing else: no recipe, no sources. For substitutes, whose signature was
/// found to be good: it stands for the plan as if it had been made here.
///
/// # Errors
/// [`ShareError`], also where the image is not one of this plan.
pub fn substitute(
    origin: &dyn Origin,
    shared: &Shared,
    plan: &Plan,
    store: &Store,
) -> Result<Realized, ShareError> {
    if !shared.image.is_of(plan) {
        return Err(ShareError::Mismatch {
            object: "the image".to_owned(),
            expected: format!("one of the plan {}", plan.id()),
            found: format!("one of the plan {}", shared.image.plan),
        });
    }
    let image = &shared.image;
    let path = store.image_path(&image.plan, &image.name);
    // Another process may have been faster.
    if let Some(there) = realize::made_here(store, &path) {
        return same(image, &there, path);
    }
    let (kernel, initramfs) = shared.files(origin, store)?;
    publish(image, path, &kernel, &initramfs, store)
}

/// Compares the lock that came along with the recipe and the image; returns the recipe digest.
fn check_lock(shared: &Shared, project: &Project) -> Result<Digest, ShareError> {
    let object = "the lock inside";
    let parsed = project.parsed()?;
    let recipe = recipe_digest(&parsed.source, &project.locals(&parsed)?);
    shared.check_recipe_digest(&recipe)?;
    let name = format!("{}.lock", project.name);
    let lock = Lock::parse(&name, project.lock.as_bytes())
        .map_err(|error| ShareError::invalid(object, error.to_string()))?;
    if lock.recipe != recipe {
        return Err(ShareError::Mismatch {
            object: "the recipe digest of the lock inside".to_owned(),
            expected: recipe.to_string(),
            found: lock.recipe.to_string(),
        });
    }
    let image = &shared.image;
    let of_arch = || lock.images.iter().filter(|(key, _)| key.arch == image.arch);
    let mut own = of_arch().filter(|(_, locked)| locked.plan == image.plan);
    let Some((_, locked)) = own.next().or_else(|| of_arch().next()) else {
        return Err(ShareError::invalid(
            object,
            format!("it has nothing for {}", image.arch),
        ));
    };
    let now = Locked::of(image);
    if *locked == now {
        return Ok(recipe);
    }
    let changes = locked.image_changes(&now);
    let problem = changes.first().map(|change| change.what.clone());
    let problem = problem.unwrap_or_else(|| "it says something else than `image.json`".to_owned());
    Err(ShareError::invalid(object, problem))
}
