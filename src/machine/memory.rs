//! How much memory an image needs to come up, so that a machine with less is refused before it is started in vain (pitfall 70).
//!
//! A lower bound, from boots at every size in MiB until one succeeded (docs/machine.md has the numbers): what it refuses cannot
//! work, what it lets pass may still be too little for the programs inside.

use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::arch::{Arch, KernelFormat};

/// What decides how much memory a boot needs; all sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The architecture.
    pub arch: Arch,
    /// What the kernel itself takes, by [`kernel_footprint`].
    pub kernel: u64,
    /// The initramfs as it is loaded.
    pub packed: u64,
    /// The archive inside.
    pub unpacked: u64,
}

const MIB: u64 = 1 << 20;

/// Returns the least memory, in bytes and whole MiB, with which the kernel unpacks the initramfs and starts `/init`.
pub fn memory_needed(needs: Needs) -> u64 {
    let own = needs.arch.facts().kernel_memory;
    let loaded = needs.kernel.saturating_add(needs.packed);
    let booted = loaded.saturating_add(needs.unpacked).saturating_add(own);
    // The root file system is a tmpfs, which holds at most half of what memory the kernel has (`mm/shmem.c`,
    // `shmem_default_max_blocks`).
    let unpacked = loaded.saturating_add(needs.unpacked.saturating_mul(2));
    booted.max(unpacked) / MIB * MIB
}

/// Returns the bytes of memory that a kernel's image takes, as its own header says; nothing where the file is no kernel that mkimg
/// knows. The first 64 KiB of the file are enough.
pub fn kernel_footprint(arch: Arch, file: &[u8]) -> Option<u64> {
    match arch.facts().kernel {
        KernelFormat::BzImage { .. } => elf_footprint(file).or_else(|| {
            // `init_size` also counts what decompression needs (`Documentation/arch/x86/boot.rst`): an eighth of it at most.
            let size = file.get(0x260..)?.first_chunk::<4>()?;
            let boots = file.get(0x202..0x206)? == b"HdrS";
            boots.then(|| u64::from(u32::from_le_bytes(*size)) / 8 * 7)
        }),
        KernelFormat::Image { magic, .. } => {
            // `image_size` at 16, the magic number at 56.
            let size = file.get(16..)?.first_chunk::<8>()?;
            (file.get(56..60)? == magic).then(|| u64::from_le_bytes(*size))
        }
    }
}

fn elf_footprint(file: &[u8]) -> Option<u64> {
    let header = FileHeader64::<LittleEndian>::parse(file).ok()?;
    let segments = header.program_headers(LittleEndian, file).ok()?;
    let loaded = segments
        .iter()
        .filter(|segment| segment.p_type(LittleEndian) == PT_LOAD);
    Some(loaded.fold(0u64, |sum, segment| {
        sum.saturating_add(segment.p_memsz(LittleEndian))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_seen_to_boot_is_refused_and_the_bound_is_close() {
        // kernel footprint, packed, unpacked, least memory that booted; in tenths of MiB, Debian's 6.1.0-50, 6.12.117 for riscv64.
        let seen = [
            ("generic, nothing", Arch::X86_64, 569, 10, 19, 830),
            ("generic, 64 MiB", Arch::X86_64, 569, 651, 659, 2550),
            ("cloud, nothing", Arch::X86_64, 441, 10, 19, 710),
            ("cloud, 8 MiB", Arch::X86_64, 441, 90, 99, 850),
            ("cloud, 24 MiB", Arch::X86_64, 441, 251, 259, 1210),
            ("cloud, 64 MiB", Arch::X86_64, 441, 651, 659, 2430),
            ("cloud arm64, nothing", Arch::Aarch64, 266, 10, 18, 500),
            ("cloud arm64, 8 MiB", Arch::Aarch64, 266, 90, 98, 640),
            ("cloud arm64, 24 MiB", Arch::Aarch64, 266, 250, 258, 1070),
            ("riscv64, nothing", Arch::Riscv64, 304, 10, 16, 820),
            ("riscv64, 8 MiB", Arch::Riscv64, 304, 90, 96, 970),
        ];
        for (name, arch, kernel, packed, unpacked, least) in seen {
            let size = |tenths: u64| tenths * MIB / 10;
            let needed = memory_needed(Needs {
                arch,
                kernel: size(kernel),
                packed: size(packed),
                unpacked: size(unpacked),
            });
            assert!(needed <= size(least), "{name}: {} MiB", needed / MIB);
            assert!(
                needed >= size(least) * 9 / 10,
                "{name}: {} MiB",
                needed / MIB
            );
        }
    }

    #[test]
    fn a_file_that_is_no_kernel_has_no_footprint() {
        for file in [&b""[..], b"\x7fELF", &[0; 4096]] {
            for arch in Arch::ALL {
                assert_eq!(kernel_footprint(arch, file), None);
            }
        }
    }
}
