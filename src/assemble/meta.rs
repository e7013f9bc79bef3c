//! Modes and owners of what a `tree` takes.

use super::AssembleError;
use crate::recipe::{Owner, Spanned};
use crate::source::{Member, matching};
use crate::text::shown;

/// Returns whose a member is in its archive.
pub(super) fn owner_of(member: &Member, entry: usize) -> Result<Owner, AssembleError> {
    let id = |id: u64| u32::try_from(id).ok();
    match (id(member.uid), id(member.gid)) {
        (Some(uid), Some(gid)) => Ok(Owner { uid, gid }),
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
    modes: &[(Spanned<String>, u32)],
    entry: usize,
) -> Result<Vec<Member>, AssembleError> {
    for (glob, mode) in modes {
        let nothing = |error| AssembleError::Modes {
            at: glob.span.clone(),
            error: Box::new(error),
            entry,
        };
        let matched = matching(&members, &glob.value).map_err(nothing)?;
        for index in matched {
            if let Some(member) = members.get_mut(index) {
                member.mode = *mode;
            }
        }
    }
    Ok(members)
}
