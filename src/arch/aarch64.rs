//! 64-bit Arm, little-endian.

use super::facts::{Facts, KernelFormat, Packages, Probe, little_endian};

pub(super) const FACTS: Facts = Facts {
    name: "aarch64",
    debian: "arm64",
    oci: "arm64",
    aliases: &[],
    near_names: &["armv8"],

    elf_machine: 183,
    elf_32_bit: (40, "CONFIG_COMPAT"), // arm
    library_directories: &[
        "lib/aarch64-linux-gnu",
        "usr/lib/aarch64-linux-gnu",
        "lib64",
        "usr/lib64",
        "lib",
        "usr/lib",
    ],

    kernel: KernelFormat::Image {
        magic: *b"ARM\x64",
        pe_machine: 0xaa64,
        qemu_unpacks_gzip: true,
    },
    kernel_described: "an arm64 Image (`ARM\\x64` at 0x38), an EFI zboot image, or an Image.gz",
    kernel_memory: 18 << 20,
    console: "ttyAMA0",
    firmware_words: &[],

    qemu: "qemu-system-aarch64",
    qemu_packages: Packages {
        alpine: "qemu-system-aarch64",
        arch: "qemu-system-aarch64",
        debian: "qemu-system-arm",
        fedora: "qemu-system-aarch64-core",
    },
    boards: &["virt"],
    cpu: "cortex-a72",
    // The cheap pointer authentication, since the other one is slow to emulate.
    cpu_16k_pages: Some("max,pauth-impdef=on"),
    one_cpu_words: &[],
    probe: Probe {
        code: &CODE,
        status: 0,
        arguments: &[],
    },
};

/// A loop, then the PSCI call SYSTEM_OFF (Arm DEN0022).
const CODE: [u8; 32] = little_endian([
    0xd2a0_0800, // movz x0, #0x40, lsl #16
    0xf100_0400, // subs x0, x0, #1
    0x54ff_ffe1, // b.ne -4
    0x52b0_8000, // movz w0, #0x8400, lsl #16
    0x7280_0100, // movk w0, #0x0008
    0xd400_0002, // hvc  #0
    0xd503_207f, // wfi
    0x17ff_ffff, // b    -4
]);
