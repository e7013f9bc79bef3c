//! What an ELF file tells of itself: the machine that it is for, its loader, the libraries that it needs. Only the headers are
//! read, wherever in the file they are: `patchelf` moves them behind everything else.

use std::fmt::Display;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader as _};
use object::{Endianness, FileKind, pod};

use crate::arch::Arch;
use crate::tree::Content;

/// The first bytes of an ELF file: the header, and usually the program headers.
const HEAD: u64 = 1024;
/// The most bytes of program headers that the kernel takes (`load_elf_phdrs` in `fs/binfmt_elf.c`).
const HEADERS: u64 = 64 * 1024;
/// The longest name of a loader that the kernel takes (`PATH_MAX`), its NUL included.
const NAME: u64 = 4096;
/// The most bytes of a dynamic section that are looked at; that of a large program has one or two KiB.
const DYNAMIC: u64 = 64 * 1024;

/// The headers of an ELF file.
#[derive(Debug)]
pub(super) struct Elf {
    machine: u16,
    is_64_bit: bool,
    is_little_endian: bool,
    kind: u16,
    /// The name of its loader (`PT_INTERP`), where it is linked dynamically.
    pub(super) loader: Option<Vec<u8>>,
    /// What is loaded into memory.
    loaded: Vec<Segment>,
    dynamic: Option<Segment>,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
}

/// The dynamic section of an ELF file.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    /// The libraries that it needs (`DT_NEEDED`).
    pub(super) needed: Vec<Vec<u8>>,
    /// Its own name as a library (`DT_SONAME`).
    pub(super) soname: Option<Vec<u8>>,
    /// Where libraries are looked for, for itself and what it loads (`DT_RPATH`).
    pub(super) rpath: Option<Vec<u8>>,
    /// Where libraries are looked for, for itself alone (`DT_RUNPATH`).
    pub(super) runpath: Option<Vec<u8>>,
    /// Is it a program that can be loaded anywhere (`DF_1_PIE`)?
    pub(super) is_pie: bool,
}

impl Elf {
    /// Reads the headers of a file.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn read(content: &Content) -> Result<Elf, String> {
        let head = content.head(HEAD).map_err(text)?;
        match FileKind::parse(&*head) {
            Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>>(content, &head),
            Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>>(content, &head),
            _ => Err("its header is cut off or unknown".to_owned()),
        }
    }

    /// Says whether it is a program or a library: neither an object file, as a kernel module is one, nor a core dump.
    pub(super) fn is_loadable(&self) -> bool {
        self.is_fixed() || self.kind == elf::ET_DYN.0
    }

    /// Says whether it is a program that is loaded at a fixed address: never a library.
    pub(super) fn is_fixed(&self) -> bool {
        self.kind == elf::ET_EXEC.0
    }

    /// Says whether every kernel for an architecture could start it: a 64-bit program of that machine.
    pub(super) fn is_for(&self, arch: Arch) -> bool {
        self.machine == arch.facts().elf_machine && self.is_64_bit && self.is_little_endian
    }

    fn arch(&self) -> Option<Arch> {
        Arch::ALL.into_iter().find(|arch| self.is_for(*arch))
    }

    /// Returns the kernel's option with which it starts this 32-bit program on an architecture; nothing where none does.
    pub(super) fn compatible(&self, arch: Arch) -> Option<&'static str> {
        let is_32_bit = !self.is_64_bit && self.is_little_endian;
        let (machine, option) = arch.facts().elf_32_bit;
        (is_32_bit && self.machine == machine).then_some(option)
    }

    /// Says whether two files can be in one process.
    pub(super) fn fits(&self, other: &Elf) -> bool {
        let words = |elf: &Elf| (elf.machine, elf.is_64_bit, elf.is_little_endian);
        words(self) == words(other)
    }

    /// Returns the directories in which the loaders of the distributions look without being told, without the leading `/`.
    pub(super) fn library_directories(&self) -> &'static [&'static str] {
        if let Some(arch) = self.arch() {
            return arch.facts().library_directories;
        }
        match (elf::Machine(self.machine), self.is_64_bit) {
            (elf::EM_X86_64, false) => &["libx32", "usr/libx32", "lib", "usr/lib"],
            (elf::EM_386, _) => &[
                "lib/i386-linux-gnu",
                "usr/lib/i386-linux-gnu",
                "lib32",
                "usr/lib32",
                "lib",
                "usr/lib",
            ],
            (elf::EM_ARM, _) => &[
                "lib/arm-linux-gnueabihf",
                "usr/lib/arm-linux-gnueabihf",
                "lib/arm-linux-gnueabi",
                "usr/lib/arm-linux-gnueabi",
                "lib",
                "usr/lib",
            ],
            _ => &["lib64", "usr/lib64", "lib", "usr/lib"],
        }
    }

    /// Says whether one of the addresses at which it is loaded is `from` or higher.
    pub(super) fn reaches(&self, from: u64) -> bool {
        self.loaded.iter().any(|segment| segment.address >= from)
    }

    /// Returns the name of its machine, for the ones that people meet.
    pub(super) fn machine_name(&self) -> String {
        if let Some(arch) = self.arch() {
            return arch.to_string();
        }
        let name = match (self.machine, self.is_64_bit) {
            (3, _) => "i386",
            (8, _) => "mips",
            (20, _) => "ppc",
            (21, _) => "ppc64",
            (22, _) => "s390x",
            (40, _) => "arm",
            (62, _) => "x32",
            (183, true) => "aarch64",
            (183, false) => "arm64ilp32",
            (243, true) => "riscv64",
            (243, false) => "riscv32",
            (258, _) => "loongarch",
            (other, _) => return format!("ELF machine {other}"),
        };
        match (self.is_little_endian, self.machine) {
            (false, 183) => format!("{name} (big-endian)"),
            _ => name.to_owned(),
        }
    }

    /// Reads the dynamic section; a file without one, or with a broken one, needs nothing.
    pub(super) fn dynamic(&self, content: &Content) -> Dynamic {
        self.read_dynamic(content).unwrap_or_default()
    }

    fn read_dynamic(&self, content: &Content) -> Option<Dynamic> {
        let segment = self.dynamic?;
        let bytes = content
            .piece(segment.offset, segment.size.min(DYNAMIC))
            .ok()?;
        let width = if self.is_64_bit { 8 } else { 4 };
        let mut tags: Vec<(u64, u64)> = Vec::new();
        for pair in bytes.chunks_exact(2 * width) {
            let (tag, value) = pair.split_at(width);
            let (tag, value) = (self.number(tag), self.number(value));
            if tag == 0 {
                break;
            }
            tags.push((tag, value));
        }
        let value = |wanted: i64| {
            let found = tags.iter().find(|(tag, _)| *tag == wanted as u64);
            found.map(|(_, value)| *value)
        };
        let strings = self.offset(value(elf::DT_STRTAB.0)?)?;
        let size = value(elf::DT_STRSZ.0)?;
        let string = |at: u64| -> Option<Vec<u8>> {
            let left = size.checked_sub(at)?.min(NAME);
            let bytes = content.piece(strings.checked_add(at)?, left).ok()?;
            let end = bytes.iter().position(|byte| *byte == 0)?;
            bytes.get(..end).map(<[u8]>::to_vec)
        };
        let flags = value(elf::DT_FLAGS_1.0).unwrap_or_default();
        let needed = tags
            .iter()
            .filter(|(tag, _)| *tag == elf::DT_NEEDED.0 as u64);
        Some(Dynamic {
            needed: needed.filter_map(|(_, at)| string(*at)).collect(),
            soname: value(elf::DT_SONAME.0).and_then(string),
            rpath: value(elf::DT_RPATH.0).and_then(string),
            runpath: value(elf::DT_RUNPATH.0).and_then(string),
            is_pie: flags & elf::DF_1_PIE.0 != 0,
        })
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self.is_little_endian {
            true => bytes.iter().rev().fold(0, fold),
            false => bytes.iter().fold(0, fold),
        }
    }

    /// Returns where in the file an address of the loaded program is.
    fn offset(&self, address: u64) -> Option<u64> {
        self.loaded.iter().find_map(|segment| {
            let into = address.checked_sub(segment.address)?;
            (into < segment.size).then(|| segment.offset.checked_add(into))?
        })
    }
}

fn read<H: FileHeader<Endian = Endianness>>(content: &Content, head: &[u8]) -> Result<Elf, String> {
    let header = H::parse(head).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let mut elf = Elf {
        machine: header.e_machine(endian).0,
        is_64_bit: header.is_type_64(),
        is_little_endian: endian == Endianness::Little,
        kind: header.e_type(endian).0,
        loader: None,
        loaded: Vec::new(),
        dynamic: None,
    };
    let count = usize::from(header.e_phnum(endian));
    if count == 0 {
        return Ok(elf);
    }
    let row = size_of::<H::ProgramHeader>();
    let size = (count * row) as u64;
    if usize::from(header.e_phentsize(endian)) != row || size > HEADERS {
        return Err("its program headers are of no size that the kernel takes".to_owned());
    }
    let bytes = content
        .piece(header.e_phoff(endian).into(), size)
        .map_err(text)?;
    let segments = pod::slice_from_all_bytes::<H::ProgramHeader>(&bytes)
        .ok()
        .filter(|segments| segments.len() == count)
        .ok_or("its program headers are not in the file")?;
    for segment in segments {
        let place = Segment {
            address: segment.p_vaddr(endian).into(),
            offset: segment.p_offset(endian).into(),
            size: segment.p_filesz(endian).into(),
        };
        match segment.p_type(endian) {
            elf::PT_LOAD => elf.loaded.push(place),
            elf::PT_DYNAMIC => elf.dynamic = Some(place),
            elf::PT_INTERP if elf.loader.is_none() => elf.loader = Some(loader(content, place)?),
            _ => {}
        }
    }
    Ok(elf)
}

/// Reads the name of a loader, which ends with a NUL: else the kernel refuses the program (`fs/binfmt_elf.c`).
fn loader(content: &Content, place: Segment) -> Result<Vec<u8>, String> {
    if place.size > NAME {
        return Err("its loader's name is longer than the kernel takes".to_owned());
    }
    let mut name = content.piece(place.offset, place.size).map_err(text)?;
    if (name.len() as u64) < place.size {
        return Err("its loader's name is not in the file".to_owned());
    }
    if name.pop() != Some(0) {
        return Err("its loader's name does not end with a NUL".to_owned());
    }
    name.truncate(
        name.iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len()),
    );
    Ok(name)
}

fn text(error: impl Display) -> String {
    error.to_string()
}
