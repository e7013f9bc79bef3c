//! What QEMU does not find out by itself about a kernel for arm64: the Image inside an EFI zboot file, and the page size.
//!
//! Before version 9.1 QEMU takes an EFI zboot file for an Image, enters its packed bytes, and the guest stays silent for ever. The
//! image keeps its kernel: what this returns is derived, and belongs into the cache.

use std::io::Read as _;

use super::unpack::{GZIP, LARGEST, decompressed};

/// Where an Image has its flags, and its magic number (`Documentation/arch/arm64/booting.rst`).
const FLAGS: usize = 24;
const MAGIC: usize = 0x38;
/// The header of an Image.
const HEADER: usize = 64;
/// The page size in the flags: bits 1 and 2, of which this is 16 KiB.
const PAGES_16K: u8 = 2;

/// Why the Image in a zboot file cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZbootError {
    /// It is packed in a way that mkimg does not know.
    #[error(
        "the kernel is an EFI zboot image, packed with `{0}`, which mkimg cannot unpack for QEMU"
    )]
    Method(String),
    /// What it unpacks to is no Image, or it does not unpack.
    #[error(
        "the kernel is an EFI zboot image, and what is in it is damaged or no kernel for aarch64"
    )]
    Damaged,
}

/// Returns the Image inside an EFI zboot file (`drivers/firmware/efi/libstub/zboot-header.S`); nothing where the file is none.
///
/// # Errors
/// [`ZbootError`] where it is one and cannot be unpacked.
pub fn zboot(file: &[u8]) -> Option<Result<Vec<u8>, ZbootError>> {
    let is_zboot = file.starts_with(b"MZ") && file.get(4..8) == Some(b"zimg");
    is_zboot.then(|| unpacked(file))
}

fn unpacked(file: &[u8]) -> Result<Vec<u8>, ZbootError> {
    let number = |at: usize| {
        let bytes = file.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let payload = number(8).zip(number(12));
    let payload = payload.and_then(|(start, size)| file.get(start..)?.get(..size));
    let payload = payload.ok_or(ZbootError::Damaged)?;
    let method = file.get(0x18..0x38).unwrap_or_default();
    let method = method.split(|byte| *byte == 0).next().unwrap_or_default();
    if method.starts_with(b"lzo") {
        let method = method.escape_ascii().to_string();
        return Err(ZbootError::Method(method));
    }
    decompressed(payload, LARGEST)
        .filter(|image| image.len() <= LARGEST && is_image(image))
        .ok_or(ZbootError::Damaged)
}

fn is_image(head: &[u8]) -> bool {
    head.get(MAGIC..)
        .is_some_and(|rest| rest.starts_with(b"ARM\x64"))
}

/// Says whether a kernel, an Image or an Image.gz whose first bytes these are, is built for pages of 16 KiB, which most
/// processors that QEMU emulates do not have: such a kernel stops without a word.
pub fn has_16k_pages(head: &[u8]) -> bool {
    let mut inside = [0; HEADER];
    let head = match head.starts_with(&GZIP) {
        true => match flate2::read::GzDecoder::new(head).read_exact(&mut inside) {
            Ok(()) => &inside[..],
            Err(_) => return false,
        },
        false => head,
    };
    let flags = head.get(FLAGS).copied().unwrap_or_default();
    is_image(head) && flags >> 1 & 3 == PAGES_16K
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Returns the header of an Image with these flags, and some bytes behind it.
    fn image(flags: u8) -> Vec<u8> {
        let mut image = vec![0; 4096];
        image[FLAGS] = flags;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"ARM\x64");
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
    fn the_image_comes_out_of_a_zboot_file_or_the_reason_is_told() {
        let kernel = image(0xa);
        assert_eq!(zboot(&kernel), None);
        assert_eq!(zboot(b"MZ"), None);
        for (method, payload) in [(&b"gzip"[..], gzip(&kernel)), (b"xzkern", xz(&kernel))] {
            assert_eq!(zboot(&file(method, &payload)), Some(Ok(kernel.clone())));
        }
        let lzo = zboot(&file(b"lzo", b"\x89LZO\0\r\n"));
        assert_eq!(lzo, Some(Err(ZbootError::Method("lzo".to_owned()))));
        let whole = file(b"gzip", &gzip(&kernel));
        let damaged: [Vec<u8>; 4] = [
            whole[..0x1010].to_vec(),
            whole[..9].to_vec(),
            file(b"gzip", b"no gzip"),
            file(b"gzip", &gzip(b"no kernel")),
        ];
        for file in damaged {
            assert_eq!(zboot(&file), Some(Err(ZbootError::Damaged)));
        }
    }

    #[test]
    fn pages_of_16_kib_are_seen_in_the_header() {
        // Unspecified, 4 KiB, 16 KiB, 64 KiB; bit 3 is where the kernel may lie.
        for (flags, expected) in [(0x8, false), (0xa, false), (0xc, true), (0xe, false)] {
            let image = image(flags);
            assert_eq!(has_16k_pages(&image), expected, "{flags:#x}");
            assert_eq!(has_16k_pages(&gzip(&image)), expected, "{flags:#x}");
        }
        for other in [&b""[..], b"\x1f\x8b", &[0xff; 64]] {
            assert!(!has_16k_pages(other));
        }
    }
}
