//! The application: opens a cache and recipes, and makes, boots, tests, checks, locks and shares images.
//!
//! It knows no flags and prints nothing: options are plain structs, errors are [`Error`], and what happens on the way goes to a
//! [`Report`]. Nothing here reads the environment, the clock or the terminal: [`Environment`] has what a caller says of them.
//!
//! ```
//! # let project = tempfile::tempdir()?;
//! # let images = project.path().join("images");
//! # std::fs::create_dir(&images)?;
//! # let mut kernel = vec![0; 4096];
//! # kernel[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
//! # kernel[0x202..0x206].copy_from_slice(b"HdrS");
//! # kernel[0x236] = 1;
//! # std::fs::write(images.join("vmlinuz"), &kernel)?;
//! # let mut init = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
//! # init.resize(52, 0);
//! # init[32] = 64;
//! # init.extend([64, 0, 56, 0, 0, 0, 64, 0, 0, 0, 0, 0]);
//! # std::fs::write(images.join("init"), &init)?;
//! # let (recipe, cache) = (images.join("tiny.kdl"), project.path().join("cache"));
//! # std::fs::write(&recipe, format!(
//! #     "image \"tiny\"\nsource \"kernel\" {{ local \"vmlinuz\" arch=\"x86_64\" sha256=\"{}\"; }}\n\
//! #      kernel from=\"kernel\"\ninitramfs {{ file \"/init\" local=\"init\" mode=0o755; }}\n",
//! #     mkimg::digest::Digest::of(&kernel),
//! # ))?;
//! use mkimg::session::{Options, Session};
//!
//! let session = Session::open(Options::with_cache(&cache))?;
//! let tiny = session.load(&recipe)?;
//! let plan = tiny.plan(None)?;
//! let made = tiny.realize()?;
//! assert_eq!(made.image.plan, plan.id());
//! assert!(made.initramfs().is_file());
//!
//! // The lock beside the recipe: from now on the recipe is held to it.
//! let lock = tiny.lock()?;
//! assert_eq!(lock.of_image(None, plan.arch).map(|locked| locked.plan), Some(plan.id()));
//! tiny.check_lock()?;
//! assert!(session.load(&recipe)?.realize()?.up_to_date);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program that makes an image, locks it, checks that it comes out the same, and boots it on its own terminal:
//!
//! ```no_run
//! use std::io::{stdin, stdout};
//! use std::os::fd::AsFd as _;
//!
//! use mkimg::machine::Seat;
//! use mkimg::session::{BootOptions, CheckOptions, Environment, Options};
//! use mkimg::session::{RealizeOptions, Session, Verdict};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let session = Session::open(Options {
//!         environment: Environment {
//!             path: std::env::var_os("PATH"),
//!             clock: std::time::SystemTime::now,
//!             program: Some("/usr/bin/mkimg".into()),
//!             ..Environment::default()
//!         },
//!         ..Options::with_cache("cache")
//!     })?;
//!     let minimal = session.load("images/minimal.kdl")?;
//!     let made = minimal.realize()?;
//!     println!("{} is in {}", made.image.name, made.path.display());
//!     for (key, locked) in &minimal.lock()?.images {
//!         println!("{}: plan {}", key.arch, locked.plan);
//!     }
//!     for checked in minimal.check(&CheckOptions::default())? {
//!         assert_eq!(checked.verdict, Verdict::Equal, "{:?}", checked.lines);
//!     }
//!     let guest = minimal.boot(&RealizeOptions::default(), &BootOptions::default())?;
//!     let (input, output) = (stdin(), stdout());
//!     let seat = Seat { input: input.as_fd(), output: output.as_fd(), limit: None };
//!     println!("{}", guest.run(seat)?.end);
//!     Ok(())
//! }
//! ```

mod begun;
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
mod included;
mod load;
mod local;
mod lock;
mod lock_file;
mod locking;
mod open;
mod options;
mod pin;
mod pin_image;
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

pub use begun::Begun;
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
