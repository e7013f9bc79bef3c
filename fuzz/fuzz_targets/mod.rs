//! What `fuzz/` runs on bytes of strangers. Compiled into the library with `--cfg fuzzing` alone, so that the targets reach the same
//! functions as the product; those of private modules stand in these modules.

mod apt;
mod archive;
mod bed;
mod bundle;
mod diff;
mod initramfs;
mod lock;
mod oci;
mod recipe;
mod signatures;
mod text;

/// The targets by their names, which are those of the directories below `fuzz/seeds`.
pub const TARGETS: [(&str, fn(&[u8])); 18] = [
    ("apt", apt::run),
    ("bundle", bundle::run),
    ("cpio", archive::run),
    ("deb", archive::run),
    ("diff", diff::run),
    ("elf", crate::realize::fuzzing::run),
    ("guest", crate::machine::fuzzing::guest),
    ("initramfs", initramfs::run),
    ("kernel", crate::machine::fuzzing::kernel),
    ("lock", lock::run),
    ("oci", oci::run),
    ("packed", archive::packed),
    ("recipe", recipe::run),
    ("rpm", archive::run),
    ("signatures", signatures::run),
    ("tar", archive::run),
    ("text", text::run),
    ("zip", archive::run),
];
