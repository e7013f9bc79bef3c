//! A guest with its console on the user's terminal, or between a pipe and a file.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::termios::isatty;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::cause::Cause;
use super::console::{Line, TAIL, panicked};
use super::diagnosis;
use super::emulator::Invocation;
use super::end::End;
use super::error::MachineError;
use super::guest::Guest;
use super::input::Input;
use super::terminal::Raw;
use crate::progress::{Event, Progress};

/// Bytes that wait for the user's side at most, in either direction; then the other side is no longer read.
const WAITING: usize = 64 * 1024;

/// Bytes written to the user at once: as in `guest`, so that no write blocks and signals and time limits hold.
const PIECE: usize = 512;

/// The longest time between two looks at the clock.
const PULSE: Duration = Duration::from_millis(500);

/// How long after the time limit what the guest said may still be written.
const FLUSH: Duration = Duration::from_secs(1);

/// Where the user sits.
#[derive(Debug, Clone, Copy)]
pub struct Seat<'a> {
    /// What the guest is to read: a terminal goes raw, anything else is passed on line by line.
    pub input: BorrowedFd<'a>,
    /// Where the console goes.
    pub output: BorrowedFd<'a>,
    /// When QEMU is ended whatever the guest does.
    pub limit: Option<Duration>,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// The console's last lines, [`TAIL`] at most: where the guest's kernel panicked, those before the panic.
    pub tail: Vec<Line>,
    /// The likely cause, where something went wrong and one is known.
    pub cause: Option<Cause>,
}

/// Starts a machine and returns when it has ended; the terminal is as before then.
///
/// A terminal gets the console's bytes as they are. Anything else gets them without carriage returns and terminal sequences, which
/// a shell that edits its lines prints and a file has no use for.
///
/// # Errors
/// [`MachineError::Start`] where QEMU cannot be started, [`MachineError::Io`] where the pipes to it or the terminal fail.
pub fn run(
    invocation: &Invocation,
    seat: Seat<'_>,
    progress: &dyn Progress,
) -> Result<Ran, MachineError> {
    let keys = isatty(seat.input);
    if keys {
        progress.event(Event::Note(
            "Ctrl-A X quits, Ctrl-A Ctrl-A sends Ctrl-A".to_owned(),
        ));
    }
    let mut signals =
        Signals::new().map_err(|source| MachineError::io("listen for signals", source))?;
    let mut guest = Guest::start(invocation)?;
    let plain = !(keys && isatty(seat.output));
    let raw = Raw::enter(seat.input, plain)
        .map_err(|source| MachineError::io("set the terminal up", source))?;
    let mut desk = Desk {
        input: Input::new(keys),
        open: true,
        out: VecDeque::new(),
        plain,
    };
    let end = serve(&mut guest, &mut desk, seat, &mut signals);
    guest.kill();
    drop(raw);
    let warnings = guest.warnings();
    if !warnings.is_empty() {
        progress.event(Event::Detail(format!("QEMU said: {}", warnings.trim_end())));
    }
    let end = end?;
    let mut tail = guest.console.lines();
    let cause = diagnosis::of_run(&end, &tail);
    if let (End::Panicked { .. }, Some(at)) = (&end, panicked(&tail)) {
        tail.truncate(at);
    }
    tail.drain(..tail.len().saturating_sub(TAIL));
    Ok(Ran { end, tail, cause })
}

/// What lies between the user and the guest.
struct Desk {
    input: Input,
    /// Whether more input may come.
    open: bool,
    out: VecDeque<u8>,
    plain: bool,
}

fn serve(
    guest: &mut Guest,
    desk: &mut Desk,
    seat: Seat<'_>,
    signals: &mut Signals,
) -> Result<End, MachineError> {
    let mut end = None;
    loop {
        if let Some(signal) = signals.caught() {
            return Ok(End::Signalled(signal));
        }
        if let Some(end) = end.take_if(|_| desk.out.is_empty()) {
            return Ok(end);
        }
        let now = guest.now();
        if let Some(limit) = seat.limit {
            if now >= limit && end.is_none() {
                end = Some(End::TimedOut { limit });
                guest.kill();
                continue;
            }
            // The output's reader had its time as well.
            if now >= limit + FLUSH
                && let Some(end) = end.take()
            {
                return Ok(end);
            }
        }
        let listen = desk.out.len() < WAITING && end.is_none();
        let mut others = vec![(signals.wake.as_fd(), PollFlags::IN)];
        let reads = desk.open && desk.input.held() < WAITING && end.is_none();
        let writes = !desk.out.is_empty();
        if reads {
            others.push((seat.input, PollFlags::IN));
        }
        if writes {
            others.push((seat.output, PollFlags::OUT));
        }
        let rest = seat.limit.map_or(PULSE, |limit| limit.saturating_sub(now));
        let pause = match end {
            None => rest.min(PULSE).min(desk.input.patience()),
            Some(_) => PULSE,
        };
        let turn = guest.turn(&others, listen, pause)?;
        let mut ready = turn.ready.iter().skip(1).map(|flags| !flags.is_empty());
        if reads && ready.next() == Some(true) && desk.read(seat.input) {
            return Ok(End::Quit);
        }
        if writes && ready.next() == Some(true) && !desk.write(seat.output)? {
            return Ok(End::OutputClosed);
        }
        desk.out
            .extend(if desk.plain { &turn.clean } else { &turn.bytes });
        if end.is_none() {
            end = guest.ended()?;
            if guest.sent() {
                let due = desk.input.due(&guest.view());
                guest.send(&due);
            }
        }
    }
}

impl Desk {
    /// Takes in what the user gives; returns whether that was the wish to quit.
    fn read(&mut self, from: BorrowedFd<'_>) -> bool {
        let mut buffer = [0u8; 4096];
        match rustix::io::read(from, &mut buffer) {
            Ok(count) if count > 0 => self.input.take(buffer.get(..count).unwrap_or_default()),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => false,
            // The end; a terminal that was closed gives EIO.
            _ => {
                self.open = false;
                self.input.end();
                false
            }
        }
    }

    /// Writes a piece to the user; returns whether anybody is there to read it.
    fn write(&mut self, to: BorrowedFd<'_>) -> Result<bool, MachineError> {
        let piece: Vec<u8> = self.out.iter().take(PIECE).copied().collect();
        match rustix::io::write(to, &piece) {
            Ok(count) => {
                self.out.drain(..count);
                Ok(true)
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(true),
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::IO) => Ok(false),
            Err(error) => Err(MachineError::io("write the console", error)),
        }
    }
}

/// The signals that end mkimg, caught for as long as this lives: the terminal must be put back and QEMU ended first.
struct Signals {
    wake: UnixStream,
    caught: Arc<AtomicUsize>,
    actions: Vec<SigId>,
}

/// The signals that ask a program to end.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Whether a signal does what it does by default. A handler, once installed, cannot be taken away: so one is installed for good that
/// stands in for the default while no run is under way.
static DEFAULT: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

fn set_default(on: bool) -> io::Result<()> {
    let mut default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(flag) = &*default {
        flag.store(on, Ordering::SeqCst);
        return Ok(());
    }
    let flag = Arc::new(AtomicBool::new(on));
    for signal in ENDING {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag))?;
    }
    *default = Some(flag);
    Ok(())
}

impl Signals {
    fn new() -> io::Result<Signals> {
        let (wake, pipe) = UnixStream::pair()?;
        let caught = Arc::new(AtomicUsize::new(0));
        set_default(false)?;
        let mut actions = Vec::new();
        for signal in ENDING {
            let number = usize::try_from(signal).unwrap_or_default();
            actions.push(signal_hook::flag::register_usize(
                signal,
                Arc::clone(&caught),
                number,
            )?);
            actions.push(signal_hook::low_level::pipe::register(
                signal,
                pipe.try_clone()?,
            )?);
        }
        Ok(Signals {
            wake,
            caught,
            actions,
        })
    }

    fn caught(&self) -> Option<i32> {
        let number = self.caught.load(Ordering::SeqCst);
        i32::try_from(number).ok().filter(|number| *number > 0)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = set_default(true);
        for action in self.actions.drain(..) {
            signal_hook::low_level::unregister(action);
        }
    }
}
