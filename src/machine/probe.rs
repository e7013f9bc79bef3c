//! A guest of a few dozen instructions that tells within moments whether an accelerator can run anything.
//!
//! A `/dev/kvm` that opens, creates a machine and then runs it a hundred times slower than an emulator, or never to the end, is
//! found in nested and emulated clouds. A kernel cannot tell: a `quiet` one is silent for as long as it boots. So the accelerator
//! first runs this guest, by the same QEMU, board and CPU: past the firmware, into 64-bit mode with paging, through some million
//! memory accesses, and out. Where KVM works this takes about a tenth of a second, and the caller remembers the verdict.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::accelerator::Accelerator;
use super::emulator::Emulator;
use super::sys;
use crate::arch::Arch;

/// How long the probe may take. A working KVM needs a twentieth of it; one that needs longer is slower than TCG.
const LIMIT: Duration = Duration::from_secs(3);

/// How long the probe sleeps between two looks at QEMU.
const PAUSE: Duration = Duration::from_millis(5);

/// QEMU's exit status after the x86_64 probe: `isa-debug-exit` gives `value << 1 | 1`, the probe writes 0x10.
const X86_64_STATUS: i32 = 0x21;

/// Where the x86_64 probe is loaded and entered.
const LOAD: u32 = 0x10_0000;

/// The x86_64 probe, entered in 32-bit protected mode by the PVH protocol (Xen, `docs/misc/pvh.pandoc`).
#[rustfmt::skip]
const X86_64_CODE: [u8; 134] = [
    0xbf, 0x00, 0x20, 0x10, 0x00,                               // mov  edi, 0x102000        the level 4 table
    0xc7, 0x07, 0x03, 0x30, 0x10, 0x00,                         // mov  [edi], 0x103003      -> level 3
    0xc7, 0x87, 0x00, 0x10, 0x00, 0x00, 0x03, 0x40, 0x10, 0x00, // mov  [edi+0x1000], 0x104003  -> level 2
    0xc7, 0x87, 0x00, 0x20, 0x00, 0x00, 0x83, 0x00, 0x00, 0x00, // mov  [edi+0x2000], 0x83   2 MiB at 0
    0x0f, 0x20, 0xe0,                                           // mov  eax, cr4
    0x83, 0xc8, 0x20,                                           // or   eax, 0x20            PAE
    0x0f, 0x22, 0xe0,                                           // mov  cr4, eax
    0x0f, 0x22, 0xdf,                                           // mov  cr3, edi
    0xb9, 0x80, 0x00, 0x00, 0xc0,                               // mov  ecx, 0xc0000080      EFER
    0x0f, 0x32,                                                 // rdmsr
    0x0d, 0x00, 0x01, 0x00, 0x00,                               // or   eax, 0x100           LME
    0x0f, 0x30,                                                 // wrmsr
    0x0f, 0x20, 0xc0,                                           // mov  eax, cr0
    0x0d, 0x00, 0x00, 0x00, 0x80,                               // or   eax, 0x80000000      PG
    0x0f, 0x22, 0xc0,                                           // mov  cr0, eax
    0x0f, 0x01, 0x15, 0x80, 0x00, 0x10, 0x00,                   // lgdt [0x100080]
    0xea, 0x52, 0x00, 0x10, 0x00, 0x08, 0x00,                   // jmp  8:0x100052
    0xb9, 0x00, 0x00, 0x40, 0x00,                               // mov  ecx, 0x400000
    0xff, 0x04, 0x25, 0x00, 0x50, 0x10, 0x00,                   // inc  dword [0x105000]
    0xe2, 0xf7,                                                 // loop -9
    0x31, 0xc0,                                                 // xor  eax, eax
    0x0f, 0xa2,                                                 // cpuid                     always leaves the guest
    0x66, 0xba, 0x01, 0x05,                                     // mov  dx, 0x501
    0xb0, 0x10,                                                 // mov  al, 0x10
    0xee,                                                       // out  dx, al               ends QEMU
    0xf4,                                                       // hlt
    0xeb, 0xfd,                                                 // jmp  -3
    0x66, 0x90,                                                 // (padding)
    0, 0, 0, 0, 0, 0, 0, 0,                                     // gdt: null
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xaf, 0x00,             // gdt: 64-bit code
    0x0f, 0x00, 0x70, 0x00, 0x10, 0x00,                         // 0x100080: limit 15, base 0x100070
];

/// The aarch64 probe: a loop, then the PSCI call SYSTEM_OFF (Arm DEN0022), after which QEMU ends with status 0.
const AARCH64_CODE: [u32; 8] = [
    0xd2a0_0800, // movz x0, #0x40, lsl #16
    0xf100_0400, // subs x0, x0, #1
    0x54ff_ffe1, // b.ne -4
    0x52b0_8000, // movz w0, #0x8400, lsl #16
    0x7280_0100, // movk w0, #0x0008
    0xd400_0002, // hvc  #0
    0xd503_207f, // wfi
    0x17ff_ffff, // b    -4
];

/// Returns the probe as a file that `-kernel` takes.
fn image(arch: Arch) -> Vec<u8> {
    match arch {
        Arch::Aarch64 => AARCH64_CODE
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect(),
        Arch::X86_64 => elf(),
    }
}

/// Returns the x86_64 probe as an ELF file: one segment to load, one with the PVH note.
pub(super) fn elf() -> Vec<u8> {
    const NOTE: u64 = 64 + 2 * 56;
    const CODE: u64 = 0x1000;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    half(&mut file, 2); // ET_EXEC
    half(&mut file, Arch::X86_64.elf_machine());
    word(&mut file, 1); // EV_CURRENT
    for value in [u64::from(LOAD), 64, 0] {
        long(&mut file, value); // entry, program headers, section headers
    }
    word(&mut file, 0);
    for value in [64, 56, 2, 64, 0, 0] {
        half(&mut file, value); // sizes and counts of the headers
    }
    let size = X86_64_CODE.len() as u64;
    let note_size = 24;
    for (kind, flags, offset, address, size, align) in [
        (1, 7, CODE, u64::from(LOAD), size, 0x1000), // PT_LOAD
        (4, 4, NOTE, u64::from(LOAD) + 0x800, note_size, 4), // PT_NOTE
    ] {
        word(&mut file, kind);
        word(&mut file, flags);
        for value in [offset, address, address, size, size, align] {
            long(&mut file, value);
        }
    }
    for value in [4, 8, 18] {
        word(&mut file, value); // name size, value size, XEN_ELFNOTE_PHYS32_ENTRY
    }
    file.extend(b"Xen\0");
    long(&mut file, u64::from(LOAD));
    file.resize(CODE as usize, 0);
    file.extend(X86_64_CODE);
    file
}

/// Returns QEMU's arguments for the probe in the file `kernel`.
fn arguments(arch: Arch, accelerator: Accelerator, kernel: OsString) -> Vec<OsString> {
    let board = match arch {
        Arch::Aarch64 => "virt",
        Arch::X86_64 => "q35",
    };
    let cpu = match (accelerator, arch) {
        (Accelerator::Kvm | Accelerator::Hvf, _) => "host",
        (Accelerator::Tcg, Arch::X86_64) => "qemu64",
        (Accelerator::Tcg, Arch::Aarch64) => "cortex-a72",
    };
    let mut all: Vec<OsString> = [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-m",
        "64",
        "-machine",
        board,
        "-accel",
        accelerator.name(),
        "-cpu",
        cpu,
        "-kernel",
    ]
    .map(OsString::from)
    .to_vec();
    all.push(kernel);
    if arch == Arch::X86_64 {
        all.extend(["-device", "isa-debug-exit,iobase=0x501,iosize=2"].map(OsString::from));
    }
    all
}

/// Runs the probe from a file in the directory `scratch`; returns nothing where the accelerator works, else in a few words why it does not.
///
/// # Errors
/// Whatever writing the probe's file or starting QEMU gives.
pub fn probe(
    emulator: &Emulator,
    arch: Arch,
    accelerator: Accelerator,
    scratch: &Path,
) -> io::Result<Option<String>> {
    let mut file = tempfile::NamedTempFile::new_in(scratch)?;
    file.write_all(&image(arch))?;
    let invocation = emulator.with(arguments(arch, accelerator, file.path().into()));
    let mut command = Command::new(&invocation.program);
    command
        .args(&invocation.arguments)
        .envs(invocation.variables)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = sys::spawn(&mut command)?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            let expected = match arch {
                Arch::Aarch64 => 0,
                Arch::X86_64 => X86_64_STATUS,
            };
            let works = status.code() == Some(expected);
            return Ok((!works).then(|| format!("QEMU ended with {status}")));
        }
        if start.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(Some(format!(
                "no sign of life from a guest in {} seconds",
                LIMIT.as_secs()
            )));
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_hangs_and_a_qemu_that_gives_up_are_told() {
        // pitfall 63
        let scratch = tempfile::tempdir().unwrap();
        let cases = [
            (
                "exec sleep 1000",
                "no sign of life from a guest in 3 seconds",
            ),
            ("exit 1", "QEMU ended with exit status: 1"),
            ("kill -ABRT $$", "QEMU ended with signal: 6 (SIGABRT)"),
        ];
        for (script, expected) in cases {
            let emulator = Emulator {
                program: "sh".into(),
                prefix: vec!["-c".into(), script.into()],
                variables: Vec::new(),
            };
            let fault = probe(&emulator, Arch::X86_64, Accelerator::Kvm, scratch.path()).unwrap();
            assert!(
                fault.is_some_and(|fault| fault.starts_with(expected)),
                "{script}"
            );
        }
    }
}
