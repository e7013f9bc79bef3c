//! Images for others: one file, or an OCI registry (`docs/sharing.md` says what they are made of).
//!
//! ```text
//! Image + recipe + lock --artifact--> manifests and blobs --bundle--> one file
//!                                                        --registry--> a repository
//! ```
//!
//! What comes from outside is bounded and checked against its digest before anything believes it.

pub mod artifact;
mod copy;
mod error;
pub mod oci;
mod origin;
mod pins;
mod reference;
pub mod registry;

pub use copy::{Copied, copy};
pub use error::ShareError;
pub use origin::{Destination, Origin};
pub use pins::{MAX_PINS, Pins, PinsError};
pub use reference::{DEFAULT_TAG, Reference, ReferenceError};
