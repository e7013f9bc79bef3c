//! Which architecture a kernel image is for, as far as its head tells.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::elf::Elf;
use crate::arch::Arch;
use crate::tree::Content;

/// Where the kernel half of the address space begins; an ELF kernel for x86_64 is linked at `__START_KERNEL_map`,
/// 0xffffffff80000000 (`arch/x86/include/asm/page_64_types.h`), and no program can be.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// Returns the architecture that a kernel image with this head is for; nothing where it is no kernel.
pub(super) fn arch(head: &[u8], kernel: &Content) -> Option<Arch> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    if at(0x1fe, b"\x55\xaa") && at(0x202, b"HdrS") {
        // Documentation/arch/x86/boot.rst: xloadflags, bit 0 (XLF_KERNEL_64), from protocol 2.12 on.
        let is_64_bit = head.get(0x236).is_some_and(|flags| flags & 1 != 0);
        return is_64_bit.then_some(Arch::X86_64);
    }
    if is_arm64(head) || at(0, b"MZ") && at(4, b"zimg") && is_arm64_zboot(head) {
        return Some(Arch::Aarch64);
    }
    // `make Image.gz`: x86 kernels decompress themselves and never come so.
    if at(0, b"\x1f\x8b\x08") {
        let mut inside = [0; ARM64_MAGIC + 4];
        GzDecoder::new(head).read_exact(&mut inside).ok()?;
        return is_arm64(&inside).then_some(Arch::Aarch64);
    }
    let elf = Elf::read(kernel).ok()?;
    let is_kernel = elf.is_for(Arch::X86_64) && elf.reaches(KERNEL_HALF);
    is_kernel.then_some(Arch::X86_64)
}

/// Where an arm64 Image has its magic number (Documentation/arch/arm64/booting.rst).
const ARM64_MAGIC: usize = 0x38;

/// `IMAGE_FILE_MACHINE_ARM64` in the PE header (`include/linux/pe.h`).
const PE_ARM64: u16 = 0xaa64;

/// Says whether a head is that of a little-endian arm64 Image: bit 0 of its flags, at 24, is the byte order, and no `/init`
/// that mkimg takes runs on a big-endian kernel.
fn is_arm64(head: &[u8]) -> bool {
    let magic = head.get(ARM64_MAGIC..);
    magic.is_some_and(|rest| rest.starts_with(b"ARM\x64"))
        && head.get(24).is_some_and(|flags| flags & 1 == 0)
}

/// Says whether an EFI zboot image (`drivers/firmware/efi/libstub/zboot-header.S`) is for arm64. RISC-V and LoongArch have them,
/// too; the PE header, whose offset is at 0x3c, names the machine. What has no such header is believed to be for arm64.
fn is_arm64_zboot(head: &[u8]) -> bool {
    let machine = || {
        let at = u32::from_le_bytes(*head.get(0x3c..)?.first_chunk()?);
        let pe = head.get(usize::try_from(at).ok()?..)?;
        let machine = pe.strip_prefix(b"PE\0\0")?.first_chunk()?;
        Some(u16::from_le_bytes(*machine))
    };
    machine().is_none_or(|machine| machine == PE_ARM64)
}
