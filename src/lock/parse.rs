//! The text of a lock to a [`Lock`], or to the reason why it is none.

use std::collections::BTreeMap;

use kdl::KdlNode;

use super::{Lock, Locked, plain};
use crate::arch::Arch;
use crate::digest::Digest;
use crate::fault::{Fault, Outcome};
use crate::plan::FORMAT;
use crate::recipe::node::{Form, Node, Value, kinds};
use crate::recipe::report::Report;
use crate::recipe::{Diagnostic, FileId, Invalid, Mode, SourceText, syntax, text};

const NODES: [&str; 4] = ["lock", "image", "statement", "file"];

const LOCK: Form = Form {
    name: "lock",
    arguments: &["the image's name"],
    required: 1,
    properties: &["format", "recipe"],
    children: &[],
    example: "`lock \"NAME\" format=1 recipe=\"..\"`",
};

const IMAGE: Form = Form {
    name: "image",
    arguments: &["the architecture"],
    required: 1,
    properties: &[],
    children: &[
        "compressor",
        "initramfs",
        "kernel",
        "plan",
        "source",
        "sources",
        "tree",
    ],
    example: "`image \"x86_64\" { .. }`",
};

const STATEMENT: Form = Form {
    name: "statement",
    arguments: &["its name", "its digest"],
    required: 2,
    properties: &[],
    children: &[],
    example: "`statement \"file \\\"/init\\\"\" \"..\"`",
};

const FILE: Form = Form {
    name: "file",
    arguments: &["its path", "its digest"],
    required: 2,
    properties: &[],
    children: &[],
    example: "`file \"PATH\" \"..\"`",
};

/// What to do about any lock that cannot be used.
const ANEW: &str = "`mkimg lock` writes it anew; git has what it was";

/// Why a text is no lock of this version of mkimg.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is no lock, at the places that the diagnostics show.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A merge left its marks in it.
    #[error("the lock `{name}` has the marks of an unfinished merge at line {line}")]
    Merge {
        /// The file.
        name: String,
        /// The line of the first mark.
        line: usize,
    },
    /// It was written by the rules of another format version.
    #[error("the lock `{name}` is of format {found}, this mkimg makes format {FORMAT}")]
    Format {
        /// The file.
        name: String,
        /// Its format version.
        found: u64,
    },
}

impl Fault for LockError {
    fn outcome(&self) -> Outcome {
        match self {
            LockError::Format { .. } => Outcome::Different,
            LockError::Invalid(_) | LockError::Merge { .. } => Outcome::Wrong,
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            LockError::Invalid(_) => ANEW,
            LockError::Merge { .. } => {
                "finish the merge of the recipe first; then `mkimg lock` writes the lock anew, whatever is in it"
            }
            LockError::Format { found, .. } if *found > u64::from(FORMAT) => {
                "a newer mkimg wrote it: use that one, or let `mkimg lock` write what this one makes"
            }
            LockError::Format { .. } => {
                "the bytes changed with the format: `mkimg lock` accepts those of this mkimg"
            }
        };
        Some(text.to_owned())
    }
}

impl Lock {
    /// Reads the text of a lock. `name` is the path, as messages show it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Lock, LockError> {
        if let Some(lock) = plain::read(bytes) {
            return Ok(lock);
        }
        if let Some(line) = merge_mark(bytes) {
            let name = name.to_owned();
            return Err(LockError::Merge { name, line });
        }
        let source = text::read(name, bytes)?;
        let document = syntax::document(&source.text)
            .map_err(|diagnostics| Invalid::wrong(source.clone(), diagnostics))?;
        let report = Report::new(FileId::default(), &source, Mode::Strict);
        let mut parts = Parts::default();
        for (kind, node) in kinds(document.nodes(), "a lock", &NODES, &report) {
            match kind {
                "lock" => parts.head(node, &report),
                "image" => parts.image(node, &report),
                "statement" => pair(node, &STATEMENT, &mut parts.statements, &report),
                _ => pair(node, &FILE, &mut parts.files, &report),
            }
        }
        if let Some((_, format, _)) = &parts.head
            && *format != u64::from(FORMAT)
        {
            let (name, found) = (name.to_owned(), *format);
            return Err(LockError::Format { name, found });
        }
        let end = source.text.trim_end().len();
        if !parts.seen {
            let message = "the lock has no `lock` node";
            report.error(message, &report.place(end..end), "ends without one", ANEW);
        }
        let found = report.into_found();
        match parts.head {
            Some((image, _, recipe)) if found.is_empty() => Ok(Lock {
                name: image,
                format: FORMAT,
                recipe,
                images: parts.images,
                statements: parts.statements,
                files: parts.files,
            }),
            _ => Err(incomplete(source, found)),
        }
    }
}

fn incomplete(source: SourceText, mut found: Vec<Diagnostic>) -> LockError {
    if found.is_empty() {
        found.push(Diagnostic::error("the lock is incomplete", 0..0, "here").help(ANEW));
    }
    Invalid::wrong(source, found).into()
}

/// Returns the line of the first mark that git leaves where two changes met.
fn merge_mark(bytes: &[u8]) -> Option<usize> {
    let marks: [&[u8]; 3] = [b"<<<<<<< ", b">>>>>>> ", b"||||||| "];
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let found = lines.position(|line| marks.iter().any(|mark| line.starts_with(mark)));
    found.map(|index| index + 1)
}

#[derive(Default)]
struct Parts {
    /// There is a `lock` node, right or wrong.
    seen: bool,
    head: Option<(String, u64, Digest)>,
    images: BTreeMap<Arch, Locked>,
    statements: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

impl Parts {
    fn head(&mut self, kdl: &KdlNode, report: &Report<'_>) {
        let node = Node::read(kdl, &LOCK, report);
        if std::mem::replace(&mut self.seen, true) {
            report.error(
                "`lock` is given twice",
                &node.head,
                "given again here",
                ANEW,
            );
        }
        let name = node.get(0).and_then(Value::line);
        let format = node
            .need("format")
            .and_then(|value| value.number(0..=i128::from(u32::MAX)))
            .and_then(|format| u64::try_from(format).ok());
        let recipe = node.need("recipe").and_then(digest);
        // Another format may have other fields: its number counts, whatever else is there.
        let other = format.filter(|format| *format != u64::from(FORMAT));
        self.head = match (name, format, recipe) {
            (Some(name), Some(format), Some(recipe)) => Some((name.value, format, recipe)),
            _ => other.map(|format| (String::new(), format, Digest::of(b""))),
        };
    }

    fn image(&mut self, kdl: &KdlNode, report: &Report<'_>) {
        let node = Node::read(kdl, &IMAGE, report);
        let arch = node.get(0).and_then(|value| {
            let text = value.text()?.value;
            let arch = text.parse::<Arch>();
            if let Err(error) = &arch {
                value.refuse(error.to_string(), "not known to this mkimg", ANEW);
            }
            arch.ok()
        });
        let mut inputs = BTreeMap::new();
        let mut values: BTreeMap<&str, (Digest, Option<u64>)> = BTreeMap::new();
        let mut compressor = None;
        for (kind, child) in node.children() {
            let twice = match kind {
                "source" => {
                    let child = Node::read(child, &SOURCE, report);
                    let name = child.get(0).and_then(Value::line);
                    let digest = child.get(1).and_then(digest);
                    let (Some(name), Some(digest)) = (name, digest) else {
                        continue;
                    };
                    inputs.insert(name.value, digest).is_some()
                }
                "compressor" => {
                    let child = Node::read(child, &COMPRESSOR, report);
                    let text = child.get(0).and_then(Value::line).map(|text| text.value);
                    std::mem::replace(&mut compressor, text).is_some()
                }
                _ => {
                    let Some(form) = IDENTITIES.iter().find(|form| form.name == kind) else {
                        continue;
                    };
                    let sized = !form.properties.is_empty();
                    let child = Node::read(child, form, report);
                    let size = child
                        .prop("size")
                        .and_then(|value| value.number(0..=i128::from(u64::MAX)))
                        .and_then(|size| u64::try_from(size).ok());
                    if sized && child.prop("size").is_none() {
                        child.need("size");
                    }
                    let Some(digest) = child.get(0).and_then(digest) else {
                        continue;
                    };
                    values.insert(kind, (digest, size)).is_some()
                }
            };
            if twice {
                let place = report.place(crate::recipe::node::range(child.name().span()));
                report.error(
                    format!("`{kind}` is given twice"),
                    &place,
                    "given again here",
                    ANEW,
                );
            }
        }
        for kind in ["initramfs", "kernel", "plan", "sources", "tree"] {
            if !values.contains_key(kind) {
                let message = format!("the image lacks its `{kind}`");
                report.error(message, &node.head, "of this image", ANEW);
            }
        }
        if compressor.is_none() {
            report.error(
                "the image lacks its `compressor`",
                &node.head,
                "of this image",
                ANEW,
            );
        }
        let value = |kind: &str| values.get(kind).copied();
        let sized = |kind: &str| value(kind).and_then(|(digest, size)| Some((digest, size?)));
        let locked = || {
            Some(Locked {
                plan: value("plan")?.0,
                sources: value("sources")?.0,
                inputs: inputs.clone(),
                tree: sized("tree")?.0,
                archive_size: sized("tree")?.1,
                kernel: sized("kernel")?,
                initramfs: sized("initramfs")?,
                compressor: compressor.clone()?,
            })
        };
        if let (Some(arch), Some(locked)) = (arch, locked())
            && self.images.insert(arch, locked).is_some()
        {
            let message = format!("there are two images for {arch}");
            report.error(message, &node.head, "the second one", ANEW);
        }
    }
}

/// Reads a statement or a file, whose name must be new.
fn pair(
    kdl: &KdlNode,
    form: &'static Form,
    into: &mut BTreeMap<String, String>,
    report: &Report<'_>,
) {
    let node = Node::read(kdl, form, report);
    let name = node.get(0).and_then(Value::text);
    let digest = node.get(1).and_then(Value::line);
    if let (Some(name), Some(digest)) = (name, digest)
        && into.insert(name.value, digest.value).is_some()
    {
        report.error(
            format!("this {} is there twice", form.name),
            &node.head,
            "the second one",
            ANEW,
        );
    }
}

const SOURCE: Form = Form {
    name: "source",
    arguments: &["its name", "its sha256"],
    required: 2,
    properties: &[],
    children: &[],
    example: "`source \"NAME\" \"..\"`",
};

const COMPRESSOR: Form = Form {
    name: "compressor",
    arguments: &["its name"],
    required: 1,
    properties: &[],
    children: &[],
    example: "`compressor \"libdeflate 1.26, level 7\"`",
};

static IDENTITIES: [Form; 5] = [
    identity("initramfs", &["size"]),
    identity("kernel", &["size"]),
    identity("plan", &[]),
    identity("sources", &[]),
    identity("tree", &["size"]),
];

const fn identity(name: &'static str, properties: &'static [&'static str]) -> Form {
    Form {
        name,
        arguments: &["the sha256"],
        required: 1,
        properties,
        children: &[],
        example: "the node, its sha256 and, where it has one, `size=`",
    }
}

fn digest(value: &Value<'_>) -> Option<Digest> {
    let text = value.text()?.value;
    match text.parse() {
        Ok(digest) => Some(digest),
        Err(error) => {
            value.refuse(
                format!("this is no sha256: {error}"),
                "64 lower-case hexadecimal digits are wanted",
                ANEW,
            );
            None
        }
    }
}
