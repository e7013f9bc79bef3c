//! `mkimg cat`: one file of an image, as it is in the archive.

use std::io;

use super::archive;
use super::args::{Cat, Target};
use super::context::Context;
use super::failure::Failure;
use super::output;

pub(super) fn run(context: &Context<'_>, args: &Cat) -> Result<(), Failure> {
    let made = context.realized(&Target {
        recipe: Some(args.recipe.clone()),
        arch: args.arch,
    })?;
    let path = made.initramfs();
    let mut archive = archive::open(&path)?;
    while let Some(record) = archive
        .next_record()
        .map_err(|error| archive::unreadable(&path, error))?
    {
        if !archive::is_named(record.path(), &args.path) {
            continue;
        }
        if record.is_symlink() {
            let target = archive
                .target()
                .map_err(|error| archive::unreadable(&path, error))?;
            let target = String::from_utf8_lossy(&target).into_owned();
            return Err(Failure::usage(
                format!("`{}` is a symlink to `{target}`", args.path),
                "name the file that it leads to",
            ));
        }
        if !record.is_file() {
            return Err(Failure::usage(
                format!("`{}` is no regular file", args.path),
                "`mkimg ls` shows what it is",
            ));
        }
        return output::write(|out| io::copy(&mut archive.body(), out).map(|_| ()));
    }
    Err(Failure::usage(
        format!("the image has no `{}`", args.path),
        "`mkimg ls` lists all it has",
    ))
}
