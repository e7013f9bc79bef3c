//! `mkimg realize`: recipe to image; prints its path.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::Realize;
use super::budget;
use super::context::{Context, Made};
use super::failure::Failure;
use super::locking::LockUse;
use super::opened::Opened;
use super::output;
use super::substitutes::SubstituteArgs;
use crate::arch::Arch;
use crate::progress::{Event, Progress as _};
use crate::realize::Realized;
use crate::recipe::Mode;
use crate::share::substitutes::Taken;
use crate::store::{Store, StoreError, replace_link};
use crate::ui::{bytes, seconds};

pub(super) fn run(context: &Context<'_>, args: &Realize) -> Result<(), Failure> {
    let start = Instant::now();
    let opened = context.open(args.target.recipe.as_deref(), Mode::Strict)?;
    if let Some(link) = &args.out_link {
        if args.variants.all_variants {
            return Err(Failure::usage(
                "`--out-link` is a link to one image",
                "leave `--all-variants` out, and name one with `--variant`",
            ));
        }
        check_link(link)?;
    }
    let each = context.variants(opened, &args.variants)?;
    let mut values = Vec::new();
    for opened in &each {
        let value = one(context, args, opened, start)?;
        if !args.json {
            let path = value["path"].as_str().unwrap_or_default();
            output::print(&format!("{path}\n"))?;
        }
        values.push(value);
    }
    match (args.json, args.variants.all_variants) {
        (false, _) => Ok(()),
        (true, true) => output::print_json(&Value::Array(values)),
        (true, false) => output::print_json(&values.remove(0)),
    }
}

/// Realizes one variant of a recipe; returns what is printed of it.
fn one(
    context: &Context<'_>,
    args: &Realize,
    opened: &Opened,
    start: Instant,
) -> Result<Value, Failure> {
    let lock = args.lock.lock_use();
    let substitutes = Some(&args.substitutes);
    let Made {
        store,
        realized: made,
        taken,
    } = context.realize_locked(opened, args.target.arch, args.verify, lock, substitutes)?;
    budget::hold(opened, &store, &made)?;
    if let Some(link) = &args.out_link {
        out_link(link, &made.path)?;
        match store.add_root(link) {
            // Whoever may not write there may not remove anything either; the owner of the cache may.
            Err(error @ StoreError::NotWritable { .. }) => context.terminal.event(Event::Warning(
                format!("`{}` does not keep the image: {error}", link.display()),
            )),
            other => other?,
        }
    }
    summary(
        context,
        opened,
        &made,
        taken.as_ref(),
        args.verify,
        start.elapsed(),
    );
    let path = made.path.display().to_string();
    let mut value = made.image.json();
    value["path"] = json!(path);
    value["up_to_date"] = json!(made.up_to_date);
    value["from"] = json!(taken.map(|taken| {
        json!({
            "digest": format!("sha256:{}", taken.digest),
            "place": taken.place,
            "signers": taken.signers,
        })
    }));
    if let Some(variant) = &opened.parsed.variant {
        value["variant"] = json!(variant);
    }
    Ok(value)
}

/// Realizes for a verb that goes on with the image: tells what was done only where something was.
pub(super) fn made(
    context: &Context<'_>,
    opened: &Opened,
    arch: Option<Arch>,
    lock: LockUse,
    substitutes: Option<&SubstituteArgs>,
) -> Result<(Store, Realized), Failure> {
    let start = Instant::now();
    let Made {
        store,
        realized: made,
        taken,
    } = context.realize_locked(opened, arch, false, lock, substitutes)?;
    budget::hold(opened, &store, &made)?;
    if !made.up_to_date {
        summary(
            context,
            opened,
            &made,
            taken.as_ref(),
            false,
            start.elapsed(),
        );
    }
    Ok((store, made))
}

/// Tells what was done and the three identities, shortened.
fn summary(
    context: &Context<'_>,
    opened: &Opened,
    made: &Realized,
    taken: Option<&Taken>,
    verified: bool,
    took: Duration,
) {
    let image = &made.image;
    let (kernel, initramfs) = (bytes(image.kernel.size), bytes(image.initramfs.size));
    let what = match (made.up_to_date, verified) {
        (false, _) => format!(
            "{kernel} kernel + {initramfs} initramfs in {}{}",
            seconds(took),
            taken.map_or(String::new(), whence)
        ),
        (true, false) => "up to date: the image of this plan is in the cache".to_owned(),
        (true, true) => {
            "up to date: the image of this plan is in the cache, every byte verified".to_owned()
        }
    };
    context
        .terminal
        .line(&format!("{} {}: {what}", opened.name(), image.arch));
    context.terminal.line(&format!(
        "sources {}  tree {}  image {} (initramfs) {} (kernel)",
        image.sources.short(),
        image.tree.short(),
        image.initramfs.digest.short(),
        image.kernel.digest.short()
    ));
}

/// Says where an image was taken from, and who answers for it.
fn whence(taken: &Taken) -> String {
    format!(
        ", from `{}`, signed by {}",
        taken.place,
        taken.signers.join(" and ")
    )
}

/// Refuses a place where no out-link can be made: what is no symlink is not replaced.
fn check_link(link: &Path) -> Result<(), Failure> {
    if fs::symlink_metadata(link).is_ok_and(|found| !found.is_symlink()) {
        return Err(Failure::usage(
            format!("`{}` is there already and is no symlink", link.display()),
            "remove it, or name another path for `--out-link`",
        ));
    }
    output::check_directory("make the symlink", link)
}

/// Makes `link` a symlink to `target`, at once.
fn out_link(link: &Path, target: &Path) -> Result<(), Failure> {
    let target = fs::canonicalize(target).map_err(|error| Failure::io("find", target, error))?;
    check_link(link)?;
    replace_link(&target, link).map_err(|error| Failure::io("make the symlink", link, error))
}
