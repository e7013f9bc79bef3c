//! Locations to verified blobs, and archives to their members.

mod apk;
pub mod apt;
pub mod apt_lists;
mod archive;
mod archive_error;
mod bzip2;
mod control;
mod cpio;
mod deb;
mod entry;
pub mod fetch;
mod gzip;
mod listing;
mod members;
mod name;
mod names;
mod octal;
mod pax;
mod pick;
mod pick_one;
mod pick_tree;
mod rpm;
mod sparse;
mod suggest;
mod tape;
mod tar;
mod unpack;
mod want;
mod xz;
mod zip;
mod zstd;

pub use crate::recipe::DeviceClass;
pub use archive_error::{ArchiveError, DebProblem, MemberProblem, StreamProblem};
pub use control::{Control, control};
pub use members::{Content, Limits, Member, MemberKind, members};
pub use want::Want;
