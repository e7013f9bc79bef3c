//! From an image to the command that boots it: which QEMU, which accelerator, which kernel file.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::load::Loaded;
use super::open::Session;
use super::realize::RealizeOptions;
use crate::arch::{Arch, KernelFormat};
use crate::digest::{self, Digest};
use crate::dir;
use crate::machine::{
    self, Accelerator, Emulator, Host, Invocation, Known, Machine, MachineError, Needs, Ran, Seat,
    Verdict,
};
use crate::realize::Realized;
use crate::store::{Blob, Store, StoreError, Sum};
use crate::tools::{self, Choice, Toolbox};

/// Bytes of a kernel that tell how much memory it takes.
const HEAD: u64 = 64 * 1024;

/// What is to be booted.
pub(super) struct Bootable {
    pub(super) arch: Arch,
    pub(super) kernel: PathBuf,
    /// The kernel's sha256.
    pub(super) digest: Digest,
    pub(super) initrd: Option<PathBuf>,
    pub(super) cmdline: String,
    pub(super) memory: u64,
    pub(super) cpus: u32,
    /// Bytes of the initramfs, and of the archive in it.
    pub(super) sizes: (u64, u64),
    /// What of the cache it is made of, for `Store::lease`.
    pub(super) needs: String,
}

/// How a machine is to be.
#[derive(Debug, Clone, Default)]
pub struct BootOptions {
    /// Bytes of memory; without a number, the recipe's.
    pub memory: Option<u64>,
    /// The number of processors; without one, the recipe's.
    pub cpus: Option<u32>,
    /// Words to add to the kernel's command line.
    pub append: Option<String>,
    /// What runs the guest's instructions.
    pub accelerator: machine::Choice,
    /// The board.
    pub machine: machine::MachineKind,
    /// The network.
    pub net: machine::Net,
    /// Which QEMU.
    pub qemu: Choice,
    /// The command that answers a connection of the guest to the address of a test's pages.
    pub serve: Option<Vec<OsString>>,
    /// Columns and rows of the terminal that the console is on.
    pub window: Option<(u16, u16)>,
    /// Arguments for QEMU.
    pub extra: Vec<OsString>,
}

/// A machine that can be started.
pub(super) struct Ready {
    pub(super) invocation: Invocation,
    pub(super) accelerator: Accelerator,
    added: Vec<String>,
}

/// An image, or files, ready to be booted.
pub struct Boot<'s> {
    session: &'s Session<'s>,
    store: Store,
    needs: String,
    /// The command that starts QEMU.
    pub command: Invocation,
    /// Words of the kernel's command line that are mkimg's, not the recipe's.
    pub added: Vec<String>,
}

impl Boot<'_> {
    /// Boots it, its console at `seat`, and waits for its end.
    ///
    /// # Errors
    /// [`Error`] where QEMU cannot be started; how the guest ended is in what is returned.
    pub fn run(&self, seat: Seat<'_>) -> Result<Ran, Error> {
        // It may be up for days: gc is not to wait for it, and leaves alone what it may still open.
        self.store
            .lease(&format!("{}\n{}\n", self.needs, self.command));
        Ok(machine::run(&self.command, seat, self.session.report)?)
    }
}

impl Loaded<'_> {
    /// Makes the image and what boots it on this machine.
    ///
    /// # Errors
    /// [`Error`] where the image cannot be made, or where there is no QEMU for it.
    pub fn boot(&self, realize: &RealizeOptions, options: &BootOptions) -> Result<Boot<'_>, Error> {
        let made = self.realize_with(realize)?;
        Bootable::image(&made.realized).boot(self.session, made.store, options)
    }
}

impl Session<'_> {
    /// Makes what boots a kernel and an initramfs that no recipe made.
    ///
    /// # Errors
    /// [`Error`] where they cannot be read, or where there is no QEMU for them.
    pub fn boot_files(
        &self,
        kernel: &Path,
        initrd: Option<&Path>,
        arch: Arch,
        options: &BootOptions,
    ) -> Result<Boot<'_>, Error> {
        let store = self.store(Path::new("images"))?;
        Bootable::files(kernel, initrd, arch)?.boot(self, store, options)
    }
}

impl Bootable {
    fn boot<'s>(
        &self,
        session: &'s Session<'_>,
        store: Store,
        options: &BootOptions,
    ) -> Result<Boot<'s>, Error> {
        let ready = self.ready(session, &store, options)?;
        session.report.clear();
        Ok(Boot {
            session,
            store,
            needs: self.needs.clone(),
            command: ready.invocation,
            added: ready.added,
        })
    }

    /// Returns what a realized image wants to be.
    pub(super) fn image(made: &Realized) -> Bootable {
        Bootable {
            arch: made.image.arch,
            kernel: made.kernel(),
            digest: made.image.kernel.digest,
            initrd: Some(made.initramfs()),
            cmdline: made.image.cmdline.clone(),
            memory: made.image.memory,
            cpus: made.image.cpus,
            sizes: (made.image.initramfs.size, made.image.archive_size),
            needs: format!("{}\n{}", made.image.plan, made.image.kernel.digest),
        }
    }

    /// Returns a kernel and an initramfs that no recipe made.
    fn files(kernel: &Path, initrd: Option<&Path>, arch: Arch) -> Result<Bootable, Error> {
        let opened = dir::open(kernel).and_then(|mut file| digest::of_reader(&mut file));
        let (digest, _) = opened.map_err(|error| Error::io("read the kernel", kernel, error))?;
        let mut size = 0;
        if let Some(initrd) = initrd {
            let opened = dir::open(initrd).and_then(|file| file.metadata());
            let found = opened.map_err(|error| Error::io("read the initramfs", initrd, error))?;
            size = found.len();
        }
        Ok(Bootable {
            arch,
            kernel: kernel.to_path_buf(),
            digest,
            initrd: initrd.map(Path::to_path_buf),
            cmdline: String::new(),
            memory: 256 << 20,
            cpus: 1,
            // It unpacks to that at least.
            sizes: (size, size),
            needs: digest.to_string(),
        })
    }

    /// Returns the command that boots it on this machine.
    pub(super) fn ready(
        &self,
        session: &Session<'_>,
        store: &Store,
        options: &BootOptions,
    ) -> Result<Ready, Error> {
        let emulator = emulator(session, store, self.arch, options)?;
        let accelerator = accelerator(session, store, self.arch, &emulator, options)?;
        let kind = options.machine.on(self.arch).map_err(MachineError::from)?;
        let classic = kind == machine::MachineKind::Pc;
        let kernel = match classic {
            true => self.kernel.clone(),
            false => self.unpacked_kernel(store)?,
        };
        let head = head(&kernel)?;
        let memory = options.memory.unwrap_or(self.memory);
        self.check_memory(&head, memory)?;
        let mut cmdline = self.cmdline.clone();
        if let Some(append) = &options.append {
            cmdline = format!("{cmdline} {append}").trim().to_owned();
        }
        let machine = Machine {
            arch: self.arch,
            kind: options.machine,
            accelerator,
            kernel,
            pages_16k: machine::has_16k_pages(self.arch, &head),
            initrd: self.initrd.clone(),
            cmdline,
            memory,
            cpus: options.cpus.unwrap_or(self.cpus),
            net: options.net,
            serve: options.serve.clone(),
            window: options.window,
            extra: options.extra.clone(),
        };
        Ok(Ready {
            invocation: emulator.invocation(&machine).map_err(MachineError::from)?,
            added: machine::added_words(&machine).map_err(MachineError::from)?,
            accelerator,
        })
    }

    /// Refuses a machine that could not come up for want of memory.
    fn check_memory(&self, head: &[u8], memory: u64) -> Result<(), Error> {
        let Some(footprint) = machine::kernel_footprint(self.arch, head) else {
            return Ok(());
        };
        let needed = machine::memory_needed(Needs {
            arch: self.arch,
            kernel: footprint,
            packed: self.sizes.0,
            unpacked: self.sizes.1,
        });
        if memory >= needed {
            return Ok(());
        }
        let (memory, needed) = (memory >> 20, needed.div_ceil(1 << 20));
        Err(Error::usage(
            format!(
                "the machine has {memory} MiB of memory, and this image needs {needed} MiB to come up at all"
            ),
            format!(
                "give it more with `--memory {0}MiB`, or with `boot memory=\"{0}MiB\"` in the recipe",
                needed.next_multiple_of(32)
            ),
        ))
    }

    /// Returns what QEMU is to start: the decompressed ELF file of a bzImage, which spares the guest the work, or the Image of a
    /// packed one, which QEMU may not find. It is made once and kept in the cache. The kernel itself where it
    /// holds none, or where the cache cannot be written.
    fn unpacked_kernel(&self, store: &Store) -> Result<PathBuf, Error> {
        let note = format!("vmlinux-{}", self.digest);
        let known = store.note(&note).unwrap_or_default();
        if known.trim() == "none" {
            return Ok(self.kernel.clone());
        }
        let known = known.trim().parse::<Digest>().ok();
        if let Some(blob) = known.and_then(|digest| store.blob(&digest))
            && is_whole(store, &note, &blob)
        {
            return Ok(blob.path);
        }
        let image = dir::read(&self.kernel)
            .map_err(|error| Error::io("read the kernel", &self.kernel, error))?;
        let inside = machine::kernel_inside(self.arch, &image).map_err(|error| {
            let help = "take a kernel that is an Image, or unpack this one and name what comes out";
            Error::usage(error.to_string(), help)
        })?;
        let has_inside = inside.is_some();
        let is_image = matches!(self.arch.facts().kernel, KernelFormat::Image { .. });
        let kept: Result<Option<Blob>, StoreError> = match inside {
            None => store.set_note(&note, "none\n").map(|()| None),
            Some(inside) => store
                .blob_from(&mut &inside[..], &self.kernel)
                .and_then(|blob| {
                    store
                        .set_note(&note, &format!("{}\n", blob.digest))
                        .map(|()| Some(blob))
                }),
        };
        Ok(match kept {
            Ok(Some(blob)) => blob.path,
            // QEMU may not find the Image in this kernel.
            Err(error) if is_image && has_inside => {
                return Err(error.into());
            }
            Ok(None) | Err(_) => self.kernel.clone(),
        })
    }
}

/// Returns the first bytes of a kernel.
fn head(kernel: &Path) -> Result<Vec<u8>, Error> {
    let mut head = Vec::new();
    let read = dir::open(kernel).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.map_err(|error| Error::io("read the kernel", kernel, error))?;
    Ok(head)
}

/// Says whether a blob is what its name says: by its stamp, recorded under `note`, or its bytes.
fn is_whole(store: &Store, note: &str, blob: &Blob) -> bool {
    let (Some(directory), Some(name)) = (blob.path.parent(), blob.path.file_name()) else {
        return false;
    };
    let sum = Sum {
        name: name.to_string_lossy().into_owned(),
        digest: blob.digest,
        size: blob.size,
    };
    let record = store.record(note);
    store
        .check(directory, note, record.as_ref(), &[sum])
        .is_ok()
}

/// Returns the accelerator to use, and remembers what was found out about KVM on this host, until it is started anew.
fn accelerator(
    session: &Session<'_>,
    store: &Store,
    arch: Arch,
    emulator: &Emulator,
    options: &BootOptions,
) -> Result<Accelerator, Error> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let host = format!("{} {}", boot.trim(), emulator.program.display()).replace(['\t', '\n'], " ");
    // A note for each host and QEMU: a cache may be shared, and a machine may have several.
    let note = format!("kvm-{}", Digest::of(host.as_bytes()).short());
    let known = store
        .note(&note)
        .and_then(|text| text.parse::<Verdict>().ok());
    let decision = machine::choose(
        options.accelerator,
        arch,
        Host::this(),
        emulator,
        Known {
            name: &host,
            verdict: known.as_ref(),
            scratch: &session.options.environment.temporary,
        },
        session.report,
    )?;
    if let Some(verdict) = decision.verdict {
        // Where it cannot be remembered it is found out again.
        let _ = store.set_note(&note, &format!("{verdict}\n"));
    }
    Ok(decision.accelerator)
}

/// Returns the QEMU to take: the one that was named, the system's, or the pinned one.
fn emulator(
    session: &Session<'_>,
    store: &Store,
    arch: Arch,
    options: &BootOptions,
) -> Result<Emulator, Error> {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let fetch = session.fetch_options()?;
    let toolbox = Toolbox {
        store,
        fetch: &fetch,
        jobs: session.jobs(),
        progress: session.report,
    };
    let found = toolbox.qemu(
        arch,
        &options.qemu,
        &tools::Host::here(session.options.environment.path.as_deref(), &os_release),
    );
    session.report.clear();
    let found = found?;
    Ok(Emulator {
        program: found.program,
        prefix: found.leading_args,
        variables: found.env,
    })
}
