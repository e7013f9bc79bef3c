//! The files of a recipe: `include "PATH"` puts the nodes of another file in its place.
//!
//! Each file is read once, whatever includes it; its nodes stand where it is named first.

use std::path::{Path, PathBuf};

use kdl::{KdlDocument, KdlNode};

use super::diagnostic::Diagnostic;
use super::node::{Form, Node, Value};
use super::report::Report;
use super::source_map::{FileId, Included, SourceMap, Span};
use super::{Invalid, MAX_BYTES, Mode, syntax, text};
use crate::digest::Digest;

pub(super) const INCLUDE: Form = Form {
    name: "include",
    arguments: &["the path"],
    required: 1,
    properties: &[],
    children: &[],
    example: "`include \"FILE.kdl\"`",
};

/// The most files of a recipe.
pub const MAX_FILES: usize = 64;

/// The most bytes of all files of a recipe.
pub const MAX_TOTAL: usize = 4 * MAX_BYTES;

/// Where the files come from that a recipe includes.
pub trait Files {
    /// Reads a file, no further than [`MAX_BYTES`]` + 1`. The path is relative to the recipe.
    ///
    /// # Errors
    /// [`Refusal`].
    fn read(&mut self, path: &str) -> Result<Found, Refusal>;
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is: two names of one file lead to the same place.
    pub at: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why a file is not included.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What cannot be done with it, and why: `read: no such file`.
    pub reason: String,
    /// What to do.
    pub help: String,
}

/// No files: of a recipe that is a text and nothing else.
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, _: &str) -> Result<Found, Refusal> {
        Err(Refusal {
            reason: "read: this recipe stands alone".to_owned(),
            help: "write the nodes of the file in the place of `include`".to_owned(),
        })
    }
}

/// The files of a recipe, read and taken apart into nodes.
#[derive(Debug, Clone)]
pub struct Documents {
    pub(super) map: SourceMap,
    files: Vec<Document>,
}

#[derive(Debug, Clone, Default)]
struct Document {
    nodes: KdlDocument,
    /// For each `include` whose nodes stand there, the place of its node and the file.
    includes: Vec<(usize, FileId)>,
}

impl Documents {
    /// Reads a recipe and the files that it includes. `name` is the path, as messages show it; `at` is where the recipe is.
    ///
    /// # Errors
    /// [`Invalid`], with every mistake of spelling and structure of all files, and with every file that cannot be included.
    pub fn read(
        name: &str,
        bytes: &[u8],
        at: &Path,
        files: &mut dyn Files,
    ) -> Result<Documents, Invalid> {
        let root = text::read(name, bytes)?;
        let mut reader = Reader {
            files,
            map: root.into(),
            documents: Vec::new(),
            open: vec![(FileId::default(), at.to_path_buf())],
            total: bytes.len(),
            found: Vec::new(),
        };
        reader.file(FileId::default());
        match reader.found.is_empty() {
            true => Ok(Documents {
                map: reader.map,
                files: reader.documents,
            }),
            false => Err(Invalid::wrong(reader.map, reader.found)),
        }
    }

    /// Returns the nodes of all files in the order in which they count, each with its file.
    pub(super) fn nodes(&self) -> Vec<(FileId, &KdlNode)> {
        let mut nodes = Vec::new();
        self.of_file(FileId::default(), &mut nodes);
        nodes
    }

    fn of_file<'d>(&'d self, file: FileId, out: &mut Vec<(FileId, &'d KdlNode)>) {
        let Some(document) = self.files.get(file.index()) else {
            return;
        };
        for (index, node) in document.nodes.nodes().iter().enumerate() {
            let mut includes = document.includes.iter();
            match includes.find(|(at, _)| *at == index) {
                Some((_, included)) => self.of_file(*included, out),
                None if is_include(node) => {}
                None => out.push((file, node)),
            }
        }
    }
}

struct Reader<'f> {
    files: &'f mut dyn Files,
    map: SourceMap,
    documents: Vec<Document>,
    /// The files that are being read, each included by the one before it.
    open: Vec<(FileId, PathBuf)>,
    total: usize,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Reads the nodes of a file, and the files that it includes.
    fn file(&mut self, file: FileId) {
        self.documents
            .resize_with(file.index() + 1, Document::default);
        let source = self.map.file(file).clone();
        let nodes = match syntax::document(&source.text) {
            Ok(nodes) => nodes,
            Err(found) => {
                let found = found.into_iter().map(|one| one.in_file(file));
                return self.found.extend(found);
            }
        };
        let mut includes = Vec::new();
        let mut named: Vec<(FileId, Span)> = Vec::new();
        for (index, node) in nodes.nodes().iter().enumerate() {
            if !is_include(node) {
                continue;
            }
            let report = Report::new(file, &source, Mode::Strict);
            let read = Node::read(node, &INCLUDE, &report);
            let path = read.get(0).and_then(Value::file);
            self.found.extend(report.take_found());
            let Some(path) = path else { continue };
            let Some((included, is_new)) = self.include(file, &path.value, &path.span) else {
                continue;
            };
            if let Some((_, first)) = named.iter().find(|(other, _)| *other == included) {
                let message = format!("`{}` is included twice", path.value);
                let error = Diagnostic::error(message, path.span.clone(), "included again here");
                let error = error.and(first.clone(), "included here first");
                self.found.push(error.help("remove one of them"));
            }
            named.push((included, path.span));
            if is_new {
                includes.push((index, included));
            }
        }
        if let Some(document) = self.documents.get_mut(file.index()) {
            *document = Document { nodes, includes };
        }
    }

    /// Reads a file that is included, unless it was read before; says whether it is new.
    fn include(&mut self, by: FileId, path: &str, span: &Span) -> Option<(FileId, bool)> {
        let mut refuse = |message: String, label: &str, help: String| {
            let error = Diagnostic::error(message, span.clone(), label);
            self.found.push(error.help(help));
            None
        };
        if Path::new(path).is_absolute() {
            let message = format!("`{path}` is an absolute path");
            let help = "a recipe includes files of its own project: write the path from this file's directory";
            return refuse(message, "named here", help.to_owned());
        }
        let path = joined(self.map.directory(by), path);
        let found = match self.files.read(&path) {
            Ok(found) => found,
            Err(refusal) => {
                let message = format!("the file `{path}` cannot be {}", refusal.reason);
                return refuse(message, "included here", refusal.help);
            }
        };
        if let Some(at) = self.open.iter().position(|(_, at)| *at == found.at) {
            let way = self.open.iter().skip(at).map(|(file, _)| *file);
            let way: Vec<String> = way.map(|file| self.map.file(file).name.clone()).collect();
            let message = match way.as_slice() {
                [first, rest @ ..] if !rest.is_empty() => {
                    format!(
                        "`{first}` includes itself, by way of `{}`",
                        rest.join("`, `")
                    )
                }
                own => format!("`{}` includes itself", own.concat()),
            };
            let help = "take this `include` out";
            return refuse(message, "closes the circle", help.to_owned());
        }
        if let Some((file, included)) = self.map.find(&found.at) {
            included.by.push(by);
            if !included.paths().any(|own| *own == path) {
                included.aliases.push(path);
            }
            return Some((file, false));
        }
        self.total += found.bytes.len();
        if self.map.included().len() + 1 >= MAX_FILES || self.total > MAX_TOTAL {
            let message = format!("a recipe has at most {MAX_FILES} files and {MAX_TOTAL} bytes");
            let help = "put files together; large ones belong beside the recipe: `file \"/PATH\" local=\"NAME\"`";
            return refuse(message, "one too many", help.to_owned());
        }
        let name = joined(&directory(&self.map.root().name), &path);
        let source = match text::read(&name, &found.bytes) {
            Ok(source) => source,
            Err(Invalid::Unreadable { message, help }) => {
                return refuse(message, "included here", help);
            }
            Err(Invalid::Wrong { .. }) => return None,
        };
        let file = self.map.add(Included {
            source,
            path,
            aliases: Vec::new(),
            digest: Digest::of(&found.bytes),
            size: found.bytes.len() as u64,
            at: found.at.clone(),
            by: vec![by],
        });
        self.open.push((file, found.at));
        self.file(file);
        self.open.pop();
        Some((file, true))
    }
}

fn is_include(node: &KdlNode) -> bool {
    node.name().value() == INCLUDE.name
}

/// Returns the directory of a path with a `/` at its end, or nothing.
fn directory(path: &str) -> String {
    let end = path.rfind('/').map_or(0, |end| end + 1);
    path.get(..end).unwrap_or_default().to_owned()
}

/// Returns a path as it is written from the place from which `directory` is: without `.`, and with `..` at its beginning alone. An
/// absolute path stays what it is.
pub(super) fn joined(directory: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let root = if directory.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_joined_with_the_directory_of_the_file_that_names_it() {
        for (directory, path, whole) in [
            ("", "a.kdl", "a.kdl"),
            ("", "./b/../a.kdl", "a.kdl"),
            ("images/", "../common/a.kdl", "common/a.kdl"),
            ("../common/", "init", "../common/init"),
            ("../common/", "../../x", "../../x"),
            ("/srv/images/", "../a", "/srv/a"),
            ("sub/", "/etc/x", "/etc/x"),
        ] {
            assert_eq!(joined(directory, path), whole, "{directory} {path}");
        }
    }
}
