//! Modes and owners of what a `tree` takes.

use super::AssembleError;
use crate::plan::{StatementId, Word};
use crate::source::{Member, matching};
use crate::text::shown;

/// Returns whose a member is in its archive: user and group.
pub(super) fn owner_of(member: &Member, entry: usize) -> Result<(u32, u32), AssembleError> {
    let id = |id: u64| u32::try_from(id).ok();
    match (id(member.uid), id(member.gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(AssembleError::Flawed {
            member: shown(&member.path),
            problem: format!(
                "its owner {}:{} does not fit into 32 bits",
                member.uid, member.gid
            ),
            entry,
        }),
    }
}

/// Gives members the modes that a `tree` has for them.
pub(super) fn with_modes(
    mut members: Vec<Member>,
    modes: &[(String, u32)],
    entry: usize,
) -> Result<Vec<Member>, AssembleError> {
    for (glob, mode) in modes {
        let nothing = |error| AssembleError::Modes {
            at: StatementId::Entry(entry, Word::Mode(glob.clone())),
            error: Box::new(error),
            entry,
        };
        let matched = matching(&members, glob).map_err(nothing)?;
        for index in matched {
            if let Some(member) = members.get_mut(index) {
                member.mode = *mode;
            }
        }
    }
    Ok(members)
}
