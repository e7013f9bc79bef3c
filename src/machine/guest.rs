//! A running QEMU: the process, its three pipes, and the end of it all.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::process::{Pid, Signal, kill_process_group};

use super::console::Console;
use super::emulator::Invocation;
use super::end::End;
use super::error::MachineError;
use super::input::View;
use super::sys;

/// Bytes written to QEMU at once: what POSIX lets a pipe take that `poll` calls writable (`_POSIX_PIPE_BUF`), so that no write blocks.
const PIECE: usize = 512;

/// What is kept of QEMU's standard error: its end.
const STDERR: usize = 64 * 1024;

/// How long a guest that announced its end may stay silent before QEMU is ended for it: a kernel without ACPI halts, and one that
/// was told not to restart after a panic stays, for ever.
const GRACE: Duration = Duration::from_secs(1);

/// The byte that QEMU's console takes as its own; doubled, it reaches the guest.
const ESCAPE: u8 = 0x01;

/// A running QEMU. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Guest {
    child: Child,
    // Each pipe is gone once its other end is.
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    queue: VecDeque<u8>,
    errors: Vec<u8>,
    start: Instant,
    /// The console's past.
    pub(super) console: Console,
}

/// What a turn of the loop brought.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The console's bytes as they came.
    pub(super) bytes: Vec<u8>,
    /// The same, without terminal sequences and carriage returns.
    pub(super) clean: Vec<u8>,
    /// For each descriptor asked for, what is ready.
    pub(super) ready: Vec<PollFlags>,
}

impl Guest {
    /// Starts QEMU in a process group of its own, so that a Ctrl-C at the user's terminal is mkimg's to handle.
    pub(super) fn start(invocation: &Invocation) -> Result<Guest, MachineError> {
        let mut command = Command::new(&invocation.program);
        command
            .args(&invocation.arguments)
            .envs(
                invocation
                    .variables
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let start = Instant::now();
        let mut child = sys::spawn(&mut command).map_err(|source| MachineError::Start {
            program: invocation.program.clone(),
            source,
        })?;
        Ok(Guest {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            queue: VecDeque::new(),
            errors: Vec::new(),
            start,
            console: Console::default(),
        })
    }

    /// Returns the time since the start.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns what it looks like from outside.
    pub(super) fn view(&self) -> View {
        View {
            now: self.now(),
            last: self.console.last(),
            partial: self.console.partial(),
            spoken: self.console.spoken(),
        }
    }

    /// Queues bytes for the guest's serial line.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == ESCAPE {
                self.queue.push_back(ESCAPE);
            }
            self.queue.push_back(byte);
        }
    }

    /// Returns whether all that was queued is with QEMU.
    pub(super) fn sent(&self) -> bool {
        self.queue.is_empty()
    }

    /// Waits for something to do, `limit` at most, and does it: reads the console where `listen` says so, and sends what is queued.
    pub(super) fn turn(
        &mut self,
        others: &[(BorrowedFd<'_>, PollFlags)],
        listen: bool,
        limit: Duration,
    ) -> Result<Turn, MachineError> {
        let mut turn = Turn::default();
        let failed = |source: rustix::io::Errno| MachineError::io("wait for QEMU", source);
        let (mut read, mut write, mut warn) = (false, false, false);
        {
            let mut set: Vec<PollFd<'_>> = others
                .iter()
                .map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
                .collect();
            let mut own: Vec<&mut bool> = Vec::new();
            if let Some(pipe) = self.stdout.as_ref().filter(|_| listen) {
                set.push(PollFd::new(pipe, PollFlags::IN));
                own.push(&mut read);
            }
            if let Some(pipe) = &self.stderr {
                set.push(PollFd::new(pipe, PollFlags::IN));
                own.push(&mut warn);
            }
            if let Some(pipe) = self.stdin.as_ref().filter(|_| !self.queue.is_empty()) {
                set.push(PollFd::new(pipe, PollFlags::OUT));
                own.push(&mut write);
            }
            let limit = Timespec::try_from(limit).map_err(|_| failed(rustix::io::Errno::INVAL))?;
            match poll(&mut set, Some(&limit)) {
                Ok(_) => {}
                // A signal came; whoever asked for it sees its own descriptor in the next turn.
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
            turn.ready = set.iter().take(others.len()).map(PollFd::revents).collect();
            for (flag, fd) in own.into_iter().zip(set.iter().skip(others.len())) {
                *flag = !fd.revents().is_empty();
            }
        }
        if read {
            self.listen(&mut turn)?;
        }
        if warn {
            self.hear_warnings();
        }
        if write {
            self.push();
        }
        Ok(turn)
    }

    fn listen(&mut self, turn: &mut Turn) -> Result<(), MachineError> {
        let mut buffer = [0u8; 16 * 1024];
        let Some(pipe) = &mut self.stdout else {
            return Ok(());
        };
        match pipe.read(&mut buffer) {
            Ok(0) => self.stdout = None,
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                turn.bytes.extend(bytes);
                turn.clean = self.console.take(bytes, self.start.elapsed());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(MachineError::io("read from QEMU", error)),
        }
        Ok(())
    }

    fn hear_warnings(&mut self) {
        let mut buffer = [0u8; 4096];
        let count = match self.stderr.as_mut().map(|pipe| pipe.read(&mut buffer)) {
            Some(Ok(count)) => count,
            _ => 0,
        };
        if count == 0 {
            self.stderr = None;
        }
        self.errors.extend(buffer.get(..count).unwrap_or_default());
        let excess = self.errors.len().saturating_sub(STDERR);
        self.errors.drain(..excess);
    }

    fn push(&mut self) {
        let Some(pipe) = &mut self.stdin else { return };
        let piece: Vec<u8> = self.queue.iter().take(PIECE).copied().collect();
        match pipe.write(&piece) {
            Ok(count) => drop(self.queue.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // QEMU is gone; its standard output tells how.
            Err(_) => {
                self.stdin = None;
                self.queue.clear();
            }
        }
    }

    /// Returns how it ended, where it has: QEMU is gone, or the guest announced its end and has been silent since.
    pub(super) fn ended(&mut self) -> Result<Option<End>, MachineError> {
        if self.stdout.is_none() {
            return self.reap().map(Some);
        }
        let silent = self
            .now()
            .saturating_sub(self.console.last().unwrap_or_default());
        match self.console.last_word() {
            Some(sign) if silent >= GRACE => {
                let sign = sign.clone();
                self.kill();
                Ok(Some(sign))
            }
            _ => Ok(None),
        }
    }

    /// Returns how QEMU ended, once its end of the console is closed.
    fn reap(&mut self) -> Result<End, MachineError> {
        let status = self
            .child
            .wait()
            .map_err(|source| MachineError::io("wait for QEMU's end", source))?;
        while self.stderr.is_some() && self.errors.len() < STDERR {
            self.hear_warnings();
        }
        Ok(match self.console.sign() {
            Some(sign) if status.success() => sign.clone(),
            Some(sign @ End::Panicked { .. }) => sign.clone(),
            None if status.success() => {
                let hint = self.console.hint();
                hint.cloned().unwrap_or(End::PoweredOff)
            }
            _ => End::Died {
                status: status.to_string(),
                stderr: String::from_utf8_lossy(&self.errors).into_owned(),
            },
        })
    }

    /// Returns what QEMU wrote to standard error.
    pub(super) fn warnings(&self) -> String {
        String::from_utf8_lossy(&self.errors).into_owned()
    }

    /// Ends QEMU, and whatever it was wrapped in.
    pub(super) fn kill(&mut self) {
        // All three fail only where there is nothing left to end.
        if let Ok(None) = self.child.try_wait() {
            if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}
