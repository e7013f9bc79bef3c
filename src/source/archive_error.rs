//! What can go wrong when members are read out of an archive.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::store::StoreError;
pub(super) use crate::text::shown;

/// What can be read, for messages.
const SUPPORTED: &str = "mkimg reads .deb, .tar, .tar.gz, .tar.xz and .tar.zst";

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
    /// The tar stream is broken.
    #[error("`{archive}` is no valid tar archive: at byte {offset}: {problem}")]
    Tar {
        /// The archive.
        archive: String,
        /// The byte in the decompressed stream, or near it.
        offset: u64,
        /// What is there.
        problem: TarProblem,
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

impl ArchiveError {
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
    #[error("its format version is `{0}`, not `2.0`")]
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
    #[error("it has no data member (`data.tar`, `data.tar.gz`, `data.tar.xz` or `data.tar.zst`)")]
    NoData,
    /// A second data member.
    #[error("it has two data members, the second is `{0}`")]
    TwoData(String),
    /// A member that deb(5) does not allow there.
    #[error("the member `{0}` does not belong there: only names that start with `_` may be added")]
    Unexpected(String),
    /// A member compressed in a way that mkimg does not read.
    #[error("`{0}` is compressed in a way that is not supported: .gz, .xz, .zst or nothing is")]
    Compression(String),
    /// The data member's bytes are not what its name says.
    #[error("the bytes of `{0}` are not what its name says")]
    Mismatch(String),
}

/// Why some bytes are no tar archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TarProblem {
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
    /// The stream ends behind a member, without the zero block that ends an archive.
    #[error("it ends without the zero blocks that end an archive: it is truncated")]
    NoEnd,
    /// Something follows the zero blocks.
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
    /// Sizes on what has no bytes: readers do not agree where the next header is.
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
    /// The archive has it twice.
    #[error("the archive has it twice")]
    Duplicate,
    /// What should be a directory above it is something else in the same archive.
    #[error("`{0}` above it is {1}, not a directory")]
    Below(String, &'static str),
    /// It is no directory, but the archive already has something below it.
    #[error("it is {0}, yet the archive has `{1}` below it")]
    Above(&'static str, String),
    /// It has an extended attribute, an access control list or a capability, which an initramfs cannot hold.
    #[error("it has the extended attribute `{0}`, which an initramfs cannot hold")]
    Attribute(String),
    /// It is a sparse file.
    #[error("it is stored as a sparse file: pack the archive without `--sparse`")]
    Sparse,
    /// It has 4 GiB or more.
    #[error("it has {0} bytes, and an initramfs holds files below 4 GiB")]
    Size(u64),
    /// It is a named pipe.
    #[error("it is a named pipe")]
    Fifo,
    /// It is of a type that means nothing to mkimg.
    #[error("it is of the unknown type `{0}`")]
    Type(String),
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
