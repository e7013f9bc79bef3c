//! Images for others: one file, or an OCI registry (`docs/sharing.md` says what they are made of).
//!
//! ```text
//! Image + recipe + lock --artifact--> manifests and blobs --bundle--> one file
//!                                                        --registry--> a repository
//! ```
//!
//! What comes from outside is bounded and checked against its digest before anything believes it.

mod error;
mod licence;
pub mod oci;
mod origin;
mod package;
mod provenance;
mod sbom;

pub use error::ShareError;
pub use licence::Licence;
pub use origin::{Destination, Origin};
pub use package::{Package, packages};
pub use provenance::{IN_TOTO, provenance};
pub use sbom::{Contents, SPDX, spdx};
