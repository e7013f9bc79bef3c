//! The root file system in memory: sorted paths to entries.

mod path;

pub use path::{EntryPath, PATH_MAX, PathError};
