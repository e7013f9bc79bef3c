//! The `init` node: an `/init` that runs what a container image would run.

use super::check::Declared;
use super::model::EntryKind;
use super::node::{Form, Node};

pub(super) const INIT: Form = Form {
    name: "init",
    arguments: &[],
    required: 0,
    properties: &["from", "busybox", "override"],
    children: &[],
    example: "`init from=\"IMAGE\"`, or `init from=\"IMAGE\" busybox=\"SOURCE\"` where the image has no shell",
};

/// The forms of this file, for tests that go through the whole language.
#[cfg(test)]
pub(super) const FORMS: &[&Form] = &[&INIT];

/// Reads an `init` node.
pub(super) fn init(node: &Node<'_>, declared: &mut Declared) -> Option<EntryKind> {
    let from = node.need("from").and_then(|value| declared.used(value));
    let busybox = node.prop("busybox").map(|value| declared.used(value));
    Some(EntryKind::Init {
        from: from?,
        busybox: busybox.map_or(Some(None), |busybox| busybox.map(Some))?,
    })
}
