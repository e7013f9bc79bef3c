//! What is wanted out of an archive, and how far it has to be read for it.
//!
//! Patterns are those of the crate `glob`, over member names without a leading `./`: `*` and `?` never match a `/`, `**` as a
//! whole component matches any number of components, `[..]` is a set. Names that are not UTF-8 are compared with U+FFFD in
//! place of what is not; a path without any of `*?[` is compared byte by byte.

use glob::{MatchOptions, Pattern};

use super::archive_error::ArchiveError;
use super::listing::escaped;
use crate::digest::Digest;

/// What is wanted out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The one regular file (or hard link) whose name is `path`, or matches it where it is a pattern.
    ///
    /// Reading stops as soon as it is certain, which is a function of the archive and the path alone:
    /// - a path without `*?[`, in a `.deb`: behind the first member of that name, since dpkg-deb writes each name once;
    /// - a pattern, in a `.deb`: once a file matched and a member follows that is not below the directories in front of the
    ///   first component with one of `*?[` (`boot` for `boot/vmlinuz-*`; a pattern without any is read to the end). dpkg-deb
    ///   writes a directory's files together, and only symlinks, which never match, at the end;
    /// - in any other archive: at the end, since a later member takes the place of an earlier one of the same name.
    ///
    /// What stands behind that place is not looked at: the archive's sha256 answers for it.
    One {
        /// The path or pattern.
        path: String,
    },
    /// Everything, or what is selected, with kinds, modes and owners. Always reads to the end.
    ///
    /// A pattern that matches a directory takes everything below it; the directories above a selected member that the archive
    /// has come along.
    Tree {
        /// What is selected; empty is everything. Each must match something.
        include: Vec<String>,
        /// What is not, whatever `include` says.
        exclude: Vec<String>,
    },
}

/// A want that was understood.
#[derive(Debug)]
pub(super) enum Plan {
    One(Glob),
    Tree {
        include: Vec<Glob>,
        exclude: Vec<Glob>,
    },
}

/// Changes when another set of members would come out of the same archive for the same want.
const RULES: u32 = 2;

impl Plan {
    /// Understands a want. Order and repetition of patterns mean nothing.
    pub(super) fn new(want: &Want) -> Result<Plan, ArchiveError> {
        let globs = |patterns: &[String]| {
            let mut globs = patterns
                .iter()
                .map(|pattern| Glob::new(pattern))
                .collect::<Result<Vec<_>, _>>()?;
            globs.sort_by(|one, other| one.text.cmp(&other.text));
            globs.dedup_by(|one, other| one.text == other.text);
            Ok::<_, ArchiveError>(globs)
        };
        Ok(match want {
            Want::One { path } => Plan::One(Glob::new(path)?),
            Want::Tree { include, exclude } => Plan::Tree {
                include: globs(include)?,
                exclude: globs(exclude)?,
            },
        })
    }

    /// Returns the text that stands for it: equal where the members are.
    pub(super) fn key(&self) -> String {
        match self {
            Plan::One(glob) => format!("{RULES} one {}", escaped(glob.text.as_bytes())),
            Plan::Tree { include, exclude } => {
                let mut key = format!("{RULES} tree");
                for (sign, globs) in [('+', include), ('-', exclude)] {
                    for glob in globs {
                        key.push(' ');
                        key.push(sign);
                        key.push_str(&escaped(glob.text.as_bytes()));
                    }
                }
                key
            }
        }
    }

    /// Returns the digest that names it in the cache.
    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.key().as_bytes())
    }

    /// Says whether a whole archive has to be read for it.
    pub(super) fn reads_all(&self, deb: bool) -> bool {
        match self {
            Plan::One(glob) => matches!(glob.stop(deb), Stop::End),
            Plan::Tree { .. } => true,
        }
    }
}

/// Where reading for one file stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Behind the first match.
    First,
    /// Once a file matched, at the first member that is not below this directory.
    Leaving(Vec<u8>),
    /// At the end.
    End,
}

/// A path or pattern.
#[derive(Debug)]
pub(super) struct Glob {
    text: String,
    /// `None` where it is a path.
    pattern: Option<Pattern>,
}

const SPECIAL: &[char] = &['*', '?', '['];

impl Glob {
    /// Understands a pattern; `./` or `/` in front and `/` at the end are dropped.
    pub(super) fn new(text: &str) -> Result<Glob, ArchiveError> {
        let error = |reason: &str| ArchiveError::Pattern {
            pattern: text.to_owned(),
            reason: reason.to_owned(),
        };
        let mut rest = text.trim_start_matches('/');
        while let Some(less) = rest.strip_prefix("./") {
            rest = less.trim_start_matches('/');
        }
        let rest = rest.trim_end_matches('/');
        if rest.is_empty() || rest == "." {
            return Err(error("it is empty"));
        }
        let pattern = match rest.contains(SPECIAL) {
            true => Some(Pattern::new(rest).map_err(|found| error(found.msg))?),
            false => None,
        };
        Ok(Glob {
            text: rest.to_owned(),
            pattern,
        })
    }

    /// Returns the pattern's text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Says whether it is a path.
    pub(super) fn is_path(&self) -> bool {
        self.pattern.is_none()
    }

    /// Says whether a member's name matches.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        const OPTIONS: MatchOptions = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        match &self.pattern {
            None => self.text.as_bytes() == path,
            Some(pattern) => pattern.matches_with(&String::from_utf8_lossy(path), OPTIONS),
        }
    }

    /// Returns where reading stops when one file that matches is wanted.
    pub(super) fn stop(&self, deb: bool) -> Stop {
        if self.is_path() {
            return if deb { Stop::First } else { Stop::End };
        }
        match self.fixed() {
            directory if deb && !directory.is_empty() => Stop::Leaving(directory.to_vec()),
            _ => Stop::End,
        }
    }

    /// Returns the directories in front of the first component with one of `*?[`; of a path all of it.
    pub(super) fn fixed(&self) -> &[u8] {
        let end = match self.text.find(SPECIAL) {
            Some(end) => self.text[..end].rfind('/').unwrap_or(0),
            None => self.text.len(),
        };
        &self.text.as_bytes()[..end]
    }
}

/// Says whether `path` is `directory`, or below it.
pub(super) fn is_in(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
