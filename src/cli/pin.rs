//! `mkimg pin`: fetches sources and writes their sha256 and size into the recipe, in place.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::args::Pin as Args;
use super::context::{Context, Opened};
use super::failure::{Code, Failure};
use super::output;
use crate::arch::Arch;
use crate::recipe::edit::{self, Pin, PinError};
use crate::recipe::{Location, Mode, Source};
use crate::source::fetch::{FetchOptions, Fetcher, Wanted};
use crate::store::Blob;
use crate::ui::bytes;

pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    let opened = context.open(args.recipe.as_deref(), Mode::Pin)?;
    opened.check_own()?;
    let recipe = &opened.parsed.recipe;
    if let Some(unknown) = args
        .sources
        .iter()
        .find(|name| recipe.source(name).is_none())
    {
        let known: Vec<&str> = recipe
            .sources
            .iter()
            .map(|source| source.name.value.as_str())
            .collect();
        return Err(Failure::usage(
            format!("the recipe has no source `{unknown}`"),
            format!("its sources are {}", known.join(", ")),
        ));
    }
    let wanted =
        |source: &&Source| args.sources.is_empty() || args.sources.contains(&source.name.value);
    let store = context.store(&opened.base)?;
    let mut pins = Vec::new();
    // Whoever names a source means the file that it names; else a hash must not open what `local=` could not take without one.
    let reach = match args.sources.is_empty() {
        true => Some(context.reach(&opened.base)?),
        false => None,
    };
    let fetch = FetchOptions {
        reach,
        ..context.fetch_options()?
    };
    let fetcher = Fetcher::new(&store, context.terminal, fetch);
    for source in recipe.sources.iter().filter(wanted) {
        pins.extend(pins_of(context, &fetcher, &opened, source, args.refresh)?);
    }
    context.terminal.clear();
    let before = fs::read(&opened.path)
        .map_err(|error| Failure::io("read the recipe", &opened.path, error))?;
    let name = opened.path.display().to_string();
    let after = edit::pin(&name, &before, &pins).map_err(|error| match error {
        PinError::Invalid(invalid) => Failure::invalid(invalid),
        error => Failure::Plain {
            error: Box::new(error),
            help: Some("run `mkimg pin` again".to_owned()),
            code: Code::Failed,
        },
    })?;
    if after == before {
        context.terminal.line(&format!(
            "{name}: nothing to pin: every location has its sha256"
        ));
        return Ok(());
    }
    if args.dry_run {
        return output::write(|out| out.write_all(&after));
    }
    replace(&opened.path, &after)?;
    let places = if pins.len() == 1 {
        "1 location".to_owned()
    } else {
        format!("{} locations", pins.len())
    };
    context.terminal.line(&format!("{name}: pinned {places}"));
    Ok(())
}

/// Returns what to write for the locations of a source. Those of one architecture are mirrors: one is fetched, and each of
/// the others gets the same sha256.
fn pins_of(
    context: &Context<'_>,
    fetcher: &Fetcher<'_>,
    opened: &Opened,
    source: &Source,
    refresh: bool,
) -> Result<Vec<Pin>, Failure> {
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
        let blob = fetch(fetcher, opened, source, &locations, refresh)?;
        let of = arch.map_or(String::new(), |arch| format!(" {arch}"));
        let name = &source.name.value;
        context.terminal.line(&format!(
            "{name}{of}: sha256 {}, {}",
            blob.digest,
            bytes(blob.size)
        ));
        pins.extend(locations.into_iter().map(|location| Pin {
            location: location.span.clone(),
            sha256: blob.digest,
            size: Some(blob.size),
        }));
    }
    Ok(pins)
}

/// Fetches the bytes that the locations share: checked against the sha256 that one of them has, unless all is to be new.
fn fetch(
    fetcher: &Fetcher<'_>,
    opened: &Opened,
    source: &Source,
    locations: &[&Location],
    refresh: bool,
) -> Result<Blob, Failure> {
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
        return blobs
            .into_iter()
            .next()
            .ok_or_else(|| Failure::usage("nothing was fetched", "this is a bug: report it"));
    }
    let mut failed = None;
    for location in locations {
        let size = location
            .size
            .as_ref()
            .map(|size| size.value)
            .filter(|_| !refresh);
        match fetcher.fetch_unpinned(name, &location.place, &opened.base, size) {
            Ok(blob) => return Ok(blob),
            Err(error) => failed = Some(error),
        }
    }
    Err(match failed {
        Some(error) => Failure::from(error),
        None => Failure::usage(format!("source `{name}` has no location"), "add one"),
    })
}

/// Writes a file anew: beside the old one, which it replaces at once. A recipe that is a symlink stays one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let io = |error| Failure::io("write the recipe", path, error);
    let real = fs::canonicalize(path).map_err(io)?;
    let directory = real.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new()
        .prefix(".mkimg-pin")
        .tempfile_in(directory)
        .map_err(io)?;
    new.write_all(bytes).map_err(io)?;
    new.as_file().sync_all().map_err(io)?;
    let mode = fs::metadata(&real).map_err(io)?.permissions();
    new.as_file().set_permissions(mode).map_err(io)?;
    new.persist(&real).map_err(|error| io(error.error))?;
    Ok(())
}
