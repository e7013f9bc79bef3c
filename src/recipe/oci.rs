//! `oci` nodes: container images as sources.

use kdl::KdlNode;

use super::Mode;
use super::diagnostic::Diagnostic;
use super::model::{EntryKind, KernelOrigin, Location, Origin, Place, Recipe, Spanned};
use super::node::{Form, Node, Value};
use super::report::Report;
use crate::digest::Digest;

const OCI: Form = Form {
    name: "oci",
    arguments: &["the reference"],
    required: 0,
    properties: &["local", "digest", "arch"],
    children: &[],
    example: "`oci \"REGISTRY/REPOSITORY:TAG\" digest=\"sha256:..\"` or `oci local=\"PATH\" digest=\"sha256:..\"`",
};

/// The forms of this file, for tests that go through the whole language.
#[cfg(test)]
pub(super) const FORMS: &[&Form] = &[&OCI];

/// Reads an `oci` node.
pub(super) fn location(kdl: &KdlNode, report: &Report<'_>) -> Option<Location> {
    let node = Node::read(kdl, &OCI, report);
    let place = place(&node);
    let arch = node.prop("arch").map(Value::architecture);
    let sha256 = digest(&node);
    Some(Location {
        place: place?,
        arch: arch.map_or(Some(None), |arch| arch.map(Some))?,
        sha256: sha256?,
        size: None,
        span: node.span,
    })
}

fn place(node: &Node<'_>) -> Option<Place> {
    match (node.get(0), node.prop("local")) {
        (Some(reference), None) => self::reference(reference),
        (None, Some(local)) => local.directory().map(|path| Place::OciLocal(path.value)),
        (Some(reference), Some(local)) => {
            let message = "`oci` has more than one place";
            let error = Diagnostic::error(message, local.whole.clone(), "on this machine");
            let error = error.and(reference.span.clone(), "in a registry");
            node.report
                .add(error.help("write an `oci` node for each: they are mirrors then"));
            None
        }
        (None, None) => {
            let help = format!("write {}", OCI.example);
            let label = "a reference or `local=` is missing";
            node.report
                .error("`oci` has no place", &node.head, label, help);
            None
        }
    }
}

/// Reads a reference, as far as it can be told without asking anybody.
fn reference(value: &Value<'_>) -> Option<Place> {
    let text = value.line()?.value;
    let refuse = |message: &str, label: &str, help: String| {
        value.refuse(message, label, help);
        None
    };
    if let Some((scheme, rest)) = text.split_once("://") {
        let label = format!("`{scheme}://`");
        return refuse(
            "the reference has a scheme",
            &label,
            format!("write `\"{rest}\"`"),
        );
    }
    if let Some((name, digest)) = text.split_once('@') {
        let help = format!("write `oci \"{name}\" digest=\"{digest}\"`");
        return refuse(
            "the reference has a digest in it",
            "`@` and what follows",
            help,
        );
    }
    let host = text.split('/').next().unwrap_or_default();
    let is_host = host.contains(['.', ':']) || host == "localhost";
    if !text.contains('/') || !is_host {
        let name = match text.contains('/') {
            true => text.clone(),
            false => format!("library/{text}"),
        };
        let help =
            format!("no registry is implied: write `\"docker.io/{name}\"` where Docker's is meant");
        return refuse(
            "the reference names no registry",
            "which server has it?",
            help,
        );
    }
    let odd = |c: char| !c.is_ascii_alphanumeric() && !"./:_-[]".contains(c);
    if let Some(bad) = text.chars().find(|c| odd(*c)) {
        let message = format!("the reference has the character `{}`", bad.escape_debug());
        return refuse(
            &message,
            "no reference has it",
            "write `REGISTRY/REPOSITORY:TAG`".to_owned(),
        );
    }
    Some(Place::Oci(text))
}

fn digest(node: &Node<'_>) -> Option<Option<Spanned<Digest>>> {
    let report = node.report;
    let Some(value) = node.prop("digest") else {
        // The reference has it, in the wrong place: that is told already.
        let inside = node.get(0).and_then(|value| value.kdl().as_string());
        if report.mode == Mode::Pin || inside.is_some_and(|text| text.contains('@')) {
            return Some(None);
        }
        let help = format!(
            "`mkimg pin {}` asks what it is now, and writes its digest here",
            report.name
        );
        report.error(
            "`oci` has no digest",
            &node.head,
            "nothing says which image this is",
            help,
        );
        return None;
    };
    let text = value.text()?.value;
    if text.is_empty() && report.mode == Mode::Pin {
        return Some(None);
    }
    let digest = text.strip_prefix("sha256:").map(str::parse::<Digest>);
    match digest {
        Some(Ok(digest)) => Some(Some(Spanned {
            value: digest,
            span: value.span.clone(),
        })),
        Some(Err(error)) => {
            let help = "write `digest=\"sha256:HEX\"`: of the image, or of the index that lists it";
            value.refuse(
                format!("`digest` is no sha256: {error}"),
                "64 hexadecimal digits are wanted",
                help,
            );
            None
        }
        None => {
            let help = "write `digest=\"sha256:HEX\"`: of the image, or of the index that lists it";
            value.refuse(
                "`digest` is no digest",
                "does not begin with `sha256:`",
                help,
            );
            None
        }
    }
}

/// Reports a source that is a container image here and a file there.
pub(super) fn alone(locations: &[Location], report: &Report<'_>) {
    let image = locations.iter().find(|location| location.place.is_oci());
    let file = locations.iter().find(|location| !location.place.is_oci());
    if let (Some(image), Some(file)) = (image, file) {
        let message = "a source is a container image or a file, not both";
        let error = Diagnostic::error(message, file.span.clone(), "a file");
        let error = error.and(image.span.clone(), "a container image");
        report.add(error.help("make a `source` of each"));
    }
}

/// Reports an `init` of what is no container image, and a container image where a BusyBox is wanted.
fn inits(recipe: &Recipe, report: &Report<'_>) {
    let is_image = |name: &str| {
        let source = recipe.source(name);
        source.is_some_and(|source| {
            source
                .locations
                .iter()
                .any(|location| location.place.is_oci())
        })
    };
    for entry in &recipe.initramfs.entries {
        let EntryKind::Init { from, busybox } = &entry.kind else {
            continue;
        };
        if recipe.source(&from.value).is_some() && !is_image(&from.value) {
            let message = format!("`{}` is no container image", from.value);
            let help = "`init` reads the config of a source with `oci`; write `file \"/init\"` for a script of your own";
            report.error(message, &from.span, "has no config to run", help);
        }
        if let Some(busybox) = busybox.as_ref().filter(|busybox| is_image(&busybox.value)) {
            let message = format!("`{}` is a container image, not a BusyBox", busybox.value);
            let help = "name a source with a static BusyBox in it, such as Debian's package `busybox-static`";
            report.error(
                message,
                &busybox.span,
                "a package or archive is wanted",
                help,
            );
        }
    }
}

/// Reports what takes a container image as if it were one file.
pub(super) fn members_only(recipe: &Recipe, report: &Report<'_>) {
    inits(recipe, report);
    let entries = recipe.initramfs.entries.iter();
    let files = entries.filter_map(|entry| match &entry.kind {
        EntryKind::File {
            origin: Origin::Source { from, path: None },
            ..
        } => Some(from),
        _ => None,
    });
    let kernel = match &recipe.kernel.origin {
        KernelOrigin::Source { from, path: None } => Some(from),
        _ => None,
    };
    for from in kernel.into_iter().chain(files) {
        let source = recipe.source(&from.value);
        let source = source.filter(|source| {
            source
                .locations
                .iter()
                .any(|location| location.place.is_oci())
        });
        if let Some(source) = source {
            let message = format!("`{}` is a container image, not a file", from.value);
            let error = Diagnostic::error(message, from.span.clone(), "which file of it?");
            let error = error.and(source.name.span.clone(), "declared here");
            report
                .add(error.help("name a file with `path=`, or take all of it with a `tree` node"));
        }
    }
}
