//! `tree` nodes: many entries at once, out of an archive or a directory beside the recipe.

use std::borrow::Cow;

use kdl::{KdlNode, KdlValue};

use super::check::Declared;
use super::diagnostic::Diagnostic;
use super::model::{EntryKind, Spanned, TreeOrigin};
use super::node::{Form, Node, Value, range};

pub(super) const TREE: Form = Form {
    name: "tree",
    arguments: &["the directory"],
    required: 1,
    properties: &[
        "from", "local", "git", "strip", "owners", "uid", "gid", "override",
    ],
    children: &["include", "exclude", "modes"],
    example: "`tree \"/\" from=\"SOURCE\" { include \"GLOB\" }` or `tree \"/\" local=\"DIRECTORY\"`",
};

const INCLUDE: Form = Form {
    name: "include",
    arguments: &["the glob"],
    required: 1,
    properties: &[],
    children: &[],
    example: "`include \"usr/lib/**\"`, a node for each glob",
};

const EXCLUDE: Form = Form {
    name: "exclude",
    example: "`exclude \"usr/share/doc/**\"`, a node for each glob",
    ..INCLUDE
};

/// Its nodes are globs.
const MODES: Form = Form {
    name: "modes",
    arguments: &[],
    required: 0,
    properties: &[],
    children: &["GLOB"],
    example: "`modes { \"etc/shadow\" 0o600; \"usr/bin/sudo\" 0o4755 }`",
};

const GLOB: Form = Form {
    name: "GLOB",
    arguments: &["the mode"],
    required: 1,
    properties: &[],
    children: &[],
    example: MODES.example,
};

/// The forms of this file, for tests that go through the whole language.
#[cfg(test)]
pub(super) const FORMS: &[&Form] = &[&TREE, &INCLUDE, &EXCLUDE, &MODES, &GLOB];

/// Reads a `tree` node.
pub(super) fn tree(node: &Node<'_>, declared: &mut Declared) -> Option<EntryKind> {
    let origin = origin(node, declared);
    let owners = owners(node);
    let strip = node
        .prop("strip")
        .map_or(Some(0), |value| value.number(0..=255));
    let (mut include, mut exclude, mut modes) = (Vec::new(), Vec::new(), Vec::new());
    let mut complete = true;
    for (kind, kdl) in node.children() {
        let (form, globs) = match kind {
            "include" => (&INCLUDE, &mut include),
            "exclude" => (&EXCLUDE, &mut exclude),
            _ => {
                let found = read_modes(kdl, node);
                complete &= found.is_some();
                modes.extend(found.into_iter().flatten());
                continue;
            }
        };
        let child = Node::read(kdl, form, node.report);
        let glob: Option<Spanned<String>> = child.get(0).and_then(Value::glob);
        complete &= glob.is_some();
        globs.extend(glob);
    }
    Some(EntryKind::Tree {
        origin: origin?,
        strip: strip.and_then(|strip| u32::try_from(strip).ok())?,
        include: Some(include).filter(|_| complete)?,
        exclude,
        modes,
        owners: owners?,
    })
}

/// Reads whose the entries are: the node's own `uid` and `gid` say that they are not the archive's.
fn owners(node: &Node<'_>) -> Option<Option<bool>> {
    let own = ["uid", "gid"].map(|name| node.prop(name));
    let own = own.into_iter().flatten().next();
    let Some(value) = node.prop("owners") else {
        return Some(own.map(|_| false));
    };
    let flag = value.flag()?;
    let other = own.or(node.prop("local"));
    if let Some(other) = other.filter(|_| flag) {
        let message = "`owners=#true` takes the owners of an archive or a container image";
        let error = Diagnostic::error(message, value.whole.clone(), "from there");
        let error = error.and(other.whole.clone(), "not from here");
        let help = "keep one of them: who owns a file on this machine never counts";
        node.report.add(error.help(help));
        return None;
    }
    Some(Some(flag))
}

fn origin(node: &Node<'_>, declared: &mut Declared) -> Option<TreeOrigin> {
    let (from, local, git) = (node.prop("from"), node.prop("local"), node.prop("git"));
    let source = from.map(|value| declared.used(value));
    let tracked = git.map_or(Some(false), Value::flag);
    match (from, local, git) {
        (Some(from), Some(local), _) => {
            let message = "`tree` has more than one origin";
            let error = Diagnostic::error(message, local.whole.clone(), "a directory");
            let error = error.and(from.whole.clone(), "a source");
            let help = "keep one of them, or write a `tree` for each";
            node.report.add(error.help(help));
            None
        }
        (Some(from), None, Some(git)) => {
            let message = "`git` goes with `local`";
            let error = Diagnostic::error(message, git.whole.clone(), "a source has no index");
            let error = error.and(from.whole.clone(), "an archive");
            node.report.add(error.help("remove it"));
            None
        }
        (None, None, Some(git)) => {
            let help = "write `local=\"DIRECTORY\"`, a directory of a git work tree";
            node.report.error(
                "`git` without `local`",
                &git.whole,
                "what is tracked where?",
                help,
            );
            None
        }
        (None, None, None) => {
            let help = format!("write {}", TREE.example);
            let label = "`from=` or `local=` is missing";
            node.report
                .error("`tree` has no origin", &node.head, label, help);
            None
        }
        (Some(_), None, None) => Some(TreeOrigin::Source(source??)),
        (None, Some(local), _) => Some(TreeOrigin::Local {
            name: local.directory()?,
            git: tracked?,
        }),
    }
}

/// Reads a `modes` node, whose own nodes are globs.
fn read_modes(kdl: &KdlNode, node: &Node<'_>) -> Option<Vec<(Spanned<String>, u32)>> {
    let modes = Node::read(kdl, &MODES, node.report);
    let read = |kdl: &KdlNode| {
        let child = Node::read(kdl, &GLOB, node.report);
        let span = node.report.place(range(kdl.name().span()));
        let name = Value {
            report: node.report,
            what: "the glob".to_owned(),
            whole: span.clone(),
            span,
            kdl: Cow::Owned(KdlValue::String(kdl.name().value().to_owned())),
            is_param: false,
        };
        let (glob, mode) = (name.glob(), child.get(0).and_then(Value::mode_bits));
        Some((glob?, mode?))
    };
    let read: Vec<Option<(Spanned<String>, u32)>> = modes.block().iter().map(read).collect();
    read.into_iter().collect()
}
