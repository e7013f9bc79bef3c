//! The nodes of a file to a [`Recipe`].

use std::collections::BTreeMap;

use kdl::{KdlDocument, KdlNode};

use super::check::{Declared, twice};
use super::diagnostic::Diagnostic;
use super::model::{Boot, Budget, Kernel, KernelOrigin, Recipe, Source, Spanned, Test};
use super::node::{Form, Node, Value, kinds, range};
use super::report::Report;
use super::source_map::{FileId, SourceText, Span};
use super::{Invalid, Mode, Parsed, budget, entry, location, oci, script};

/// The nodes of a recipe.
pub(super) const NODES: [&str; 7] = [
    "image",
    "source",
    "kernel",
    "initramfs",
    "boot",
    "budget",
    "test",
];

const IMAGE: Form = Form {
    name: "image",
    arguments: &["the name"],
    required: 1,
    properties: &["description", "epoch"],
    children: &[],
    example: "`image \"NAME\" description=\"..\"`",
};

const KERNEL: Form = Form {
    name: "kernel",
    arguments: &[],
    required: 0,
    properties: &["from", "path", "local"],
    children: &[],
    example: "`kernel from=\"SOURCE\" path=\"boot/vmlinuz-*\"` or `kernel local=\"FILE\"`",
};

/// The forms of this file, for tests that go through the whole language.
#[cfg(test)]
pub(super) const FORMS: &[&Form] = &[&IMAGE, &KERNEL];

/// The recipe's parts as far as they could be read.
#[derive(Default)]
struct Parts {
    image: Option<(Spanned<String>, Option<String>, u32)>,
    sources: Vec<Source>,
    kernel: Option<Kernel>,
    initramfs: Option<super::Initramfs>,
    boot: Option<Boot>,
    budget: Option<Budget>,
    tests: Vec<Test>,
}

/// Returns the recipe that the nodes are.
pub(super) fn recipe(
    document: &KdlDocument,
    source: SourceText,
    mode: Mode,
) -> Result<Parsed, Invalid> {
    let report = Report::new(FileId::default(), &source, mode);
    let mut declared = Declared::default();
    let parts = parts(document, &report, &mut declared);
    declared.check(&report);
    let recipe = parts.whole();
    if let Some(recipe) = &recipe {
        architectures(recipe, &report);
        oci::members_only(recipe, &report);
    }
    let found = report.into_found();
    match recipe {
        Some(recipe) if found.is_empty() => Ok(Parsed {
            warnings: declared.warnings(&recipe),
            recipe,
            source: source.into(),
        }),
        _ => Err(Invalid::wrong(source, found)),
    }
}

fn parts(document: &KdlDocument, report: &Report<'_>, declared: &mut Declared) -> Parts {
    let mut parts = Parts::default();
    let mut single: BTreeMap<&str, Span> = BTreeMap::new();
    let mut tests = Vec::new();
    if document.nodes().is_empty() {
        let help = "`mkimg new NAME` writes a recipe to start from";
        report.error(
            "the recipe is empty",
            &report.place(0..0),
            "no node is here",
            help,
        );
        return parts;
    }
    for (kind, node) in kinds(document.nodes(), "a recipe", &NODES, report) {
        let name = report.place(range(node.name().span()));
        if !matches!(kind, "source" | "test") {
            if let Some(first) = single.get(kind) {
                let message = format!("`{kind}` is given twice");
                let error = Diagnostic::error(message, name, "given again here");
                let error = error.and(first.clone(), "given here first");
                report.add(error.help(format!("a recipe has one `{kind}`: remove one of them")));
            } else {
                single.insert(kind, name);
            }
        }
        match kind {
            "image" => parts.image = image(node, report),
            "source" => {
                let found = location::source(node, report);
                declared.source(found.name);
                parts.sources.extend(found.source);
            }
            "kernel" => parts.kernel = kernel(node, report, declared),
            "initramfs" => parts.initramfs = entry::initramfs(node, report, declared),
            "boot" => parts.boot = script::boot(node, report),
            "budget" => parts.budget = budget::budget(node, report),
            _ => {
                let (name, test) = script::test(node, report);
                tests.extend(name);
                parts.tests.extend(test);
            }
        }
    }
    twice("test", &tests, report);
    for (kind, form) in [
        ("image", &IMAGE),
        ("kernel", &KERNEL),
        ("initramfs", &entry::INITRAMFS),
    ] {
        if !single.contains_key(kind) {
            let end = report.text.trim_end().len();
            let message = format!("the recipe has no `{kind}`");
            let help = format!("write {}", form.example);
            report.error(message, &report.place(end..end), "ends without one", help);
        }
    }
    parts
}

impl Parts {
    fn whole(self) -> Option<Recipe> {
        let (name, description, epoch) = self.image?;
        Some(Recipe {
            name,
            description,
            epoch,
            sources: self.sources,
            kernel: self.kernel?,
            initramfs: self.initramfs?,
            boot: self.boot.unwrap_or_default(),
            budget: self.budget,
            tests: self.tests,
        })
    }
}

fn image(kdl: &KdlNode, report: &Report<'_>) -> Option<(Spanned<String>, Option<String>, u32)> {
    let node = Node::read(kdl, &IMAGE, report);
    let name = node.get(0).and_then(Value::name);
    let description = node
        .prop("description")
        .map(|value| Some(value.line()?.value));
    let epoch = node.prop("epoch").map_or(Some(0), Value::number32);
    Some((
        name?,
        description.map_or(Some(None), |text| text.map(Some))?,
        epoch?,
    ))
}

fn kernel(kdl: &KdlNode, report: &Report<'_>, declared: &mut Declared) -> Option<Kernel> {
    let node = Node::read(kdl, &KERNEL, report);
    let from = node.prop("from").map(|value| declared.used(value));
    let path = node.prop("path").map(Value::glob);
    let local = node.prop("local");
    let others = ["from", "path"].map(|name| node.prop(name));
    let origin = match (local, others.into_iter().flatten().next()) {
        (Some(local), Some(other)) => {
            let message = "`kernel` has more than one origin";
            let label = "a file beside the recipe";
            let error = Diagnostic::error(message, local.whole.clone(), label);
            let error = error.and(other.whole.clone(), "a source, or a member of it");
            let help = "keep `local`, or `from` with its `path`: only a source has members";
            report.add(error.help(help));
            return None;
        }
        (Some(local), None) => KernelOrigin::Local(local.file()?),
        (None, _) => {
            if from.is_none() {
                let help = format!("write {}", KERNEL.example);
                let label = "`from=` or `local=` is missing";
                report.error("`kernel` has no origin", &node.head, label, help);
            }
            KernelOrigin::Source {
                from: from??,
                path: path.map_or(Some(None), |path| path.map(Some))?,
            }
        }
    };
    Some(Kernel {
        origin,
        span: node.span,
    })
}

/// Reports a recipe whose sources have no architecture in common.
fn architectures(recipe: &Recipe, report: &Report<'_>) {
    if !recipe.archs().is_empty() {
        return;
    }
    let mut limited = recipe
        .used_sources()
        .filter(|source| source.archs().len() == 1);
    let Some(first) = limited.next() else {
        return;
    };
    let label = |source: &Source| {
        let names: Vec<&str> = source.archs().into_iter().map(|arch| arch.name()).collect();
        format!("for {} only", names.join(" and "))
    };
    let message = "no architecture has all of the sources";
    let mut error = Diagnostic::error(message, first.name.span.clone(), label(first));
    for source in limited.filter(|source| source.archs() != first.archs()) {
        error = error.and(source.name.span.clone(), label(source));
    }
    report.add(error.help("give each source a location for the same architecture"));
}
