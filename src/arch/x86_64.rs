//! 64-bit x86.

use super::facts::{Facts, KernelFormat, Packages, Probe};

pub(super) const FACTS: Facts = Facts {
    name: "x86_64",
    debian: "amd64",
    oci: "amd64",
    aliases: &["x86-64", "x64"],
    near_names: &[],

    elf_machine: 62,
    elf_32_bit: (3, "CONFIG_IA32_EMULATION"), // i386
    library_directories: &[
        "lib/x86_64-linux-gnu",
        "usr/lib/x86_64-linux-gnu",
        "lib64",
        "usr/lib64",
        "lib",
        "usr/lib",
    ],

    kernel: KernelFormat::BzImage {
        // Kernels are linked at `__START_KERNEL_map`, 0xffffffff80000000 (`arch/x86/include/asm/page_64_types.h`).
        kernel_half: 0xffff_8000_0000_0000,
    },
    kernel_described: "a bzImage (`HdrS` at 0x202) or an ELF vmlinux",
    kernel_memory: 21 << 20,
    console: "ttyS0",
    firmware_words: &[
        "SeaBIOS",
        "iPXE",
        "Booting from",
        "Press Ctrl-B",
        "Decompressing Linux",
    ],

    qemu: "qemu-system-x86_64",
    qemu_packages: Packages {
        alpine: "qemu-system-x86_64",
        arch: "qemu-system-x86",
        debian: "qemu-system-x86",
        fedora: "qemu-system-x86-core",
    },
    boards: &["q35", "microvm", "pc"],
    // x86-64-v2, and a random number instruction so that nobody waits for entropy.
    cpu: "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand",
    cpu_16k_pages: None,
    // A microvm has no other clock to fall back on.
    one_cpu_words: &[
        ("noreplace-smp", None),
        ("nolapic_timer", Some("q35")),
        ("no_timer_check", Some("q35")),
    ],
    probe: Probe {
        code: &CODE,
        // `isa-debug-exit` gives `value << 1 | 1`, and the probe writes 0x10.
        status: 0x21,
        arguments: &["-device", "isa-debug-exit,iobase=0x501,iosize=2"],
    },
};

/// The probe, loaded at 1 MiB and entered in 32-bit protected mode by the PVH protocol (Xen, `docs/misc/pvh.pandoc`).
#[rustfmt::skip]
const CODE: [u8; 134] = [
    0xbf, 0x00, 0x20, 0x10, 0x00,                               // mov  edi, 0x102000        the level 4 table
    0xc7, 0x07, 0x03, 0x30, 0x10, 0x00,                         // mov  [edi], 0x103003      -> level 3
    0xc7, 0x87, 0x00, 0x10, 0x00, 0x00, 0x03, 0x40, 0x10, 0x00, // mov  [edi+0x1000], 0x104003  -> level 2
    0xc7, 0x87, 0x00, 0x20, 0x00, 0x00, 0x83, 0x00, 0x00, 0x00, // mov  [edi+0x2000], 0x83   2 MiB at 0
    0x0f, 0x20, 0xe0,                                           // mov  eax, cr4
    0x83, 0xc8, 0x20,                                           // or   eax, 0x20            PAE
    0x0f, 0x22, 0xe0,                                           // mov  cr4, eax
    0x0f, 0x22, 0xdf,                                           // mov  cr3, edi
    0xb9, 0x80, 0x00, 0x00, 0xc0,                               // mov  ecx, 0xc0000080      EFER
    0x0f, 0x32,                                                 // rdmsr
    0x0d, 0x00, 0x01, 0x00, 0x00,                               // or   eax, 0x100           LME
    0x0f, 0x30,                                                 // wrmsr
    0x0f, 0x20, 0xc0,                                           // mov  eax, cr0
    0x0d, 0x00, 0x00, 0x00, 0x80,                               // or   eax, 0x80000000      PG
    0x0f, 0x22, 0xc0,                                           // mov  cr0, eax
    0x0f, 0x01, 0x15, 0x80, 0x00, 0x10, 0x00,                   // lgdt [0x100080]
    0xea, 0x52, 0x00, 0x10, 0x00, 0x08, 0x00,                   // jmp  8:0x100052
    0xb9, 0x00, 0x00, 0x40, 0x00,                               // mov  ecx, 0x400000
    0xff, 0x04, 0x25, 0x00, 0x50, 0x10, 0x00,                   // inc  dword [0x105000]
    0xe2, 0xf7,                                                 // loop -9
    0x31, 0xc0,                                                 // xor  eax, eax
    0x0f, 0xa2,                                                 // cpuid                     always leaves the guest
    0x66, 0xba, 0x01, 0x05,                                     // mov  dx, 0x501
    0xb0, 0x10,                                                 // mov  al, 0x10
    0xee,                                                       // out  dx, al               ends QEMU
    0xf4,                                                       // hlt
    0xeb, 0xfd,                                                 // jmp  -3
    0x66, 0x90,                                                 // (padding)
    0, 0, 0, 0, 0, 0, 0, 0,                                     // gdt: null
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xaf, 0x00,             // gdt: 64-bit code
    0x0f, 0x00, 0x70, 0x00, 0x10, 0x00,                         // 0x100080: limit 15, base 0x100070
];
