//! The entries of a plan: values alone, whatever text they came from.

use std::path::PathBuf;

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
    /// A whole archive.
    Tree {
        /// The source.
        from: String,
        /// Leading path components to drop.
        strip: u32,
        /// Globs over member paths; empty is everything.
        include: Vec<String>,
        /// Globs over member paths, which win over `include`.
        exclude: Vec<String>,
    },
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

/// A file beside a recipe.
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
            PlannedKind::Tree { from, .. } => Some(from),
            _ => self.origin()?.source(),
        }
    }
}
