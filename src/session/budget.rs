//! The recipe's `budget` against an image: an image over it stays in the cache, and is refused.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::contents::{self, Listed};
use super::error::Error;
use super::load::Loaded;
use super::locking::{self, Beside};
use crate::fault::Outcome;
use crate::realize::{self, ArtifactRole, Realized};
use crate::recipe::{Budget, Diagnostic, Spanned};
use crate::store::Store;
use crate::units::bytes;

/// How many entries are named.
const SHOWN: usize = 8;

/// Refuses an image that is larger than its recipe allows. Also asked of an image that was there already: the budget is in no
/// plan, and may have become smaller.
pub(crate) fn hold(opened: &Loaded<'_>, store: &Store, made: &Realized) -> Result<(), Error> {
    let Some(budget) = &opened.parsed.recipe.budget else {
        return Ok(());
    };
    let mut over = over(budget, made);
    let Some(last) = over.pop() else {
        return Ok(());
    };
    over.push(last.help(help(opened, store, made)?));
    Err(Error::Recipe {
        source: opened.parsed.source.clone(),
        diagnostics: over,
        outcome: Outcome::Failed,
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
fn help(opened: &Loaded<'_>, store: &Store, made: &Realized) -> Result<String, Error> {
    let mut files: Vec<Listed> = contents::list(&made.initramfs())?;
    files.retain(|entry| entry.record.is_file());
    // Of the same size the first in the archive's order, which is that of the paths.
    files.sort_by_key(|entry| Reverse(entry.record.size));
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
    // A lock that is about to be written anew is not yet: this is still what was accepted last.
    if let Ok(Some(beside)) = locking::beside(opened) {
        text.push_str(&growth(&beside, store, made, &files));
    }
    text.push_str(&format!("\nThe image is kept in `{}`", made.path.display()));
    Ok(text)
}

/// Returns what grew since the recipe was locked; nothing where nothing did. Entries can be compared where the locked image is
/// still in the cache.
fn growth(beside: &Beside, store: &Store, made: &Realized, files: &[Listed]) -> String {
    let image = &made.image;
    let Some(locked) = beside.lock.images.get(&image.arch) else {
        return String::new();
    };
    let before = |role| locked.artifacts.get(&role).map_or(0, |(_, size)| *size);
    let sizes = [
        ("kernel", before(ArtifactRole::Kernel), image.kernel.size),
        (
            "initramfs",
            before(ArtifactRole::Initramfs),
            image.initramfs.size,
        ),
        ("archive", locked.archive_size, image.archive_size),
    ];
    let grown: Vec<String> = sizes
        .iter()
        .filter(|(_, before, now)| now > before)
        .map(|(what, before, now)| format!("{what} {before} to {now} bytes"))
        .collect();
    if grown.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\nGrown since `{}`: {}",
        beside.path.display(),
        grown.join(", ")
    );
    let old = store.image_path(&locked.plan, &beside.lock.name);
    let listed = realize::made_here(store, &old)
        .map(|image| contents::list(&old.join(&image.initramfs.name)));
    let Some(Ok(old)) = listed else {
        return text;
    };
    let before: BTreeMap<String, u32> = old
        .iter()
        .filter(|entry| entry.record.is_file())
        .map(|entry| (entry.path(), entry.record.size))
        .collect();
    let mut larger: Vec<(u32, &Listed, Option<u32>)> = files
        .iter()
        .filter_map(|entry| {
            let old = before.get(&entry.path()).copied();
            let more = entry.record.size.checked_sub(old.unwrap_or(0))?;
            (more > 0).then_some((more, entry, old))
        })
        .collect();
    larger.sort_by_key(|(more, entry, _)| (Reverse(*more), entry.path()));
    for (more, entry, old) in larger.iter().take(SHOWN) {
        let (more, now) = (format!("+{more}"), entry.record.size);
        let from = old.map_or("new".to_owned(), |old| format!("{old} to {now}"));
        text.push_str(&format!("\n{more:>12}  {} ({from})", entry.path()));
    }
    text
}
