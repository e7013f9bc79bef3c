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
use crate::arch::{Arch, KernelFormat};

/// How long the probe may take. A working KVM needs a twentieth of it; one that needs longer is slower than TCG.
const LIMIT: Duration = Duration::from_secs(3);

/// How long the probe sleeps between two looks at QEMU.
const PAUSE: Duration = Duration::from_millis(5);

/// Where the probe in an ELF file is loaded and entered.
const LOAD: u32 = 0x10_0000;

/// Returns the probe as a file that `-kernel` takes.
fn image(arch: Arch) -> Vec<u8> {
    let facts = arch.facts();
    match facts.kernel {
        KernelFormat::Image { .. } => facts.probe.code.to_vec(),
        KernelFormat::BzImage { .. } => elf(facts.elf_machine, facts.probe.code),
    }
}

/// Returns a probe as an ELF file: one segment to load, one with the PVH note.
pub(super) fn elf(machine: u16, code: &[u8]) -> Vec<u8> {
    const NOTE: u64 = 64 + 2 * 56;
    const CODE: u64 = 0x1000;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    half(&mut file, 2); // ET_EXEC
    half(&mut file, machine);
    word(&mut file, 1); // EV_CURRENT
    for value in [u64::from(LOAD), 64, 0] {
        long(&mut file, value); // entry, program headers, section headers
    }
    word(&mut file, 0);
    for value in [64, 56, 2, 64, 0, 0] {
        half(&mut file, value); // sizes and counts of the headers
    }
    let size = code.len() as u64;
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
    file.extend(code);
    file
}

/// Returns QEMU's arguments for the probe in the file `kernel`.
fn arguments(arch: Arch, accelerator: Accelerator, kernel: OsString) -> Vec<OsString> {
    let facts = arch.facts();
    let board = facts.boards.first().copied().unwrap_or_default();
    let cpu = match accelerator {
        Accelerator::Kvm | Accelerator::Hvf => "host",
        Accelerator::Tcg => facts.cpu,
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
    all.extend(facts.probe.arguments.iter().map(OsString::from));
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
            let works = status.code() == Some(arch.facts().probe.status);
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
