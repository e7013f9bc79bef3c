//! Guests to boot: the minimal image, and what becomes of it with another `/init`.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use mkimg::arch::Arch;
use mkimg::digest::Digest;
use mkimg::machine::{Accelerator, Emulator, Invocation, Machine, MachineKind, Net, vmlinux};
use mkimg::pack::{Compression, pack};
use mkimg::progress::Silent;
use mkimg::source::apt;
use mkimg::source::fetch::FetchOptions;
use mkimg::store::Store;
use mkimg::tools::{Choice, Host, Toolbox};
use mkimg::tree::{Content, Entry, EntryPath, Kind, Tree};
use tempfile::{NamedTempFile, TempPath};

use crate::cli::{mirror, repository, run};
use crate::support::skip;

/// The minimal image of an architecture, realized.
pub struct Minimal {
    pub arch: Arch,
    pub qemu: Emulator,
    pub kernel: PathBuf,
    pub initrd: PathBuf,
}

/// Returns the minimal image, and a QEMU to boot it; none where there is no QEMU.
pub fn minimal(arch: Arch) -> Option<Minimal> {
    mirror();
    let qemu = qemu(arch)?;
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkimg"));
    command
        .current_dir(repository())
        .args([
            "realize",
            match arch {
                Arch::Riscv64 => "images/minimal-riscv64.kdl",
                _ => "images/minimal.kdl",
            },
            "--arch",
            arch.name(),
            "--cache",
        ])
        .arg(target.join("cache"));
    let output = run(&mut command);
    let image = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    let bytes = fs::read(image.join("vmlinuz")).unwrap();
    let kernel = target.join(format!("vmlinux-{}", Digest::of(&bytes).short()));
    let lock = File::create(target.join("vmlinux.lock")).unwrap();
    lock.lock().unwrap();
    if !kernel.exists() {
        let mut file = NamedTempFile::new_in(&target).unwrap();
        // What has no ELF kernel inside is booted as it is.
        file.write_all(&vmlinux(&bytes).unwrap_or(bytes)).unwrap();
        file.persist(&kernel).unwrap();
    }
    Some(Minimal {
        arch,
        qemu,
        kernel,
        initrd: image.join("initramfs.cpio.gz"),
    })
}

/// Returns the QEMU of this machine where it has one, else the pinned one; none, said loudly, where that does not run.
pub fn qemu(arch: Arch) -> Option<Emulator> {
    let store = Store::open(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache")).unwrap();
    let fetch = FetchOptions {
        apt_roots: apt::roots_of_machine(Path::new("/etc/apt")),
        ..FetchOptions::default()
    };
    let toolbox = Toolbox {
        store: &store,
        fetch: &fetch,
        jobs: NonZeroUsize::MIN,
        progress: &Silent,
    };
    let path = std::env::var_os("PATH");
    match toolbox.qemu(arch, &Choice::Auto, &Host::here(path.as_deref(), "")) {
        Ok(found) => Some(Emulator {
            program: found.program,
            prefix: found.leading_args,
            variables: found.env,
        }),
        Err(error) => {
            skip(&error.to_string());
            None
        }
    }
}

impl Minimal {
    /// Returns the machine of the image, under TCG.
    pub fn machine(&self) -> Machine {
        Machine {
            arch: self.arch,
            kind: MachineKind::Auto,
            accelerator: Accelerator::Tcg,
            kernel: self.kernel.clone(),
            pages_16k: false,
            initrd: Some(self.initrd.clone()),
            cmdline: "quiet".to_owned(),
            memory: 128 << 20,
            cpus: 1,
            net: Net::None,
            serve: None,
            window: None,
            extra: Vec::new(),
        }
    }

    /// Returns the command that boots `machine`.
    pub fn invocation(&self, machine: &Machine) -> Invocation {
        self.qemu.invocation(machine).unwrap()
    }

    /// Returns the image with another `/init`: an archive after an archive replaces what the first one holds.
    pub fn with_init(&self, mode: u32, content: &[u8]) -> TempPath {
        self.with_file("init", mode, content)
    }

    /// Returns the image with one file more, or another one.
    pub fn with_file(&self, path: &str, mode: u32, content: &[u8]) -> TempPath {
        let mut tree = Tree::new(0);
        let entry = Entry {
            kind: Kind::File(Content::memory(content)),
            mode,
            uid: 0,
            gid: 0,
            origin: None,
        };
        tree.insert(EntryPath::new(path.as_bytes()).unwrap(), entry)
            .unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(&fs::read(&self.initrd).unwrap()).unwrap();
        let jobs = std::num::NonZero::<usize>::MIN;
        pack(
            &tree,
            Compression::Gzip { level: 1 },
            jobs,
            &mut file,
            &mut |_| {},
        )
        .unwrap();
        file.into_temp_path()
    }
}

/// Returns the machine with another initramfs.
pub fn booting(mut machine: Machine, initrd: &Path) -> Machine {
    machine.initrd = Some(initrd.to_path_buf());
    machine
}
