//! The two calls that no safe crate offers; all of mkimg's unsafe code is here.
//!
//! - `KVM_CREATE_VM`, because a `/dev/kvm` that opens may still refuse every machine (pitfall 63);
//! - code between fork and exec, so that the kernel ends QEMU when mkimg dies, also by `kill -9`, when no code of ours can.
#![allow(unsafe_code)]

use std::io;
use std::process::{Child, Command};

/// Starts `command` so that the kernel kills it when the calling thread is gone (Linux; elsewhere it is plainly started).
///
/// The signal follows the thread that forks, not the process (`prctl(2)`, `PR_SET_PDEATHSIG`): call this on the thread that
/// waits for the child.
///
/// # Errors
/// Whatever starting gives.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
        use std::os::unix::process::CommandExt as _;

        let parent = getpid();
        // SAFETY: the closure runs in the forked child before exec, where only async-signal-safe code is allowed: it makes two
        // system calls and builds an error from a number; it neither allocates nor takes a lock.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // The parent may have died before the call above; nobody would ever send the signal.
                if getppid() == Some(parent) {
                    Ok(())
                } else {
                    Err(io::Error::from_raw_os_error(
                        rustix::io::Errno::SRCH.raw_os_error(),
                    ))
                }
            });
        }
    }
    command.spawn()
}

/// Opens `/dev/kvm` for reading and writing and creates a virtual machine, which is closed at once.
///
/// # Errors
/// Whatever opening or the call gives.
#[cfg(target_os = "linux")]
pub(super) fn create_kvm_machine() -> io::Result<()> {
    use rustix::fd::{FromRawFd as _, OwnedFd};
    use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
    use std::ffi::c_void;

    /// `KVM_CREATE_VM` of `linux/kvm.h`: `_IO(0xAE, 0x01)`, its argument a machine type, its result a new descriptor.
    struct CreateMachine;

    // SAFETY: the opcode takes an integer, here 0 (the default type), and writes to no memory of ours; its result, when it is no
    // error, is a descriptor that belongs to nobody else yet.
    unsafe impl Ioctl for CreateMachine {
        type Output = OwnedFd;
        const IS_MUTATING: bool = false;

        fn opcode(&self) -> Opcode {
            opcode::none(0xAE, 0x01)
        }

        fn as_ptr(&mut self) -> *mut c_void {
            std::ptr::null_mut()
        }

        unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<OwnedFd> {
            // SAFETY: see above; rustix has already turned a negative result into an error.
            Ok(unsafe { OwnedFd::from_raw_fd(out) })
        }
    }

    let device = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")?;
    // SAFETY: `CreateMachine` describes the call as `/dev/kvm` defines it.
    let _machine = unsafe { ioctl(&device, CreateMachine) }?;
    Ok(())
}

/// Says that this system has no KVM.
#[cfg(not(target_os = "linux"))]
pub(super) fn create_kvm_machine() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
