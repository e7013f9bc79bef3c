//! Images for others: one file, or an OCI registry (`docs/sharing.md` says what they are made of).
//!
//! ```text
//! Image + recipe + lock --artifact--> manifests and blobs --bundle--> one file
//!                                                        --registry--> a repository
//! ```
//!
//! What comes from outside is bounded and checked against its digest before anything believes it.

mod artifact;
pub mod bundle;
pub mod config;
pub mod container;
mod copy;
mod document;
mod error;
mod found;
mod images;
mod import;
mod included;
mod layer;
mod licence;
pub mod oci;
mod origin;
mod package;
mod pins;
mod place;
mod project;
mod provenance;
mod rebuild;
mod reference;
pub mod registry;
mod sbom;
mod shared;
pub mod sign;
pub mod substitutes;
mod text;
mod unsigned;

pub use artifact::{Artifact, CONFIG, Shareable, plan_tag};
pub use copy::{Copied, copy, copy_referrers};
pub use document::{Document, attach};
pub use error::ShareError;
pub use found::{Found, find, list};
pub use images::Repositories;
pub use import::{Examined, Imported, Part, Selection, examine, import, substitute};
pub use layer::Role;
pub use licence::Licence;
pub use origin::{Destination, Origin};
pub use package::{Package, packages};
pub use pins::{MAX_PINS, Pins, PinsError};
pub use place::{Place, PlaceError, expand};
pub use project::Project;
pub use provenance::{IN_TOTO, provenance};
pub use rebuild::{Rebuilt, rebuild};
pub use reference::{DEFAULT_TAG, Reference, ReferenceError};
pub use sbom::{Contents, SPDX, spdx};
pub use shared::Shared;
