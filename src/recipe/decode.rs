//! The nodes of a file to a [`Recipe`].

use kdl::KdlNode;

use super::check::Declared;
use super::compose::{Claim, Item, named, single, standing, twice};
use super::diagnostic::Diagnostic;
use super::model::{
    Boot, Budget, Compress, GZIP_LEVEL, Initramfs, Kernel, KernelOrigin, Recipe, Source, Spanned,
    Test,
};
use super::node::{Form, Node, Value};
use super::report::Report;
use super::source_map::{SourceMap, Span};
use super::{budget, entry, location, oci, script};

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
    initramfs: Option<Initramfs>,
    boot: Option<Boot>,
    budget: Option<Budget>,
    tests: Vec<Test>,
}

/// A recipe for some architectures, as far as it could be read.
pub(super) struct Decoded {
    pub(super) recipe: Option<Recipe>,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// Returns the recipe that the nodes are. `reports` has one for each file; `which` says of which version what is missing.
pub(super) fn recipe(
    items: &[&Item<'_>],
    map: &SourceMap,
    reports: &[Report<'_>],
    which: &str,
) -> Decoded {
    let mut declared = Declared::default();
    let mut decoded = Decoded {
        recipe: None,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let Some(root) = reports.first() else {
        return decoded;
    };
    let decoder = Decoder {
        items,
        map,
        reports,
        root,
        which,
    };
    decoded.recipe = decoder.parts(&mut declared).whole();
    declared.check(root);
    if let Some(recipe) = &decoded.recipe {
        oci::members_only(recipe, root);
        decoded.warnings = root.take_warnings();
        decoded.warnings.extend(declared.warnings(recipe));
        decoded.warnings.sort_by_key(Diagnostic::order);
    }
    decoded.errors = root.take_found();
    decoded
}

struct Decoder<'i, 'd> {
    items: &'i [&'i Item<'d>],
    map: &'i SourceMap,
    reports: &'i [Report<'i>],
    /// The report of the recipe itself.
    root: &'i Report<'i>,
    which: &'i str,
}

impl<'i, 'd> Decoder<'i, 'd> {
    fn parts(&self, declared: &mut Declared) -> Parts {
        let mut parts = Parts::default();
        let singles = ["image", "kernel", "boot", "budget"];
        let single = |kind| single(kind, self.items, self.reports, self.map);
        let standing = singles.map(single);
        let (mut sources, mut tests, mut trees) = (Vec::new(), Vec::new(), Vec::new());
        for item in self.items.iter().copied() {
            let Some(report) = self.reports.get(item.file.index()) else {
                continue;
            };
            let stands = standing
                .iter()
                .flatten()
                .any(|other| std::ptr::eq(*other, item));
            // What another node takes the place of is read for its own mistakes alone.
            let mut unused = Declared::default();
            let node = item.node;
            match item.kind {
                "image" => parts.image = image(node, report).filter(|_| stands).or(parts.image),
                "kernel" => {
                    let declared = if stands { &mut *declared } else { &mut unused };
                    let kernel = kernel(node, report, declared);
                    parts.kernel = kernel.filter(|_| stands).or(parts.kernel);
                }
                "boot" => {
                    parts.boot = script::boot(node, report).filter(|_| stands).or(parts.boot);
                }
                "budget" => {
                    let budget = budget::budget(node, report);
                    parts.budget = budget.filter(|_| stands).or(parts.budget);
                }
                "source" => {
                    let found = location::source(node, report);
                    declared.unknown_source |= found.name.is_none();
                    sources.push((item, found.name, found.replaces, found.source));
                }
                "test" => {
                    let found = script::test(node, report);
                    tests.push((item, found.name, found.replaces, found.test));
                }
                "initramfs" => {
                    let part = entry::initramfs(node, report, declared);
                    trees.push((item, part));
                }
                _ => {}
            }
        }
        parts.sources = self.named("source", sources, |name| declared.source(name));
        parts.tests = self.named("test", tests, |_| {});
        parts.initramfs = self.initramfs(trees);
        self.missing(&standing);
        parts
    }

    /// Returns the things with names that stand; the name of each goes to `stands`.
    fn named<T>(
        &self,
        what: &str,
        found: Vec<(
            &'i Item<'d>,
            Option<Spanned<String>>,
            Option<Span>,
            Option<T>,
        )>,
        mut stands: impl FnMut(Spanned<String>),
    ) -> Vec<T> {
        let mut claims = Vec::new();
        let mut values = Vec::new();
        for (item, name, replaces, value) in found {
            let Some(Spanned { value: name, span }) = name else {
                continue;
            };
            values.push(value);
            claims.push(Claim {
                item,
                name,
                span,
                replaces,
            });
        }
        let standing = named(what, &claims, self.map, self.root);
        let mut kept = Vec::new();
        for ((claim, value), _) in claims
            .into_iter()
            .zip(values)
            .zip(standing)
            .filter(|(_, stands)| *stands)
        {
            let Claim { name, span, .. } = claim;
            stands(Spanned { value: name, span });
            kept.extend(value);
        }
        kept
    }

    /// Puts together what the files put into the root file system.
    fn initramfs(&self, parts: Vec<(&'i Item<'d>, entry::Part)>) -> Option<Initramfs> {
        let plain = |item: &Item<'_>| item.arch.is_none() && item.variant.is_none();
        for (at, (item, part)) in parts.iter().enumerate() {
            let mut before = parts.iter().take(at);
            let same =
                before.find(|(other, _)| other.file == item.file && plain(item) && plain(other));
            if let Some((_, first)) = same {
                twice("initramfs", &part.name, &first.name, self.reports);
            }
        }
        if let [(_, only)] = parts.as_slice()
            && only.is_empty
        {
            let help = "an image needs at least `/init`: `initramfs { file \"/init\" mode=0o755 text=\"..\" }`";
            self.root.error(
                "`initramfs` has no entries",
                &only.head,
                "nothing would be in it",
                help,
            );
        }
        let claims: Vec<Claim<'_, '_>> = parts
            .iter()
            .filter_map(|(item, part)| {
                Some(Claim {
                    item,
                    name: "compress".to_owned(),
                    span: part.said.clone()?,
                    replaces: None,
                })
            })
            .collect();
        let stands = standing(&claims, self.map, false, |later, first, _| {
            twice("compress", &later.span, &first.span, self.reports);
        });
        let last = stands.iter().rposition(|stands| *stands);
        let said = last
            .and_then(|last| claims.get(last))
            .map(|claim| claim.span.clone());
        let span = parts.last()?.1.head.clone();
        let default = Compress::Gzip { level: GZIP_LEVEL };
        let mut compress = Some(default);
        let mut entries = Some(Vec::new());
        for (_, part) in parts {
            if part.said.is_some() && part.said == said || part.compress.is_none() {
                compress = compress.and(part.compress);
            }
            entries = entries.zip(part.entries).map(|(mut all, more)| {
                all.extend(more);
                all
            });
        }
        Some(Initramfs {
            compress: compress?,
            entries: entries?,
            span,
        })
    }

    /// Reports the nodes that every recipe has.
    fn missing(&self, standing: &[Option<&Item<'_>>]) {
        for (kind, form) in [
            ("image", &IMAGE),
            ("kernel", &KERNEL),
            ("initramfs", &entry::INITRAMFS),
        ] {
            let is_there = match kind {
                "initramfs" => self.items.iter().any(|item| item.kind == kind),
                _ => standing.iter().flatten().any(|item| item.kind == kind),
            };
            if !is_there {
                let end = self.root.text.trim_end().len();
                let message = format!("the recipe has no `{kind}`");
                let help = format!("write {}", form.example);
                let place = self.root.place(end..end);
                self.root.error(message, &place, self.which, help);
            }
        }
    }
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
pub(super) fn architectures(recipe: &Recipe, report: &Report<'_>) {
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
