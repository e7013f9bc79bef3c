//! Locations to verified blobs, and archives to their members.

pub mod apt;
mod archive;
mod archive_error;
mod control;
mod deb;
pub mod fetch;
mod listing;
pub mod local;
mod members;
mod name;
mod pax;
mod pick;
mod pick_one;
mod pick_tree;
mod suggest;
mod tape;
mod tar;
mod unpack;
mod want;
mod xz;
mod zstd;

pub use crate::recipe::DeviceClass;
pub use archive::{ArchiveKind, archive_kind};
pub use archive_error::{ArchiveError, DebProblem, MemberProblem, TarProblem};
pub use control::{Control, control};
pub use members::{Content, Limits, Member, MemberKind, members};
pub use want::Want;
