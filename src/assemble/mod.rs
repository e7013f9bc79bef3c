//! A plan and its blobs to one finished tree, and the kernel.
//!
//! Entries take effect in the order of the recipe. An `applets` node whose BusyBox comes later waits for the end.

pub mod applets;
mod builder;
mod container;
mod error;
mod init;
mod meta;
mod wanted;

use std::collections::BTreeMap;

pub use container::InitError;
pub use error::AssembleError;

use crate::plan::{Plan, PlannedKind, StatementId, Word};
use crate::progress::{Event, Progress};
use crate::source::{Limits, Member};
use crate::store::{Blob, Store};
use crate::tree::{Content, Tree};
use builder::{Builder, content_of, content_of_origin};
use wanted::{Wanted, Wisher};

/// What a plan gives before it is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The root file system; an entry's origin is its index in the plan.
    pub tree: Tree,
    /// The kernel image.
    pub kernel: Content,
}

/// Assembles a plan. `blobs` has each of its sources by name, `locals` what entries take out of directories beside the recipe, by
/// their indices in the plan.
///
/// # Errors
/// [`AssembleError`]; what was read out of archives until then is kept in the cache.
pub fn assemble(
    plan: &Plan,
    blobs: &BTreeMap<String, Blob>,
    mut locals: BTreeMap<usize, Vec<Member>>,
    store: &Store,
    limits: &Limits,
    progress: &dyn Progress,
) -> Result<Assembled, AssembleError> {
    let wanted = Wanted::of(plan);
    let mut read = wanted.read(blobs, store, limits, progress)?;
    let kernel = match read
        .remove(&Wisher::Kernel)
        .and_then(|members| members.into_iter().next())
    {
        Some(member) => content_of(&member),
        None => {
            let at = StatementId::Kernel(Word::Whole);
            content_of_origin(blobs, &plan.kernel, &at)?
        }
    };
    let mut builder = Builder {
        plan,
        store,
        blobs,
        tree: Tree::new(plan.epoch),
        other_owners: (0, String::new()),
        progress,
    };
    let (mut waiting, mut inits) = (Vec::new(), Vec::new());
    for (index, planned) in plan.entries.iter().enumerate() {
        let local = locals.remove(&index);
        let members = local.or_else(|| read.remove(&Wisher::Entry(index)));
        let members = members.unwrap_or_default();
        if let PlannedKind::Applets { of, .. } = &planned.kind
            && builder.busybox(of, index).is_err()
        {
            waiting.push((index, planned));
            continue;
        }
        // What is in the root decides how the program is run.
        if let PlannedKind::Init { .. } = &planned.kind {
            inits.push((index, planned, members));
            continue;
        }
        builder.add(index, planned, members)?;
    }
    for (index, planned) in waiting {
        builder.add(index, planned, Vec::new())?;
    }
    for (index, planned, members) in inits {
        builder.add(index, planned, members)?;
    }
    let (count, first) = builder.other_owners;
    if count > 0 {
        progress.event(Event::Warning(format!(
            "`tree` nodes: other owners than root in the archives ({count} in all, the first is {first}) become the node's \
             `uid` and `gid` (0:0 by default)"
        )));
    }
    Ok(Assembled {
        tree: builder.tree,
        kernel,
    })
}
