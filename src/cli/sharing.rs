//! From a recipe to what is shared of it, and from a bundle to a recipe.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use super::context::{Context, Opened};
use super::failure::Failure;
use super::lock;
use super::locking::{self, LockUse};
use super::realize;
use crate::arch::Arch;
use crate::lock::{Lock, normal_text};
use crate::plan::LocalFile;
use crate::progress::{Event, Progress as _};
use crate::realize::{Realized, shareable};
use crate::share::bundle::{Bundle, begins_bundle};
use crate::share::{
    Artifact, Found, Imported, Origin as _, Project, Selection, ShareError, Shareable,
};
use crate::share::{copy_referrers, find, go_name, import};
use crate::store::{Scratch, Store, StoreError};

/// Images that are realized, and the artifact of them.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) artifact: Artifact,
    pub(super) images: Vec<Realized>,
    /// The files beside the recipe that went in.
    pub(super) files: BTreeMap<String, LocalFile>,
}

/// Realizes a recipe for `archs` (all that it has, where none is named), and returns what is to be shared of it.
pub(super) fn share(
    context: &Context<'_>,
    opened: &Opened,
    archs: &[Arch],
    with_sources: bool,
) -> Result<Shared, Failure> {
    let recipe = &opened.parsed.recipe;
    // A bundle need not have an image for all that its recipe could be realized for.
    let archs = match &opened.bundle {
        Some(bundle) if archs.is_empty() => &bundle.archs,
        _ => archs,
    };
    let (lock, images) = match locking::beside(opened)? {
        Some(beside) => {
            let all = recipe.archs_for(Arch::host());
            let wanted = if archs.is_empty() { &all } else { archs };
            let made =
                |arch: &Arch| realize::made(context, opened, Some(*arch), LockUse::Default, None);
            let images = wanted.iter().map(|arch| Ok(made(arch)?.1));
            (beside.lock, images.collect::<Result<Vec<_>, Failure>>()?)
        }
        None => {
            let (lock, images) = lock::make(context, opened, archs)?;
            (lock, images)
        }
    };
    let store = context.store(&opened.base)?;
    let project = project(context, opened, &lock, &images, &store)?;
    project.check_paths().map_err(|error| {
        Failure::usage(
            error.to_string(),
            "what is shared is unpacked elsewhere: its files must have a place beside the recipe there, too",
        )
    })?;
    let mut sources = BTreeMap::new();
    if with_sources {
        let fetch = context.fetch_options()?;
        for made in &images {
            let plan = context.plan(opened, Some(made.image.arch))?;
            let blobs = context
                .workshop(&store, &fetch)
                .sources(&plan, &opened.base);
            context.terminal.clear();
            let blobs = blobs.map_err(|error| Failure::realize(error, &opened.parsed.source))?;
            sources.insert(made.image.arch, blobs);
        }
    }
    let shareable = Shareable {
        project: &project,
        images: &images,
        sources,
    };
    let artifact = Artifact::new(&shareable, &store)?;
    if let Some(bundle) = &opened.bundle {
        keep_referrers(context, &bundle.path, &artifact, &store)?;
    }
    Ok(Shared {
        store,
        artifact,
        images,
        files: project.files,
    })
}

/// Takes over what a bundle says about the images that go on as they are, such as signatures. What it says about others, as those
/// with the sources are where they go on without, holds for these alone.
fn keep_referrers(
    context: &Context<'_>,
    path: &Path,
    artifact: &Artifact,
    store: &Store,
) -> Result<(), Failure> {
    let bundle = Bundle::open(path)?;
    for image in find(&bundle, &bundle.name)?.images {
        let digest = image.digest;
        if artifact.manifests.values().any(|own| own.digest == digest) {
            copy_referrers(&bundle, &artifact.layout, store, &digest)?;
        } else if artifact
            .manifests
            .keys()
            .any(|arch| image.architecture.as_deref() == Some(go_name(*arch)))
            && !bundle.referrers(&digest)?.is_empty()
        {
            context.terminal.event(Event::Warning(format!(
                "what `{}` says about sha256:{digest} is left out: that image does not go on as it is (see `--with-sources`)",
                path.display()
            )));
        }
    }
    Ok(())
}

fn project(
    context: &Context<'_>,
    opened: &Opened,
    lock: &Lock,
    images: &[Realized],
    store: &Store,
) -> Result<Project, Failure> {
    let recipe = &opened.parsed.recipe;
    let arch = images.first().map(|made| made.image.arch);
    let plan = context.plan(opened, arch)?;
    Ok(Project {
        name: recipe.name.value.clone(),
        description: recipe.description.clone(),
        recipe: normal_text(opened.parsed.source.root()),
        digest: lock.recipe,
        lock: lock.to_string(),
        files: shareable(&plan, store, context.jobs().get())
            .map_err(|error| Failure::realize(error, &opened.parsed.source))?,
    })
}

/// Returns the directory whose cache takes what is no recipe's: the project's here, where there is one.
pub(super) fn base() -> &'static Path {
    match Path::new("images").is_dir() {
        true => Path::new("images"),
        false => Path::new("."),
    }
}

/// Verifies a bundle and fills the cache with it.
pub(super) fn import_bundle(
    context: &Context<'_>,
    path: &Path,
    arch: Option<Arch>,
) -> Result<(Store, Imported), Failure> {
    // What is no bundle makes no cache.
    let (bundle, store, _spooled) = match streamed(path) {
        None => (Bundle::open(path)?, context.store(base())?, None),
        Some((from, name)) => {
            let from = bundle_from(from, name)?;
            let store = context.store(base())?;
            let spooled = spool(from, name, &store)?;
            (Bundle::open_as(spooled.path(), name)?, store, Some(spooled))
        }
    };
    let found = find(&bundle, &bundle.name)?;
    check_arch(&found, arch, &path.display().to_string())?;
    let imported = import(&bundle, &found, &context.selection(arch), &store)?;
    Ok((store, imported))
}

/// Refuses an architecture that `name` has no image for; where a manifest stands alone, only the image itself says its own.
pub(super) fn check_arch(found: &Found, asked: Option<Arch>, name: &str) -> Result<(), Failure> {
    let listed: Option<Vec<&str>> = found
        .images
        .iter()
        .map(|image| image.architecture.as_deref())
        .collect();
    let (Some(asked), Some(listed)) = (asked, listed) else {
        return Ok(());
    };
    let has = |arch: &Arch| listed.contains(&go_name(*arch));
    if has(&asked) {
        return Ok(());
    }
    let known = Arch::ALL.into_iter().filter(has);
    let known: Vec<&str> = known.map(Arch::name).collect();
    Err(Failure::usage(
        format!("`{name}` has no image for {asked}"),
        format!("it has one for {}", known.join(" and one for ")),
    ))
}

/// Returns what a path gives that can be read only once: standard input, a pipe.
fn streamed(path: &Path) -> Option<(Box<dyn Read>, &str)> {
    if path == Path::new("-") {
        return Some((Box::new(io::stdin().lock()), "standard input"));
    }
    let odd = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let file = File::open(path).ok().filter(|_| odd)?;
    Some((Box::new(file), path.to_str().unwrap_or("the pipe")))
}

/// Looks at how a stream begins, and returns the whole of it.
fn bundle_from(mut from: Box<dyn Read>, name: &str) -> Result<Box<dyn Read>, Failure> {
    let unread = |error| Failure::io("read", Path::new(name), error);
    let mut head = Vec::new();
    from.by_ref()
        .take(512)
        .read_to_end(&mut head)
        .map_err(unread)?;
    if !begins_bundle(&head) {
        let object = format!("the bundle `{name}`");
        return Err(ShareError::invalid(object, "it is none, or its beginning is damaged").into());
    }
    Ok(Box::new(io::Cursor::new(head).chain(from)))
}

/// Copies a stream into a file that is gone with the process: a bundle is not read from one end to the other.
fn spool(mut from: Box<dyn Read>, name: &str, store: &Store) -> Result<Scratch, Failure> {
    let unread = |error| Failure::io("read", Path::new(name), error);
    let mut file = store.scratch()?;
    let mut buffer = vec![0u8; 128 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unread(error)),
        };
        if let Err(error) = file.write_all(&buffer[..count]) {
            return Err(StoreError::io("write", file.path(), error).into());
        }
    }
}

impl Context<'_> {
    /// Returns what of a shared image is taken.
    pub(super) fn selection(&self, arch: Option<Arch>) -> Selection {
        Selection {
            arch,
            sources: true,
            limit: self.global.max_unpacked,
        }
    }
}

/// Returns the image to name where there are several: the host's, else the first.
pub(super) fn foremost(images: &[Realized]) -> Option<&Realized> {
    let own = images
        .iter()
        .find(|made| Some(made.image.arch) == Arch::host());
    own.or(images.first())
}

/// Compares a recipe that came out of a bundle or a registry, and lies in a cache, with the digest that it lies under.
pub(super) fn check_imported(recipe: &Path, text: &str) -> Result<(), Failure> {
    let Ok(absolute) = fs::canonicalize(recipe) else {
        return Ok(());
    };
    match absolute.parent().and_then(import_around) {
        Some(directory) => Ok(Project::check_unpacked(directory, &absolute, text)?),
        None => Ok(()),
    }
}

/// Returns the directory of an imported recipe that a directory is, or is below.
fn import_around(directory: &Path) -> Option<&Path> {
    let is_bucket = |path: &Path| path.file_name().is_some_and(|name| name == "recipes-v1");
    let mut above = directory.ancestors();
    let own = above.find(|path| path.parent().is_some_and(is_bucket))?;
    cache_around(own).map(|_| own)
}

/// Returns the cache that a recipe out of a bundle lies in.
pub(super) fn cache_around(directory: &Path) -> Option<PathBuf> {
    let mut above = directory.ancestors();
    let bucket = above.find(|path| path.file_name().is_some_and(|name| name == "recipes-v1"))?;
    let cache = bucket.parent()?;
    cache
        .join("CACHEDIR.TAG")
        .is_file()
        .then(|| cache.to_path_buf())
}
