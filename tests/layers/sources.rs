//! The sources of the library, and what uses what in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::paths::{self, Crate, Use};

/// Returns the sources of the library, which are read once.
pub fn sources() -> &'static Sources {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    SOURCES.get_or_init(|| Sources::of(&Sources::texts()))
}

/// The sources of a library.
pub struct Sources {
    pub code: Crate,
    files: BTreeMap<Vec<String>, String>,
    /// The whole path of each use.
    whole: Vec<Vec<String>>,
}

impl Sources {
    pub fn texts() -> Vec<(String, String)> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let name = |path: &Path| {
            path.strip_prefix(&source)
                .unwrap()
                .to_string_lossy()
                .into_owned()
        };
        let text = |path: PathBuf| (name(&path), fs::read_to_string(&path).unwrap());
        rust_files(&source).into_iter().map(text).collect()
    }

    pub fn of(texts: &[(String, String)]) -> Sources {
        let of_file = |(file, _): &(String, String)| (paths::module_of(file), file.clone());
        let files = texts.iter();
        let code = Crate::read(files.map(|(file, text)| (file.clone(), text.as_str())));
        let whole = |one: &Use| code.absolute(&one.module, &one.path);
        Sources {
            whole: code.uses.iter().map(whole).collect(),
            files: texts.iter().map(of_file).collect(),
            code,
        }
    }

    /// Returns everything that is named, with its whole path.
    pub fn paths(&self) -> impl Iterator<Item = (&Use, &[String])> {
        let whole = self.whole.iter().map(Vec::as_slice);
        self.code.uses.iter().zip(whole)
    }

    /// Returns the module below the root that a path is in.
    pub fn top(&self, path: &[String]) -> Option<String> {
        let is_module = |name: &&String| self.files.contains_key(std::slice::from_ref(*name));
        let named = path
            .strip_prefix(&["crate".to_owned()])?
            .first()
            .filter(is_module)
            .cloned();
        named.or_else(|| self.code.home(path)?.first().cloned())
    }

    /// Returns the file that has what a path names.
    fn file_of(&self, path: &[String]) -> Option<&String> {
        let mut module = self.code.home(path)?;
        loop {
            if let Some(file) = self.files.get(&module) {
                return Some(file);
            }
            module.pop()?;
        }
    }

    /// Returns, by folder, what its files and folders use of each other, with a place for each.
    pub fn edges(&self) -> BTreeMap<String, Edges> {
        let mut edges: BTreeMap<String, Edges> = BTreeMap::new();
        for (one, path) in self.paths().filter(|(one, _)| !one.test && !one.handed_on) {
            let Some(to) = self.file_of(path) else {
                continue;
            };
            let from: Vec<&str> = one.file.split('/').collect();
            let to: Vec<&str> = to.split('/').collect();
            let shared = from.iter().zip(&to).take_while(|(from, to)| from == to);
            let shared = shared.count();
            if let (Some(from_name), Some(to_name)) = (from.get(shared), to.get(shared)) {
                let folder = edges.entry(from[..shared].join("/")).or_default();
                let uses = folder.entry((*from_name).to_owned()).or_default();
                let place = || format!("{} names {}", at(one), path.join("::"));
                uses.entry((*to_name).to_owned()).or_insert_with(place);
            }
        }
        edges
    }

    /// Returns, by folder, what is in a circle: files, and folders as a whole.
    pub fn circles(&self) -> BTreeMap<String, Vec<String>> {
        let in_circles = |edges: &Edges| -> Vec<String> {
            let back = |name: &&String| reached(edges, name).contains(*name);
            edges.keys().filter(back).cloned().collect()
        };
        let edges = self.edges();
        let circles = edges
            .iter()
            .map(|(folder, edges)| (folder.clone(), in_circles(edges)));
        circles.filter(|(_, files)| !files.is_empty()).collect()
    }
}

/// What each file of a folder uses of the others, and where it says so.
pub type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// Returns what a file uses, directly or not.
fn reached<'e>(edges: &'e Edges, from: &str) -> BTreeSet<&'e String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = edges
        .get(from)
        .into_iter()
        .flat_map(BTreeMap::keys)
        .collect();
    while let Some(name) = next.pop() {
        if found.insert(name) {
            next.extend(edges.get(name).into_iter().flat_map(BTreeMap::keys));
        }
    }
    found
}

pub fn at(one: &Use) -> String {
    format!("src/{}:{}", one.file, one.line)
}

/// Returns the module below the root that a file is of.
pub fn folder(file: &str) -> &str {
    file.split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
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
