//! mkimg: a KDL recipe in, a kernel and an initramfs out, the same bytes on every machine.

pub mod arch;
pub mod digest;
pub mod progress;
pub mod recipe;
pub mod source;
pub mod store;
pub mod tree;
