//! What a recipe says, as plain types that keep their places in the text.

use crate::arch::Arch;
use crate::digest::Digest;
pub use crate::place::Place;
pub use crate::tree::DeviceClass;

use super::source_map::Span;

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A whole recipe. Every name that it uses is declared in it, every path is absolute and normal: the parser saw to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The image's name: letters, digits, `.`, `_`, `+` and `-`, not starting with `.` or `-`, at most 64 bytes.
    pub name: Spanned<String>,
    /// One line about the image.
    pub description: Option<String>,
    /// The modification time of every entry, in seconds since 1970.
    pub epoch: u32,
    /// The declared inputs, in the order of the file; their names are unique.
    pub sources: Vec<Source>,
    /// The kernel image.
    pub kernel: Kernel,
    /// The root file system.
    pub initramfs: Initramfs,
    /// How the image wants to be run.
    pub boot: Boot,
    /// How large it may be. Decides no byte, so it is in no plan.
    pub budget: Option<Budget>,
    /// The tests of the image, in the order of the file.
    pub tests: Vec<Test>,
}

/// A declared input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that the rest of the recipe uses.
    pub name: Spanned<String>,
    /// The whole node.
    pub span: Span,
    /// Where the bytes can be had; at least one. Several for one architecture are mirrors of the same bytes.
    pub locations: Vec<Location>,
}

/// One place where a source's bytes can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The place itself.
    pub place: Place,
    /// The architecture it is for; `None` is all of them.
    pub arch: Option<Arch>,
    /// The sha256 of the bytes. `None` only where the parser was told to let that pass (for `pin`).
    pub sha256: Option<Spanned<Digest>>,
    /// The size in bytes, where the recipe gives one: a bound.
    pub size: Option<Spanned<u64>>,
    /// The whole node.
    pub span: Span,
}

/// The kernel node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Where its bytes come from.
    pub origin: KernelOrigin,
    /// The whole node.
    pub span: Span,
}

/// Where the kernel's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelOrigin {
    /// A source, or a member of it.
    Source {
        /// The source.
        from: Spanned<String>,
        /// A glob over its members; `None` where the source is the kernel itself.
        path: Option<Spanned<String>>,
    },
    /// A file beside the recipe (relative to it, or absolute).
    Local(Spanned<String>),
}

impl Kernel {
    /// Returns the source that it is taken from, where it is.
    pub fn from(&self) -> Option<&Spanned<String>> {
        match &self.origin {
            KernelOrigin::Source { from, .. } => Some(from),
            KernelOrigin::Local(_) => None,
        }
    }

    /// Returns the member of a source that it is, where it is one: the source and the glob.
    pub fn member(&self) -> Option<(&Spanned<String>, &Spanned<String>)> {
        match &self.origin {
            KernelOrigin::Source {
                from,
                path: Some(path),
            } => Some((from, path)),
            _ => None,
        }
    }
}

/// The initramfs node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initramfs {
    /// How the archive is compressed.
    pub compress: Compress,
    /// The entries, in the order of the file.
    pub entries: Vec<Entry>,
    /// The whole node's head (name and properties).
    pub span: Span,
}

/// How the archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    /// Not at all.
    None,
    /// gzip at a libdeflate level, 1 to 12.
    Gzip {
        /// The level.
        level: u8,
    },
}

/// The level of `compress="gzip"` where the recipe names none.
pub const GZIP_LEVEL: u8 = 7;

/// One entry node of the initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path (of `tree` and `applets`: the directory), absolute and normal; `/` only for `tree` and `applets`.
    pub path: Spanned<String>,
    /// May it take the place of an earlier entry?
    pub replaces: bool,
    /// Whose it is.
    pub owner: Owner,
    /// What it is.
    pub kind: EntryKind,
    /// The whole node.
    pub span: Span,
}

/// Numeric owner of an entry; 0:0 where the recipe says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// What an entry node declares. A `mode` has the permission bits alone, at most 0o7777.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// `file`. Without a mode: 0o755 where the origin is executable in its archive, else 0o644.
    File {
        /// Where the bytes come from.
        origin: Origin,
        /// The permission bits.
        mode: Option<u32>,
    },
    /// `dir`.
    Dir {
        /// The permission bits; 0o755 by default.
        mode: u32,
    },
    /// `symlink`.
    Symlink {
        /// Its body.
        target: String,
    },
    /// `device`.
    Device {
        /// Character or block.
        class: DeviceClass,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
        /// The permission bits; 0o600 by default.
        mode: u32,
    },
    /// `applets`: one symlink in the directory for each applet.
    Applets {
        /// The path of the BusyBox file in the image.
        of: Spanned<String>,
        /// Applets that get no link.
        except: Vec<String>,
    },
    /// `init`: an `/init` that runs what a container image would run.
    Init {
        /// The source that is the image.
        from: Spanned<String>,
        /// The source of a BusyBox, for an image without a shell.
        busybox: Option<Spanned<String>>,
    },
    /// `tree`: a whole archive, or a directory beside the recipe.
    Tree {
        /// Where its entries come from.
        origin: TreeOrigin,
        /// Leading path components to drop.
        strip: u32,
        /// Globs over member paths; empty is everything.
        include: Vec<Spanned<String>>,
        /// Globs over member paths, which win over `include`.
        exclude: Vec<Spanned<String>>,
        /// Permission bits of the members that a glob matches; the last glob that matches counts.
        modes: Vec<(Spanned<String>, u32)>,
        /// Are the owners those of the archive? Nothing said: those of a container image are.
        owners: Option<bool>,
    },
}

/// Where the entries of a `tree` come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeOrigin {
    /// A source.
    Source(Spanned<String>),
    /// A directory beside the recipe (relative to it, or absolute).
    Local {
        /// Its path, without a `/` at the end.
        name: Spanned<String>,
        /// What git tracks in it, and nothing else.
        git: bool,
    },
}

impl TreeOrigin {
    /// Returns the source, where it is one.
    pub fn source(&self) -> Option<&Spanned<String>> {
        match self {
            TreeOrigin::Source(from) => Some(from),
            TreeOrigin::Local { .. } => None,
        }
    }
}

impl EntryKind {
    /// Returns the source that the entry is taken from, where it is.
    pub fn from(&self) -> Option<&Spanned<String>> {
        match self {
            EntryKind::File {
                origin: Origin::Source { from, .. },
                ..
            } => Some(from),
            EntryKind::Tree { origin, .. } => origin.source(),
            EntryKind::Init { from, .. } => Some(from),
            _ => None,
        }
    }

    /// Returns the sources that it uses.
    pub fn sources(&self) -> impl Iterator<Item = &Spanned<String>> {
        let busybox = match self {
            EntryKind::Init { busybox, .. } => busybox.as_ref(),
            _ => None,
        };
        self.from().into_iter().chain(busybox)
    }

    /// Returns the file or directory beside the recipe that it is, where it is one.
    pub fn local(&self) -> Option<&Spanned<String>> {
        match self {
            EntryKind::File {
                origin: Origin::Local(name),
                ..
            }
            | EntryKind::Tree {
                origin: TreeOrigin::Local { name, .. },
                ..
            } => Some(name),
            _ => None,
        }
    }
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A source, or a member of it.
    Source {
        /// The source.
        from: Spanned<String>,
        /// A glob over its members; `None` is the source itself.
        path: Option<Spanned<String>>,
    },
    /// Text in the recipe, with LF line ends.
    Text(String),
    /// A file beside the recipe (relative to it, or absolute).
    Local(Spanned<String>),
}

/// How the image wants to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Guest memory in bytes.
    pub memory: u64,
    /// Number of guest CPUs.
    pub cpus: u32,
    /// The kernel's command line, without the console argument that the machine adds.
    pub cmdline: String,
}

impl Default for Boot {
    fn default() -> Boot {
        Boot {
            memory: 128 << 20,
            cpus: 1,
            cmdline: String::new(),
        }
    }
}

/// How large an image may be; each bound in bytes, `None` is no bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Of the kernel.
    pub kernel: Option<Spanned<u64>>,
    /// Of the compressed initramfs.
    pub initramfs: Option<Spanned<u64>>,
    /// Of both together.
    pub total: Option<Spanned<u64>>,
}

/// One test of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// What it shows; unique.
    pub name: Spanned<String>,
    /// Time limit in milliseconds.
    pub within_ms: u64,
    /// What happens, in order; at least one.
    pub steps: Vec<Step>,
    /// The whole node's head.
    pub span: Span,
}

/// The time limit of a test that names none, in milliseconds.
pub const TEST_WITHIN_MS: u64 = 60_000;

/// One step of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub kind: StepKind,
    /// The node.
    pub span: Span,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// Waits for a text on the console.
    Expect(Pattern),
    /// Types a line.
    Send(String),
    /// Fails when this shows up before the test ends.
    Absent(Pattern),
    /// Waits for the guest's end.
    Exit(Ending),
    /// Answers a path over HTTP on the host's loopback, from the start of the test to its end; the guest has a network then,
    /// and finds the server's address in the variable `SERVER` of its `/init`.
    Serve {
        /// The path, absolute.
        path: String,
        /// The body.
        text: String,
    },
}

/// What a console line is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This text, the whole line.
    Line(String),
    /// This text, anywhere.
    Text(String),
    /// This regular expression, anywhere.
    Regex(String),
}

/// How a guest ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It powers itself off.
    Poweroff,
    /// It restarts.
    Reboot,
    /// Its kernel panics.
    Panic,
}
