//! Packages of Alpine and Arch: tar streams that begin with members about the package, which no package manager unpacks.
//!
//! An `.apk` of version 2 is gzip members one behind the other: a signature, `.PKGINFO` with scripts, and the files. The tar
//! streams in the first two have no end, so all three are one stream. A package of Arch Linux is one stream altogether. In both
//! whatever stands at the root with a dot in front is about the package.

use super::archive_error::ArchiveError;
use super::entry::{Entry, Sink, Walk};
use super::octal::is_header;
use super::tape::Tape;
use super::tar::Tar;

/// Names that the first member of a package begins with.
const FIRST: [&[u8]; 4] = [b".SIGN.", b".PKGINFO", b".BUILDINFO", b".MTREE"];

/// Says whether a tar stream begins like a package.
pub(super) fn is_apk(head: &[u8]) -> bool {
    let tar = head.first_chunk().is_some_and(is_header);
    tar && FIRST.iter().any(|name| head.starts_with(name))
}

/// Walks over the files of a package.
pub(super) struct Apk<'a>(Tar<'a>);

impl<'a> Apk<'a> {
    /// Begins at the tape's place.
    pub(super) fn new(tape: Tape<'a>) -> Apk<'a> {
        Apk(Tar::new(tape))
    }
}

impl Walk for Apk<'_> {
    fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        loop {
            match self.0.next()? {
                Some(entry) if entry.path.starts_with(b".") => {}
                entry => return Ok(entry),
            }
        }
    }

    fn body(&mut self, sink: &mut Sink) -> Result<(), ArchiveError> {
        self.0.body(sink)
    }

    fn position(&self) -> u64 {
        self.0.position()
    }
}
