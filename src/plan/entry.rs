//! The entries of a plan: values alone, whatever text they came from.

use std::path::PathBuf;

use super::Taken;
use crate::digest::Digest;
use crate::tree::DeviceClass;

/// An entry of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The path (of `tree` and `applets`: the directory), absolute and normal; `/` only for `tree` and `applets`.
    pub path: String,
    /// May it take the place of an earlier entry?
    pub replaces: bool,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// What it is.
    pub kind: PlannedKind,
}

/// What an entry is. A `mode` has the permission bits alone, at most 0o7777.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedKind {
    /// A file. Without a mode: 0o755 where the origin is executable in its archive, else 0o644.
    File {
        /// Where the bytes come from.
        origin: FileOrigin,
        /// The permission bits.
        mode: Option<u32>,
    },
    /// A directory.
    Dir {
        /// The permission bits.
        mode: u32,
    },
    /// A symlink.
    Symlink {
        /// Its body.
        target: String,
    },
    /// A device node.
    Device {
        /// Character or block.
        class: DeviceClass,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
        /// The permission bits.
        mode: u32,
    },
    /// One symlink in the directory for each applet.
    Applets {
        /// The path of the BusyBox file in the image.
        of: String,
        /// Applets that get no link.
        except: Vec<String>,
    },
    /// What runs the program of a container image.
    Init {
        /// The source that is the image.
        from: String,
        /// The source of a BusyBox, for an image without a shell.
        busybox: Option<String>,
    },
    /// A whole archive, or a directory beside the recipe.
    Tree {
        /// Where its entries come from.
        origin: TreeOrigin,
        /// Leading path components to drop.
        strip: u32,
        /// Permission bits of the members that a glob matches; the last glob that matches counts.
        modes: Vec<(String, u32)>,
        /// Are the owners those of the archive?
        owners: bool,
    },
}

/// Where the entries of a whole archive come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeOrigin {
    /// A source.
    Source {
        /// The source.
        from: String,
        /// Globs over member paths; empty is everything.
        include: Vec<String>,
        /// Globs over member paths, which win over `include`.
        exclude: Vec<String>,
    },
    /// A directory beside the recipe.
    Local {
        /// Its path as the recipe writes it.
        name: String,
        /// What is taken of it.
        taken: Taken,
        /// What that was when it was read.
        file: LocalFile,
    },
}

impl TreeOrigin {
    /// Returns the source, where it is one.
    pub fn source(&self) -> Option<&str> {
        match self {
            TreeOrigin::Source { from, .. } => Some(from),
            TreeOrigin::Local { .. } => None,
        }
    }
}

/// Where the bytes of a file, or of the kernel, come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOrigin {
    /// A source, or a member of it.
    Source {
        /// The source.
        from: String,
        /// A glob over its members; `None` is the source itself.
        path: Option<String>,
    },
    /// The text itself.
    Text(String),
    /// A file beside the recipe.
    Local {
        /// Its path as the recipe writes it.
        name: String,
        /// What it was when it was read.
        file: LocalFile,
    },
}

/// A file beside a recipe. Of a directory, which has the same fields, the digest is over what is taken of it: names, kinds,
/// modes, digests; and the size is that of all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is on this machine.
    pub path: PathBuf,
    /// The sha256 of its bytes: that, not the path, is in the plan.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl FileOrigin {
    /// Returns the source that it is taken from, where it is.
    pub fn source(&self) -> Option<&str> {
        match self {
            FileOrigin::Source { from, .. } => Some(from),
            FileOrigin::Text(_) | FileOrigin::Local { .. } => None,
        }
    }

    /// Returns the member of a source that it is, where it is one: the source and the glob.
    pub fn member(&self) -> Option<(&str, &str)> {
        match self {
            FileOrigin::Source {
                from,
                path: Some(path),
            } => Some((from, path)),
            _ => None,
        }
    }

    /// Returns the file beside the recipe that it is, where it is one: its path as the recipe writes it, and the file.
    pub fn local(&self) -> Option<(&str, &LocalFile)> {
        match self {
            FileOrigin::Local { name, file } => Some((name, file)),
            _ => None,
        }
    }
}

impl Planned {
    /// Returns where the bytes of a file come from.
    pub fn origin(&self) -> Option<&FileOrigin> {
        match &self.kind {
            PlannedKind::File { origin, .. } => Some(origin),
            _ => None,
        }
    }

    /// Returns the source that it takes something from.
    pub fn source(&self) -> Option<&str> {
        match &self.kind {
            PlannedKind::Tree { origin, .. } => origin.source(),
            PlannedKind::Init { from, .. } => Some(from),
            _ => self.origin()?.source(),
        }
    }

    /// Returns the directory beside the recipe that it takes, where it takes one: its path as the recipe writes it, what is
    /// taken of it, and what that was.
    pub fn directory(&self) -> Option<(&str, &Taken, &LocalFile)> {
        match &self.kind {
            PlannedKind::Tree {
                origin: TreeOrigin::Local { name, taken, file },
                ..
            } => Some((name, taken, file)),
            _ => None,
        }
    }

    /// Returns the file or directory beside the recipe that it takes, where it takes one: its path as the recipe writes it, and
    /// what it was.
    pub fn local(&self) -> Option<(&str, &LocalFile)> {
        match self.directory() {
            Some((name, _, file)) => Some((name, file)),
            None => self.origin()?.local(),
        }
    }
}
