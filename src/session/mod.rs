//! The application: opens a cache and recipes, and makes, boots, tests, checks, locks and shares images.
//!
//! It knows no flags and prints nothing: options are plain structs, errors are [`Error`], and what happens on the way goes to a
//! [`Report`]. Nothing here reads the environment, the clock or the terminal: [`Environment`] has what a caller says of them.

mod boot;
mod budget;
mod cache;
mod check;
mod checked;
mod contents;
mod documents;
mod error;
mod find;
mod gc;
mod host;
mod import;
mod load;
mod local;
mod lock;
mod locking;
mod open;
mod options;
mod pin;
mod place;
mod places;
mod pull;
mod push;
mod realize;
mod registry;
mod serve;
mod sharing;
mod side;
mod signing;
mod substitutes;
mod test;
mod verify;
mod writable;

pub use boot::{Boot, BootOptions};
pub use check::CheckOptions;
pub use checked::{Checked, Verdict};
pub(crate) use contents::{Contents, Listed};
pub(crate) use contents::{is_named, list, open as open_archive, read as read_archive, unreadable};
pub use documents::Documents;
pub use error::Error;
pub use gc::{Collected, GcOptions};
pub use load::Loaded;
pub(crate) use local::local_file_lines;
pub use locking::LockUse;
pub use open::{Report, Session};
pub use options::{Environment, Options};
pub use pin::{PinOptions, Pinned};
pub use pull::{PullOptions, Pulled};
pub use push::{PushOptions, Pushed};
pub(crate) use realize::check_link;
pub use realize::{Made, RealizeOptions};
pub use registry::Connection;
pub(crate) use serve::serve;
pub(crate) use sharing::{Shared, foremost};
pub(crate) use signing::Key;
pub use substitutes::Substitutes;
pub use test::{TestOptions, Tested, Tests};
pub use verify::{Attested, Judgement, Verified, VerifyOptions};
pub(crate) use writable::check_file;
