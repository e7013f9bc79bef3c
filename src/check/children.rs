//! The children of this process, which a signal ends with it.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};

/// The children of a session, and the files that are made for them.
#[derive(Debug, Default)]
pub struct Children {
    /// Those that run, each in a process group of its own. Locked while one is started or waited for: until then its number is no
    /// other process's.
    running: Mutex<Vec<u32>>,
    /// Read while a file is being made in a round's place: nothing is there again that was removed.
    steps: RwLock<()>,
}

impl Children {
    /// Lets a file be made, until it is dropped. One at a time for each thread.
    pub(super) fn step(&self) -> RwLockReadGuard<'_, ()> {
        self.steps
            .read()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn running(&self) -> MutexGuard<'_, Vec<u32>> {
        self.running
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    /// Kills the children of this process, which is about to end. From here on none is started, none is waited for, and no file is
    /// made for one: whoever tries waits for the end.
    pub fn abandon(&self) {
        let steps = self.steps.write();
        std::mem::forget(steps.unwrap_or_else(|poison| poison.into_inner()));
        let running = self.running();
        for child in running.iter() {
            if let Some(group) = i32::try_from(*child).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        std::mem::forget(running);
    }

    /// Runs a command to its end. A signal from the terminal does not reach it: this process passes it on.
    pub(super) fn output(&self, command: &mut Command) -> io::Result<Output> {
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = {
            let mut running = self.running();
            let child = command.spawn()?;
            running.push(child.id());
            child
        };
        let read = read(&mut child);
        let mut running = self.running();
        let status = child.wait();
        running.retain(|number| *number != child.id());
        drop(running);
        let (stdout, stderr) = read?;
        Ok(Output {
            status: status?,
            stdout,
            stderr,
        })
    }
}

/// Reads both pipes at once, until the child closes them, which it does when it ends.
fn read(child: &mut Child) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let done: io::Result<()> = thread::scope(|scope| {
        let other = scope.spawn(|| match &mut err {
            Some(err) => err.read_to_end(&mut stderr),
            None => Ok(0),
        });
        if let Some(out) = &mut out {
            out.read_to_end(&mut stdout)?;
        }
        other
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(())
    });
    done.map(|()| (stdout, stderr))
}
