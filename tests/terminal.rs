//! `mkimg run` in a real terminal: tmux sends the keys and shows the screen.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use cli::{Project, mirror, repository_recipe, run, stdout};

/// A terminal of 100 by 30 characters with a shell in a project.
struct Screen {
    tmux: PathBuf,
    socket: PathBuf,
    project: Project,
}

impl Screen {
    fn new(tmux: PathBuf, project: Project) -> Screen {
        let socket = project.path("tmux");
        let screen = Screen {
            tmux,
            socket,
            project,
        };
        let start = [
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "env",
            "PS1=host$ ",
            "bash",
            "--norc",
            "-i",
        ];
        run(&mut screen.command(&start));
        screen.wait("host$");
        screen
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.tmux);
        self.project.prepare(&mut command);
        let path = PathBuf::from(env!("CARGO_BIN_EXE_mkimg"));
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            path.parent().unwrap().display()
        );
        command
            .env("PATH", path)
            .env("TERM", "xterm")
            .arg("-S")
            .arg(&self.socket)
            .args(["-f", "/dev/null"]);
        command.args(args);
        command
    }

    /// Presses keys, by tmux's names for them; a text is typed.
    fn keys(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        run(&mut self.command(&args));
    }

    fn text(&self) -> String {
        stdout(&run(&mut self.command(&["capture-pane", "-p", "-S", "-"])))
    }

    /// Waits until the screen shows a text; returns all of the screen.
    fn wait(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let screen = self.text();
            if screen.contains(text) {
                return screen;
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "no {text:?} on the screen:\n{screen}"
            );
            sleep(Duration::from_millis(50));
        }
    }

    // What waits for an output must not find it in the command that was typed: hence the two quotes in it.

    /// Runs a command of the host's shell and waits until it is done; returns what is on the screen then.
    fn host(&self, command: &str) -> String {
        self.keys(&["clear", "Enter"]);
        run(&mut self.command(&["clear-history"]));
        self.keys(&[&format!("{command}; echo do''ne:$?:"), "Enter"]);
        self.wait("done:0:")
    }

    /// Boots a recipe up to its prompt.
    fn boot(&self, recipe: &str) {
        let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
        self.keys(&["clear", "Enter"]);
        let command = format!(
            "mkimg run {recipe} --arch x86_64 --cache {}; echo co''de:$?:",
            cache.display()
        );
        self.keys(&[&command, "Enter"]);
        self.wait("(linux)");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
    }
}

fn screen() -> Option<Screen> {
    let tmux = support::tool("tmux")?;
    mirror();
    let project = Project::with("minimal");
    // An init whose shell's end is a panic.
    let panics = repository_recipe("minimal").replace("        poweroff -f\n", "        exit 3\n");
    project.recipe("panics", &panics);
    Some(Screen::new(tmux, project))
}

#[test]
fn the_guests_shell_is_as_at_home_in_the_terminal() {
    let Some(screen) = screen() else { return };
    screen.boot("minimal");
    let shown = screen.text();
    assert!(shown.contains("Ctrl-A X quits"), "{shown}");
    assert!(!shown.contains("job control turned off"), "{shown}");
    // Ctrl-C is the guest's, and job control is on.
    screen.keys(&["sleep 1000", "Enter"]);
    sleep(Duration::from_millis(500));
    screen.keys(&["C-c"]);
    screen.keys(&["echo code=$?", "Enter"]);
    screen.wait("code=130");
    // Arrow keys edit the line.
    screen.keys(&["echo abd", "Left", "c", "Enter"]);
    screen.wait("\nabcd\n");
    screen.keys(&["stty size", "Enter"]);
    screen.wait("\n30 100\n");
    screen.keys(&["exit", "Enter"]);
    screen.wait("code:0:");
}

/// The harness keeps what a passing test prints to itself: a skipped one must be heard all the same, and fail in CI.
#[test]
fn a_test_whose_tool_is_missing_is_heard_and_fails_in_ci() {
    let alone = |ci: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_guests_shell_is_as_at_home_in_the_terminal"]);
        command.env("PATH", "").env("CI", ci).output().unwrap()
    };
    let said = |ci: &str| String::from_utf8(alone(ci).stderr).unwrap();
    assert!(alone("false").status.success());
    assert_eq!(said("false"), "skipped: the program `tmux` is missing\n");
    assert!(!alone("true").status.success());
}

// pitfall 65
#[test]
fn the_terminal_is_as_before_however_the_run_ends() {
    let Some(screen) = screen() else { return };
    screen.host("stty -a > before");
    let kill = |what: &str, signal: &str| {
        let mut pkill = Command::new("pkill");
        // The guests of this project alone: their kernel's command line names no other.
        pkill.args([signal, "-f", what]);
        run(&mut pkill);
    };
    let marked = format!("mark={}", std::process::id());
    // A script in QEMU's place, for ends that no guest has a part in.
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && exec echo 'QEMU emulator version 8.0.0'\n\
                  printf '(linux) '\nwhile sleep 0.1; do :; done\n";
    let qemu = screen.project.path("qemu");
    fs::write(&qemu, script).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    let scripted = "minimal --accel tcg --qemu ./qemu";
    for (how, recipe, code) in [
        ("exit", "minimal", 0),
        ("panic", "panics", 5),
        ("Ctrl-A X", scripted, 0),
        ("qemu", scripted, 5),
        ("term", scripted, 143),
    ] {
        screen.boot(&format!("{recipe} --append {marked}"));
        match how {
            "exit" | "panic" => screen.keys(&["exit", "Enter"]),
            "Ctrl-A X" => screen.keys(&["C-a", "x"]),
            "qemu" => kill(&format!("panic=-1.*{marked}"), "-KILL"),
            _ => kill(&format!("mkimg run.*{marked}"), "-TERM"),
        }
        let shown = screen.wait("code:");
        assert!(shown.contains(&format!("code:{code}:")), "{how}:\n{shown}");
        screen.host("stty -a > after");
        let read = |name: &str| fs::read_to_string(screen.project.path(name)).unwrap();
        assert_eq!(read("after"), read("before"), "{how}");
    }
}
