//! `mkimg gc`: what goes, what stays, and that it does no harm beside other processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    unreachable_pub
)]

mod beside;
mod clone;
mod keeps;
mod limits;
mod refused;

#[path = "../support/cli.rs"]
mod cli;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use cli::{json, run};
use tiny::{Tiny, noise};

/// A cache that several projects share: in memory where there is such a place, since a disk that syncs is slow.
struct Bed {
    dir: TempDir,
}

impl Bed {
    fn new() -> Bed {
        Bed {
            dir: TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap()),
        }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Returns a project whose recipe takes a source of its own of `size` bytes, by its name.
    fn project(&self, name: &str, size: usize) -> Place {
        let tiny = Tiny::new();
        let mut thing = noise(size);
        thing.extend(name.as_bytes());
        tiny.takes(&thing, "file \"/thing\" from=\"thing\"");
        Place {
            tiny,
            cache: self.cache(),
            thing,
        }
    }

    /// Returns `gc`; all goes that is not needed, however young, where no age and no size says something else.
    fn gc(&self, args: &[&str]) -> Command {
        let limits = ["--max", "--older", "--all"];
        let mut command = self.plain(args);
        if !args.iter().any(|arg| limits.contains(arg)) {
            command.arg("--all");
        }
        command
    }

    /// Returns `gc` with these arguments alone.
    fn plain(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkimg"));
        command
            .env_clear()
            .current_dir(self.dir.path())
            .args(["gc", "--cache"])
            .arg(self.cache())
            .args(args);
        command
    }

    /// Runs `gc --json`, which must succeed.
    fn collect(&self, args: &[&str]) -> Value {
        json(&run(self.gc(args).arg("--json")))
    }
}

/// A project of such a cache.
struct Place {
    tiny: Tiny,
    cache: PathBuf,
    thing: Vec<u8>,
}

impl Place {
    fn mkimg<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.tiny.project.mkimg(["--offline", "--cache"]);
        command.arg(&self.cache).args(args);
        command
    }

    fn realize(&self, args: &[&str]) -> Command {
        let mut command = self.mkimg(["realize", "images/tiny.kdl", "--json"]);
        command.args(args);
        command
    }

    fn made(&self, args: &[&str]) -> Value {
        json(&run(&mut self.realize(args)))
    }

    fn lock(&self) {
        run(&mut self.mkimg(["lock", "images/tiny.kdl"]));
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.tiny.path(relative)
    }

    /// Takes away the files that the sources are: from now on there is only the cache.
    fn lose_sources(&self) {
        for name in ["kernel", "thing"] {
            fs::remove_file(self.path(&format!("images/{name}"))).unwrap();
        }
    }

    fn image(&self) -> PathBuf {
        PathBuf::from(self.made(&[])["path"].as_str().unwrap())
    }

    /// Removes the image, so that it has to be made again of what else there is.
    fn forget_image(&self) {
        for image in fs::read_dir(self.cache.join("images-v1")).unwrap() {
            fs::remove_dir_all(image.unwrap().path()).unwrap();
        }
    }
}

/// Gives a file or directory another time, so many days ago.
fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
    File::open(path).unwrap().set_modified(then).unwrap();
}

/// Returns what `du` says that a directory takes.
fn disk(path: &Path) -> u64 {
    let output = run(Command::new("du").args(["-s", "-B1"]).arg(path));
    let text = cli::stdout(&output);
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the names of everything in a cache but its housekeeping.
fn objects(cache: &Path) -> Vec<String> {
    let files = tiny::files(cache);
    let names = files.iter().map(|path| {
        let name = path.strip_prefix(cache).unwrap();
        name.display().to_string()
    });
    names.filter(|name| name.contains("-v1/")).collect()
}
