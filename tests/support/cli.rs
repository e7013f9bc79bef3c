//! The program itself, as a user runs it: in a directory and with an environment of the test's own.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A project in a temporary directory: `images/` and `cache/`, the sources of the repository's recipes within reach without
/// a network.
pub struct Project {
    dir: TempDir,
}

impl Project {
    /// Returns a project without recipes.
    pub fn new() -> Project {
        let dir = TempDir::new().unwrap();
        for name in ["images", "cache", "home"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Project { dir }
    }

    /// Returns a project with the repository's recipe of a name.
    pub fn with(name: &str) -> Project {
        let project = Project::new();
        project.recipe(name, &repository_recipe(name));
        project
    }

    /// Writes `images/NAME.kdl` and returns its path.
    pub fn recipe(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(&format!("images/{name}.kdl"));
        fs::write(&path, text).unwrap();
        path
    }

    /// Returns a path in the project.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Returns the command of `mkimg` in the project, with nothing of the environment but PATH.
    pub fn mkimg<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkimg"));
        self.prepare(&mut command);
        command.args(args);
        command
    }

    /// Gives a command the project's directory and environment.
    pub fn prepare(&self, command: &mut Command) {
        command.current_dir(self.dir.path());
        command.env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.env("HOME", self.path("home"));
    }

    /// Returns the arguments that realize a recipe from the shared mirror, and print JSON.
    pub fn realize_args(&self, recipe: &str) -> Vec<String> {
        let mirror = mirror().display().to_string();
        [
            "realize",
            recipe,
            "--json",
            "--offline",
            "--mirror",
            &mirror,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Realizes a recipe and returns what `--json` prints.
    pub fn realize(&self, recipe: &str, more: &[&str]) -> Value {
        let mut command = self.mkimg(self.realize_args(recipe));
        json(&run(command.args(more)))
    }
}

/// Returns the text of a recipe of the repository.
pub fn repository_recipe(name: &str) -> String {
    let path = repository().join("images").join(name).with_extension("kdl");
    fs::read_to_string(path).unwrap()
}

/// Returns the repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command that must fail with a code, and returns what it said on standard error.
pub fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{said}");
    said
}

/// Returns the standard output of a command as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns the standard output of a command as JSON.
pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns a directory with every source of the repository's recipes, each named by its sha256. They are fetched once, by
/// mkimg itself, through the machine's own apt mirror.
pub fn mirror() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (mirror, cache) = (target.join("mirror"), target.join("cache"));
    fs::create_dir_all(&mirror).unwrap();
    let lock = File::create(target.join("mirror.lock")).unwrap();
    lock.lock().unwrap();
    // The stamp names the recipes that were fetched: another text of a recipe fetches again.
    let recipes = ["minimal", "minimal-riscv64", "modules"].map(repository_recipe);
    let stamp = mkimg::digest::Digest::of(recipes.concat().as_bytes()).to_string();
    let stamp_path = target.join("mirror.stamp");
    if fs::read_to_string(&stamp_path).is_ok_and(|text| text == stamp) {
        return mirror;
    }
    for (name, arch) in [
        ("minimal", "x86_64"),
        ("minimal", "aarch64"),
        ("minimal-riscv64", "riscv64"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkimg"));
        command.env("XDG_STATE_HOME", target.join("state"));
        command.current_dir(repository()).args([
            "realize",
            &format!("images/{name}.kdl"),
            "--arch",
            arch,
            "--cache",
        ]);
        run(command.arg(&cache));
    }
    for fan in fs::read_dir(cache.join("blobs-v1")).unwrap() {
        let fan = fan.unwrap();
        for blob in fs::read_dir(fan.path()).unwrap() {
            let blob = blob.unwrap();
            let name = format!(
                "{}{}",
                fan.file_name().to_string_lossy(),
                blob.file_name().to_string_lossy()
            );
            let to = mirror.join(name);
            if !to.exists() {
                fs::copy(blob.path(), &to).unwrap();
            }
        }
    }
    fs::write(&stamp_path, stamp).unwrap();
    mirror
}

/// Returns the three identities of an image as the lines of a golden file.
pub fn identities(image: &Value) -> String {
    let identities = &image["identities"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    format!(
        "sources   {}\ntree      {}\ninitramfs {}\nkernel    {}\n",
        text(&identities["sources"]),
        text(&identities["tree"]),
        text(&identities["image"]["initramfs"]),
        text(&identities["image"]["kernel"])
    )
}
