//! Names of members, made normal.

use super::archive_error::MemberProblem;

/// The longest name of a member, in bytes.
pub(super) const PATH_MAX: usize = 4095;

/// The longest component of a name: `NAME_MAX` of `linux/limits.h`. No file system of the kernel takes a longer one.
const NAME_MAX: usize = 255;

/// Returns a name as [`normal`] does; `..` takes back what stands before it and stops at the root, where a `/` in front begins too.
pub(super) fn confined(raw: &[u8]) -> Result<Vec<u8>, MemberProblem> {
    let mut parts: Vec<&[u8]> = vec![b"."];
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b".." if parts.len() == 1 => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    normal(&parts.join(&b'/'))
}

/// Returns a name without `./`, `//` and a `/` at the end; the root becomes empty.
pub(super) fn normal(raw: &[u8]) -> Result<Vec<u8>, MemberProblem> {
    match raw {
        b"" => return Err(MemberProblem::Empty),
        [b'/', ..] => return Err(MemberProblem::Absolute),
        _ if raw.contains(&0) => return Err(MemberProblem::Nul),
        _ if raw.contains(&b'\n') => return Err(MemberProblem::LineBreak),
        _ => {}
    }
    let mut path = Vec::with_capacity(raw.len());
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(MemberProblem::Parent),
            _ if part.len() > NAME_MAX => return Err(MemberProblem::LongComponent),
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    if path.len() > PATH_MAX {
        return Err(MemberProblem::Long);
    }
    Ok(path)
}
