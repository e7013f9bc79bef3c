//! Surroundings that must not reach a byte: other users, masks, clocks, places and numbers of threads.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::process::Command;

use crate::cli::{Project, run, stdout};
use crate::support::{is_root, skip, tool};

/// One way to run a program in other surroundings.
pub struct Disturbance {
    /// What the program is run with.
    wrapper: Vec<String>,
    /// What a shell prints otherwise than elsewhere, when it is run with it.
    probe: &'static str,
    /// What mkimg gets besides.
    more: &'static [&'static str],
    /// The project belongs to nobody.
    nobody: bool,
}

/// Returns the disturbances that the machine can do.
pub fn disturbances() -> Vec<Disturbance> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let of = |wrapper: Vec<String>, probe, more| Disturbance {
        wrapper,
        probe,
        more,
        nobody: false,
    };
    let mask = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    let zone = [
        "env",
        "TZ=Pacific/Kiritimati",
        "LC_ALL=tr_TR.UTF-8",
        "USER=mallory",
        "SOURCE_DATE_EPOCH=86400",
    ];
    let mut all = vec![
        of(words(&mask), "umask", &["--jobs", "1"]),
        of(words(&zone), "date +%z", &["--jobs", "7"]),
    ];
    if let Some(faketime) = tool("faketime") {
        let faketime = faketime.display().to_string();
        all.push(of(words(&[&faketime, "-f", "+366d"]), "date +%Y", &[]));
    }
    if !is_root() {
        skip("needs root, to be another user");
    } else if let Some(setpriv) = tool("setpriv") {
        let setpriv = setpriv.display().to_string();
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let wrapper = [&[setpriv.as_str()], &user[..]].concat();
        all.push(Disturbance {
            nobody: true,
            ..of(words(&wrapper), "id -u", &[])
        });
    }
    all
}

impl Disturbance {
    /// Returns the command of a program in these surroundings, in a project.
    fn command(&self, project: &Project, program: &[&str]) -> Command {
        let mut command = Command::new(&self.wrapper[0]);
        command.args(&self.wrapper[1..]).args(program);
        project.prepare(&mut command);
        command
    }

    /// Returns the command of mkimg in these surroundings.
    pub fn mkimg(&self, project: &Project, args: &[&str]) -> Command {
        let program = [&[env!("CARGO_BIN_EXE_mkimg")], args, self.more].concat();
        self.command(project, &program)
    }

    /// Gives the project to the user that is run as, and asserts that the disturbance reaches a process; returns what shows it.
    pub fn reach(&self, project: &Project) -> &'static str {
        if self.nobody {
            let mut chown = Command::new("chown");
            run(chown.args(["-R", "65534:65534"]).arg(project.path("")));
        }
        let shell = ["sh", "-c", self.probe];
        let mut plain = Command::new(shell[0]);
        project.prepare(plain.args(&shell[1..]));
        let plain = stdout(&run(&mut plain));
        let disturbed = stdout(&run(&mut self.command(project, &shell)));
        assert_ne!(plain, disturbed, "{}", self.probe);
        self.probe
    }
}
