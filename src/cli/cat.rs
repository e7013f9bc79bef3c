//! `mkimg cat`: one file of an image, as the kernel has it once it has unpacked the archive.

use std::io;
use std::path::Path;

use super::args::Cat;
use super::context::Context;
use super::failure::Failure;
use super::output;
use super::shared::Target;
use crate::pack::read::ReadError;
use crate::session::{Contents, is_named, open_archive, read_archive, unreadable};
use crate::text::shown;

pub(super) fn run(context: &Context<'_>, args: &Cat) -> Result<(), Failure> {
    let made = context.realized(&Target {
        recipe: Some(args.recipe.clone()),
        arch: args.arch,
    })?;
    let path = made.initramfs();
    // Read to its end before anything is printed: a sum that is wrong stands behind all that it is about.
    let contents = read_archive(&path)?;
    let Some(found) = contents.find(&args.path) else {
        return Err(absent(&contents, &args.path));
    };
    if !found.record.is_file() {
        return Err(Failure::usage(
            format!("`{}` is no regular file", args.path),
            "`mkimg ls` shows what it is",
        ));
    }
    print(&path, found.data)
}

/// Prints the body of an entry, and reads on to the end, since the file may be another one by now.
fn print(path: &Path, number: usize) -> Result<(), Failure> {
    let mut archive = open_archive(path)?;
    let failed = |error| unreadable(path, error);
    for _ in 0..=number {
        archive.next_record().map_err(failed)?;
    }
    let mut damage = None;
    output::write(|out| {
        let copied = io::copy(&mut archive.body(), out);
        match copied.map_err(io::Error::downcast::<ReadError>) {
            Ok(_) => Ok(()),
            Err(Ok(error)) => {
                damage = Some(error);
                Ok(())
            }
            Err(Err(error)) => Err(error),
        }
    })?;
    if let Some(error) = damage {
        return Err(failed(error).into());
    }
    while archive.next_record().map_err(failed)?.is_some() {}
    Ok(())
}

fn absent(contents: &Contents, path: &str) -> Failure {
    let files = contents.files();
    let link = files.iter().find_map(|file| {
        let target = file.target.as_ref()?;
        is_named(file.record.path(), path).then(|| shown(target))
    });
    match link {
        Some(target) => Failure::usage(
            format!("`{path}` is a symlink to `{target}`, and that leads to no file of the image"),
            "`mkimg ls` lists all it has",
        ),
        None => Failure::usage(
            format!("the image has no `{path}`"),
            "`mkimg ls` lists all it has",
        ),
    }
}
