//! Places to take images from instead of making them: options, and the configuration files of user and project.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::context::{Context, set};
use super::failure::Failure;
use super::locking;
use super::opened::Opened;
use super::registry::{Reach, options};
use super::sharing::cache_around;
use super::signing::{now, trusted};
use crate::lock::Lock;
use crate::plan::Plan;
use crate::progress::{Event, Progress as _};
use crate::recipe::MAX_BYTES;
use crate::share::Place;
use crate::share::config::{Config, Owner};
use crate::share::sign::AllowedSigners;
use crate::share::substitutes::{Search, Taken};
use crate::store::Store;

/// Where an image may come from.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SubstituteArgs {
    /// Ask this repository of a registry, or directory of bundles (a path or http(s)://..), for the image before it is made;
    /// may be given several times, and comes before the places of the configuration
    #[arg(long, value_name = "REF-or-DIR", value_parser = place)]
    from: Vec<Place>,
    /// Take images that a key in FILE (ssh-keygen's ALLOWED SIGNERS) has signed, beside those of the configuration
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Ask nobody: make the image where the cache does not have it
    #[arg(long, conflicts_with = "from")]
    no_substitutes: bool,
}

/// What was named, by whom.
#[derive(Default)]
struct Named {
    config: Config,
    /// Whether anything but the project's own file named a place.
    by_user: bool,
}

impl Context<'_> {
    /// Asks the places for the image of a plan. `None` where it has to be made.
    pub(super) fn substitute(
        &self,
        opened: &Opened,
        plan: &Plan,
        store: &Store,
        args: &SubstituteArgs,
    ) -> Result<Option<Taken>, Failure> {
        if args.no_substitutes {
            return Ok(None);
        }
        let named = named(args, &opened.base)?;
        if named.config.places.is_empty() {
            return Ok(None);
        }
        if named.config.trust.is_empty() {
            self.nobody_is_trusted(&named);
            return Ok(None);
        }
        let trust = signers(&named.config.trust)?;
        // Whether the lock can be used is said elsewhere.
        let lock: Option<Lock> = locking::beside(opened).ok().flatten().map(|it| it.lock);
        let options = options(self, &Reach::default())?;
        let search = Search {
            plan,
            expected: lock
                .as_ref()
                .and_then(|lock| lock.of_image(opened.parsed.variant.as_deref(), plan.arch)),
            trust: &trust,
            now: now(),
            store,
            limit: self.global.max_unpacked,
            options: &options,
            progress: self.terminal,
        };
        let taken = search.ask(&named.config.places);
        self.terminal.clear();
        Ok(taken)
    }

    /// Says why nobody was asked: aloud where the user named a place, else only to those who want to know.
    fn nobody_is_trusted(&self, named: &Named) {
        let text = "no substitute was asked, since nobody is trusted to sign images: name a file of allowed signers with \
                    `--trust FILE`, or with `trust \"FILE\"` in `~/.config/mkimg/config.kdl`"
            .to_owned();
        self.terminal.event(match named.by_user {
            true => Event::Warning(text),
            false => Event::Detail(text),
        });
    }
}

/// Gathers the places and the trust: options first, then the user's file, then the project's.
fn named(args: &SubstituteArgs, base: &Path) -> Result<Named, Failure> {
    let home = set("HOME");
    let mut named = Named::default();
    named.config.places.clone_from(&args.from);
    named.config.trust.clone_from(&args.trust);
    let user = user_file(home.as_deref());
    let project = project_file(base);
    let files = [(user, Owner::User), (project, Owner::Project)];
    for (file, owner) in files {
        let Some(file) = file else { continue };
        let Some(config) = config(&file, owner, home.as_deref())? else {
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

/// Returns what the user's configuration lets recipes take of this machine without a hash.
pub(super) fn allowed_by_user() -> Result<Vec<PathBuf>, Failure> {
    let home = set("HOME");
    let config = match user_file(home.as_deref()) {
        Some(file) => config(&file, Owner::User, home.as_deref())?,
        None => None,
    };
    Ok(config.unwrap_or_default().allow_local)
}

/// Reads a configuration; `None` where there is none.
fn config(file: &Path, owner: Owner, home: Option<&Path>) -> Result<Option<Config>, Failure> {
    let Some(bytes) = read(file)? else {
        return Ok(None);
    };
    let beside = file.parent().unwrap_or(Path::new(""));
    let name = file.display().to_string();
    let config = Config::parse(&name, &bytes, owner, beside, home).map_err(Failure::invalid)?;
    Ok(Some(config))
}

/// Returns the user's configuration file.
fn user_file(home: Option<&Path>) -> Option<PathBuf> {
    // The XDG base directory specification: a relative path is to be ignored.
    let xdg = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let directory = xdg.or_else(|| home.map(|home| home.join(".config")))?;
    Some(directory.join("mkimg").join("config.kdl"))
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
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let io = |error| Failure::io("read the configuration", path, error);
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(Failure::usage(
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

/// Reads a place from the command line: the shell knows better than we do what `~` is.
fn place(text: &str) -> Result<Place, String> {
    Place::parse(text, Path::new(""), None).map_err(|error| error.problem)
}

/// Reads the files of keys, all of which are trusted.
fn signers(files: &[PathBuf]) -> Result<AllowedSigners, Failure> {
    let mut all = AllowedSigners::default();
    for file in files {
        all.extend(trusted(file)?);
    }
    Ok(all)
}
