//! The recipe's `budget` against an image: an image over it stays in the cache, and is refused.

use super::archive::{self, Listed};
use super::context::Opened;
use super::failure::{Code, Failure};
use crate::realize::Realized;
use crate::recipe::{Budget, Diagnostic, Spanned};
use crate::ui::bytes;

/// How many entries are named.
const SHOWN: usize = 8;

/// Refuses an image that is larger than its recipe allows. Also asked of an image that was there already: the budget is in no
/// plan, and may have become smaller.
pub(super) fn hold(opened: &Opened, made: &Realized) -> Result<(), Failure> {
    let Some(budget) = &opened.parsed.recipe.budget else {
        return Ok(());
    };
    let mut over = over(budget, made);
    let Some(last) = over.pop() else {
        return Ok(());
    };
    over.push(last.help(help(made)?));
    Err(Failure::Recipe {
        source: opened.parsed.source.clone(),
        diagnostics: over,
        code: Code::Failed,
    })
}

/// Returns an error for each bound that is passed, in a fixed order.
fn over(budget: &Budget, made: &Realized) -> Vec<Diagnostic> {
    let (kernel, initramfs) = (made.image.kernel.size, made.image.initramfs.size);
    let total = kernel.saturating_add(initramfs);
    let bounds: [(&str, u64, Option<&Spanned<u64>>); 3] = [
        ("the kernel", kernel, budget.kernel.as_ref()),
        ("the initramfs", initramfs, budget.initramfs.as_ref()),
        ("kernel and initramfs", total, budget.total.as_ref()),
    ];
    let passed = bounds.into_iter().filter_map(|(what, size, bound)| {
        let bound = bound.filter(|bound| size > bound.value)?;
        let (name, arch) = (&made.image.name, made.image.arch);
        let verb = if what.starts_with("the ") { "is" } else { "are" };
        let message = format!(
            "{name} {arch} is over its budget: {what} {verb} {size} bytes ({}), at most {} are allowed",
            bytes(size),
            bound.value
        );
        let label = match size - bound.value {
            1 => "1 byte too many".to_owned(),
            more => format!("{more} bytes too many"),
        };
        Some(Diagnostic::error(message, bound.span.clone(), label))
    });
    passed.collect()
}

/// Returns what is largest in the image, and what to do.
fn help(made: &Realized) -> Result<String, Failure> {
    let mut files: Vec<Listed> = archive::list(&made.initramfs())?;
    files.retain(|entry| entry.record.is_file());
    // Of the same size the first in the archive's order, which is that of the paths.
    files.sort_by_key(|entry| std::cmp::Reverse(entry.record.size));
    let (kernel, image) = (made.image.kernel.size, &made.image);
    let mut text = format!(
        "make it smaller, or raise the bound. The kernel is {kernel} bytes; the initramfs is {} bytes, of an archive of {} bytes.",
        image.initramfs.size, image.archive_size
    );
    if !files.is_empty() {
        text.push_str(" Its largest files, unpacked:");
    }
    for entry in files.iter().take(SHOWN) {
        text.push_str(&format!("\n{:>12}  {}", entry.record.size, entry.path()));
    }
    if let Some(more) = files.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!(
            "\n{:>12}  and {more} more: `mkimg show`, `mkimg ls`",
            ""
        ));
    }
    text.push_str(&format!("\nThe image is kept in `{}`", made.path.display()));
    Ok(text)
}
