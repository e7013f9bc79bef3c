//! What the head of an ELF file tells: the machine that it is for, its loader, and where it wants to be loaded.

use object::elf::{FileHeader32, FileHeader64, PT_INTERP, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader as _};
use object::{Endianness, FileKind};

use crate::arch::Arch;

/// The first words of an ELF file.
pub(super) struct Elf {
    machine: u16,
    is_64_bit: bool,
    is_little_endian: bool,
    /// The name of its loader (`PT_INTERP`), where it is linked dynamically.
    pub(super) loader: Option<Vec<u8>>,
    /// The virtual addresses of what is loaded.
    pub(super) addresses: Vec<u64>,
}

impl Elf {
    /// Reads the head of a file, which has to hold the program headers.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn read(head: &[u8]) -> Result<Elf, String> {
        match FileKind::parse(head) {
            Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>>(head),
            Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>>(head),
            _ => Err("its header is cut off or unknown".to_owned()),
        }
    }

    /// Says whether the kernel of an image for an architecture could start it: a 64-bit program of that machine.
    pub(super) fn is_for(&self, arch: Arch) -> bool {
        self.machine == arch.elf_machine() && self.is_64_bit && self.is_little_endian
    }

    /// Returns the name of its machine, for the ones that people meet.
    pub(super) fn machine_name(&self) -> String {
        let name = match (self.machine, self.is_64_bit) {
            (3, _) => "i386",
            (8, _) => "mips",
            (20, _) => "ppc",
            (21, _) => "ppc64",
            (22, _) => "s390x",
            (40, _) => "arm",
            (62, true) => "x86_64",
            (62, false) => "x32",
            (183, true) => "aarch64",
            (183, false) => "arm64ilp32",
            (243, _) => "riscv",
            (258, _) => "loongarch",
            (other, _) => return format!("ELF machine {other}"),
        };
        match (self.is_little_endian, self.machine) {
            (false, 183) => format!("{name} (big-endian)"),
            _ => name.to_owned(),
        }
    }
}

fn read<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> Result<Elf, String> {
    let text = |error: object::Error| error.to_string();
    let header = H::parse(head).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let mut elf = Elf {
        machine: header.e_machine(endian).0,
        is_64_bit: header.is_type_64(),
        is_little_endian: endian == Endianness::Little,
        loader: None,
        addresses: Vec::new(),
    };
    for segment in header.program_headers(endian, head).map_err(text)? {
        if segment.p_type(endian) == PT_LOAD {
            elf.addresses.push(segment.p_vaddr(endian).into());
        }
        if segment.p_type(endian) == PT_INTERP {
            let data = segment
                .data(endian, head)
                .map_err(|()| "its loader's name is not in the file".to_owned())?;
            let name = data.split(|byte| *byte == 0).next().unwrap_or_default();
            elf.loader = Some(name.to_vec());
        }
    }
    Ok(elf)
}
