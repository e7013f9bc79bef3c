//! The `initramfs` node and its entries.

use kdl::KdlNode;

use super::check::{Declared, Shape};
use super::diagnostic::Diagnostic;
use super::model::{Compress, DeviceClass, Entry, EntryKind, GZIP_LEVEL, Origin, Owner, Spanned};
use super::node::{Form, Node, Value, range};
use super::report::Report;
use super::source_map::Span;
use super::{init, tree};

pub(super) const INITRAMFS: Form = Form {
    name: "initramfs",
    arguments: &[],
    required: 0,
    properties: &["compress", "level"],
    children: &[
        "file", "dir", "symlink", "device", "applets", "tree", "init",
    ],
    example: "`initramfs compress=\"gzip\" { .. }`",
};

const FILE: Form = Form {
    name: "file",
    arguments: &["the path"],
    required: 1,
    properties: &[
        "from", "path", "text", "local", "mode", "uid", "gid", "override",
    ],
    children: &[],
    example: "`file \"/PATH\" from=\"SOURCE\" path=\"GLOB\"`, `file \"/PATH\" text=\"..\"` or `file \"/PATH\" local=\"FILE\"`",
};

const DIR: Form = Form {
    name: "dir",
    arguments: &["the path"],
    required: 1,
    properties: &["mode", "uid", "gid", "override"],
    children: &[],
    example: "`dir \"/PATH\" mode=0o755`",
};

const SYMLINK: Form = Form {
    name: "symlink",
    arguments: &["the path"],
    required: 1,
    properties: &["target", "uid", "gid", "override"],
    children: &[],
    example: "`symlink \"/PATH\" target=\"TARGET\"`",
};

const DEVICE: Form = Form {
    name: "device",
    arguments: &["the path", "the class"],
    required: 2,
    properties: &["major", "minor", "mode", "uid", "gid", "override"],
    children: &[],
    example: "`device \"/dev/console\" \"char\" major=5 minor=1 mode=0o600`",
};

const APPLETS: Form = Form {
    name: "applets",
    arguments: &["the directory"],
    required: 1,
    properties: &["of", "except", "uid", "gid", "override"],
    children: &[],
    example: "`applets \"/bin\" of=\"/bin/busybox\"`",
};

/// The forms of this file, for tests that go through the whole language.
#[cfg(test)]
pub(super) const FORMS: &[&Form] = &[&INITRAMFS, &FILE, &DIR, &SYMLINK, &DEVICE, &APPLETS];

/// The numbers that the kernel takes for a device: 12 bits of major, 20 of minor (`include/linux/kdev_t.h`).
const MAJOR: i128 = (1 << 12) - 1;
const MINOR: i128 = (1 << 20) - 1;

/// What one `initramfs` node says, as far as it could be read.
pub(super) struct Part {
    /// Its name, and its name with its properties.
    pub(super) name: Span,
    pub(super) head: Span,
    /// Where it says how to compress.
    pub(super) said: Option<Span>,
    pub(super) compress: Option<Compress>,
    pub(super) entries: Option<Vec<Entry>>,
    pub(super) is_empty: bool,
}

/// Reads an `initramfs` node. What it declares goes to `declared` even where it is partly wrong.
pub(super) fn initramfs(kdl: &KdlNode, report: &Report<'_>, declared: &mut Declared) -> Part {
    let node = Node::read(kdl, &INITRAMFS, report);
    let said = node.prop("compress").or(node.prop("level"));
    let said = said.map(|value| value.whole.clone());
    let compress = compress(&node);
    let children = node.children();
    let count = children.len();
    let read = |(kind, kdl)| entry(kind, kdl, report, declared);
    let entries: Vec<Entry> = children.into_iter().filter_map(read).collect();
    Part {
        name: report.place(range(kdl.name().span())),
        said,
        compress,
        entries: Some(entries).filter(|entries| entries.len() == count),
        is_empty: kdl.children().is_none_or(|block| block.nodes().is_empty()),
        head: node.head,
    }
}

fn compress(node: &Node<'_>) -> Option<Compress> {
    let level = node.prop("level");
    let number = level.map(|value| value.number(1..=12));
    let Some(value) = node.prop("compress") else {
        return gzip(number);
    };
    let text = value.text()?;
    if matches!(
        text.value.as_str(),
        "zstd" | "xz" | "lz4" | "lzo" | "bzip2" | "lzma"
    ) {
        let message = format!("`compress=\"{}\"` is not supported yet", text.value);
        value.refuse(
            message,
            "cannot be written so far",
            "write `compress=\"gzip\"` or `compress=\"none\"`",
        );
        return None;
    }
    if value.choice(&["gzip", "none"])? == "gzip" {
        return gzip(number);
    }
    if let Some(level) = level {
        let message = "`level` without a compressor";
        let error = Diagnostic::error(message, level.whole.clone(), "there is nothing to set");
        let error = error.and(value.whole.clone(), "nothing is compressed");
        node.report
            .add(error.help("remove `level`, or write `compress=\"gzip\"`"));
        return None;
    }
    Some(Compress::None)
}

fn gzip(number: Option<Option<i128>>) -> Option<Compress> {
    let level = number.map_or(Some(i128::from(GZIP_LEVEL)), |number| number)?;
    let level = u8::try_from(level).ok()?;
    Some(Compress::Gzip { level })
}

fn entry(kind: &str, kdl: &KdlNode, report: &Report<'_>, declared: &mut Declared) -> Option<Entry> {
    let (form, shape) = match kind {
        "file" => (&FILE, Shape::File),
        "dir" => (&DIR, Shape::Dir),
        "symlink" => (&SYMLINK, Shape::Symlink),
        "device" => (&DEVICE, Shape::Device),
        "applets" => (&APPLETS, Shape::Applets),
        "init" => (&init::INIT, Shape::File),
        _ => (&tree::TREE, Shape::Tree),
    };
    let node = Node::read(kdl, form, report);
    let path = match kind {
        "init" => Some(Spanned {
            value: "/init".to_owned(),
            span: node.head.clone(),
        }),
        _ => node
            .get(0)
            .and_then(|value| value.image_path(shape.is_many())),
    };
    let flag = node.prop("override").map_or(Some(false), Value::flag);
    let owner = owner(&node);
    let replaces = node.replaces();
    match &path {
        Some(path) => declared.entry(shape, path.clone(), replaces),
        None => declared.unknown_path = true,
    }
    let kind = match shape {
        Shape::File if kind == "init" => init::init(&node, declared),
        Shape::File => file(&node, declared),
        Shape::Dir => mode(&node, 0o755).map(|mode| EntryKind::Dir { mode }),
        Shape::Symlink => symlink(&node),
        Shape::Device => device(&node),
        Shape::Applets => applets(&node, declared),
        Shape::Tree => tree::tree(&node, declared),
    };
    Some(Entry {
        path: path?,
        replaces: flag?,
        owner: owner?,
        kind: kind?,
        span: node.span,
    })
}

fn owner(node: &Node<'_>) -> Option<Owner> {
    let uid = node.prop("uid").map_or(Some(0), Value::number32);
    let gid = node.prop("gid").map_or(Some(0), Value::number32);
    Some(Owner {
        uid: uid?,
        gid: gid?,
    })
}

fn mode(node: &Node<'_>, default: u32) -> Option<u32> {
    node.prop("mode").map_or(Some(default), Value::mode_bits)
}

fn file(node: &Node<'_>, declared: &mut Declared) -> Option<EntryKind> {
    let mode = node
        .prop("mode")
        .map_or(Some(None), |value| value.mode_bits().map(Some));
    let origin = origin(node, declared);
    Some(EntryKind::File {
        origin: origin?,
        mode: mode?,
    })
}

fn origin(node: &Node<'_>, declared: &mut Declared) -> Option<Origin> {
    let from = node.prop("from");
    let others = [node.prop("text"), node.prop("local")];
    let given: Vec<&Value<'_>> = [from].into_iter().chain(others).flatten().collect();
    let source = from.map(|value| declared.used(value));
    let path = node.prop("path").map(Value::glob);
    if let [first, second, ..] = given.as_slice() {
        let message = "`file` has more than one origin";
        let error = Diagnostic::error(message, second.whole.clone(), "a second origin");
        let error = error.and(first.whole.clone(), "the first one");
        node.report
            .add(error.help("keep one of `from`, `text` and `local`"));
        return None;
    }
    if let (Some(path), None) = (node.prop("path"), from) {
        let message = "`path` without `from`";
        let error = Diagnostic::error(message, path.whole.clone(), "a member of which source?");
        let help = match given.is_empty() {
            true => "add `from=\"SOURCE\"`; a file beside the recipe is `local=\"FILE\"`",
            false => "remove it: only a source has members",
        };
        node.report.add(error.help(help));
        return None;
    }
    let Some(value) = given.first() else {
        let help = format!("write {}", FILE.example);
        let label = "one of `from=`, `text=` and `local=` is missing";
        node.report
            .error("`file` has no origin", &node.head, label, help);
        return None;
    };
    match value.what.as_str() {
        "`text`" => Some(Origin::Text(value.text()?.value)),
        "`local`" => value.file().map(Origin::Local),
        _ => Some(Origin::Source {
            from: source??,
            path: path.map_or(Some(None), |path| path.map(Some))?,
        }),
    }
}

fn symlink(node: &Node<'_>) -> Option<EntryKind> {
    let value = node.need("target")?;
    let target = value.line()?.value;
    if target.len() > 4095 {
        let message = format!("`target` has {} bytes", target.len());
        value.refuse(
            message,
            "too long",
            "the kernel takes at most 4095 and drops longer ones without a word",
        );
        return None;
    }
    Some(EntryKind::Symlink { target })
}

fn device(node: &Node<'_>) -> Option<EntryKind> {
    let class = node
        .get(1)
        .and_then(|value| value.choice(&["char", "block"]));
    let number = |name, most| {
        let number = node.need(name)?.number(0..=most)?;
        u32::try_from(number).ok()
    };
    let (major, minor) = (number("major", MAJOR), number("minor", MINOR));
    let mode = mode(node, 0o600);
    Some(EntryKind::Device {
        class: match class? {
            "char" => DeviceClass::Char,
            _ => DeviceClass::Block,
        },
        major: major?,
        minor: minor?,
        mode: mode?,
    })
}

fn applets(node: &Node<'_>, declared: &mut Declared) -> Option<EntryKind> {
    let of = node.need("of").and_then(|value| value.image_path(false));
    if let Some(of) = &of {
        declared.busyboxes.push(of.clone());
    }
    let except = node.prop("except").map_or(Some(Vec::new()), |value| {
        let text = value.text()?.value;
        if !value.one_line(&text) {
            return None;
        }
        if text.contains(['/', ',']) {
            let help = "write the names of the applets, separated by spaces: `except=\"init sh\"`";
            value.refuse(
                "`except` has more than names in it",
                "no `/` and no `,`",
                help,
            );
            return None;
        }
        Some(text.split_whitespace().map(str::to_owned).collect())
    });
    Some(EntryKind::Applets {
        of: of?,
        except: except?,
    })
}
