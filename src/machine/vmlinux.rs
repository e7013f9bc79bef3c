//! The ELF kernel inside a bzImage.
