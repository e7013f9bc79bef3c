//! Which entries of a tree `include` and `exclude` take.
//!
//! A pattern that matches a directory takes everything below it, `exclude` wins, and the directories above what is taken come
//! along.

use super::archive_error::ArchiveError;
use super::members::{Member, MemberKind};
use super::want::{Glob, is_in};

/// The patterns of a `tree`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// What is taken; empty is everything. Each must match something.
    pub include: Vec<String>,
    /// What is not, whatever `include` says.
    pub exclude: Vec<String>,
}

/// What the patterns say about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    In,
    Out,
    Excluded,
}

/// Judges the entries of a tree, each after the directory that it is in.
pub(super) struct Selector {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
    /// Which of `include` matched something.
    used: Vec<bool>,
}

impl Selector {
    pub(super) fn new(selection: &Selection) -> Result<Selector, ArchiveError> {
        let globs = |texts: &[String]| {
            let globs = texts.iter().map(|text| Glob::new(text));
            globs.collect::<Result<Vec<Glob>, ArchiveError>>()
        };
        Ok(Selector {
            used: vec![false; selection.include.len()],
            include: globs(&selection.include)?,
            exclude: globs(&selection.exclude)?,
        })
    }

    /// Returns the verdict about the directory that everything is in.
    pub(super) fn root(&self) -> Verdict {
        match self.include.is_empty() {
            true => Verdict::In,
            false => Verdict::Out,
        }
    }

    /// Returns the verdict about a path in a directory that has the verdict `above`.
    pub(super) fn judge(&mut self, path: &[u8], above: Verdict) -> Verdict {
        if above == Verdict::Excluded {
            return above;
        }
        let mut selected = above == Verdict::In;
        for (glob, used) in self.include.iter().zip(&mut self.used) {
            // Below what is selected, patterns are only tried to see whether they match anything at all.
            if (!selected || !*used) && glob.matches(path) {
                (selected, *used) = (true, true);
            }
        }
        match selected {
            _ if self.exclude.iter().any(|glob| glob.matches(path)) => Verdict::Excluded,
            true => Verdict::In,
            false => Verdict::Out,
        }
    }

    /// Says whether something below a directory that is not selected itself may be.
    pub(super) fn may_be_below(&self, directory: &[u8]) -> bool {
        self.include.iter().any(|glob| {
            let fixed = glob.fixed();
            is_in(fixed, directory) || is_in(directory, fixed) || fixed.is_empty()
        })
    }

    /// Returns the first pattern of `include` that matched nothing.
    pub(super) fn unused(&self) -> Option<&str> {
        let mut globs = self.include.iter().zip(&self.used);
        globs.find(|(_, used)| !**used).map(|(glob, _)| glob.text())
    }
}

/// Takes what is selected out of members, sorted by path; `name` is what messages call what they are in.
///
/// # Errors
/// [`ArchiveError`] for a pattern that is none, or that includes nothing.
pub fn select(
    mut members: Vec<Member>,
    selection: &Selection,
    name: &str,
) -> Result<Vec<Member>, ArchiveError> {
    let mut selector = Selector::new(selection)?;
    if selection.include.is_empty() && selection.exclude.is_empty() {
        return Ok(members);
    }
    // What is in a directory follows it; in the order of the bytes `a-b` stands between `a` and `a/b`.
    members.sort_by(|one, other| parts(&one.path).cmp(parts(&other.path)));
    // The directories on the way to the member: their paths, verdicts, and what is to come along.
    let mut above: Vec<(Vec<u8>, Verdict, Option<Member>)> = Vec::new();
    let mut taken = Vec::new();
    for member in members {
        while above
            .last()
            .is_some_and(|(path, ..)| !is_in(&member.path, path))
        {
            above.pop();
        }
        let over = above
            .last()
            .map_or(selector.root(), |(_, verdict, _)| *verdict);
        let verdict = selector.judge(&member.path, over);
        if verdict == Verdict::In {
            taken.extend(above.iter_mut().filter_map(|(.., waiting)| waiting.take()));
            taken.push(member.clone());
        }
        if member.kind == MemberKind::Directory {
            let path = member.path.clone();
            let waiting = (verdict != Verdict::In).then_some(member);
            above.push((path, verdict, waiting));
        }
    }
    if let Some(glob) = selector.unused() {
        return Err(ArchiveError::NoMatch {
            archive: name.to_owned(),
            what: "member",
            path: glob.to_owned(),
            help: String::new(),
        });
    }
    taken.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(taken)
}

/// Returns the indices of the members that a glob matches and that have a mode; at least one.
///
/// # Errors
/// [`ArchiveError`] for a pattern that is none, or that matches nothing.
pub fn matching(members: &[Member], glob: &str) -> Result<Vec<usize>, ArchiveError> {
    let pattern = Glob::new(glob)?;
    let matches = |(_, member): &(usize, &Member)| {
        !matches!(member.kind, MemberKind::Symlink(_)) && pattern.matches(&member.path)
    };
    let matched = members.iter().enumerate().filter(matches);
    let matched: Vec<usize> = matched.map(|(index, _)| index).collect();
    match matched.is_empty() {
        false => Ok(matched),
        true => Err(ArchiveError::NoMatch {
            archive: "the tree".to_owned(),
            what: "file or directory",
            path: glob.to_owned(),
            help: String::new(),
        }),
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}
