//! Which members the entries of a plan want out of which archive, and the reading of them.

use std::collections::BTreeMap;

use super::AssembleError;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::recipe::{EntryKind, Origin, Span, Spanned, TreeOrigin};
use crate::source::{self, ArchiveError, Limits, Member, Want, oci};
use crate::store::{Blob, Store};

/// The BusyBox of a package.
const BUSYBOX: &str = "**/busybox";

/// Who wants members of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wisher {
    Kernel,
    Entry(usize),
}

/// What is wanted of each source, in the order of the plan.
pub(super) struct Wanted<'p> {
    by_source: BTreeMap<&'p str, Vec<(Wisher, Want, &'p Span)>>,
}

impl<'p> Wanted<'p> {
    pub(super) fn of(plan: &'p Plan) -> Wanted<'p> {
        let mut by_source: BTreeMap<&str, Vec<(Wisher, Want, &Span)>> = BTreeMap::new();
        let one = |path: &Spanned<String>| Want::One {
            path: path.value.clone(),
        };
        if let Some((from, path)) = plan.kernel.member() {
            let wants = by_source.entry(&from.value).or_default();
            wants.push((Wisher::Kernel, one(path), &path.span));
        }
        for (index, planned) in plan.entries.iter().enumerate() {
            let (from, want, span) = match &planned.entry.kind {
                EntryKind::File {
                    origin:
                        Origin::Source {
                            from,
                            path: Some(path),
                        },
                    ..
                } => (from, one(path), &path.span),
                EntryKind::Tree {
                    origin: TreeOrigin::Source(from),
                    include,
                    exclude,
                    ..
                } => {
                    let texts = |globs: &[Spanned<String>]| {
                        globs.iter().map(|glob| glob.value.clone()).collect()
                    };
                    let want = Want::Tree {
                        include: texts(include),
                        exclude: texts(exclude),
                    };
                    (from, want, &planned.entry.span)
                }
                EntryKind::Init {
                    busybox: Some(from),
                    ..
                } => {
                    let path = BUSYBOX.to_owned();
                    (from, Want::One { path }, &from.span)
                }
                _ => continue,
            };
            by_source
                .entry(&from.value)
                .or_default()
                .push((Wisher::Entry(index), want, span));
        }
        Wanted { by_source }
    }

    /// Reads what is wanted, one archive after the other: each takes all cores for itself.
    pub(super) fn read(
        &self,
        plan: &Plan,
        blobs: &BTreeMap<String, Blob>,
        store: &Store,
        limits: &Limits,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<Wisher, Vec<Member>>, AssembleError> {
        let mut read = BTreeMap::new();
        let mut absent = Vec::new();
        for (name, wishes) in &self.by_source {
            let first = wishes
                .first()
                .map_or(&plan.kernel.span, |(_, _, span)| span);
            let blob = blobs.get(*name).ok_or_else(|| AssembleError::Missing {
                name: (*name).to_owned(),
                at: first.clone(),
            })?;
            let wants: Vec<Want> = wishes.iter().map(|(_, want, _)| want.clone()).collect();
            let explained = |error: ArchiveError| {
                let at = error
                    .pattern()
                    .and_then(|pattern| place_of(plan, name, pattern));
                AssembleError::Source {
                    source_name: (*name).to_owned(),
                    at: at.unwrap_or(first).clone(),
                    error: Box::new(error),
                }
            };
            let image = plan.sources.get(*name).filter(|source| source.is_oci());
            let listings = match image {
                Some(image) => {
                    let (digest, arch) = (&image.digest, plan.arch);
                    oci::members(store, digest, arch, name, &wants, limits, progress)
                }
                None => source::members(store, blob, name, &wants, limits, progress),
            };
            let listings = match listings {
                Ok(listings) => listings,
                // The other sources are asked, too: all that is not there is told at once.
                Err(error) if error.is_absence() => {
                    absent.extend(error.each().into_iter().map(explained));
                    continue;
                }
                Err(error) => return Err(explained(error)),
            };
            for ((wisher, _, _), members) in wishes.iter().zip(listings) {
                read.insert(*wisher, members);
            }
        }
        if !absent.is_empty() {
            return Err(AssembleError::Several(absent));
        }
        Ok(read)
    }
}

/// Returns where the recipe wants a member of a source by a pattern.
fn place_of<'p>(plan: &'p Plan, source: &str, pattern: &str) -> Option<&'p Span> {
    let mut patterns: Vec<(&str, &Spanned<String>)> = Vec::new();
    patterns.extend(
        plan.kernel
            .member()
            .map(|(from, path)| (from.value.as_str(), path)),
    );
    for planned in &plan.entries {
        match &planned.entry.kind {
            EntryKind::File {
                origin:
                    Origin::Source {
                        from,
                        path: Some(path),
                    },
                ..
            } => patterns.push((&from.value, path)),
            EntryKind::Tree {
                origin: TreeOrigin::Source(from),
                include,
                exclude,
                ..
            } => {
                patterns.extend(
                    include
                        .iter()
                        .chain(exclude)
                        .map(|glob| (from.value.as_str(), glob)),
                );
            }
            _ => {}
        }
    }
    let found = patterns
        .into_iter()
        .find(|(from, path)| *from == source && path.value == pattern)?;
    Some(&found.1.span)
}
