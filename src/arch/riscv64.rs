//! 64-bit RISC-V, little-endian, with the general extensions (RV64GC).

use super::facts::{Facts, KernelFormat, Packages, Probe, little_endian};

pub(super) const FACTS: Facts = Facts {
    name: "riscv64",
    debian: "riscv64",
    oci: "riscv64",
    aliases: &[],
    near_names: &["riscv", "rv64", "rv64gc", "riscv64gc"],

    elf_machine: 243,
    elf_32_bit: (243, "CONFIG_COMPAT"),
    library_directories: &[
        "lib/riscv64-linux-gnu",
        "usr/lib/riscv64-linux-gnu",
        "lib64/lp64d",
        "usr/lib64/lp64d",
        "lib64",
        "usr/lib64",
        "lib",
        "usr/lib",
    ],

    kernel: KernelFormat::Image {
        magic: *b"RSC\x05",
        pe_machine: 0x5064,
        qemu_unpacks_gzip: false,
    },
    kernel_described: "a riscv Image (`RSC\\x05` at 0x38), an EFI zboot image, or an Image.gz",
    kernel_memory: 42 << 20,
    console: "ttyS0",
    // OpenSBI: its name, in large letters, too, and what it tells about the machine.
    firmware_words: &[
        "OpenSBI v",
        "____",
        "/ __ \\",
        "| |",
        "\\____/",
        "|_|",
        "Platform ",
        "Firmware ",
        "Runtime SBI ",
        "Standard SBI ",
        "Experimental SBI ",
        "Domain0 ",
        "Boot HART ",
    ],

    qemu: "qemu-system-riscv64",
    qemu_packages: Packages {
        alpine: "qemu-system-riscv64",
        arch: "qemu-system-riscv",
        // A virtual package: `qemu-system-misc` up to Debian 12, then `qemu-system-riscv`.
        debian: "qemu-system-riscv64",
        fedora: "qemu-system-riscv-core",
    },
    boards: &["virt"],
    cpu: "rv64",
    cpu_16k_pages: None,
    one_cpu_words: &[],
    probe: Probe {
        code: &CODE,
        status: 0,
        arguments: &[],
    },
};

/// A loop, then the SBI call `sbi_system_reset` for a shutdown (RISC-V SBI specification, chapter "System Reset Extension").
const CODE: [u8; 44] = little_endian([
    0x0040_02b7, // lui   t0, 0x400
    0xfff2_8293, // addi  t0, t0, -1
    0xfe02_9ee3, // bnez  t0, -4
    0x5352_58b7, // lui   a7, 0x53525
    0x3548_8893, // addi  a7, a7, 0x354     "SRST"
    0x0000_0813, // li    a6, 0
    0x0000_0513, // li    a0, 0
    0x0000_0593, // li    a1, 0
    0x0000_0073, // ecall
    0x1050_0073, // wfi
    0xffdf_f06f, // j     -4
]);
