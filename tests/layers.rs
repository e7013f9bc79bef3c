//! Data flows one way: each module imports only what `docs/design.md` section 4 lets it.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};

#[path = "layers/paths.rs"]
mod paths;
#[path = "layers/sources.rs"]
mod sources;
#[path = "layers/spellings.rs"]
mod spellings;
#[path = "layers/tokens.rs"]
mod tokens;

use sources::{Sources, at, folder, sources};

/// Each module and what it may use beside itself; `arch`, `digest`, `dir`, `fault`, `place`, `text` and `units` are leaves that everybody may use.
const LAYERS: [(&str, &[&str]); 25] = [
    ("arch", &[]),
    ("digest", &[]),
    ("dir", &[]),
    ("fault", &[]),
    ("text", &[]),
    ("units", &[]),
    ("progress", &[]),
    ("place", &[]),
    ("recipe", &["tree"]),
    ("tree", &[]),
    ("store", &[]),
    ("source", &["tree", "store", "progress"]),
    ("plan", &["recipe", "tree", "pack"]),
    ("assemble", &["plan", "source", "store", "tree", "progress"]),
    ("pack", &["tree"]),
    (
        "realize",
        &[
            "progress", "tree", "store", "source", "plan", "assemble", "pack",
        ],
    ),
    ("lock", &["plan", "realize"]),
    ("check", &["plan", "store"]),
    ("diff", &["pack", "realize"]),
    (
        "share",
        &[
            "progress", "recipe", "tree", "store", "source", "plan", "assemble", "pack", "realize",
            "lock",
        ],
    ),
    ("machine", &["progress"]),
    ("tools", &["plan", "source", "store", "progress"]),
    (
        "session",
        &[
            "progress", "recipe", "tree", "store", "source", "plan", "pack", "realize", "lock",
            "check", "diff", "share", "machine", "tools",
        ],
    ),
    ("ui", ANY),
    ("cli", ANY),
];
const ANY: &[&str] = &["*"];
const LEAVES: [&str; 7] = ["arch", "digest", "dir", "fault", "place", "text", "units"];

/// What nobody but `cli` reads: the environment, the clock, the working directory, the terminal, and who the process is.
/// `.name` is a method, `name::*` everything below.
const OF_THE_PROCESS: [&str; 21] = [
    "std::env::*",
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    ".elapsed",
    "std::path::absolute",
    "std::fs::canonicalize",
    ".canonicalize",
    "std::process::id",
    "std::os::unix::process::parent_id",
    "std::thread::available_parallelism",
    "std::io::IsTerminal",
    ".is_terminal",
    "rustix::termios::*",
    "rustix::time::*",
    "rustix::process::getcwd",
    "rustix::process::getpid",
    "rustix::process::getppid",
    "rustix::process::getuid",
    "rustix::process::geteuid",
    "rustix::process::getegid",
    "rustix::system::uname",
];
/// Where one of them is read all the same, and why. What is not needed any more must go.
const READERS: [(&str, &str, &str); 41] = [
    ("check/place.rs", "std::process::id", WHOSE),
    ("dir/held.rs", "std::fs::canonicalize", WHOLE),
    ("machine/guest.rs", "std::time::Instant::now", PATIENCE),
    ("machine/guest.rs", ".elapsed", PATIENCE),
    ("machine/probe.rs", "std::time::Instant::now", PATIENCE),
    ("machine/probe.rs", ".elapsed", PATIENCE),
    ("machine/run.rs", "rustix::termios::*", HANDLES),
    ("machine/sys.rs", "rustix::process::getpid", ORPHANS),
    ("machine/sys.rs", "rustix::process::getppid", ORPHANS),
    ("machine/terminal.rs", "rustix::termios::*", HANDLES),
    ("session/cache.rs", "std::fs::canonicalize", SESSION),
    ("session/gc.rs", "std::path::absolute", SESSION),
    ("session/gc.rs", "std::fs::canonicalize", SESSION),
    ("session/host.rs", "rustix::process::geteuid", SESSION),
    ("session/host.rs", "rustix::process::getegid", SESSION),
    ("session/host.rs", "rustix::system::uname", SESSION),
    ("session/open.rs", "std::path::absolute", SESSION),
    (
        "session/open.rs",
        "std::thread::available_parallelism",
        SESSION,
    ),
    ("session/places.rs", "std::fs::canonicalize", SESSION),
    ("session/realize.rs", "std::time::Instant::now", PATIENCE),
    ("session/realize.rs", ".elapsed", PATIENCE),
    ("session/realize.rs", "std::fs::canonicalize", SESSION),
    ("session/substitutes.rs", "std::fs::canonicalize", SESSION),
    ("session/test.rs", ".elapsed", PATIENCE),
    (
        "share/registry/exchange.rs",
        "std::time::Instant::now",
        PATIENCE,
    ),
    ("share/registry/exchange.rs", ".elapsed", PATIENCE),
    (
        "source/fetch/deadline.rs",
        "std::time::Instant::now",
        PATIENCE,
    ),
    ("source/fetch/deadline.rs", ".elapsed", PATIENCE),
    ("source/local.rs", "std::fs::canonicalize", WHOLE),
    ("store/adopt.rs", "rustix::process::getegid", OWNER),
    ("store/adopt.rs", "rustix::process::geteuid", OWNER),
    ("store/door.rs", "std::time::Instant::now", PATIENCE),
    ("store/door.rs", ".elapsed", PATIENCE),
    ("store/owner.rs", "rustix::process::geteuid", OWNER),
    ("store/mod.rs", "std::path::absolute", SESSION),
    ("store/replace.rs", "std::fs::canonicalize", WHOLE),
    ("store/replace.rs", "std::process::id", WHOSE),
    ("ui/report.rs", "std::io::IsTerminal", HANDLES),
    ("ui/report.rs", ".is_terminal", HANDLES),
    ("ui/report.rs", "rustix::termios::*", HANDLES),
    ("ui/terminal.rs", "rustix::termios::*", HANDLES),
];
/// A process that died leaves files, whose names say that nobody works on them.
const WHOSE: &str = "the name of a temporary file says whose it is";
/// What is whole needs no working directory.
const WHOLE: &str = "the path is whole, only its symlinks are followed";
const PATIENCE: &str = "how long something takes, never when";
const HANDLES: &str = "the terminal that draws or that a guest is on: the handles come from `cli`";
const ORPHANS: &str = "no QEMU stays behind when mkimg dies right after it started one";
/// What still has to move up: the caller should hand it in.
const SESSION: &str = "came out of `cli`, which should hand it in";
const OWNER: &str = "files of others are not trusted";

/// Files of a folder that use each other in a circle, by folder. This list only ever gets shorter.
const CIRCLES: [(&str, &[&str]); 8] = [
    // It is being rebuilt; until that is done, any.
    ("recipe", ANY),
    (
        "machine",
        &[
            "accelerator.rs",
            "arguments.rs",
            "cause.rs",
            "diagnosis.rs",
            "emulator.rs",
            "error.rs",
            "play.rs",
            "probe.rs",
            "test.rs",
        ],
    ),
    // Until version 1 is no longer read.
    ("lock", &["read.rs", "v1.rs"]),
    ("pack", &["gzip.rs", "mod.rs"]),
    ("share", &["error.rs", "oci.rs", "origin.rs", "registry"]),
    ("share/registry", &["exchange.rs", "mod.rs"]),
    (
        "source",
        &[
            "archive.rs",
            "deb.rs",
            "pick.rs",
            "pick_one.rs",
            "pick_tree.rs",
            "rpm.rs",
            "zip.rs",
        ],
    ),
    ("source/fetch", &["download.rs", "mod.rs"]),
];

#[test]
fn each_module_imports_only_what_its_layer_may() {
    let sources = sources();
    let mut wrong = Vec::new();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (one, path) in sources.paths() {
        let own = folder(&one.file);
        let Some(module) = sources.top(path) else {
            continue;
        };
        if ["lib", "main"].contains(&own) || module == own {
            continue;
        }
        used.insert((own.to_owned(), module.clone()));
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == own)
            .unwrap_or_else(|| {
                panic!("`src/{own}` is in no layer: add it to tests/layers.rs and docs/design.md")
            });
        let fine = allowed == &ANY
            || allowed.contains(&module.as_str())
            || LEAVES.contains(&module.as_str());
        if !fine {
            wrong.push(format!("{}: `{own}` may not use `{module}`", at(one)));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let mut unused = Vec::new();
    for (own, allowed) in LAYERS.iter().filter(|(_, allowed)| *allowed != ANY) {
        let is_used = |module: &&&str| used.contains(&((*own).to_owned(), (**module).to_owned()));
        unused.extend(
            allowed
                .iter()
                .filter(|module| !is_used(module))
                .map(|module| format!("`{own}` does not use `{module}`: take it out of its layer")),
        );
    }
    assert_eq!(unused, Vec::<String>::new());
}

#[test]
fn only_the_command_line_reads_the_environment_the_clock_and_the_terminal() {
    let sources = sources();
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<_> = READERS
        .iter()
        .map(|(file, what, _)| (*file, *what))
        .collect();
    for (one, path) in sources.paths() {
        let path = path.join("::").replacen("core::", "std::", 1);
        let Some(what) = OF_THE_PROCESS.iter().find(|what| names(&path, what)) else {
            continue;
        };
        let fine = path == "std::env::consts" || path.starts_with("std::env::consts::");
        if one.test || folder(&one.file) == "cli" || fine {
            continue;
        }
        let known = READERS
            .iter()
            .any(|(file, known, _)| *file == one.file && known == what);
        unused.remove(&(one.file.as_str(), *what));
        if !known {
            wrong.push(format!("{}: `{path}` is for `cli` alone", at(one)));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(unused.is_empty(), "take these out of READERS: {unused:?}");
}

#[test]
fn the_files_of_a_folder_use_each_other_in_no_circle() {
    let circles = sources().circles();
    let listed: BTreeMap<&str, &[&str]> = CIRCLES.into_iter().collect();
    let edges = sources().edges();
    let mut wrong = Vec::new();
    for (folder, files) in circles
        .iter()
        .filter(|(folder, _)| listed.get(folder.as_str()) != Some(&ANY))
    {
        let known = listed.get(folder.as_str()).copied().unwrap_or_default();
        let (old, new): (Vec<&String>, Vec<&String>) = files
            .iter()
            .partition(|file| known.contains(&file.as_str()));
        for file in &new {
            let uses = edges[folder][*file].iter();
            let uses = uses.filter(|(other, _)| files.contains(other));
            wrong.extend(
                uses.map(|(other, place)| format!("{folder}: {file} uses {other}: {place}")),
            );
        }
        if old.len() < known.len() {
            wrong.push(format!("{folder}: in CIRCLES should stand {old:?}"));
        }
    }
    let gone = listed
        .keys()
        .filter(|folder| !circles.contains_key(**folder));
    wrong.extend(
        gone.map(|folder| format!("{folder} has no circle any more: take it out of CIRCLES")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_read_past_this_test() {
    for (file, text) in Sources::texts() {
        let tokens = tokens::tokens(&text);
        let words: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
        let is_hidden = words.windows(4).any(|four| {
            four[..2] == ["include", "!"]
                || four[..2] == ["extern", "crate"]
                || four[..3] == ["[", "path", "="]
        });
        // What `fuzz/` runs on private parts stands in its own folder.
        let is_of_fuzz = text.contains("#[cfg(fuzzing)]") && text.matches("#[path = ").count() == 1;
        assert!(
            !is_hidden || is_of_fuzz,
            "src/{file} brings in what this test does not read"
        );
    }
}

/// Says whether a whole path is what one of [`OF_THE_PROCESS`] names, or below it.
fn names(path: &str, what: &str) -> bool {
    let (what, is_all) = match what.strip_suffix("::*") {
        Some(module) => (module, true),
        None => (what, false),
    };
    let rest = path.strip_prefix(what);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with("::") && (is_all || what.starts_with("std::io"))
    })
}
