//! Which architecture a kernel image is for, as far as its head tells.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::elf::Elf;
use crate::arch::Arch;

/// Where the kernel half of the address space begins; an ELF kernel for x86_64 is linked at `__START_KERNEL_map`,
/// 0xffffffff80000000 (`arch/x86/include/asm/page_64_types.h`), and no program can be.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// Returns the architecture that a kernel image is for; nothing where the head is not that of a kernel.
pub(super) fn arch(head: &[u8]) -> Option<Arch> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    if at(0x1fe, b"\x55\xaa") && at(0x202, b"HdrS") {
        // Documentation/arch/x86/boot.rst: xloadflags, bit 0 (XLF_KERNEL_64), from protocol 2.12 on.
        let is_64_bit = head.get(0x236).is_some_and(|flags| flags & 1 != 0);
        return is_64_bit.then_some(Arch::X86_64);
    }
    // drivers/firmware/efi/libstub/zboot-header.S: only arm64 kernels come so to a machine that mkimg knows.
    if is_arm64(head) || at(0, b"MZ") && at(4, b"zimg") {
        return Some(Arch::Aarch64);
    }
    // `make Image.gz`: x86 kernels decompress themselves and never come so.
    if at(0, b"\x1f\x8b\x08") {
        let mut inside = [0; ARM64_MAGIC + 4];
        GzDecoder::new(head).read_exact(&mut inside).ok()?;
        return is_arm64(&inside).then_some(Arch::Aarch64);
    }
    let elf = Elf::read(head).ok()?;
    let is_kernel = elf.addresses.iter().any(|at| *at >= KERNEL_HALF);
    (elf.is_for(Arch::X86_64) && is_kernel).then_some(Arch::X86_64)
}

/// Where an arm64 Image has its magic number (Documentation/arch/arm64/booting.rst).
const ARM64_MAGIC: usize = 0x38;

fn is_arm64(head: &[u8]) -> bool {
    head.get(ARM64_MAGIC..)
        .is_some_and(|rest| rest.starts_with(b"ARM\x64"))
}
