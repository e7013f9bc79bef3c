//! One round: a place of its own, with the recipe and the sources in it, and a child that realizes there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::CheckError;
use super::children::Children;
use super::place::Place;
use super::variation::Seen;
use super::world::{Ground, World};
use crate::arch::Arch;
use crate::plan::LocalFile;
use crate::store::{Blob, Store};

/// How deep the recipe lies, so that `../` of a local file stays inside of the round's place.
const DEPTH: &str = "un/deux trois/quatre:cinq/six";

/// What a round realizes.
#[derive(Debug)]
pub struct Round<'a> {
    /// The recipe's file name and text.
    pub recipe: (&'a str, &'a [u8]),
    /// The files beside it.
    pub files: &'a BTreeMap<String, LocalFile>,
    /// For which architecture.
    pub arch: Arch,
    /// The sources that are not fetched again.
    pub blobs: &'a [Blob],
    /// The children that run.
    pub children: &'a Children,
    /// Options of every verb, for the child.
    pub options: &'a [String],
}

/// What came of a round.
#[derive(Debug)]
pub struct Done {
    /// What the child saw.
    pub seen: Seen,
    /// Its image.
    pub image: PathBuf,
    /// Its place, which is removed with this.
    pub place: Place,
}

impl Round<'_> {
    /// Realizes in a world.
    ///
    /// # Errors
    /// [`CheckError`] where the place cannot be made, or the child fails.
    pub fn run(&self, ground: &Ground, world: &World) -> Result<Done, CheckError> {
        let base = &world.directory;
        let place = Place::new(base)?;
        let root = place.path();
        let images = root.join(DEPTH).join("images");
        for directory in ["home", "tmp", "work dir", "cache é"] {
            self.make_dir(&root.join(directory))?;
        }
        self.make_dir(&images)?;
        let recipe = images.join(self.recipe.0);
        self.lay_out(&images, &recipe, world)?;
        let store = {
            let _step = self.children.step();
            Store::open(&root.join("cache é"))?
        };
        for blob in self.blobs {
            let _step = self.children.step();
            store.blob_from(&mut blob.open()?, &blob.path)?;
        }
        drop(store);
        fs::set_permissions(root, fs::Permissions::from_mode(0o755))
            .map_err(|error| CheckError::io("change the mode of", root, error))?;
        if let Some(user) = world.user {
            give(root, user)?;
        }
        let output = self
            .children
            .output(&mut self.command(ground, world, root, &recipe))
            .map_err(|error| CheckError::io("start", &ground.program, error))?;
        let answer: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let (true, Some(answer)) = (output.status.success(), answer) else {
            return Err(CheckError::Child {
                number: world.number + 1,
                code: output.status.to_string(),
                said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        };
        let seen = answer["seen"].as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Done {
            seen: seen
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            image: PathBuf::from(text(&answer["path"])),
            place,
        })
    }

    /// Returns what the child should see that only its place decides.
    pub fn meant(&self, root: &Path, world: &World) -> Seen {
        let shown = |name: &str| root.join(name).display().to_string();
        let mut names = self.names();
        if world.reverse {
            names.reverse();
        }
        [
            ("home", shown("home")),
            ("temporary directory", shown("tmp")),
            ("working directory", shown("work dir")),
            ("cache path", shown("cache é")),
            ("creation order", names.join(", ")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Returns the names of the files beside the recipe, and of one that nobody asks for, in order.
    fn names(&self) -> Vec<String> {
        let plain = |name: &&String| !name.contains('/');
        let mut names: Vec<String> = self.files.keys().filter(plain).cloned().collect();
        names.extend([self.recipe.0.to_owned(), "zz-unused".to_owned()]);
        names.sort();
        names.dedup();
        names
    }

    /// Writes the recipe and the files beside it, in the order of the world.
    fn lay_out(&self, images: &Path, recipe: &Path, world: &World) -> Result<(), CheckError> {
        let mut all: BTreeMap<PathBuf, Option<&Path>> = BTreeMap::new();
        all.insert(images.join("zz-unused"), None);
        all.insert(recipe.to_path_buf(), None);
        for (name, file) in self.files {
            if Path::new(name).is_relative() {
                all.insert(images.join(name), Some(&file.path));
            }
        }
        let mut order: Vec<_> = all.into_iter().collect();
        if world.reverse {
            order.reverse();
        }
        let slowly = order.len() <= 64;
        for (to, from) in order {
            if let Some(parent) = normal(&to).parent() {
                self.make_dir(parent)?;
            }
            let _step = self.children.step();
            let write = match from {
                Some(from) => fs::copy(from, &to).map(drop),
                None if to == recipe => fs::write(&to, self.recipe.1),
                None => fs::write(&to, ""),
            };
            write.map_err(|error| CheckError::io("write", &to, error))?;
            let mode = if world.reverse { 0o777 } else { 0o400 };
            fs::set_permissions(&to, fs::Permissions::from_mode(mode))
                .map_err(|error| CheckError::io("change the mode of", &to, error))?;
            // File systems count time in steps of some milliseconds: the order is to be seen.
            if slowly {
                thread::sleep(Duration::from_millis(12));
            }
        }
        Ok(())
    }

    fn make_dir(&self, path: &Path) -> Result<(), CheckError> {
        let _step = self.children.step();
        fs::create_dir_all(path).map_err(|error| CheckError::io("make the directory", path, error))
    }

    fn command(&self, ground: &Ground, world: &World, root: &Path, recipe: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        // A closed standard input: nothing but a shell closes it without unsafe code.
        let script = if world.closed {
            "exec \"$@\" <&-"
        } else {
            "exec \"$@\""
        };
        command.args(["-c", script, "sh"]);
        if world.host.is_some() {
            command.args(ground.namespace.iter().flatten());
        }
        command
            .arg(&ground.program)
            .args(["check-round", "--quiet"]);
        command.arg(recipe).args(["--arch", self.arch.name()]);
        command.arg("--cache").arg(root.join("cache é"));
        // The files beside the recipe lie in the round's place, however far above it.
        command.arg("--allow-local").arg(root);
        command
            .args(["--jobs", &world.jobs.to_string()])
            .args(self.options);
        command.args(["--umask", &format!("{:o}", world.umask)]);
        if let Some(host) = &world.host {
            command.args(["--host", host]);
        }
        if let Some(user) = world.user {
            command.args(["--user", &user.to_string()]);
        }
        if let Some(cpu) = world.cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        if let (Some(shift), Ok(library)) = (world.shift, &ground.clock) {
            command
                .arg(format!("--shift={shift}"))
                .arg("--clock")
                .arg(library);
        }
        let [files, stack] = world.limits;
        command.args(["--files", &files.to_string(), "--stack", &stack.to_string()]);
        command.current_dir(root.join("work dir")).envs(&world.env);
        command
            .env("HOME", root.join("home"))
            .env("TMPDIR", root.join("tmp"));
        command
            .env_remove("MKIMG_CACHE")
            .env_remove("MKIMG_SHARED_CACHE")
            .env_remove("XDG_CACHE_HOME");
        command.stdin(match File::open("/dev/zero") {
            Ok(zero) => Stdio::from(zero),
            Err(_) => Stdio::null(),
        });
        command
    }
}

/// Returns a path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

/// Gives a directory and all in it to a user.
fn give(path: &Path, user: u32) -> Result<(), CheckError> {
    let io = |error| CheckError::io("give away", path, error);
    chown(path, Some(user), Some(user)).map_err(io)?;
    if path.symlink_metadata().map_err(io)?.is_dir() {
        for entry in fs::read_dir(path).map_err(io)? {
            give(&entry.map_err(io)?.path(), user)?;
        }
    }
    Ok(())
}
