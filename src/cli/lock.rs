//! `mkimg lock`: what a recipe gives, for every architecture that it has, into the file beside it.

use std::io::Write as _;
use std::path::Path;

use super::args::LockVerb;
use super::context::Context;
use super::failure::{Code, Failure};
use super::locking::{self, LockUse};
use super::opened::Opened;
use super::output;
use super::realize;
use crate::arch::Arch;
use crate::lock::{self, Lock};
use crate::realize::Realized;
use crate::recipe::Mode;
use crate::store::{There, replace};

pub(super) fn run(context: &Context<'_>, args: &LockVerb) -> Result<(), Failure> {
    let opened = context.open(args.recipe.as_deref(), Mode::Strict)?;
    let path = lock::path_of(&opened.path);
    if !args.check {
        opened.check_own()?;
        // A lock that is right will not be written.
        if !is_current(context, &opened) {
            output::check_place("write the lock", &path)?;
        }
    }
    let lock = make_all(context, &opened)?;
    if !args.check {
        write(context, &path, &lock)?;
        context.keep_locked(&context.store(&opened.base)?, &path)?;
        return output::print(&format!("{}\n", path.display()));
    }
    let Some(beside) = locking::beside(&opened)? else {
        return Err(locking::missing(&opened));
    };
    for opened in opened.each_variant()? {
        for arch in opened.parsed.archs_for(Arch::host()) {
            let plan = context.plan(&opened, Some(arch))?;
            locking::check_plan(&opened, &beside, &plan)?;
        }
    }
    if locking::read(&path)?.as_deref() == Some(lock.to_string().as_bytes()) {
        return output::print(&format!("{}\n", path.display()));
    }
    Err(Failure::Plain {
        error: format!(
            "the lock `{}` is not what `mkimg lock` writes",
            path.display()
        )
        .into(),
        help: Some(format!(
            "`mkimg lock {}` writes it anew",
            opened.path.display()
        )),
        code: Code::Different,
    })
}

/// Says whether the lock beside a recipe is of its plans.
fn is_current(context: &Context<'_>, opened: &Opened) -> bool {
    let Ok(Some(beside)) = locking::beside(opened) else {
        return false;
    };
    let _ = context.local_files(opened);
    let Ok(each) = opened.each_variant() else {
        return false;
    };
    let all = each.iter().all(|opened| {
        let archs = opened.parsed.archs_for(Arch::host());
        archs.into_iter().all(|arch| {
            let plan = context.plan(opened, Some(arch));
            plan.is_ok_and(|plan| locking::check_plan(opened, &beside, &plan).is_ok())
        })
    });
    beside.lock.version == lock::VERSION && all
}

/// Realizes each variant of a recipe for each architecture that it has; returns its lock.
pub(super) fn make_all(context: &Context<'_>, opened: &Opened) -> Result<Lock, Failure> {
    // Read once, for all variants.
    context.local_files(opened)?;
    let mut whole: Option<Lock> = None;
    for opened in opened.each_variant()? {
        let (lock, _) = make(context, &opened, &[])?;
        match &mut whole {
            Some(whole) => whole.images.extend(lock.images),
            None => whole = Some(lock),
        }
    }
    whole.ok_or_else(|| Failure::usage("the recipe gives no image", "this is a bug: report it"))
}

/// Realizes the chosen variant of a recipe for `archs` (each that it has, where none is named); returns its lock, and the images.
pub(super) fn make(
    context: &Context<'_>,
    opened: &Opened,
    archs: &[Arch],
) -> Result<(Lock, Vec<Realized>), Failure> {
    let mut images = Vec::new();
    let all = opened.parsed.archs_for(Arch::host());
    let archs = if archs.is_empty() { &all } else { archs };
    for arch in archs.iter().copied() {
        images.push(realize::made(context, opened, Some(arch), LockUse::Ignore, None)?.1);
    }
    let variant = opened.parsed.variant.as_deref();
    let lock = Lock::of(
        &opened.parsed,
        &opened.files(),
        images.iter().map(|made| (variant, &made.image)),
    );
    Ok((lock, images))
}

/// Writes a lock, unless the file says the same already.
pub(super) fn write(context: &Context<'_>, path: &Path, lock: &Lock) -> Result<(), Failure> {
    let text = lock.to_string();
    let shown = path.display();
    // Whatever is there is replaced, but for what is no file.
    let there = locking::read(path)?;
    if there.as_deref() == Some(text.as_bytes()) {
        context.terminal.line(&format!("`{shown}` says so already"));
        return Ok(());
    }
    let io = |error| Failure::io("write the lock", path, error);
    replace(path, There::Replace, io, |file| {
        file.write_all(text.as_bytes()).map_err(io)
    })?;
    let word = if there.is_some() { "updated" } else { "wrote" };
    context
        .terminal
        .line(&format!("{word} `{shown}`: commit it beside the recipe"));
    Ok(())
}
