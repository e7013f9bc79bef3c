//! What can go wrong when members are read out of an archive.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::store::StoreError;
pub(super) use crate::text::shown;

/// What can be read, for messages.
const SUPPORTED: &str = "mkimg reads .deb, .rpm, .apk, .zip, .whl, .tar and .cpio, these two also compressed with gzip, xz, zstd, bzip2, lzma or lzip";

/// A failure to read members out of an archive. `archive` is always the name that the caller gave it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The cache cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive's bytes in the cache are not the ones that its name says; nothing was kept of what was read.
    #[error("`{archive}` is damaged in the cache")]
    Damaged {
        /// The archive.
        archive: String,
        /// Its name in the cache: remove that blob and get it again.
        digest: Digest,
        /// What was found.
        #[source]
        source: Box<StoreError>,
    },
    /// The archive's file cannot be read.
    #[error("could not read `{path}`, which is `{archive}` in the cache")]
    Read {
        /// The archive.
        archive: String,
        /// Its file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A document of a container image.
    #[error("`{archive}`: {problem}")]
    Image {
        /// The image.
        archive: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The first bytes are those of no known archive.
    #[error("`{archive}` is not an archive: {SUPPORTED}")]
    NotAnArchive {
        /// The archive.
        archive: String,
    },
    /// The first bytes are those of something that mkimg does not read.
    #[error("`{archive}` is {found}, which is not supported: {SUPPORTED}")]
    Unsupported {
        /// The archive.
        archive: String,
        /// What it is, with an article.
        found: &'static str,
    },
    /// A `.deb` does not have the form of deb(5).
    #[error("`{archive}` is no valid .deb: {problem}")]
    Deb {
        /// The archive.
        archive: String,
        /// Why not.
        problem: DebProblem,
    },
    /// The compressed bytes are broken.
    #[error("could not decompress `{archive}` ({format})")]
    Decompress {
        /// The archive.
        archive: String,
        /// How it is compressed.
        format: &'static str,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// The members, one behind the other, are broken.
    #[error("`{archive}` is no valid {form} archive: at byte {offset}: {problem}")]
    Stream {
        /// The archive.
        archive: String,
        /// What it should be: `tar`, say.
        form: &'static str,
        /// The byte in the decompressed stream, or near it.
        offset: u64,
        /// What is there.
        problem: StreamProblem,
    },
    /// A member cannot become part of an image.
    #[error("`{member}` in `{archive}` is refused: {problem}")]
    Member {
        /// The archive.
        archive: String,
        /// The member's name, with what is not printable escaped.
        member: String,
        /// Why.
        problem: MemberProblem,
    },
    /// More bytes came out of the archive than the limit allows.
    #[error(
        "`{archive}` has more than {limit} bytes when it is decompressed: raise the limit with `--max-unpacked` if you trust it"
    )]
    TooLarge {
        /// The archive.
        archive: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The archive has too many members to keep track of.
    #[error("`{archive}` has more than {limit} members and directories above them")]
    TooMany {
        /// The archive.
        archive: String,
        /// The limit.
        limit: usize,
    },
    /// A pattern cannot be understood.
    #[error(
        "`{pattern}` is no valid pattern: {reason} (a `[` that stands for itself is written `[[]`)"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// No member matches.
    #[error("no {what} in `{archive}` matches `{path}`{help}")]
    NoMatch {
        /// The archive.
        archive: String,
        /// What was looked for: `file` or `member`.
        what: &'static str,
        /// The path or pattern.
        path: String,
        /// What to name instead, with a leading separator; or nothing.
        help: String,
    },
    /// Several things that were asked for are not there.
    #[error("{}", first(.0))]
    All(Vec<ArchiveError>),
    /// Several members match where one is wanted.
    #[error("{count} files in `{archive}` match `{path}`, exactly one must: {members}")]
    Several {
        /// The archive.
        archive: String,
        /// The pattern.
        path: String,
        /// How many match, as far as the archive was read.
        count: usize,
        /// The first ten.
        members: String,
    },
    /// The path names something else than a file.
    #[error("`{path}` in `{archive}` is {found}, not a file: {help}")]
    NotAFile {
        /// The archive.
        archive: String,
        /// The path.
        path: String,
        /// What it is, with an article.
        found: String,
        /// What to do.
        help: String,
    },
}

fn first(errors: &[ArchiveError]) -> String {
    errors.first().map(ToString::to_string).unwrap_or_default()
}

impl MemberProblem {
    /// Says whether a member with it may be there as long as it is not selected: everything else is checked on whatever is read.
    pub fn may_be_left_out(&self) -> bool {
        matches!(
            self,
            MemberProblem::Attribute(_)
                | MemberProblem::Fifo
                | MemberProblem::Size(_)
                | MemberProblem::LinkAbsent(_)
                | MemberProblem::LinkKind(..)
        )
    }
}

impl ArchiveError {
    /// Returns one error for several, of which there is at least one.
    pub(super) fn join(mut errors: Vec<ArchiveError>) -> Option<ArchiveError> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(ArchiveError::All(errors)),
        }
    }

    /// Returns the errors that this one stands for.
    pub fn each(self) -> Vec<ArchiveError> {
        match self {
            ArchiveError::All(errors) => errors,
            error => vec![error],
        }
    }

    /// Says whether nothing else is wrong than that members are not there.
    pub fn is_absence(&self) -> bool {
        match self {
            ArchiveError::NoMatch { .. } => true,
            ArchiveError::All(errors) => errors.iter().all(ArchiveError::is_absence),
            _ => false,
        }
    }

    /// Returns the path or pattern of the want that could not be met.
    pub fn pattern(&self) -> Option<&str> {
        match self {
            ArchiveError::Pattern { pattern: path, .. }
            | ArchiveError::NoMatch { path, .. }
            | ArchiveError::Several { path, .. }
            | ArchiveError::NotAFile { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// Why a file is no `.deb`: deb(5) and ar(5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DebProblem {
    /// The file ends inside something.
    #[error("it is truncated: {what} at byte {offset} needs {need} bytes, {have} are there")]
    Truncated {
        /// What is cut.
        what: String,
        /// Where it begins.
        offset: u64,
        /// Its size.
        need: u64,
        /// What is left of the file.
        have: u64,
    },
    /// A member header is malformed.
    #[error("the member header at byte {offset} has a bad {field}")]
    Header {
        /// Where.
        offset: u64,
        /// Which part of it.
        field: &'static str,
    },
    /// The byte that fills a member up to an even size is not a line feed.
    #[error("the padding at byte {offset} is not a line feed")]
    Padding {
        /// Where.
        offset: u64,
    },
    /// The first member is another one.
    #[error("its first member is `{0}`, not `debian-binary`")]
    First(String),
    /// `debian-binary` says another version.
    #[error("its format version is `{0}`, not `2.` and a number")]
    Version(String),
    /// Neither `debian-binary` nor anything else is there.
    #[error("it has no members")]
    Empty,
    /// Another member stands where the control member must.
    #[error("its second member is `{0}`, not `control.tar`")]
    NoControl(String),
    /// The control member is missing, and everything behind it.
    #[error("its second member is missing, `control.tar` must be there")]
    Short,
    /// The data member is missing.
    #[error("it has no data member (`data.tar`, `data.tar.xz` or the like)")]
    NoData,
    /// A second data member.
    #[error("it has two data members, the second is `{0}`")]
    TwoData(String),
    /// A member that deb(5) does not allow there.
    #[error("the member `{0}` does not belong there: only names that start with `_` may be added")]
    Unexpected(String),
    /// A member compressed in a way that mkimg does not read.
    #[error(
        "`{0}` is compressed in a way that is not supported: .gz, .xz, .zst, .bz2, .lzma, .lz or nothing is"
    )]
    Compression(String),
    /// The data member's bytes are not what its name says.
    #[error("the bytes of `{0}` are not what its name says")]
    Mismatch(String),
}

/// Why some bytes are no archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamProblem {
    /// The very first block is no header.
    #[error("what is inside is not tar")]
    NotTar,
    /// The header's sum is another one.
    #[error("the header's checksum is wrong")]
    Checksum,
    /// A number of a header is neither octal nor base-256.
    #[error("the header's {0} is not a number")]
    Number(&'static str),
    /// The stream ends inside a member or a header.
    #[error("it is truncated")]
    Truncated,
    /// Something follows the end.
    #[error("something follows the end of the archive")]
    Trailing,
    /// A pax extended header is malformed.
    #[error("a pax header is malformed")]
    Pax,
    /// A pax or long-name header is larger than anything sensible.
    #[error("an extended header of {0} bytes is too large")]
    Extended(u64),
    /// A header that describes the next member is not followed by one, or by one of its own kind.
    #[error("an extended header is not followed by the member that it describes")]
    Dangling,
    /// A global pax header says something about members.
    #[error("a global pax header sets `{0}`, which is not supported")]
    Global(String),
    /// Another thing stands where a header must.
    #[error("`{0}` stands where a header must")]
    Magic(String),
    /// No header of a package stands where one must.
    #[error("a header must be there, and none is")]
    Header,
    /// A field of a cpio header is no number, or no kind of file.
    #[error("a field of the header is malformed")]
    Digits,
    /// A name without its NUL, or of no sensible length.
    #[error("a name is malformed")]
    Name,
    /// The central directory of a zip archive is missing, or not where it should be.
    #[error("its central directory is missing or damaged: is it truncated?")]
    NoDirectory,
    /// The sum of a member's bytes is another one.
    #[error("the bytes of a file are not those that its header says: their sum is wrong")]
    Sum,
    /// The map of a sparse file is malformed, or is not about the bytes that are there.
    #[error("the map of the sparse file is malformed")]
    Map,
    /// Sizes on what has no bytes, where readers do not agree where the next header is.
    #[error("`{0}` is no file and yet has a size")]
    Size(String),
}

/// Why a member is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberProblem {
    /// Its name is empty.
    #[error("its name is empty")]
    Empty,
    /// Its name is absolute.
    #[error("its name is absolute")]
    Absolute,
    /// Its name has a `..`.
    #[error("its name has a `..`")]
    Parent,
    /// Its name has a NUL byte.
    #[error("its name has a NUL byte")]
    Nul,
    /// Its name has a line break.
    #[error("its name has a line break")]
    LineBreak,
    /// Its name has more than 4095 bytes.
    #[error("its name is longer than 4095 bytes")]
    Long,
    /// A component of its name has more than 255 bytes, the kernel's `NAME_MAX`.
    #[error("a component of its name is longer than 255 bytes")]
    LongComponent,
    /// What should be a directory above it is something else in the same archive.
    #[error("`{0}` above it is {1}, not a directory")]
    Below(String, &'static str),
    /// What should be a directory above it is a symlink in the same archive, and leads nowhere or out of it.
    #[error("`{0}` above it is a symlink that leads to no directory in the archive")]
    BelowLink(String),
    /// It is no directory, but the archive already has something below it.
    #[error("it is {0}, yet the archive has `{1}` below it")]
    Above(&'static str, String),
    /// It has an extended attribute, an access control list or a capability, which an initramfs cannot hold.
    #[error("it has the extended attribute `{0}`, which an initramfs cannot hold")]
    Attribute(String),
    /// It is a sparse file in a form of star's, which says nowhere how it is stored.
    #[error(
        "it is stored as a sparse file in a way that is not known: pack the archive without `-sparse`"
    )]
    Sparse,
    /// It has 4 GiB or more.
    #[error("it has {0} bytes, and an initramfs holds files below 4 GiB")]
    Size(u64),
    /// It is a named pipe.
    #[error("it is a named pipe")]
    Fifo,
    /// It is a socket.
    #[error("it is a socket")]
    Socket,
    /// Its mode is one of a device, a pipe or a socket, of which a zip archive says no more.
    #[error("it is a device, a pipe or a socket")]
    Special,
    /// It is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// It is compressed in a way of zip's that mkimg does not read.
    #[error("it is compressed with method {0}, which is not supported")]
    Method(u16),
    /// It is the rest of a file that begins in another archive.
    #[error("it is the rest of a file that begins in another volume")]
    Volume,
    /// Its link target is empty, has a NUL byte or more than 4095 bytes.
    #[error("its link target is empty, too long or has a NUL byte")]
    Target,
    /// A hard link to something that does not stand before it.
    #[error("it is a hard link to `{0}`, which does not stand before it in the archive")]
    LinkAbsent(String),
    /// A hard link to something that is no file.
    #[error("it is a hard link to `{0}`, which is {1}, not a file")]
    LinkKind(String, &'static str),
    /// Its device number does not fit.
    #[error("its device number is too large")]
    Device,
}
