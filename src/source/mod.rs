//! Locations to verified blobs, and archives to their members.
