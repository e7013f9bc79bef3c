//! What `mkimg check` can vary on this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, getrlimit};

use super::check::Check;
use super::check_round::{cpus, file_system, seen};
use super::context::Context;

use crate::check::{Ground, Place, Slots};
use crate::session::Error;

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
    pub(super) fn new(context: &Context<'_>) -> Result<Shared, Error> {
        let root = rustix::process::geteuid().is_root();
        let own = std::env::current_exe()
            .map_err(|error| Error::io("find", Path::new("/proc/self/exe"), error))?;
        let temporary = std::env::temp_dir();
        let place = Place::new(&temporary)?;
        let (program, users) = match root {
            false => (own, Ok(())),
            true => match for_all(&own, &temporary, place.path()) {
                Ok(program) => (program, Ok(())),
                Err(why) => (own, Err(why)),
            },
        };
        Ok(Shared {
            slots: Slots::new(context.session.jobs().get()),
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
    context: &Context<'_>,
    args: &Check,
    cache: &Path,
    shared: &Shared,
    room: u64,
) -> Result<Ground, Error> {
    let shm = Path::new("/dev/shm");
    let memory = match rustix::fs::statvfs(shm) {
        _ if file_system(shm) != "tmpfs" => Err("there is no /dev/shm in memory here".to_owned()),
        Ok(found) if found.f_bavail * found.f_frsize < room => Err(format!(
            "/dev/shm has no room for {}",
            crate::ui::bytes(room)
        )),
        _ => Ok(shm.to_path_buf()),
    };
    let hard = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
    Ok(Ground {
        seen: seen(context, cache, None),
        program: shared.program.clone(),
        file_system: file_system(&shared.temporary),
        temporary: shared.temporary.clone(),
        users: shared.users.clone(),
        memory,
        cpus: cpus(),
        jobs: context.session.jobs().get(),
        clock: clock(),
        namespace: namespace(shared.root),
        root: shared.root,
        limits: [hard(Resource::Nofile), hard(Resource::Stack)],
        refetch: args.refetch,
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
