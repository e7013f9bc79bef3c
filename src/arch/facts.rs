//! What an architecture's table says, and what each fact decides.

/// What mkimg knows about an architecture.
#[derive(Debug)]
pub struct Facts {
    /// As `uname -m` prints it: in recipes, plans, locks and paths.
    pub name: &'static str,
    /// Debian's name.
    pub debian: &'static str,
    /// Go's name, which OCI takes.
    pub oci: &'static str,
    /// Other names that are taken on the command line.
    pub aliases: &'static [&'static str],
    /// Words that are no names of it, but are written where it is meant: a mistake's help names the right one.
    pub near_names: &'static [&'static str],

    /// `e_machine` of its ELF files (`include/uapi/linux/elf-em.h`).
    pub elf_machine: u16,
    /// `e_machine` of the 32-bit programs that some of its kernels start, and the kernel's option for that.
    pub elf_32_bit: (u16, &'static str),
    /// The directories in which the loaders of the distributions look without being told, without the leading `/`.
    pub library_directories: &'static [&'static str],

    /// What kernels look like.
    pub kernel: KernelFormat,
    /// What kernels are, in a mistake's help: `an arm64 Image, or ..`.
    pub kernel_described: &'static str,
    /// What a kernel allocates for itself until `/init` runs, in bytes, measured (docs/machine.md).
    pub kernel_memory: u64,
    /// The kernel's name for the machine's serial line.
    pub console: &'static str,
    /// What lines of the firmware, and of a kernel that unpacks itself, have in them: they are no sign that a program listens.
    pub firmware_words: &'static [&'static str],

    /// QEMU's program.
    pub qemu: &'static str,
    /// The packages that have that program.
    pub qemu_packages: Packages,
    /// QEMU's boards; the first is the one that is taken.
    pub boards: &'static [&'static str],
    /// The processor that QEMU emulates (docs/machine.md).
    pub cpu: &'static str,
    /// The processor for kernels with pages of 16 KiB, where `cpu` has no such pages and kernels are built so.
    pub cpu_16k_pages: Option<&'static str>,
    /// Kernel parameters without a value that shorten the boot of an emulated machine with one CPU, each with the board that it is
    /// for, where it is not for all.
    pub one_cpu_words: &'static [(&'static str, Option<&'static str>)],
    /// The guest that finds out whether an accelerator works.
    pub probe: Probe,
}

/// What the kernels of an architecture look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelFormat {
    /// A bzImage (`Documentation/arch/x86/boot.rst`), or the ELF file in it, which QEMU enters by PVH.
    BzImage {
        /// Where the kernel half of the address space begins: an ELF kernel is loaded above it, no program is.
        kernel_half: u64,
    },
    /// An Image (`Documentation/arch/arm64/booting.rst`, `Documentation/arch/riscv/boot-image-header.rst`), as it is, packed by
    /// gzip, or in an EFI zboot file.
    Image {
        /// The magic number at 0x38.
        magic: [u8; 4],
        /// The machine in the PE header of an EFI file (`include/linux/pe.h`).
        pe_machine: u16,
        /// Does QEMU unpack an `Image.gz`?
        qemu_unpacks_gzip: bool,
    },
}

/// The packages with QEMU for an architecture's guests, by distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packages {
    /// Of Alpine.
    pub alpine: &'static str,
    /// Of Arch Linux.
    pub arch: &'static str,
    /// Of Debian and Ubuntu.
    pub debian: &'static str,
    /// Of Fedora.
    pub fedora: &'static str,
}

/// A guest of a few dozen instructions that counts for a while and ends QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Its instructions. They are a kernel as they are; for a [`KernelFormat::BzImage`] they are put into an ELF file.
    pub code: &'static [u8],
    /// QEMU's exit status after it.
    pub status: i32,
    /// What else QEMU needs for it.
    pub arguments: &'static [&'static str],
}

/// Returns instructions of 32 bits as bytes, in little-endian order.
pub(super) const fn little_endian<const WORDS: usize, const BYTES: usize>(
    words: [u32; WORDS],
) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let mut at = 0;
    while at < BYTES {
        bytes[at] = words[at / 4].to_le_bytes()[at % 4];
        at += 1;
    }
    bytes
}
