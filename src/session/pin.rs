//! Fetching sources whose hash is not known, and writing it and their size into the recipe, in place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::load::Loaded;
use super::open::Session;
use super::pin_image;
use crate::arch::Arch;
use crate::fault::Outcome;
use crate::recipe::edit::{self, Pin, PinError};
use crate::recipe::{EntryKind, FileId, Location, Mode, Origin, Place, Recipe, Source};
use crate::source::apt_lists::{Listed, listed};
use crate::source::fetch::{FetchOptions, Fetcher, FirstSeen, SNAPSHOT_ROOT, Wanted, first_line};
use crate::source::is_archive;
use crate::store::{Blob, There, replace};
use crate::units::bytes;

/// Where apt keeps the lists of its archives.
const LISTS: &str = "/var/lib/apt/lists";

/// Which sources are pinned.
#[derive(Debug, Clone, Default)]
pub struct PinOptions {
    /// Fetch anew also what is pinned already.
    pub refresh: bool,
    /// Only these sources; without a name, all.
    pub sources: Vec<String>,
    /// Write nothing.
    pub dry_run: bool,
}

/// A file of a recipe, the recipe itself or one that it includes, with locations that were pinned anew.
#[derive(Debug)]
pub struct Pinned {
    /// The file.
    pub path: PathBuf,
    /// Its text, pinned.
    pub text: Vec<u8>,
    /// How many locations were pinned.
    pub locations: usize,
}

impl Session<'_> {
    /// Fetches the sources of a recipe that have no hash, and writes it into the files of the recipe; returns those that changed.
    ///
    /// # Errors
    /// [`Error`] where the recipe cannot be used, or a source cannot be fetched.
    pub fn pin(&self, recipe: Option<&Path>, options: &PinOptions) -> Result<Vec<Pinned>, Error> {
        let opened = self.load_as(recipe, Mode::Pin)?;
        opened.check_own()?;
        let sources = opened.parsed.sources();
        let named = &options.sources;
        let known: Vec<&str> = sources.iter().map(|it| it.name.value.as_str()).collect();
        if let Some(unknown) = named.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::usage(
                format!("the recipe has no source `{unknown}`"),
                format!("its sources are {}", known.join(", ")),
            ));
        }
        let store = self.store(&opened.base)?;
        // Whoever names a source means the file that it names; else a hash must not open what `local=` could not take without one.
        let reach = match named.is_empty() {
            true => Some(self.reach(&opened.base)?),
            false => None,
        };
        let fetch = FetchOptions {
            reach,
            ..self.fetch_options()?
        };
        let fetcher = Fetcher::new(&store, self.report, fetch.clone());
        let mut pins = Vec::new();
        for source in sources {
            if named.is_empty() || named.contains(&source.name.value) {
                let refresh = options.refresh;
                pins.extend(
                    match source
                        .locations
                        .iter()
                        .any(|location| location.place.is_oci())
                    {
                        true => pin_image::pins(&store, &fetch, &opened, source, refresh)?,
                        false => pins_of(&fetcher, &opened, source, refresh)?,
                    },
                );
            }
        }
        self.report.clear();
        let mut pinned = Vec::new();
        for (path, name, pins) in by_file(&opened, pins) {
            let io = |error| Error::io("read the recipe", &path, error);
            let before = fs::read(&path).map_err(io)?;
            let text = edit::pin(&name, &before, &pins).map_err(|error| match error {
                PinError::Invalid(invalid) => Error::invalid(invalid),
                error => Error::new(
                    Outcome::Failed,
                    error,
                    Some("run `mkimg pin` again".to_owned()),
                ),
            })?;
            if text != before {
                let locations = pins.len();
                pinned.push((
                    name,
                    Pinned {
                        path,
                        text,
                        locations,
                    },
                ));
            }
        }
        if pinned.is_empty() {
            self.note(format!(
                "{}: nothing to pin: every location has its sha256; `--refresh` fetches them anew, `--source NAME` one of them",
                opened.path.display()
            ));
        }
        for (name, one) in pinned.iter().filter(|_| !options.dry_run) {
            write(&one.path, &one.text)?;
            let shown = match one.locations {
                1 => "1 location".to_owned(),
                count => format!("{count} locations"),
            };
            self.note(format!("{name}: pinned {shown}"));
        }
        Ok(pinned.into_iter().map(|(_, one)| one).collect())
    }
}

/// Returns the pins of each file of a recipe, with its path and its name in messages.
fn by_file(opened: &Loaded<'_>, pins: Vec<Pin>) -> Vec<(PathBuf, String, Vec<Pin>)> {
    let mut files: BTreeMap<FileId, Vec<Pin>> = BTreeMap::new();
    for pin in pins {
        files.entry(pin.location.file).or_default().push(pin);
    }
    let source = &opened.parsed.source;
    let each = files.into_iter().map(|(file, pins)| {
        let path = source.included_at(file).unwrap_or(&opened.path).to_owned();
        (path, source.file(file).name.clone(), pins)
    });
    each.collect()
}

/// The bytes that the locations of a source share, and how far they are known.
struct Fetched {
    blob: Blob,
    /// Where they came from, where they were compared with no sha256 of the recipe.
    from: Option<String>,
    /// How far they are known, for people.
    known: String,
}

/// Returns what to write for the locations of a source. Those of one architecture are mirrors: one is fetched, and each of
/// the others gets the same sha256.
fn pins_of(
    fetcher: &Fetcher<'_>,
    opened: &Loaded<'_>,
    source: &Source,
    refresh: bool,
) -> Result<Vec<Pin>, Error> {
    let mut groups: BTreeMap<Option<Arch>, Vec<&Location>> = BTreeMap::new();
    for location in &source.locations {
        groups.entry(location.arch).or_default().push(location);
    }
    let mut pins = Vec::new();
    for (arch, locations) in groups {
        let lacking = |location: &&&Location| location.sha256.is_none() || location.size.is_none();
        if !refresh && locations.iter().find(lacking).is_none() {
            continue;
        }
        let fetched = fetch(fetcher, opened, source, &locations, refresh)?;
        let blob = &fetched.blob;
        let of = arch.map_or(String::new(), |arch| format!(" {arch}"));
        let name = &source.name.value;
        opened.session.note(format!(
            "{name}{of}: sha256 {}, {}, {}",
            blob.digest,
            bytes(blob.size),
            fetched.known
        ));
        for location in locations {
            let stale = stale_snapshot(location, &fetched);
            if let Some(snapshot) = stale {
                opened.session.warn(format!(
                    "{name}{of}: `snapshot=\"{snapshot}\"` is taken out: the snapshot archive of that time has the bytes of the old sha256"
                ));
            }
            pins.push(Pin {
                location: location.span.clone(),
                sha256: blob.digest,
                size: Some(blob.size),
                drop_snapshot: stale.is_some(),
            });
        }
    }
    Ok(pins)
}

/// Returns the time stamp of a location whose file is another one now, unless it came from that very snapshot.
fn stale_snapshot<'l>(location: &'l Location, fetched: &Fetched) -> Option<&'l str> {
    let Place::Debian {
        snapshot: Some(snapshot),
        ..
    } = &location.place
    else {
        return None;
    };
    let old = location.sha256.as_ref()?.value;
    let own = format!("/{snapshot}/");
    let came = fetched.from.as_ref();
    let from_there =
        came.is_some_and(|from| from.starts_with(SNAPSHOT_ROOT) && from.contains(&own));
    (old != fetched.blob.digest && !from_there).then_some(snapshot)
}

/// Fetches the bytes that the locations share: checked against the sha256 that one of them has, unless all is to be new.
fn fetch(
    fetcher: &Fetcher<'_>,
    opened: &Loaded<'_>,
    source: &Source,
    locations: &[&Location],
    refresh: bool,
) -> Result<Fetched, Error> {
    let name = source.name.value.as_str();
    let known = locations
        .iter()
        .find_map(|location| location.sha256.as_ref())
        .filter(|_| !refresh);
    if let Some(digest) = known {
        let wanted = Wanted {
            name: name.to_owned(),
            digest: digest.value,
            size: None,
            places: locations
                .iter()
                .map(|location| location.place.clone())
                .collect(),
            base: opened.base.clone(),
        };
        let blobs = fetcher.fetch_all(&[wanted])?;
        let blob = blobs
            .into_iter()
            .next()
            .ok_or_else(|| Error::usage("nothing was fetched", "this is a bug: report it"))?;
        return Ok(Fetched {
            blob,
            from: None,
            known: "the sha256 that the recipe has".to_owned(),
        });
    }
    let mut failed = None;
    for location in locations {
        let size = location
            .size
            .as_ref()
            .map(|size| size.value)
            .filter(|_| !refresh);
        match fetcher.fetch_unpinned(name, &location.place, &opened.base, size) {
            Ok(seen) => return judged(opened, name, location, seen),
            Err(error) => failed = Some(error),
        }
    }
    Err(match failed {
        Some(error) => Error::from(error),
        None => Error::usage(format!("source `{name}` has no location"), "add one"),
    })
}

/// Says how far bytes are known that no sha256 of the recipe is about; refuses those that cannot be meant.
fn judged(
    opened: &Loaded<'_>,
    name: &str,
    location: &Location,
    seen: FirstSeen,
) -> Result<Fetched, Error> {
    let FirstSeen { blob, from } = seen;
    let mut recipes = opened.parsed.recipes();
    if recipes.any(|recipe| is_unpacked(recipe, name)) {
        check_archive(name, &blob, &from)?;
    }
    let known = match &location.place {
        Place::Debian { path, archive, .. } => {
            agreement(name, &blob, &from, &listed(Path::new(LISTS), archive, path))?
        }
        _ => None,
    };
    Ok(Fetched {
        known: known.unwrap_or_else(|| format!("first seen, from {from}")),
        from: Some(from),
        blob,
    })
}

/// Compares what came with the lists that apt has of the archive; `None` where none has the file.
fn agreement(
    name: &str,
    blob: &Blob,
    from: &str,
    listed: &[Listed],
) -> Result<Option<String>, Error> {
    let Some(other) = listed.first() else {
        return Ok(None);
    };
    if let Some(same) = listed.iter().find(|entry| entry.sha256 == blob.digest) {
        return Ok(Some(format!(
            "from {from}, agrees with apt's signed list of {}",
            same.suite
        )));
    }
    Err(Error::new(Outcome::Mismatch, format!(
            "what came for `{name}` from {from} is not the package that apt's signed list of {} has: it has sha256 {}, and sha256 {} came",
            other.suite, other.sha256, blob.digest
        ), Some(
            "do not use what came; `--debian-mirror URL` names another mirror, and `apt update` renews the lists".to_owned(),
        )))
}

/// Says whether the recipe reads members out of a source.
fn is_unpacked(recipe: &Recipe, name: &str) -> bool {
    let kernel = &recipe.kernel;
    let member = kernel.member();
    let of_kernel = member.is_some_and(|(from, _)| from.value == name);
    of_kernel
        || recipe
            .initramfs
            .entries
            .iter()
            .any(|entry| match &entry.kind {
                EntryKind::Tree { origin, .. } => {
                    origin.source().is_some_and(|from| from.value == name)
                }
                EntryKind::File {
                    origin:
                        Origin::Source {
                            from,
                            path: Some(_),
                        },
                    ..
                } => from.value == name,
                _ => false,
            })
}

/// Refuses what is no archive: the page of a login or of an error, say.
fn check_archive(name: &str, blob: &Blob, from: &str) -> Result<(), Error> {
    let mut head = Vec::new();
    File::open(&blob.path)
        .and_then(|file| file.take(512).read_to_end(&mut head))
        .map_err(|error| Error::io("read", &blob.path, error))?;
    if is_archive(&head) || head == [0; 512] {
        return Ok(());
    }
    let begins =
        first_line(&head).map_or(String::new(), |line| format!(": it begins with `{line}`"));
    Err(Error::new(
        Outcome::Failed,
        format!(
            "what came for `{name}` from {from} is no archive, and the recipe takes members out of it{begins}"
        ),
        Some("look at the address with a browser, and correct the location".to_owned()),
    ))
}

/// Writes a recipe anew, at once. One that is a symlink stays one.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let io = |error| Error::io("write the recipe", path, error);
    replace(path, There::Follow, io, |file| {
        file.write_all(bytes).map_err(io)
    })
}
