//! What the README shows is real: its recipe is the repository's, and each `$ command` prints what stands below it.
//!
//! `MKIMG_README=write cargo test --test readme` writes what the commands print now into the README; look at the difference
//! before you commit it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "support/cli.rs"]
mod cli;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use cli::{Project, mirror, repository, run};

/// Where the README's reader is taken to be.
const HOME: &str = "/home/you/mkimg";

/// A recipe with mistakes, for the README to show what is said of them.
const MISTAKE: &str = r#"image "mistake"
source "busybox" {
    local "busybox" sha256="3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744"
}
kernel from="linux"
initramfs {
    file "/init" from="busybox" mode=755
}
"#;

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).unwrap()
}

/// Returns the recipe as the README shows it: without its arm64 locations, and up to its test.
fn shown(recipe: &str) -> String {
    let mut text = String::new();
    let mut left_out = false;
    for line in recipe.lines() {
        if line.starts_with("test ") {
            break;
        }
        left_out |= line.contains("_arm64.deb");
        if !left_out {
            text.push_str(line);
            text.push('\n');
        }
        left_out &= line.ends_with('\\');
    }
    format!("{}\n", text.trim_end())
}

/// Returns a text without what differs from run to run: seconds, and the kernel's own clock.
fn timeless(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = match line.split_once("] ") {
            Some((clock, rest)) if clock.starts_with('[') => format!("[TIME] {rest}"),
            _ => line.to_owned(),
        };
        let parts: Vec<&str> = line.split(' ').collect();
        let timed = |at: usize| parts.get(at + 1) == Some(&"s") && parts[at].parse::<f64>().is_ok();
        let parts: Vec<&str> = (0..parts.len())
            .map(|at| if timed(at) { "TIME" } else { parts[at] })
            .collect();
        words.push(parts.join(" "));
    }
    words.join("\n")
}

/// Runs a command of the README in a project that has the repository's recipes and their sources.
fn output_of(project: &Project, command: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_mkimg")).parent().unwrap();
    let mut shell = Command::new("sh");
    project.prepare(&mut shell);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.display());
    shell
        .env("PATH", path)
        .args(["-c", &format!("exec 2>&1; {command}")]);
    let output = shell.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let here = project.path("").canonicalize().unwrap();
    let text = text.replace(here.to_str().unwrap(), HOME);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim_matches('\n'))
}

#[test]
fn the_recipe_in_the_readme_is_the_repositorys() {
    let readme = readme();
    let start = readme.find("```kdl\n").unwrap() + 7;
    let end = start + readme[start..].find("```").unwrap();
    assert_eq!(
        readme[start..end],
        shown(&cli::repository_recipe("minimal"))
    );
}

#[test]
fn every_command_in_the_readme_prints_what_stands_below_it() {
    if mkimg::arch::Arch::host() != Some(mkimg::arch::Arch::X86_64) {
        return support::skip("the README shows the x86_64 image");
    }
    let project = Project::new();
    for name in ["minimal", "modules", "article"] {
        project.recipe(name, &cli::repository_recipe(name));
        // As in a clone: a lock is part of what is exported.
        let lock = format!("images/{name}.lock");
        if repository().join(&lock).exists() {
            fs::copy(repository().join(&lock), project.path(&lock)).unwrap();
        }
    }
    fs::write(project.path("mistake.kdl"), MISTAKE).unwrap();
    for source in fs::read_dir(mirror()).unwrap() {
        run(project.mkimg(["add"]).arg(source.unwrap().path()));
    }
    // What is found out about KVM once is said once: not in the README.
    run(&mut project.mkimg(["run", "images/minimal.kdl", "--dry-run"]));
    fs::remove_dir_all(project.path("cache/images-v1")).unwrap();
    let readme = readme();
    let mut written = String::new();
    let mut rest = readme.as_str();
    let mut commands = 0;
    while let Some(at) = rest.find("```console\n$ ") {
        let block = at + "```console\n".len();
        let end = block + rest[block..].find("```").unwrap();
        let command = rest[block + 2..end].lines().next().unwrap();
        let expected = &rest[block + 2 + command.len() + 1..end];
        let printed = output_of(&project, command);
        commands += 1;
        if timeless(expected) == timeless(&printed) {
            written.push_str(&rest[..end]);
        } else {
            written.push_str(&format!("{}$ {command}\n{printed}", &rest[..block]));
        }
        rest = &rest[end..];
    }
    written.push_str(rest);
    assert!(commands >= 4, "only {commands} commands were found");
    if std::env::var("MKIMG_README").is_ok_and(|word| word == "write") {
        fs::write(repository().join("README.md"), written).unwrap();
    } else {
        assert_eq!(readme, written);
    }
}
