//! Bundles: an OCI image layout in one tar file, for a colleague.
//!
//! ```text
//! blobs/sha256/HEX ..  index.json  oci-layout        sorted; ustar, mode 0644, owner 0:0, mtime 0; no directories
//! ```

mod header;
mod layout;
mod read;
mod write;

pub use layout::Layout;
pub use read::{Bundle, begins_bundle, is_bundle};
pub use write::{write, write_to};
