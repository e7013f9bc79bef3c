//! Which nodes of a recipe count, where several files, variants and architectures say something about the same.
//!
//! A node of a file that includes another one counts more than a node of that one; in one file a node of a `variant` counts more
//! than one of a `when`, and both count more than a node beside them.

use kdl::KdlNode;

use super::diagnostic::Diagnostic;
use super::include::Documents;
use super::model::Spanned;
use super::node::{Form, Node, Value, kinds, range};
use super::report::Report;
use super::source_map::{FileId, SourceMap, Span};
use super::word::suggest;
use crate::arch::Arch;
use crate::text::shown;

/// The nodes of a recipe.
pub(super) const NODES: [&str; 12] = [
    "image",
    "source",
    "kernel",
    "initramfs",
    "boot",
    "budget",
    "test",
    "include",
    "param",
    "set",
    "when",
    "variant",
];

pub(super) const WHEN: Form = Form {
    name: "when",
    arguments: &[],
    required: 0,
    properties: &["arch"],
    children: &[
        "source",
        "kernel",
        "initramfs",
        "boot",
        "budget",
        "test",
        "set",
    ],
    example: "`when arch=\"aarch64\" { boot cmdline=\"..\" }`",
};

pub(super) const VARIANT: Form = Form {
    name: "variant",
    arguments: &["the name"],
    required: 1,
    properties: &[],
    children: &[
        "source",
        "kernel",
        "initramfs",
        "boot",
        "budget",
        "test",
        "set",
        "when",
    ],
    example: "`variant \"NAME\" { source \"linux\" { .. } }`",
};

/// A node, where it stands, and when it counts.
#[derive(Debug, Clone)]
pub(super) struct Item<'d> {
    pub(super) file: FileId,
    pub(super) kind: &'static str,
    pub(super) node: &'d KdlNode,
    /// The architecture that it is for; `None` is all of them.
    pub(super) arch: Option<Arch>,
    /// The variant that it is of; `None` is all of them.
    pub(super) variant: Option<String>,
}

impl Item<'_> {
    /// Says whether it is for an architecture and of a variant.
    pub(super) fn counts(&self, arch: Option<Arch>, variant: Option<&str>) -> bool {
        let of_arch = self.arch.is_none() || self.arch == arch;
        of_arch && (self.variant.is_none() || self.variant.as_deref() == variant)
    }

    fn is_conditional(&self) -> bool {
        self.arch.is_some() || self.variant.is_some()
    }

    /// Says whether it counts more than another node about the same.
    fn outranks(&self, other: &Item<'_>, map: &SourceMap) -> bool {
        let weight = |item: &Item<'_>| (item.variant.is_some(), item.arch.is_some());
        match self.file == other.file {
            true => weight(self) > weight(other),
            false => map.includes(self.file, other.file),
        }
    }
}

/// The nodes of all files, and the names of the variants in their order.
pub(super) struct Items<'d> {
    pub(super) all: Vec<Item<'d>>,
    pub(super) variants: Vec<Spanned<String>>,
}

/// Returns the nodes of all files; reports what is none of a recipe.
pub(super) fn items<'d>(documents: &'d Documents, reports: &[Report<'_>]) -> Items<'d> {
    let mut items = Items {
        all: Vec::new(),
        variants: Vec::new(),
    };
    for (file, node) in documents.nodes() {
        let Some(report) = reports.get(file.index()) else {
            continue;
        };
        for (kind, node) in kinds(std::slice::from_ref(node), "a recipe", &NODES, report) {
            let item = Item {
                file,
                kind,
                node,
                arch: None,
                variant: None,
            };
            items.add(item, report);
        }
    }
    items
}

impl<'d> Items<'d> {
    fn add(&mut self, item: Item<'d>, report: &Report<'_>) {
        match item.kind {
            "when" => self.when(item, report),
            "variant" => self.variant(item, report),
            // What is left of `include` could not be read, or is a misspelling of it.
            "include" => {}
            _ => self.all.push(item),
        }
    }

    fn when(&mut self, item: Item<'d>, report: &Report<'_>) {
        let node = Node::read(item.node, &WHEN, report);
        let arch = node.need("arch").and_then(Value::architecture);
        self.block(&node, item.node, report);
        for (kind, node) in inner(item.node, &WHEN, report) {
            let inner = Item {
                kind,
                node,
                arch,
                ..item.clone()
            };
            if arch.is_some() {
                self.all.push(inner);
            }
        }
    }

    fn variant(&mut self, item: Item<'d>, report: &Report<'_>) {
        let node = Node::read(item.node, &VARIANT, report);
        let Some(name) = node.get(0).and_then(Value::name) else {
            return;
        };
        let same = |other: &&Spanned<String>| other.value == name.value;
        match self.variants.iter().find(same) {
            Some(first) if first.span.file == name.span.file => {
                let message = format!("two variants are called `{}`", name.value);
                let error = Diagnostic::error(message, name.span.clone(), "again here");
                let error = error.and(first.span.clone(), "the first one");
                report.add(error.help("put their nodes into one block"));
            }
            Some(_) => {}
            None => self.variants.push(name.clone()),
        }
        for (kind, node) in inner(item.node, &VARIANT, report) {
            let inner = Item {
                kind,
                node,
                variant: Some(name.value.clone()),
                ..item.clone()
            };
            self.add(inner, report);
        }
    }

    /// Reports a `when` that says nothing.
    fn block(&self, node: &Node<'_>, kdl: &KdlNode, report: &Report<'_>) {
        if kdl.children().is_none_or(|block| block.nodes().is_empty()) {
            let help = format!("write {}", node.form.example);
            let message = format!("`{}` has no nodes", node.form.name);
            report.error(message, &node.head, "nothing would be in it", help);
        }
    }
}

/// Returns the nodes of a block with their kinds.
fn inner<'d>(
    node: &'d KdlNode,
    form: &Form,
    report: &Report<'_>,
) -> Vec<(&'static str, &'d KdlNode)> {
    let nodes = node.children().map_or(&[][..], |block| block.nodes());
    kinds(nodes, &format!("`{}`", form.name), form.children, report)
}

/// What a node says something about.
pub(super) struct Claim<'i, 'd> {
    pub(super) item: &'i Item<'d>,
    /// What it is about: the name of a source, say.
    pub(super) name: String,
    /// Where the name stands.
    pub(super) span: Span,
    /// Its `override=#true`.
    pub(super) replaces: Option<Span>,
}

/// How two nodes about the same clash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// None of them counts more.
    Twice,
    /// One counts more, and does not say that it may.
    Unsaid,
}

/// Returns which nodes stand, where several are about the same. Two that clash go to `clash`, the one that should change first.
pub(super) fn standing<'c, 'i, 'd>(
    claims: &'c [Claim<'i, 'd>],
    map: &SourceMap,
    must_say: bool,
    mut clash: impl FnMut(&'c Claim<'i, 'd>, &'c Claim<'i, 'd>, Clash),
) -> Vec<bool> {
    let mut stands = vec![true; claims.len()];
    for (at, later) in claims.iter().enumerate() {
        for (before, first) in claims.iter().enumerate().take(at) {
            if first.name != later.name || !stands.get(before).copied().unwrap_or_default() {
                continue;
            }
            let (winner, loser) = match () {
                () if later.item.outranks(first.item, map) => (at, before),
                () if first.item.outranks(later.item, map) => (before, at),
                () => {
                    clash(later, first, Clash::Twice);
                    break;
                }
            };
            let (winning, losing) = match winner == at {
                true => (later, first),
                false => (first, later),
            };
            if must_say && winning.replaces.is_none() && !winning.item.is_conditional() {
                clash(winning, losing, Clash::Unsaid);
            }
            if let Some(stands) = stands.get_mut(loser) {
                *stands = false;
            }
            if loser == at {
                break;
            }
        }
    }
    stands
}

/// Returns the node of each kind of which a recipe has one, by its place among the nodes; reports kinds with several.
pub(super) fn single<'i>(
    kind: &str,
    items: &'i [&'i Item<'_>],
    reports: &[Report<'_>],
    map: &SourceMap,
) -> Option<&'i Item<'i>> {
    let of_kind: Vec<&Item<'_>> = items.iter().copied().filter(|i| i.kind == kind).collect();
    let claims: Vec<Claim<'_, '_>> = of_kind
        .iter()
        .filter_map(|item| {
            let report = reports.get(item.file.index())?;
            Some(Claim {
                item,
                name: kind.to_owned(),
                span: report.place(range(item.node.name().span())),
                replaces: None,
            })
        })
        .collect();
    let stands = standing(&claims, map, false, |later, first, _| {
        twice(kind, &later.span, &first.span, reports);
    });
    let last = stands.iter().rposition(|stands| *stands)?;
    of_kind.get(last).copied()
}

/// Reports a node of which a recipe has one.
pub(super) fn twice(kind: &str, later: &Span, first: &Span, reports: &[Report<'_>]) {
    let message = format!("`{kind}` is given twice");
    let error = Diagnostic::error(message, later.clone(), "given again here");
    let error = error.and(first.clone(), "given here first");
    let help = match later.file == first.file {
        true => format!("a recipe has one `{kind}`: remove one of them"),
        false => format!(
            "a recipe has one `{kind}`, and neither file includes the other: write it in a file that includes both"
        ),
    };
    if let Some(report) = reports.first() {
        report.add(error.help(help));
    }
}

/// Returns the claims that stand of things with names, where the files that include others say `override=#true`.
pub(super) fn named(
    what: &str,
    claims: &[Claim<'_, '_>],
    map: &SourceMap,
    report: &Report<'_>,
) -> Vec<bool> {
    let mut replaced: Vec<&Span> = Vec::new();
    let stands = standing(claims, map, true, |later, first, clash| {
        let name = shown(&later.name);
        let (message, help) = match clash {
            Clash::Twice if later.span.file == first.span.file => (
                format!("two {what}s are called `{name}`"),
                "give one of them another name",
            ),
            Clash::Twice => (
                format!("two {what}s are called `{name}`"),
                "neither file includes the other: give one of them another name",
            ),
            Clash::Unsaid => (
                format!("two {what}s are called `{name}`"),
                "give one of them another name, or write `override=#true` on this one to let it take the place of the included one",
            ),
        };
        let error = Diagnostic::error(message, later.span.clone(), "again here");
        report.add(error.and(first.span.clone(), "the first one").help(help));
    });
    for claim in claims {
        let lost = claims.iter().zip(&stands).any(|(other, stands)| {
            !stands && other.name == claim.name && claim.item.outranks(other.item, map)
        });
        if lost {
            replaced.push(&claim.span);
        }
    }
    for claim in claims.iter().filter(|claim| claim.replaces.is_some()) {
        if replaced.contains(&&claim.span) {
            continue;
        }
        let Some(flag) = &claim.replaces else {
            continue;
        };
        let names: Vec<&str> = claims
            .iter()
            .filter(|other| map.includes(claim.span.file, other.span.file))
            .map(|other| other.name.as_str())
            .collect();
        let rest = match names.is_empty() {
            true => "remove `override`: this file includes none".to_owned(),
            false => format!(
                "remove `override`: the included files have {}",
                super::word::list(&names)
            ),
        };
        let message = format!("no included {what} is called `{}`", shown(&claim.name));
        let error = Diagnostic::error(message, flag.clone(), "takes the place of nothing");
        report.add(error.help(suggest(&claim.name, &names, &rest)));
    }
    stands
}
