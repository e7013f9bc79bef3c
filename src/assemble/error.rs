//! Why a plan gives no tree.

use crate::plan::StatementId;
use crate::source::ArchiveError;
use crate::store::StoreError;
use crate::tree::{Conflict, PathError};

use super::applets::AppletsError;
use super::container::InitError;

/// Why a plan gives no tree.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The members of a source cannot be had.
    #[error("source `{source_name}`: {error}")]
    Source {
        /// The source's name.
        source_name: String,
        /// The node whose wish it was.
        at: StatementId,
        /// What happened.
        #[source]
        error: Box<ArchiveError>,
    },
    /// Several things that entries want are not in their sources.
    #[error("{}", first(.0))]
    Several(Vec<AssembleError>),
    /// A glob of `modes` is none, or matches nothing that has a mode.
    #[error("{error}")]
    Modes {
        /// The glob.
        at: StatementId,
        /// What is wrong.
        #[source]
        error: Box<ArchiveError>,
        /// The entry: its index in the plan.
        entry: usize,
    },
    /// A container image that no `/init` can be written for.
    #[error("no `/init` can be written: {error}")]
    Init {
        /// Why not.
        #[source]
        error: InitError,
        /// The entry: its index in the plan.
        entry: usize,
    },
    /// A member of a container image that no image of mkimg can have.
    #[error("`{member}` is refused: {problem}")]
    Flawed {
        /// The member.
        member: String,
        /// Why.
        problem: String,
        /// The entry: its index in the plan.
        entry: usize,
    },
    /// Two entries do not go together.
    #[error("{conflict}")]
    Conflict {
        /// How they clash.
        #[source]
        conflict: Conflict,
        /// The later entry: its index in the plan.
        entry: usize,
    },
    /// The place for a member is no path of an entry.
    #[error("`{member}` cannot be an entry: {error}")]
    Path {
        /// The member, or the path made from it.
        member: String,
        /// What is wrong.
        #[source]
        error: PathError,
        /// The entry: its index in the plan.
        entry: usize,
    },
    /// A source of the plan was not fetched, or a local file not read.
    #[error("`{name}` is not at hand")]
    Missing {
        /// The source or file.
        name: String,
        /// The node that wants it.
        at: StatementId,
    },
    /// `applets of=` names nothing that is in the image, or no regular file.
    #[error("`{of}`, which should be a BusyBox, is {found}")]
    NoBusyBox {
        /// The path as the recipe gives it.
        of: String,
        /// What is there instead.
        found: &'static str,
        /// The entry: its index in the plan.
        entry: usize,
    },
    /// The BusyBox tells no applets.
    #[error("no applets can be read out of `{of}`: {error}")]
    Applets {
        /// The path as the recipe gives it.
        of: String,
        /// What is wrong.
        #[source]
        error: AppletsError,
        /// The entry: its index in the plan.
        entry: usize,
    },
    /// A file of this machine cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn first(errors: &[AssembleError]) -> String {
    errors.first().map(ToString::to_string).unwrap_or_default()
}
