//! The legacy LZ4 frame, as the kernel's build writes it: `lz4 -l` (`doc/lz4_Frame_format.md`, "Legacy frame").
