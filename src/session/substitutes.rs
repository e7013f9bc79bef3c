//! Places to take images from instead of making them: options, and the configuration files of user and project.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::load::Loaded;
use super::locking;
use super::open::Session;
use super::places::cache_around;
use super::registry::Connection;
use super::signing::trusted;
use crate::lock::Lock;
use crate::plan::Plan;
use crate::progress::Event;
use crate::recipe::MAX_BYTES;
use crate::share::Place;
use crate::share::config::{Config, Owner};
use crate::share::sign::AllowedSigners;
use crate::share::substitutes::{Search, Taken};
use crate::store::Store;

/// Where an image may come from, beside what the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Substitutes {
    /// Places that are asked before those of the configuration.
    pub from: Vec<Place>,
    /// Files of keys that are trusted, beside those of the configuration.
    pub trust: Vec<PathBuf>,
    /// Ask nobody.
    pub none: bool,
}

/// What was named, by whom.
#[derive(Default)]
struct Named {
    config: Config,
    /// Whether anything but the project's own file named a place.
    by_user: bool,
}

impl Loaded<'_> {
    /// Asks the places for the image of a plan. `None` where it has to be made.
    pub(super) fn substitute(
        &self,
        plan: &Plan,
        store: &Store,
        places: &Substitutes,
    ) -> Result<Option<Taken>, Error> {
        if places.none {
            return Ok(None);
        }
        let session = self.session;
        let named = named(session, places, &self.base)?;
        if named.config.places.is_empty() {
            return Ok(None);
        }
        if named.config.trust.is_empty() {
            nobody_is_trusted(session, &named);
            return Ok(None);
        }
        let trust = signers(&named.config.trust)?;
        // Whether the lock can be used is said elsewhere.
        let lock: Option<Lock> = locking::beside(self).ok().flatten().map(|it| it.lock);
        let options = session.registry_options(&Connection::default())?;
        let search = Search {
            plan,
            expected: lock.as_ref().and_then(|lock| lock.images.get(&plan.arch)),
            trust: &trust,
            now: session.now(),
            store,
            limit: session.options.max_unpacked,
            options: &options,
            progress: session.report,
        };
        let taken = search.ask(&named.config.places);
        session.report.clear();
        Ok(taken)
    }
}

impl Session<'_> {
    /// Returns what the user's configuration lets recipes take of this machine without a hash.
    pub(super) fn allowed_by_user(&self) -> Result<Vec<PathBuf>, Error> {
        let environment = &self.options.environment;
        let config = match &environment.config {
            Some(file) => config(file, Owner::User, environment.home.as_deref())?,
            None => None,
        };
        Ok(config.unwrap_or_default().allow_local)
    }
}

/// Says why nobody was asked: aloud where the user named a place, else only to those who want to know.
fn nobody_is_trusted(session: &Session<'_>, named: &Named) {
    let text = "no substitute was asked, since nobody is trusted to sign images: name a file of allowed signers with \
                `--trust FILE`, or with `trust \"FILE\"` in `~/.config/mkimg/config.kdl`"
        .to_owned();
    session.report.event(match named.by_user {
        true => Event::Warning(text),
        false => Event::Detail(text),
    });
}

/// Gathers the places and the trust: options first, then the user's file, then the project's.
fn named(session: &Session<'_>, args: &Substitutes, base: &Path) -> Result<Named, Error> {
    let environment = &session.options.environment;
    let home = environment.home.as_deref();
    let mut named = Named::default();
    named.config.places.clone_from(&args.from);
    named.config.trust.clone_from(&args.trust);
    let user = environment.config.clone();
    let project = project_file(base);
    let files = [(user, Owner::User), (project, Owner::Project)];
    for (file, owner) in files {
        let Some(file) = file else { continue };
        let Some(config) = config(&file, owner, home)? else {
            continue;
        };
        named.config.places.extend(config.places);
        named.config.trust.extend(config.trust);
        if owner == Owner::User {
            named.by_user = !named.config.places.is_empty();
        }
    }
    named.by_user |= !args.from.is_empty();
    let mut seen: Vec<Place> = Vec::new();
    named.config.places.retain(|place| {
        let new = !seen.contains(place);
        seen.push(place.clone());
        new
    });
    Ok(named)
}

/// Reads a configuration; `None` where there is none.
fn config(file: &Path, owner: Owner, home: Option<&Path>) -> Result<Option<Config>, Error> {
    let Some(bytes) = read(file)? else {
        return Ok(None);
    };
    let beside = file.parent().unwrap_or(Path::new(""));
    let name = file.display().to_string();
    let config = Config::parse(&name, &bytes, owner, beside, home).map_err(Error::invalid)?;
    Ok(Some(config))
}

/// Returns the project's configuration file, beside the `images/` that the recipe lies in. A recipe that lies elsewhere belongs to no
/// project, and one out of a bundle to none of this machine.
fn project_file(base: &Path) -> Option<PathBuf> {
    let absolute = fs::canonicalize(base).ok()?;
    if cache_around(&absolute).is_some() || absolute.file_name()? != "images" {
        return None;
    }
    // As short as the recipe's own path, where that shows the directory.
    let shown = match base.file_name().is_some_and(|name| name == "images") {
        true => base.parent()?.join("mkimg.kdl"),
        false => absolute.with_file_name("mkimg.kdl"),
    };
    Some(shown)
}

/// Reads a configuration file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let io = |error| Error::io("read the configuration", path, error);
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(Error::usage(
                format!(
                    "`{}` is where a configuration would be, and is no file",
                    path.display()
                ),
                "move it away, or write a file: docs/substitutes.md says what is in it",
            ));
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(io(error)),
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    Ok(Some(bytes))
}

/// Reads the files of keys, all of which are trusted.
fn signers(files: &[PathBuf]) -> Result<AllowedSigners, Error> {
    let mut all = AllowedSigners::default();
    for file in files {
        all.extend(trusted(file)?);
    }
    Ok(all)
}
