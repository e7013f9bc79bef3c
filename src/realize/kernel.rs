//! Which architecture a kernel image is for, as far as its head tells.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::elf::Elf;
use crate::arch::{Arch, KernelFormat};
use crate::tree::Content;

/// Returns the architecture that a kernel image with this head is for; nothing where it is no kernel.
pub(super) fn arch(head: &[u8], kernel: &Content) -> Option<Arch> {
    let mut all = Arch::ALL.into_iter();
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    if at(0x1fe, b"\x55\xaa") && at(0x202, b"HdrS") {
        // xloadflags, bit 0 (XLF_KERNEL_64), from protocol 2.12 on.
        let is_64_bit = head.get(0x236).is_some_and(|flags| flags & 1 != 0);
        let is_own = |arch: &Arch| matches!(arch.facts().kernel, KernelFormat::BzImage { .. });
        return all.find(is_own).filter(|_| is_64_bit);
    }
    // `make Image.gz`: x86 kernels decompress themselves and never come so.
    if at(0, b"\x1f\x8b\x08") {
        let mut inside = [0; MAGIC + 4];
        GzDecoder::new(head).read_exact(&mut inside).ok()?;
        return of_image(&inside);
    }
    if let Some(arch) = of_image(head) {
        return Some(arch);
    }
    if at(0, b"MZ") && at(4, b"zimg") {
        return of_zboot(head);
    }
    let elf = Elf::read(kernel).ok()?;
    all.find(|arch| match arch.facts().kernel {
        KernelFormat::BzImage { kernel_half } => elf.is_for(*arch) && elf.reaches(kernel_half),
        KernelFormat::Image { .. } => false,
    })
}

/// Where an Image has its magic number.
const MAGIC: usize = 0x38;

/// Returns the architecture of a little-endian Image: bit 0 of its flags, at 24, is the byte order, and no `/init` that mkimg
/// takes runs on a big-endian kernel.
fn of_image(head: &[u8]) -> Option<Arch> {
    let rest = head.get(MAGIC..)?;
    let is_little_endian = head.get(24)? & 1 == 0;
    let is_own = |arch: &Arch| match &arch.facts().kernel {
        KernelFormat::Image { magic, .. } => rest.starts_with(magic),
        KernelFormat::BzImage { .. } => false,
    };
    let found = Arch::ALL.into_iter().find(is_own);
    found.filter(|_| is_little_endian)
}

/// Returns the architecture of an EFI zboot image (`drivers/firmware/efi/libstub/zboot-header.S`): the PE header, whose offset is at
/// 0x3c, names the machine. What has no such header is believed to be for arm64.
fn of_zboot(head: &[u8]) -> Option<Arch> {
    let machine = || {
        let at = u32::from_le_bytes(*head.get(0x3c..)?.first_chunk()?);
        let pe = head.get(usize::try_from(at).ok()?..)?;
        let machine = pe.strip_prefix(b"PE\0\0")?.first_chunk()?;
        Some(u16::from_le_bytes(*machine))
    };
    let Some(machine) = machine() else {
        return Some(Arch::Aarch64);
    };
    let is_own = |arch: &Arch| match arch.facts().kernel {
        KernelFormat::Image { pe_machine, .. } => pe_machine == machine,
        KernelFormat::BzImage { .. } => false,
    };
    Arch::ALL.into_iter().find(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use Arch::{Aarch64, Riscv64};

    /// The first bytes of Debian's Linux 6.12 for riscv64: an Image that is a PE file, too.
    const DEBIAN: [u8; 72] = *b"MZo\x10\x60\x0d\x01\0\0\0\x20\0\0\0\0\0\0\xc0\xe6\x01\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0RISCV\0\0\0RSC\x05\x40\0\0\0PE\0\0\x64\x50\x02\0";

    fn image(magic: &[u8], flags: u8) -> Vec<u8> {
        let mut image = vec![0; 128];
        image[24] = flags;
        image[MAGIC..MAGIC + magic.len()].copy_from_slice(magic);
        image
    }

    /// Returns an EFI zboot image, with the machine of its PE header.
    fn zboot(machine: Option<u16>) -> Vec<u8> {
        let mut file = b"MZ\0\0zimg".to_vec();
        file.resize(128, 0);
        if let Some(machine) = machine {
            file[0x3c] = 64;
            file[64..68].copy_from_slice(b"PE\0\0");
            file[68..70].copy_from_slice(&machine.to_le_bytes());
        }
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_architecture_of_a_kernel_is_in_its_head() {
        let cases = [
            ("Debian's", DEBIAN.to_vec(), Some(Riscv64)),
            ("Debian's, packed", gzip(&DEBIAN), Some(Riscv64)),
            ("arm64", image(b"ARM\x64", 0xa), Some(Aarch64)),
            ("big-endian arm64", image(b"ARM\x64", 0xb), None),
            ("big-endian riscv", image(b"RSC\x05", 1), None),
            ("packed arm64", gzip(&image(b"ARM\x64", 0)), Some(Aarch64)),
            ("packed, no kernel", gzip(&[0; 128]), None),
            ("another magic", image(b"RSC\x06", 0), None),
            ("zboot", zboot(None), Some(Aarch64)),
            ("arm64 zboot", zboot(Some(0xaa64)), Some(Aarch64)),
            ("riscv64 zboot", zboot(Some(0x5064)), Some(Riscv64)),
            ("riscv32 zboot", zboot(Some(0x5032)), None),
            ("loongarch64 zboot", zboot(Some(0x6264)), None),
            ("cut off", DEBIAN[..58].to_vec(), None),
        ];
        for (name, head, expected) in cases {
            assert_eq!(arch(&head, &Content::memory(&head[..])), expected, "{name}");
        }
    }
}
