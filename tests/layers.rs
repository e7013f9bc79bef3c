//! Data flows one way: each module imports only what `docs/design.md` section 4 lets it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may use beside itself; `arch`, `digest`, `dir`, `fault`, `text` and `units` are leaves that everybody may use.
const LAYERS: [(&str, &[&str]); 24] = [
    ("arch", &[]),
    ("digest", &[]),
    ("dir", &[]),
    ("fault", &[]),
    ("text", &[]),
    ("units", &[]),
    ("progress", &[]),
    ("recipe", &[]),
    ("tree", &[]),
    ("store", &["progress"]),
    ("source", &["recipe", "store", "progress"]),
    ("plan", &["recipe"]),
    (
        "assemble",
        &["plan", "recipe", "source", "store", "tree", "progress"],
    ),
    ("pack", &["tree"]),
    (
        "realize",
        &[
            "progress", "recipe", "tree", "store", "source", "plan", "assemble", "pack",
        ],
    ),
    ("lock", &["recipe", "plan", "realize"]),
    ("check", PROOF),
    ("diff", COMPARING),
    ("share", SHARING),
    ("machine", &["progress"]),
    ("tools", &["recipe", "source", "store", "progress"]),
    ("session", APPLICATION),
    ("ui", ANY),
    ("cli", ANY),
];
const ANY: &[&str] = &["*"];
/// What proves: everything of the pipeline.
const PROOF: &[&str] = &[
    "progress", "recipe", "tree", "store", "source", "plan", "assemble", "pack", "realize", "lock",
    "diff", "share",
];
/// What compares, and is used by the two others.
const COMPARING: &[&str] = &[
    "progress", "recipe", "tree", "store", "source", "plan", "assemble", "pack", "realize", "lock",
];
/// What shares: the pipeline, the lock that goes with an image, and the comparison that explains a difference.
const SHARING: &[&str] = &[
    "progress", "recipe", "tree", "store", "source", "plan", "assemble", "pack", "realize", "lock",
    "diff",
];
/// The application: everything but what draws and what reads flags.
const APPLICATION: &[&str] = &[
    "progress", "recipe", "tree", "store", "source", "plan", "assemble", "pack", "realize", "lock",
    "check", "diff", "share", "machine", "tools",
];
const LEAVES: [&str; 6] = ["arch", "digest", "dir", "fault", "text", "units"];

#[test]
fn each_module_imports_only_what_its_layer_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut imports = 0;
    for file in rust_files(&source) {
        let own = module_of(&source, &file);
        if own == "lib" || own == "main" {
            continue;
        }
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == own)
            .unwrap_or_else(|| {
                panic!("`src/{own}` is in no layer: add it to tests/layers.rs and docs/design.md")
            });
        for module in used_modules(&fs::read_to_string(&file).unwrap()) {
            imports += 1;
            let fine = module == own
                || allowed == &ANY
                || allowed.contains(&module.as_str())
                || LEAVES.contains(&module.as_str());
            if !fine {
                wrong.push(format!(
                    "{}: `{own}` may not use `{module}`",
                    file.display()
                ));
            }
        }
    }
    assert!(
        imports > 50,
        "only {imports} imports were seen: the reading of them is broken"
    );
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn only_the_command_line_reads_the_environment_the_clock_and_the_terminal() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let banned = [
        "env::var",
        "SystemTime::now",
        "env::current_dir",
        "env::args",
        "is_terminal()",
    ];
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        if ["cli", "ui"].contains(&module_of(&source, &file).as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        // Unit tests stand at the end of a file, and may ask whether they run in CI.
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            if banned.iter().any(|word| line.contains(word)) && !line.trim_start().starts_with("//")
            {
                wrong.push(format!(
                    "{}:{}: {}",
                    file.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn module_of(source: &Path, file: &Path) -> String {
    let first = file
        .strip_prefix(source)
        .unwrap()
        .components()
        .next()
        .unwrap();
    let name = first.as_os_str().to_string_lossy().into_owned();
    name.trim_end_matches(".rs").to_owned()
}

/// Returns the modules of this crate that a text names as `crate::MODULE` or in `use crate::{MODULE, ..}`.
fn used_modules(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut modules = Vec::new();
    for (at, word) in code.match_indices("crate::") {
        let rest = &code[at + word.len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut name = String::new();
                for character in list.chars() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => modules.push(std::mem::take(&mut name)),
                        c if depth == 0 => name.push(c),
                        _ => {}
                    }
                }
                modules.push(name);
            }
            None => modules.push(rest.to_owned()),
        }
    }
    let word = |text: &String| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut words: Vec<String> = modules
        .iter()
        .map(word)
        .filter(|word| !word.is_empty())
        .collect();
    // Macros and types at the root of the crate do not exist: all names are modules.
    words.retain(|word| word != "self");
    words
}
