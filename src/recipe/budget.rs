//! The `budget` node.

use kdl::KdlNode;

use super::model::{Budget, Spanned};
use super::node::{Form, Node, Value};
use super::report::Report;

pub(super) const BUDGET: Form = Form {
    name: "budget",
    arguments: &[],
    required: 0,
    properties: &["initramfs", "kernel", "total"],
    children: &[],
    example: "`budget initramfs=\"2MiB\" total=\"16MiB\"`",
};

/// Reads the `budget` node.
pub(super) fn budget(kdl: &KdlNode, report: &Report<'_>) -> Option<Budget> {
    let node = Node::read(kdl, &BUDGET, report);
    // Whoever wrote an argument has got an error for it already.
    let is_bare = kdl.entries().is_empty() && kdl.children().is_none();
    if is_bare {
        report.error(
            "`budget` bounds nothing",
            &node.head,
            "a property should follow",
            format!("write {}", BUDGET.example),
        );
    }
    let bound = |name: &str| {
        node.prop(name)
            .map_or(Some(None), |value| size(value).map(Some))
    };
    let (kernel, initramfs, total) = (bound("kernel"), bound("initramfs"), bound("total"));
    let budget = Budget {
        kernel: kernel?,
        initramfs: initramfs?,
        total: total?,
    };
    within_total(&budget, report);
    Some(budget).filter(|_| !is_bare)
}

fn size(value: &Value<'_>) -> Option<Spanned<u64>> {
    let bytes = value.bytes()?;
    if bytes == 0 {
        let message = format!("{} is 0", value.what);
        let help = "write the most that it may have, such as `\"2MiB\"`, or leave it out";
        value.refuse(message, "nothing fits into it", help);
        return None;
    }
    Some(Spanned {
        value: bytes,
        span: value.span.clone(),
    })
}

/// Reports a part that may be larger than the whole: one of the two is a slip.
fn within_total(budget: &Budget, report: &Report<'_>) {
    let Some(total) = &budget.total else { return };
    for (name, part) in [("kernel", &budget.kernel), ("initramfs", &budget.initramfs)] {
        if let Some(part) = part.as_ref().filter(|part| part.value > total.value) {
            report.error(
                format!("`{name}` has a larger budget than `total`"),
                &part.span,
                "more than the whole may have",
                "`total` bounds kernel and initramfs together: raise it, or lower this one",
            );
        }
    }
}
