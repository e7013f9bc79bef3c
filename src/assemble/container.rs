//! What a container's config says, as programs of a machine: `/init`, which mounts, runs and powers off, and
//! `/.mkimg/entrypoint`, which it runs as the user that the config names.
//!
//! Both are scripts for any POSIX shell, with every text of the config quoted. What can be looked up in the root is looked up now,
//! so that the guest has nothing to decide.

use std::fmt::Write as _;

use crate::source::oci::Config;
use crate::text::shown;
use crate::tree::lookup::{self, find};
use crate::tree::{self, Entry, EntryPath, Kind};

/// Where the BusyBox of a recipe is put, where an image has no shell of its own.
pub(super) const BUSYBOX: &str = "/.mkimg/busybox";
/// The script that becomes the program.
pub(super) const ENTRYPOINT: &str = "/.mkimg/entrypoint";

/// Where programs are looked for that no variable names.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs that `/init` needs besides a shell.
const NEEDED: [&str; 3] = ["mount", "mkdir", "env"];

/// Why there is no `/init`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// The config.
    #[error("{0}")]
    Config(String),
    /// Nothing to run.
    #[error("the image says neither `Entrypoint` nor `Cmd`: there is nothing to run")]
    Nothing,
    /// No shell.
    #[error("the image has no `/bin/sh` to run an `/init` with")]
    NoShell,
    /// A shell and nothing to mount with.
    #[error("the image has a shell, but no `{0}`, which `/init` needs")]
    NoProgram(&'static str),
    /// A user that is in no file.
    #[error(
        "the image runs as `{0}`, and its `/etc/passwd` and `/etc/group` have no such user or group"
    )]
    NoUser(String),
    /// A user, and nothing to become one with.
    #[error(
        "the image runs as user {0}, and there is neither `setpriv` nor, for that user, an entry in `/etc/passwd` and `su`"
    )]
    NoSwitch(u32),
    /// A variable that no shell takes.
    #[error("the image has the variable `{0}`, which is none")]
    Variable(String),
}

/// What is in the root, as far as an `/init` must know.
pub(super) trait Root {
    /// Returns the bytes of a file, symlinks followed; nothing where there is none.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
    /// Says whether a path leads to a file that can be executed, and whether it is one of BusyBox's names.
    fn program(&self, path: &str) -> Option<bool>;
}

/// The root that an image is assembled in.
pub(super) struct Tree<'t>(pub(super) &'t tree::Tree);

impl Tree<'_> {
    fn find(&self, path: &str) -> Option<(EntryPath, &Entry)> {
        find(self.0, lookup::Root(b""), path.as_bytes()).ok()
    }
}

impl Root for Tree<'_> {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        match &self.find(path)?.1.kind {
            Kind::File(content) => content.head(1 << 20).ok(),
            _ => None,
        }
    }

    fn program(&self, path: &str) -> Option<bool> {
        let (at, entry) = self.find(path)?;
        let runs = matches!(entry.kind, Kind::File(_)) && entry.mode & 0o111 != 0;
        runs.then(|| at.name().starts_with(b"busybox"))
    }
}

/// The two scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scripts {
    pub(super) init: String,
    pub(super) entrypoint: String,
}

/// Whom the program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
    /// Its name in `/etc/passwd`.
    name: Option<String>,
    home: String,
    /// Further groups.
    groups: Vec<u32>,
}

/// Returns the scripts for a config. `busybox` is whether the recipe gives a BusyBox of its own.
pub(super) fn scripts(
    config: &Config,
    root: &dyn Root,
    busybox: bool,
) -> Result<Scripts, InitError> {
    let command: Vec<&String> = config.entrypoint.iter().chain(&config.cmd).collect();
    if command.iter().all(|word| word.is_empty()) {
        return Err(InitError::Nothing);
    }
    let shell = match (busybox, root.program("/bin/sh")) {
        (true, _) => format!("{BUSYBOX} sh"),
        (false, Some(_)) => "/bin/sh".to_owned(),
        (false, None) => return Err(InitError::NoShell),
    };
    if let Some(missing) = NEEDED
        .into_iter()
        .find(|name| !busybox && found(root, name).is_none())
    {
        return Err(InitError::NoProgram(missing));
    }
    let user = user(&config.user, root)?;
    let switch = switch(&user, root, busybox, &shell)?;
    let tool = if busybox {
        format!("{BUSYBOX} ")
    } else {
        String::new()
    };
    let entrypoint = entrypoint(config, &user, &shell, &tool, &command)?;
    let signal = signal(&config.stop_signal);
    let init = format!(
        r#"#!{shell}
# Written by mkimg from the config of a container image: mounts, the program, its exit status, power off.
PATH={PATH}
export PATH
{tool}mkdir -p /proc /sys /dev{directory}
{tool}mount -t proc proc /proc
{tool}mount -t sysfs sysfs /sys
{tool}mount -t devtmpfs dev /dev
{tool}mkdir -p /dev/pts /dev/shm
{tool}mount -t devpts devpts /dev/pts
{tool}mount -t tmpfs -o mode=1777 shm /dev/shm
{tool}ifconfig lo up 2>/dev/null || {tool}ip link set lo up 2>/dev/null
exec 3<&0
{switch} <&3 3<&- &
child=$!
trap 'kill -{signal} "$child" 2>/dev/null' TERM INT PWR
while :; do
    wait "$child"
    status=$?
    kill -0 "$child" 2>/dev/null || break
done
{tool}sync 2>/dev/null
echo "exit=$status"
{off}
while :; do {tool}sleep 1; done
"#,
        directory = match config.working_dir.as_str() {
            "" | "/" => String::new(),
            directory => format!(" {}", quoted(directory)),
        },
        off = match busybox {
            true => format!("{BUSYBOX} poweroff -f"),
            false => "echo o >/proc/sysrq-trigger || poweroff -f".to_owned(),
        },
    );
    Ok(Scripts { init, entrypoint })
}

fn entrypoint(
    config: &Config,
    user: &User,
    shell: &str,
    tool: &str,
    command: &[&String],
) -> Result<String, InitError> {
    let mut text = format!("#!{shell}\n");
    let directory = match config.working_dir.as_str() {
        "" => "/",
        directory => directory,
    };
    // Writing into a String cannot fail.
    let _ = writeln!(text, "cd {} || exit 126", quoted(directory));
    let _ = write!(text, "exec {tool}env -i");
    let named = |name: &str| {
        config
            .env
            .iter()
            .any(|variable| variable.split('=').next() == Some(name))
    };
    let defaults = [("PATH", PATH), ("HOME", &user.home), ("TERM", "linux")];
    for (name, value) in defaults {
        if !named(name) {
            let _ = write!(text, " {}", quoted(&format!("{name}={value}")));
        }
    }
    for variable in &config.env {
        match variable.split_once('=') {
            Some((name, _)) if !name.is_empty() && !name.starts_with('-') => {
                let _ = write!(text, " {}", quoted(variable));
            }
            _ => return Err(InitError::Variable(shown(variable))),
        }
    }
    text.push_str(" ${SERVER:+\"SERVER=$SERVER\"}");
    for word in command {
        let _ = write!(text, " {}", quoted(word));
    }
    text.push('\n');
    Ok(text)
}

/// Returns the command that runs the entrypoint as the user.
fn switch(user: &User, root: &dyn Root, busybox: bool, shell: &str) -> Result<String, InitError> {
    if (user.uid, user.gid) == (0, 0) && user.groups.is_empty() {
        return Ok(ENTRYPOINT.to_owned());
    }
    // BusyBox's own cannot change users.
    if let Some((setpriv, false)) = found(root, "setpriv") {
        let groups = match user.groups.is_empty() {
            true => "--clear-groups".to_owned(),
            false => {
                let groups: Vec<String> = user.groups.iter().map(u32::to_string).collect();
                format!("--groups={}", groups.join(","))
            }
        };
        let User { uid, gid, .. } = user;
        return Ok(format!(
            "{setpriv} --reuid={uid} --regid={gid} {groups} {ENTRYPOINT}"
        ));
    }
    let su = match (busybox, found(root, "su")) {
        (true, _) => format!("{BUSYBOX} su"),
        (false, Some((su, _))) => su,
        (false, None) => return Err(InitError::NoSwitch(user.uid)),
    };
    let shell = match shell.split(' ').next() {
        // A shell with arguments is none that `su` could start.
        Some(BUSYBOX) => root.program("/bin/sh").map(|_| "/bin/sh"),
        shell => shell,
    };
    match (&user.name, shell) {
        (Some(name), Some(shell)) => {
            Ok(format!("{su} -s {shell} -c {ENTRYPOINT} {}", quoted(name)))
        }
        _ => Err(InitError::NoSwitch(user.uid)),
    }
}

/// Returns where a program is, and whether it is BusyBox's.
fn found(root: &dyn Root, name: &str) -> Option<(String, bool)> {
    let mut paths = PATH
        .split(':')
        .map(|directory| format!("{directory}/{name}"));
    paths.find_map(|path| root.program(&path).map(|busybox| (path, busybox)))
}

/// Reads `USER[:GROUP]`: numbers, or names of the image's files.
fn user(text: &str, root: &dyn Root) -> Result<User, InitError> {
    let unknown = || InitError::NoUser(shown(text));
    let lines = |path: &str| -> Vec<Vec<String>> {
        let text = String::from_utf8_lossy(&root.read(path).unwrap_or_default()).into_owned();
        let fields = |line: &str| line.split(':').map(str::to_owned).collect();
        text.lines().map(fields).collect()
    };
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = name.parse::<u32>().ok();
    let field = |line: &[String], at: usize| line.get(at).cloned().unwrap_or_default();
    let entry = lines("/etc/passwd").into_iter().find(|line| match number {
        Some(number) => field(line, 2) == number.to_string(),
        None => field(line, 0) == name,
    });
    let id = |at: usize| {
        entry
            .as_ref()
            .and_then(|line| field(line, at).parse::<u32>().ok())
    };
    let uid = number.or(id(2)).ok_or_else(unknown)?;
    let groups = lines("/etc/group");
    let gid = match group.filter(|group| !group.is_empty()) {
        None => id(3).unwrap_or(0),
        Some(group) => {
            let line = groups.iter().find(|line| field(line, 0) == group);
            let named = line.and_then(|line| field(line, 2).parse().ok());
            group.parse().ok().or(named).ok_or_else(unknown)?
        }
    };
    let own = entry.as_ref().map(|line| field(line, 0));
    let mut further: Vec<u32> = Vec::new();
    if let (Some(own), None) = (&own, group) {
        let member = |line: &&Vec<String>| field(line, 3).split(',').any(|name| name == own);
        let ids = groups
            .iter()
            .filter(member)
            .filter_map(|line| field(line, 2).parse().ok());
        further = ids.filter(|other| *other != gid && uid != 0).collect();
        if !further.is_empty() {
            further.insert(0, gid);
        }
    }
    let home = entry.as_ref().map(|line| field(line, 5));
    Ok(User {
        uid,
        gid,
        name: own,
        home: home
            .filter(|home| !home.is_empty())
            .unwrap_or_else(|| "/".to_owned()),
        groups: further,
    })
}

/// Returns a signal as `kill` takes it; what is none is TERM.
fn signal(text: &str) -> String {
    let name = text.trim_start_matches("SIG");
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '+');
    match plain {
        true => name.to_owned(),
        false => "TERM".to_owned(),
    }
}

/// Returns a text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Files with their bytes; BusyBox's are called so.
    struct Files(BTreeMap<&'static str, &'static str>);

    impl Root for Files {
        fn read(&self, path: &str) -> Option<Vec<u8>> {
            self.0.get(path).map(|text| text.as_bytes().to_vec())
        }

        fn program(&self, path: &str) -> Option<bool> {
            self.0.get(path).map(|text| *text == "busybox")
        }
    }

    fn alpine() -> Files {
        let programs = [
            "/bin/sh",
            "/bin/mount",
            "/bin/mkdir",
            "/usr/bin/env",
            "/bin/su",
            "/bin/setpriv",
        ];
        let mut files: BTreeMap<&str, &str> = programs.map(|path| (path, "busybox")).into();
        files.insert(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/sbin/nologin\n",
        );
        files.insert("/etc/group", "root:x:0:\nweb:x:34:\nlog:x:40:web\n");
        Files(files)
    }

    fn config(user: &str) -> Config {
        Config {
            entrypoint: vec!["/app".to_owned()],
            cmd: vec!["it's".to_owned(), "$HOME `x`\n".to_owned()],
            env: vec!["A=b c".to_owned()],
            working_dir: "/my dir".to_owned(),
            user: user.to_owned(),
            stop_signal: "SIGQUIT".to_owned(),
            ..Config::default()
        }
    }

    #[test]
    fn every_text_of_the_config_is_one_word() {
        let scripts = scripts(&config(""), &alpine(), false).unwrap();
        assert_eq!(
            scripts.entrypoint,
            format!(
                "#!/bin/sh\ncd '/my dir' || exit 126\nexec env -i 'PATH={PATH}' 'HOME=/root' 'TERM=linux' 'A=b c' \
                 ${{SERVER:+\"SERVER=$SERVER\"}} '/app' 'it'\\''s' '$HOME `x`\n'\n"
            )
        );
        assert!(
            scripts.init.contains("\n/.mkimg/entrypoint <&3"),
            "{}",
            scripts.init
        );
        assert!(scripts.init.contains("trap 'kill -QUIT "));
    }

    #[test]
    fn a_user_is_looked_up_and_switched_to_with_what_the_image_has() {
        let run = |user: &str, files: &Files| {
            let scripts =
                scripts(&config(user), files, false).map_err(|error| error.to_string())?;
            let line = scripts
                .init
                .lines()
                .find(|line| line.contains("<&3 3"))
                .unwrap()
                .to_owned();
            Ok::<String, String>(line.replace(" <&3 3<&- &", ""))
        };
        let by_su = Ok("/bin/su -s /bin/sh -c /.mkimg/entrypoint 'web'".to_owned());
        assert_eq!(run("web", &alpine()), by_su);
        assert_eq!(run("33", &alpine()), by_su);
        assert!(
            run("nobody", &alpine())
                .unwrap_err()
                .contains("no such user")
        );
        assert!(run("1000", &alpine()).unwrap_err().contains("user 1000"));
        assert!(
            run("web:none", &alpine())
                .unwrap_err()
                .contains("no such user or group")
        );
        let mut debian = alpine();
        debian.0.insert("/usr/bin/setpriv", "elf");
        let with = |rest: &str| Ok(format!("/usr/bin/setpriv {rest} /.mkimg/entrypoint"));
        assert_eq!(
            run("web", &debian),
            with("--reuid=33 --regid=34 --groups=34,40")
        );
        assert_eq!(
            run("1000:7", &debian),
            with("--reuid=1000 --regid=7 --clear-groups")
        );
        assert_eq!(
            run("web:root", &debian),
            with("--reuid=33 --regid=0 --clear-groups")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |path: &str| {
            let mut files = alpine();
            files.0.remove(path);
            scripts(&config(""), &files, false)
        };
        assert_eq!(without("/bin/sh"), Err(InitError::NoShell));
        assert_eq!(without("/bin/mount"), Err(InitError::NoProgram("mount")));
        assert!(scripts(&config(""), &Files(BTreeMap::new()), true).is_ok());
        assert_eq!(
            scripts(&Config::default(), &alpine(), false),
            Err(InitError::Nothing)
        );
        let odd = Config {
            env: vec!["novalue".to_owned()],
            ..config("")
        };
        assert_eq!(
            scripts(&odd, &alpine(), false),
            Err(InitError::Variable("novalue".to_owned()))
        );
    }
}
