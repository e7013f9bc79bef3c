//! The world of a round: what is to be other than here, and what could not be made so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::variation::Seen;

/// What there is to work with, and what this process sees itself.
#[derive(Debug, Clone)]
pub struct Ground {
    /// What this process sees.
    pub seen: Seen,
    /// The program, where any user can start it.
    pub program: PathBuf,
    /// Where rounds work.
    pub temporary: PathBuf,
    /// The file system there.
    pub file_system: String,
    /// Can other users work there, too? Else why not. Only root becomes another one.
    pub users: Result<(), String>,
    /// A directory in memory with enough room, or why there is none.
    pub memory: Result<PathBuf, String>,
    /// The processors that this process may run on.
    pub cpus: Vec<usize>,
    /// Threads that this process would use.
    pub jobs: usize,
    /// The library that shifts the clock, or why there is none.
    pub clock: Result<PathBuf, String>,
    /// The words that start a program in a host name's namespace of its own, or why there are none.
    pub namespace: Result<Vec<String>, String>,
    /// Is this process root's?
    pub root: bool,
    /// The most open files and bytes of stack that may be asked for.
    pub limits: [u64; 2],
    /// Is the network asked for the sources again? Certificates then bound the clock.
    pub refetch: bool,
}

/// The world of one round.
#[derive(Debug, Clone)]
pub struct World {
    /// Its number, from 0.
    pub number: usize,
    /// What the child should see; the clock, as a shift in seconds, is compared by itself.
    pub meant: Seen,
    /// Why a variation cannot be applied.
    pub missing: BTreeMap<&'static str, String>,
    /// The environment's variables.
    pub env: BTreeMap<&'static str, String>,
    /// The umask.
    pub umask: u32,
    /// User and group to become.
    pub user: Option<u32>,
    /// The host's name.
    pub host: Option<String>,
    /// Seconds by which the clock is wrong.
    pub shift: Option<i64>,
    /// Threads.
    pub jobs: usize,
    /// The only processor.
    pub cpu: Option<usize>,
    /// Are files made in reverse order?
    pub reverse: bool,
    /// Where it works.
    pub directory: PathBuf,
    /// Is standard input closed? Else it is `/dev/zero`.
    pub closed: bool,
    /// Open files, and bytes of stack.
    pub limits: [u64; 2],
}

const DAY: i64 = 86400;

impl World {
    /// Returns the world of a round. Every second one is unlike the one before in each variation.
    pub fn of(ground: &Ground, number: usize) -> World {
        let odd = number % 2 == 1;
        let pick = |a: &str, b: &str| if odd { b } else { a }.to_owned();
        let mut missing = BTreeMap::new();
        let mut meant = Seen::new();
        let mut env = BTreeMap::new();
        // A value of this process's own is no variation.
        let mut choose = |name: &str, a: &str, b: &str| {
            let value = match ground.seen.get(name).map(String::as_str) {
                Some(own) if own == a => b.to_owned(),
                Some(own) if own == b => a.to_owned(),
                _ => pick(a, b),
            };
            meant.insert(name.to_owned(), value.clone());
            value
        };
        env.insert(
            "TZ",
            choose("time zone", "Pacific/Kiritimati", "America/St_Johns"),
        );
        let locale = choose("locale", "tr_TR.UTF-8", "C");
        env.extend([("LC_ALL", locale.clone()), ("LANG", locale)]);
        let umask = choose("umask", "077", "000");
        let umask = u32::from_str_radix(&umask, 8).unwrap_or(0o077);
        let noise = choose(
            "environment",
            "SOURCE_DATE_EPOCH=1",
            "SOURCE_DATE_EPOCH=2000000000",
        );
        let epoch = noise.trim_start_matches("SOURCE_DATE_EPOCH=").to_owned();
        env.extend([
            ("SOURCE_DATE_EPOCH", epoch),
            ("GZIP", "-1".to_owned()),
            ("XZ_OPT", "-9e".to_owned()),
            ("ZSTD_CLEVEL", "1".to_owned()),
            ("TAR_OPTIONS", "--sort=none".to_owned()),
            ("POSIXLY_CORRECT", "1".to_owned()),
            ("COLUMNS", pick("7", "301")),
            ("LOGNAME", pick("alice", "bob")),
            ("USER", pick("alice", "bob")),
            ("HOSTNAME", pick("wonderland", "toyland")),
        ]);
        let jobs = match (odd, ground.jobs) {
            (false, 1) => 2,
            (false, _) => 1,
            (true, jobs) => jobs + 3,
        };
        meant.insert("threads".to_owned(), jobs.to_string());
        let user = (ground.root && ground.users.is_ok()).then_some(if odd { 54321 } else { 65534 });
        match (user, &ground.users, &ground.namespace) {
            (Some(id), ..) => drop(meant.insert("user".to_owned(), format!("{id}:{id}"))),
            (None, Err(why), _) if ground.root => drop(missing.insert("user", why.clone())),
            (None, _, Ok(_)) => drop(meant.insert("user".to_owned(), "0:0".to_owned())),
            (None, _, Err(why)) => drop(missing.insert("user", why.clone())),
        }
        let host = match &ground.namespace {
            Ok(_) => Some(pick("mkimg-check-a", "mkimg-check-b")),
            Err(why) => {
                missing.insert("host name", why.clone());
                None
            }
        };
        meant.extend(
            host.iter()
                .map(|host| ("host name".to_owned(), host.clone())),
        );
        let shift = match &ground.clock {
            Ok(_) if ground.refetch => Some(if odd { -2 * DAY } else { 2 * DAY }),
            Ok(_) => Some(if odd { -2000 * DAY } else { 400 * DAY }),
            Err(why) => {
                missing.insert("clock", why.clone());
                None
            }
        };
        let cpu = match (ground.cpus.as_slice(), odd) {
            ([] | [_], _) => {
                missing.insert("cpu affinity", "there is one processor here".to_owned());
                None
            }
            ([first, ..], false) => Some(*first),
            ([.., last], true) => Some(*last),
        };
        meant.extend(cpu.map(|cpu| ("cpu affinity".to_owned(), cpu.to_string())));
        let limits = [
            if odd { 512 } else { 128 },
            if odd { 16 << 20 } else { 4 << 20 },
        ];
        let limits = [0, 1].map(|index: usize| limits[index].min(ground.limits[index]));
        meant.insert("soft limits".to_owned(), limits_text(limits));
        let stdin = pick("/dev/null to read and write", "/dev/zero to read");
        meant.insert("standard input".to_owned(), stdin);
        // Where temporary files are is the one place, memory the other.
        let directory = match (&ground.memory, odd) {
            (Ok(memory), true) => memory.clone(),
            (Ok(_), false) => ground.temporary.clone(),
            (Err(why), _) => {
                missing.insert("file system", why.clone());
                ground.temporary.clone()
            }
        };
        let file_system = match odd && ground.memory.is_ok() {
            true => "tmpfs",
            false => &ground.file_system,
        };
        meant.insert("file system".to_owned(), file_system.to_owned());
        World {
            number,
            meant,
            missing,
            env,
            umask,
            user,
            host,
            shift,
            jobs,
            cpu,
            reverse: odd,
            directory,
            closed: !odd,
            limits,
        }
    }
}

/// Returns how soft limits are told.
pub fn limits_text([files, stack]: [u64; 2]) -> String {
    format!("{files} files, {} KiB of stack", stack / 1024)
}
