//! What QEMU does not find out by itself about a kernel that is an Image: the Image inside an EFI zboot file or an Image.gz, and
//! the page size.
//!
//! Before version 9.1 QEMU takes an EFI zboot file for an Image, enters its packed bytes, and the guest stays silent for ever; for
//! riscv64 it does so with an Image.gz, too. The image keeps its kernel: what this returns is derived, and belongs into the cache.

use std::io::Read as _;

use super::unpack::{GZIP, LARGEST, decompressed};
use super::vmlinux::vmlinux;
use crate::arch::{Arch, KernelFormat};

/// Where an Image has its flags, and its magic number.
const FLAGS: usize = 24;
const MAGIC: usize = 0x38;
/// The header of an Image.
const HEADER: usize = 64;
/// The page size in the flags of arm64: bits 1 and 2, of which this is 16 KiB.
const PAGES_16K: u8 = 2;

/// Why the Image in a packed kernel cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is packed in a way that mkimg does not know.
    #[error(
        "the kernel is an EFI zboot image, packed with `{0}`, which mkimg cannot unpack for QEMU"
    )]
    Method(String),
    /// What it unpacks to is no Image, or it does not unpack.
    #[error("the kernel is {what}, and what is in it is damaged or no kernel for {arch}")]
    Damaged {
        /// What the file is, with an article.
        what: &'static str,
        /// The architecture.
        arch: Arch,
    },
}

/// Returns the kernel inside a kernel's file that QEMU is to start in its place; nothing where it takes the file itself.
///
/// # Errors
/// [`ImageError`] where QEMU would start neither.
pub fn kernel_inside(arch: Arch, file: &[u8]) -> Result<Option<Vec<u8>>, ImageError> {
    let KernelFormat::Image {
        magic,
        qemu_unpacks_gzip,
        ..
    } = arch.facts().kernel
    else {
        return Ok(vmlinux(file));
    };
    let what = if file.starts_with(b"MZ") && file.get(4..8) == Some(b"zimg") {
        "an EFI zboot image"
    } else if file.starts_with(&GZIP) && !qemu_unpacks_gzip {
        "an Image.gz"
    } else {
        return Ok(None);
    };
    let damaged = || ImageError::Damaged { what, arch };
    let packed = match file.starts_with(&GZIP) {
        true => file,
        false => zboot_payload(file)?.ok_or_else(damaged)?,
    };
    let image = decompressed(packed, LARGEST);
    let image = image.filter(|image| image.len() <= LARGEST && is_image(image, &magic));
    image.map(Some).ok_or_else(damaged)
}

/// Returns what is packed in an EFI zboot file (`drivers/firmware/efi/libstub/zboot-header.S`); nothing where its header is wrong.
fn zboot_payload(file: &[u8]) -> Result<Option<&[u8]>, ImageError> {
    let number = |at: usize| {
        let bytes = file.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let payload = number(8).zip(number(12));
    let payload = payload.and_then(|(start, size)| file.get(start..)?.get(..size));
    let method = file.get(0x18..0x38).unwrap_or_default();
    let method = method.split(|byte| *byte == 0).next().unwrap_or_default();
    match payload.is_some() && method.starts_with(b"lzo") {
        true => Err(ImageError::Method(method.escape_ascii().to_string())),
        false => Ok(payload),
    }
}

fn is_image(head: &[u8], magic: &[u8]) -> bool {
    let rest = head.get(MAGIC..);
    rest.is_some_and(|rest| rest.starts_with(magic))
}

/// Says whether a kernel, an Image or an Image.gz whose first bytes these are, is built for pages of 16 KiB, which most
/// processors that QEMU emulates do not have: such a kernel stops without a word.
pub fn has_16k_pages(arch: Arch, head: &[u8]) -> bool {
    let facts = arch.facts();
    let (Some(_), KernelFormat::Image { magic, .. }) = (facts.cpu_16k_pages, facts.kernel) else {
        return false;
    };
    let mut inside = [0; HEADER];
    let head = match head.starts_with(&GZIP) {
        true => match flate2::read::GzDecoder::new(head).read_exact(&mut inside) {
            Ok(()) => &inside[..],
            Err(_) => return false,
        },
        false => head,
    };
    let flags = head.get(FLAGS).copied().unwrap_or_default();
    is_image(head, &magic) && flags >> 1 & 3 == PAGES_16K
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use Arch::{Aarch64, Riscv64};

    /// Returns the header of an Image with these flags, and some bytes behind it.
    fn image(arch: Arch, flags: u8) -> Vec<u8> {
        let KernelFormat::Image { magic, .. } = arch.facts().kernel else {
            panic!("{arch} has no Image");
        };
        let mut image = vec![0; 4096];
        image[FLAGS] = flags;
        image[MAGIC..MAGIC + 4].copy_from_slice(&magic);
        image.extend(b"the rest of the kernel");
        image
    }

    fn file(method: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0u8; 0x1000];
        file[0..2].copy_from_slice(b"MZ");
        file[4..8].copy_from_slice(b"zimg");
        file[8..12].copy_from_slice(&0x1000u32.to_le_bytes());
        file[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        file[0x18..0x18 + method.len()].copy_from_slice(method);
        file.extend(payload);
        // The unpacked size, which is no part of the payload.
        file.extend(4118u32.to_le_bytes());
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_image_comes_out_of_a_packed_file_or_the_reason_is_told() {
        for arch in [Aarch64, Riscv64] {
            let inside = |file: &[u8]| kernel_inside(arch, file);
            let kernel = image(arch, 0);
            assert_eq!(inside(&kernel), Ok(None));
            assert_eq!(inside(b"MZ"), Ok(None));
            for (method, payload) in [(&b"gzip"[..], gzip(&kernel)), (b"xzkern", xz(&kernel))] {
                assert_eq!(inside(&file(method, &payload)), Ok(Some(kernel.clone())));
            }
            let lzo = inside(&file(b"lzo", b"\x89LZO\0\r\n"));
            assert_eq!(lzo, Err(ImageError::Method("lzo".to_owned())));
            let whole = file(b"gzip", &gzip(&kernel));
            let other = image(if arch == Aarch64 { Riscv64 } else { Aarch64 }, 0);
            let damaged: [Vec<u8>; 5] = [
                whole[..0x1010].to_vec(),
                whole[..9].to_vec(),
                file(b"gzip", b"no gzip"),
                file(b"gzip", &gzip(b"no kernel")),
                file(b"gzip", &gzip(&other)),
            ];
            let what = "an EFI zboot image";
            for file in damaged {
                assert_eq!(inside(&file), Err(ImageError::Damaged { what, arch }));
            }
        }
    }

    #[test]
    fn an_image_gz_is_unpacked_where_qemu_would_not_do_it() {
        let packed = |arch, bytes: &[u8]| kernel_inside(arch, &gzip(bytes));
        let kernel = image(Riscv64, 0);
        assert_eq!(packed(Riscv64, &kernel), Ok(Some(kernel)));
        let error = packed(Riscv64, b"no kernel").unwrap_err();
        let what =
            "the kernel is an Image.gz, and what is in it is damaged or no kernel for riscv64";
        assert_eq!(error.to_string(), what);
        assert_eq!(packed(Aarch64, &image(Aarch64, 0)), Ok(None));
    }

    #[test]
    fn pages_of_16_kib_are_seen_in_the_header_of_arm64() {
        // Unspecified, 4 KiB, 16 KiB, 64 KiB; bit 3 is where the kernel may lie.
        for (flags, expected) in [(0x8, false), (0xa, false), (0xc, true), (0xe, false)] {
            let image = |arch| image(arch, flags);
            assert_eq!(
                has_16k_pages(Aarch64, &image(Aarch64)),
                expected,
                "{flags:#x}"
            );
            let packed = gzip(&image(Aarch64));
            assert_eq!(has_16k_pages(Aarch64, &packed), expected, "{flags:#x}");
            assert!(!has_16k_pages(Aarch64, &image(Riscv64)));
            assert!(!has_16k_pages(Riscv64, &image(Riscv64)));
        }
        for other in [&b""[..], b"\x1f\x8b", &[0xff; 64]] {
            assert!(!has_16k_pages(Aarch64, other));
        }
    }
}
