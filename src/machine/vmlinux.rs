//! The ELF kernel inside a bzImage.
//!
//! A bzImage is a loader with a compressed kernel, which under emulation spends seconds unpacking itself. The kernel inside can be
//! started directly by its PVH entry. The image keeps its bzImage: what this returns is derived, and belongs into the cache.

use object::LittleEndian;
use object::elf::{FileHeader64, Machine, NoteType, PT_NOTE};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::unpack::{GZIP, LARGEST, decompressed};
use crate::arch::Arch;

/// `XEN_ELFNOTE_PHYS32_ENTRY` (Xen, `public/elfnote.h`): the address at which a PVH loader enters the kernel.
const PHYS32_ENTRY: NoteType = NoteType(18);

/// Returns the decompressed ELF kernel out of a bzImage; nothing where there is none, it is packed with bzip2 or lzo, it is
/// damaged, or it has no PVH entry. Such a kernel is started as it is.
pub fn vmlinux(image: &[u8]) -> Option<Vec<u8>> {
    let payload = payload(image)?;
    // The kernel's build appends the unpacked size (`scripts/Makefile.lib`, `size_append`); gzip has it there by itself.
    let (packed, size) = payload.split_last_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
    if size > LARGEST {
        return None;
    }
    // That of gzip is part of it.
    let packed = if payload.starts_with(&GZIP) {
        payload
    } else {
        packed
    };
    let out = decompressed(packed, size)?;
    (out.len() == size && has_pvh_entry(&out)).then_some(out)
}

/// Returns the compressed kernel of a bzImage (`Documentation/arch/x86/boot.rst`, protocol 2.08 or newer).
fn payload(image: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| {
        let bytes = image.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let version = image.get(0x206..)?.first_chunk::<2>()?;
    if image.get(0x202..0x206)? != b"HdrS" || u16::from_le_bytes(*version) < 0x0208 {
        return None;
    }
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        count => usize::from(count),
    };
    let start = (sectors + 1) * 512 + number(0x248)?;
    image.get(start..)?.get(..number(0x24c)?)
}

/// Returns whether an ELF file is an x86_64 kernel that a PVH loader can enter.
fn has_pvh_entry(file: &[u8]) -> bool {
    let Ok(header) = FileHeader64::<LittleEndian>::parse(file) else {
        return false;
    };
    let Ok(segments) = header.program_headers(LittleEndian, file) else {
        return false;
    };
    header.e_machine(LittleEndian) == Machine(Arch::X86_64.facts().elf_machine)
        && segments
            .iter()
            .filter(|segment| segment.p_type(LittleEndian) == PT_NOTE)
            .filter_map(|segment| segment.notes(LittleEndian, file).ok().flatten())
            .any(|mut notes| {
                std::iter::from_fn(|| notes.next().ok().flatten())
                    .any(|note| note.name() == b"Xen" && note.n_type(LittleEndian) == PHYS32_ENTRY)
            })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// Returns an ELF kernel with a PVH entry.
    fn probe() -> Vec<u8> {
        let facts = Arch::X86_64.facts();
        super::super::probe::elf(facts.elf_machine, facts.probe.code)
    }

    /// Returns what a program makes of `data`; nothing where it is missing, which CI does not allow.
    fn packed(line: &[&str], data: &[u8]) -> Option<Vec<u8>> {
        let child = Command::new(line[0])
            .args(&line[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            super::super::missing(line[0]);
            return None;
        };
        child.stdin.take().unwrap().write_all(data).unwrap();
        Some(child.wait_with_output().unwrap().stdout)
    }

    /// Returns a bzImage around a payload.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0u8; 0x400];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&0x40u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.resize(0x440, 0);
        image.extend(payload);
        image
    }

    #[test]
    fn the_kernel_comes_out_of_every_format_that_debian_packs_it_in() {
        let kernel = probe();
        let size = (kernel.len() as u32).to_le_bytes();
        let formats: [(&[&str], bool); 6] = [
            (&["gzip", "-n", "-9"], true),
            (
                &["xz", "--check=crc32", "--x86", "--lzma2=,dict=32MiB"],
                true,
            ),
            (&["zstd", "-22", "--ultra", "-q"], true),
            (&["lz4", "-l", "-9"], true),
            (&["bzip2", "-9"], false),
            (&["xz", "--format=lzma", "-9"], true),
        ];
        for (line, expected) in formats {
            let Some(mut payload) = packed(line, &kernel) else {
                continue;
            };
            if line[0] != "gzip" {
                payload.extend(size);
            }
            let whole = image(&payload);
            assert_eq!(
                vmlinux(&whole).is_some_and(|out| out == kernel),
                expected,
                "{line:?}"
            );
            // Whatever is cut off or said wrongly about the size: no kernel, and no panic.
            for cut in [0x1f0, 0x208, 0x24b, 0x441, whole.len() - 1] {
                assert_eq!(vmlinux(&whole[..cut]), None, "{line:?} {cut:#x}");
            }
            let end = payload.len() - 4;
            payload[end] ^= 1;
            assert_eq!(vmlinux(&image(&payload)), None, "{line:?}");
        }
    }

    #[test]
    fn a_kernel_without_the_note_and_a_bomb_are_left_alone() {
        let mut kernel = probe();
        kernel[0xb0 + 8] = 17;
        let gzip = |data: &[u8]| packed(&["gzip", "-n", "-9"], data);
        let Some(payload) = gzip(&kernel) else { return };
        assert_eq!(vmlinux(&image(&payload)), None);
        let Some(mut bomb) = gzip(&vec![0; 64 << 20]) else {
            return;
        };
        let end = bomb.len() - 4;
        bomb[end..].copy_from_slice(&1024u32.to_le_bytes());
        assert_eq!(vmlinux(&image(&bomb)), None);
        bomb[end..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(vmlinux(&image(&bomb)), None);
    }
}
