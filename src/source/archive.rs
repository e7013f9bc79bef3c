//! What kind of archive a file is, by its bytes, and where its members are.
//!
//! A file is a shell around a stream (a package), a compressed stream, or a stream: each of them is one line of a table here and
//! one file beside this one. No name is looked at.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use super::apk::{self, Apk};
use super::archive_error::{ArchiveError, StreamProblem};
use super::cpio::{self, Cpio};
use super::deb;
use super::entry::Walk;
use super::octal::is_header;
use super::rpm::{self, Rpm};
use super::tape::{Input, Tape};
use super::tar::Tar;
use super::unpack::{Format, PLAIN, unsupported};
use super::zip::{self, Zip};
use crate::dir;
use crate::progress::Progress;
use crate::store::Blob;

/// The bytes at the beginning of a file, and of what is in it, that tell what it is.
const HEAD: u64 = 512;

/// Bytes of a file, and how they are compressed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The first byte.
    pub(super) offset: u64,
    /// The number of bytes.
    pub(super) size: u64,
    /// How they are compressed.
    pub(super) format: &'static Format,
}

/// A kind of package around a stream of members.
struct Shell {
    magic: &'static [u8],
    form: &'static Form,
    find: fn(&Opened, &mut File) -> Result<Part, ArchiveError>,
}

/// A kind of archive.
pub(super) struct Form {
    /// The word for it in messages.
    name: &'static str,
    /// Says whether one begins like this, by [`HEAD`] bytes where there are as many.
    knows: fn(&[u8]) -> bool,
    /// It is read to and fro, so it cannot be compressed as a whole.
    plain: bool,
    /// Begins at the first member.
    walk: for<'a> fn(Source<'a>) -> Result<Box<dyn Walk + 'a>, ArchiveError>,
}

const SHELLS: [Shell; 2] = [
    Shell {
        magic: deb::MAGIC,
        form: &TAR,
        find: |opened, file| deb::find(file, opened).map(|shell| shell.data),
    },
    Shell {
        magic: rpm::MAGIC,
        form: &RPM,
        find: rpm::find,
    },
];

/// The first one that knows it counts.
static FORMS: [&Form; 4] = [&APK, &TAR, &CPIO, &ZIP];

static APK: Form = Form {
    name: "tar",
    knows: apk::is_apk,
    plain: false,
    walk: |source| Ok(Box::new(Apk::new(source.tape()?))),
};

static TAR: Form = Form {
    name: "tar",
    knows: |head| head.first_chunk().is_some_and(is_header),
    plain: false,
    walk: |source| Ok(Box::new(Tar::new(source.tape()?))),
};

/// A layer of a container image.
static LAYER: Form = Form {
    name: "tar",
    knows: |_| false,
    plain: false,
    walk: |source| Ok(Box::new(Tar::layer(source.tape()?))),
};

/// Known by its shell.
static RPM: Form = Form {
    name: "rpm",
    knows: |_| false,
    plain: true,
    walk: |source| Ok(Box::new(Rpm::new(source)?)),
};

static CPIO: Form = Form {
    name: "cpio",
    knows: cpio::is_cpio,
    plain: false,
    walk: |source| Ok(Box::new(Cpio::new(source.tape()?))),
};

static ZIP: Form = Form {
    name: "zip",
    knows: zip::is_zip,
    plain: true,
    walk: |source| Ok(Box::new(Zip::new(source)?)),
};

/// Says whether a file that begins like this is an archive, or compressed, as far as [`HEAD`] bytes tell.
pub fn is_archive(head: &[u8]) -> bool {
    SHELLS.iter().any(|shell| head.starts_with(shell.magic))
        || FORMS.iter().any(|form| (form.knows)(head))
        || Format::of(head).is_some()
}

/// A file that may be an archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened<'a> {
    pub(super) name: &'a str,
    pub(super) blob: &'a Blob,
}

impl Opened<'_> {
    /// Returns the error for a file that cannot be read.
    pub(super) fn failed(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Read {
            archive: self.name.to_owned(),
            path: self.blob.path.clone(),
            source,
        }
    }

    /// Returns the error for something in it.
    pub(super) fn problem(
        &self,
        form: &'static str,
        problem: StreamProblem,
        offset: u64,
    ) -> ArchiveError {
        ArchiveError::Stream {
            archive: self.name.to_owned(),
            form,
            offset,
            problem,
        }
    }

    /// Opens its file at a place.
    pub(super) fn file(&self, offset: u64) -> Result<File, ArchiveError> {
        let open = || {
            let mut file = dir::open(&self.blob.path)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        };
        open().map_err(|source| self.failed(source))
    }
}

/// What an archive is read from, and how.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) opened: Opened<'a>,
    form: &'static Form,
    part: Part,
    threads: usize,
    /// The most plain bytes that may be read.
    pub(super) limit: u64,
    pub(super) progress: &'a dyn Progress,
}

impl<'a> Source<'a> {
    /// Returns the plain bytes.
    pub(super) fn tape(&self) -> Result<Tape<'a>, ArchiveError> {
        let Part {
            offset,
            size,
            format,
        } = self.part;
        let file = self.opened.file(offset)?.take(size);
        let input = Input::new(file, offset, self.progress);
        let (name, form) = (self.opened.name, self.form.name);
        Ok(Tape::new(
            name,
            form,
            format,
            input,
            self.threads,
            self.limit,
        ))
    }

    /// Returns the error for something in it.
    pub(super) fn problem(&self, problem: StreamProblem, offset: u64) -> ArchiveError {
        self.opened.problem(self.form.name, problem, offset)
    }
}

/// An archive whose kind is known.
pub(super) struct Archive<'a> {
    opened: Opened<'a>,
    form: &'static Form,
    part: Part,
    deb: bool,
}

impl<'a> Archive<'a> {
    /// Finds out what a blob is. Of a package the whole outer shell is checked, its files' bytes are not.
    pub(super) fn open(blob: &'a Blob, name: &'a str) -> Result<Archive<'a>, ArchiveError> {
        let opened = Opened { name, blob };
        let mut file = opened.file(0)?;
        let head = head(&mut file).map_err(|source| opened.failed(source))?;
        for shell in &SHELLS {
            if head.starts_with(shell.magic) {
                return Ok(Archive {
                    opened,
                    form: shell.form,
                    part: (shell.find)(&opened, &mut file)?,
                    deb: shell.magic == deb::MAGIC,
                });
            }
        }
        let part = Part {
            offset: 0,
            size: blob.size,
            format: Format::of(&head).unwrap_or(&PLAIN),
        };
        let compressed = Format::of(&head).is_some();
        let inside = match compressed {
            // What is broken there is told when it is read.
            true => {
                let mut plain = part.format.reader(opened.file(0)?, 1);
                self::head(&mut plain).unwrap_or_default()
            }
            false => head,
        };
        let knows = |form: &&&Form| (form.knows)(&inside) && !(form.plain && compressed);
        let form = match FORMS.iter().find(knows) {
            Some(form) => form,
            // A tar archive of no members is nothing but zeros; what only begins with them is found out while it is read.
            None if compressed || inside == [0; HEAD as usize] => &TAR,
            None => {
                let archive = name.to_owned();
                return Err(match unsupported(&inside) {
                    Some(found) => ArchiveError::Unsupported { archive, found },
                    None => ArchiveError::NotAnArchive { archive },
                });
            }
        };
        Ok(Archive {
            opened,
            form,
            part,
            deb: false,
        })
    }

    /// Returns a layer of a container image: a tar, which may be compressed.
    pub(super) fn layer(blob: &'a Blob, name: &'a str) -> Result<Archive<'a>, ArchiveError> {
        let opened = Opened { name, blob };
        let head = head(&mut opened.file(0)?).map_err(|source| opened.failed(source))?;
        Ok(Archive {
            opened,
            form: &LAYER,
            part: Part {
                offset: 0,
                size: blob.size,
                format: Format::of(&head).unwrap_or(&PLAIN),
            },
            deb: false,
        })
    }

    /// Finds the control archive of a `.deb`; `None` where the blob is none.
    pub(super) fn control(
        blob: &'a Blob,
        name: &'a str,
    ) -> Result<Option<Archive<'a>>, ArchiveError> {
        let opened = Opened { name, blob };
        let mut file = opened.file(0)?;
        let head = head(&mut file).map_err(|source| opened.failed(source))?;
        if !head.starts_with(deb::MAGIC) {
            return Ok(None);
        }
        Ok(Some(Archive {
            opened,
            form: &TAR,
            part: deb::find(&mut file, &opened)?.control,
            deb: true,
        }))
    }

    /// Says whether it is a Debian package.
    pub(super) fn is_deb(&self) -> bool {
        self.deb
    }

    /// Begins at the first member. At most `limit` plain bytes may be read.
    pub(super) fn walk(
        &self,
        threads: usize,
        limit: u64,
        progress: &'a dyn Progress,
    ) -> Result<Box<dyn Walk + 'a>, ArchiveError> {
        (self.form.walk)(Source {
            opened: self.opened,
            form: self.form,
            part: self.part,
            threads,
            limit,
            progress,
        })
    }
}

fn head(file: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}
