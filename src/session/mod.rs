//! The application: opens a cache and recipes, and makes, boots, tests, checks, locks and shares images.
//!
//! It knows no flags and prints nothing: options are plain structs, errors are [`Error`], and what happens on the way goes to a
//! [`Report`]. Nothing here reads the environment, the clock or the terminal: [`Environment`] has what a caller says of them.

mod boot;
mod budget;
mod cache;
mod contents;
mod error;
mod find;
mod import;
mod load;
mod local;
mod lock;
mod locking;
mod open;
mod options;
mod place;
mod places;
mod realize;
mod registry;
mod serve;
mod sharing;
mod signing;
mod substitutes;
mod writable;

pub use boot::BootOptions;
pub(crate) use boot::Bootable;
pub(crate) use contents::{Contents, Listed};
pub(crate) use contents::{is_named, list, open as open_archive, read as read_archive, unreadable};
pub use error::Error;
pub(crate) use import::check_arch;
pub use load::Loaded;
pub(crate) use local::local_file_lines;
pub use locking::LockUse;
pub(crate) use locking::{beside as lock_beside, check_image, check_plan, missing};
pub use open::{Report, Session};
pub use options::{Environment, Options};
pub(crate) use place::{Place, named};
pub(crate) use places::base;
pub(crate) use realize::check_link;
pub use realize::{Made, RealizeOptions};
pub use registry::Connection;
pub(crate) use registry::PinFile;
pub(crate) use serve::{Served, serve};
pub(crate) use sharing::{Shared, foremost};
pub(crate) use signing::{Key, trusted};
pub use substitutes::Substitutes;
pub(crate) use writable::check_file;
