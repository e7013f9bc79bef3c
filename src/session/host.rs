//! What a check can vary on this machine, and what this process sees of it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};

use super::error::Error;
use super::open::Session;
use crate::check::{Ground, Place, Seen, Slots, limits_text};

/// What all images share.
pub(super) struct Shared {
    /// How many are realized at once.
    pub(super) slots: Slots,
    /// The program, where every user of the rounds can start it.
    program: PathBuf,
    /// Can another user work here? Else why not.
    users: Result<(), String>,
    temporary: PathBuf,
    root: bool,
    /// Where the program is.
    _place: Place,
}

impl Shared {
    /// Finds it out. No other thread may run: one that starts a program would keep the copy of this one open, and what is
    /// open to be written cannot be started.
    pub(super) fn new(session: &Session<'_>) -> Result<Shared, Error> {
        let root = rustix::process::geteuid().is_root();
        let own = session.program()?;
        let temporary = session.options.environment.temporary.clone();
        let place = Place::new(&temporary)?;
        let (program, users) = match root {
            false => (own, Ok(())),
            true => match for_all(&own, &temporary, place.path()) {
                Ok(program) => (program, Ok(())),
                Err(why) => (own, Err(why)),
            },
        };
        Ok(Shared {
            slots: Slots::new(session.jobs().get()),
            program,
            users,
            temporary,
            root,
            _place: place,
        })
    }
}

/// Finds out what can be varied here.
pub(super) fn ground(
    session: &Session<'_>,
    refetch: bool,
    cache: &Path,
    shared: &Shared,
    room: u64,
) -> Result<Ground, Error> {
    let shm = Path::new("/dev/shm");
    let memory = match rustix::fs::statvfs(shm) {
        _ if file_system(shm) != "tmpfs" => Err("there is no /dev/shm in memory here".to_owned()),
        Ok(found) if found.f_bavail * found.f_frsize < room => Err(format!(
            "/dev/shm has no room for {}",
            crate::units::bytes(room)
        )),
        _ => Ok(shm.to_path_buf()),
    };
    let hard = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
    Ok(Ground {
        seen: session.seen(cache, None),
        program: shared.program.clone(),
        file_system: file_system(&shared.temporary),
        temporary: shared.temporary.clone(),
        users: shared.users.clone(),
        memory,
        cpus: cpus(),
        jobs: session.jobs().get(),
        clock: clock(),
        namespace: namespace(shared.root),
        root: shared.root,
        limits: [hard(Resource::Nofile), hard(Resource::Stack)],
        refetch,
    })
}

/// The user that everything is tried with.
const NOBODY: u32 = 65534;

/// Returns the program, where another user can start it, if one can work in the directory for temporary files.
fn for_all(own: &Path, temporary: &Path, common: &Path) -> Result<PathBuf, String> {
    let public = |path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    if public(common).is_err()
        || !works(
            Command::new("/bin/sh")
                .args(["-c", "cd \"$1\"", "sh"])
                .arg(common),
        )
    {
        return Err(format!(
            "no other user can enter `{}`: TMPDIR names another place",
            temporary.display()
        ));
    }
    // Where no program is started from (noexec), the program itself is, if others may.
    let copy = common.join("mkimg");
    let copied = fs::copy(own, &copy).and_then(|_| public(&copy));
    if copied.is_ok() && works(Command::new(&copy).arg("--version")) {
        return Ok(copy);
    }
    if works(Command::new(own).arg("--version")) {
        return Ok(own.to_path_buf());
    }
    Err(format!(
        "no other user can start a program in `{}`: TMPDIR names another place",
        temporary.display()
    ))
}

/// Finds out whether another user can read files that are not copied for a round, since the recipe names their whole paths.
pub(super) fn readable<'a>(
    users: Result<(), String>,
    shared: &Shared,
    mut files: impl Iterator<Item = &'a Path>,
) -> Result<(), String> {
    users?;
    let hidden = |path: &&Path| {
        let script = "exec <\"$1\"";
        !works(Command::new("/bin/sh").args(["-c", script, "sh"]).arg(path))
    };
    match shared.root.then(|| files.find(hidden)).flatten() {
        None => Ok(()),
        Some(path) => Err(format!("no other user can read `{}`", path.display())),
    }
}

/// Says whether a command works for another user.
fn works(command: &mut Command) -> bool {
    command.uid(NOBODY).gid(NOBODY);
    let tried = command.stdin(Stdio::null()).output();
    tried.is_ok_and(|output| output.status.success())
}

/// Finds libfaketime, as Debian, Fedora and Arch have it.
fn clock() -> Result<PathBuf, String> {
    let places = [
        "/usr/lib/*/faketime",
        "/usr/lib64/faketime",
        "/usr/lib/faketime",
        "/usr/local/lib/faketime",
    ];
    let found = places
        .iter()
        .flat_map(|place| {
            glob::glob(&format!("{place}/libfaketimeMT.so.1"))
                .into_iter()
                .flatten()
        })
        .flatten()
        .next();
    found.ok_or_else(|| "libfaketime is not here (Debian: `apt install faketime`)".to_owned())
}

/// Finds out how a host name of one's own can be had: by root, or in a user's namespace.
fn namespace(root: bool) -> Result<Vec<String>, String> {
    let words: &[&str] = match root {
        true => &["unshare", "--uts", "--"],
        false => &["unshare", "--user", "--map-root-user", "--uts", "--"],
    };
    let tried = Command::new(words[0])
        .args(&words[1..])
        .arg("true")
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => {
            Ok(words.iter().map(|word| (*word).to_owned()).collect())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().next().unwrap_or("`unshare` failed").to_owned())
        }
        Err(error) => Err(format!("`unshare` cannot be started: {error}")),
    }
}

impl Session<'_> {
    /// Returns what this process sees of its world.
    pub(crate) fn seen(&self, cache: &Path, recipes: Option<&Path>) -> Seen {
        let soft = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
        let cpus: Vec<String> = cpus().iter().map(usize::to_string).collect();
        let id = (rustix::process::geteuid(), rustix::process::getegid());
        let host = rustix::system::uname();
        let limits = [soft(Resource::Nofile), soft(Resource::Stack)];
        let own = [
            ("umask", umask()),
            ("cache path", cache.display().to_string()),
            ("user", format!("{}:{}", id.0.as_raw(), id.1.as_raw())),
            ("host name", host.nodename().to_string_lossy().into_owned()),
            ("threads", self.jobs().to_string()),
            ("cpu affinity", cpus.join(",")),
            ("creation order", recipes.map(order).unwrap_or_default()),
            ("file system", file_system(cache)),
            ("standard input", standard_input()),
            ("soft limits", limits_text(limits)),
        ];
        let mut seen = (self.options.environment.seen)();
        seen.extend(own.map(|(name, value)| (name.to_owned(), value)));
        seen
    }
}

/// Returns the processors that this process may run on.
fn cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

/// Returns the umask: the kernel tells it without its being changed.
fn umask() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
    mask.map_or_else(|| "unknown".to_owned(), |mask| format!("{mask:03o}"))
}

/// Returns the names of a directory's files in the order in which they were made.
fn order(directory: &Path) -> String {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if let Ok(found) = entry.metadata()
            && found.is_file()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((found.mtime(), found.mtime_nsec(), name));
        }
    }
    files.sort();
    let names: Vec<String> = files.into_iter().map(|(_, _, name)| name).collect();
    names.join(", ")
}

/// Returns the name of the file system below a path.
fn file_system(path: &Path) -> String {
    match rustix::fs::statfs(path).map(|found| found.f_type as u64) {
        Ok(0x0102_1994) => "tmpfs".to_owned(),
        Ok(0xef53) => "ext4".to_owned(),
        Ok(0x794c_7630) => "overlay".to_owned(),
        Ok(0x9123_683e) => "btrfs".to_owned(),
        Ok(0x5846_5342) => "xfs".to_owned(),
        Ok(other) => format!("{other:#x}"),
        Err(error) => error.to_string(),
    }
}

fn standard_input() -> String {
    let file = fs::read_link("/proc/self/fd/0")
        .map_or_else(|_| "closed".to_owned(), |path| path.display().to_string());
    let how = match rustix::fs::fcntl_getfl(std::io::stdin()) {
        Ok(flags) if flags.contains(rustix::fs::OFlags::RDWR) => " to read and write",
        Ok(_) => " to read",
        Err(_) => "",
    };
    format!("{file}{how}")
}
