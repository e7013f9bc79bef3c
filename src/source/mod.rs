//! Locations to verified blobs, and archives to their members.

pub mod apt;
pub mod fetch;
