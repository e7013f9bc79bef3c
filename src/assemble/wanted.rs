//! Which members the entries of a plan want out of which archive, and the reading of them.

use std::collections::BTreeMap;

use super::AssembleError;
use crate::plan::{Plan, PlannedKind, StatementId, TreeOrigin, Word};
use crate::progress::Progress;
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
    plan: &'p Plan,
    by_source: BTreeMap<&'p str, Vec<(Wisher, Want)>>,
}

impl Wisher {
    /// Returns its place in the recipe.
    fn place(self, word: Word) -> StatementId {
        match self {
            Wisher::Kernel => StatementId::Kernel(word),
            Wisher::Entry(index) => StatementId::Entry(index, word),
        }
    }
}

/// Returns the patterns of what is wanted.
fn patterns(want: &Want) -> Vec<&String> {
    match want {
        Want::One { path } => vec![path],
        Want::Tree { include, exclude } => include.iter().chain(exclude).collect(),
    }
}

/// Returns where the recipe wants the first of several things: its path, where it is one member.
fn place_of_first(wishes: &[(Wisher, Want)]) -> StatementId {
    match wishes.first() {
        Some((wisher, Want::One { path })) => wisher.place(Word::Pattern(path.clone())),
        Some((wisher, Want::Tree { .. })) => wisher.place(Word::Whole),
        None => StatementId::Kernel(Word::Whole),
    }
}

impl<'p> Wanted<'p> {
    pub(super) fn of(plan: &'p Plan) -> Wanted<'p> {
        let mut by_source: BTreeMap<&str, Vec<(Wisher, Want)>> = BTreeMap::new();
        let one = |path: &str| Want::One {
            path: path.to_owned(),
        };
        if let Some((from, path)) = plan.kernel.member() {
            let wants = by_source.entry(from).or_default();
            wants.push((Wisher::Kernel, one(path)));
        }
        for (index, planned) in plan.entries.iter().enumerate() {
            let member = planned.origin().and_then(|origin| origin.member());
            let (from, want) = match (&planned.kind, member) {
                (_, Some((from, path))) => (from, one(path)),
                (
                    PlannedKind::Tree {
                        origin:
                            TreeOrigin::Source {
                                from,
                                include,
                                exclude,
                            },
                        ..
                    },
                    _,
                ) => {
                    let (include, exclude) = (include.clone(), exclude.clone());
                    (from.as_str(), Want::Tree { include, exclude })
                }
                (
                    PlannedKind::Init {
                        busybox: Some(from),
                        ..
                    },
                    _,
                ) => (from.as_str(), one(BUSYBOX)),
                _ => continue,
            };
            let wants = by_source.entry(from).or_default();
            wants.push((Wisher::Entry(index), want));
        }
        Wanted { plan, by_source }
    }

    /// Reads what is wanted, one archive after the other: each takes all cores for itself.
    pub(super) fn read(
        &self,
        blobs: &BTreeMap<String, Blob>,
        store: &Store,
        limits: &Limits,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<Wisher, Vec<Member>>, AssembleError> {
        let mut read = BTreeMap::new();
        let mut absent = Vec::new();
        for (name, wishes) in &self.by_source {
            let blob = blobs.get(*name).ok_or_else(|| AssembleError::Missing {
                name: (*name).to_owned(),
                at: place_of_first(wishes),
            })?;
            let wants: Vec<Want> = wishes.iter().map(|(_, want)| want.clone()).collect();
            let explained = |error: ArchiveError| {
                let at = error
                    .pattern()
                    .and_then(|pattern| place_of(wishes, pattern));
                AssembleError::Source {
                    source_name: (*name).to_owned(),
                    at: at.unwrap_or_else(|| place_of_first(wishes)),
                    error: Box::new(error),
                }
            };
            let image = self
                .plan
                .sources
                .get(*name)
                .filter(|source| source.is_oci());
            let listings = match image {
                Some(image) => {
                    let (digest, arch) = (&image.digest, self.plan.arch);
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
            for ((wisher, _), members) in wishes.iter().zip(listings) {
                read.insert(*wisher, members);
            }
        }
        if !absent.is_empty() {
            return Err(AssembleError::Several(absent));
        }
        Ok(read)
    }
}

/// Returns where the recipe wants a member by a pattern.
fn place_of(wishes: &[(Wisher, Want)], pattern: &str) -> Option<StatementId> {
    let has = |want: &Want| patterns(want).into_iter().any(|own| own == pattern);
    let (wisher, _) = wishes.iter().find(|(_, want)| has(want))?;
    Some(wisher.place(Word::Pattern(pattern.to_owned())))
}
