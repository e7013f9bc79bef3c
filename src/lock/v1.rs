//! Locks of version 1, which this release still reads: an `image` had its values in lines of their own, between braces.

use super::line::Line;
use super::read::Odd;
use super::{Lock, Locked};
use crate::arch::Arch;
use crate::plan::FORMAT;
use crate::realize::ArtifactRole;

/// Returns what the first line says.
pub(super) fn begun(head: &Line<'_>) -> Option<Lock> {
    let [name] = head.arguments()?;
    Some(Lock {
        version: 1,
        name: name.to_owned(),
        format: FORMAT,
        recipe: head.digest("recipe")?,
        images: Default::default(),
        statements: Default::default(),
        files: Default::default(),
    })
}

/// Reads what follows it.
pub(super) fn read<'t>(
    mut lock: Lock,
    lines: impl Iterator<Item = (&'t str, usize)>,
) -> Result<Lock, Odd> {
    let mut open: Option<(Arch, Locked)> = None;
    let mut last = 0;
    for (line, number) in lines {
        last = number;
        take(&mut lock, &mut open, line).ok_or(Odd::Line(number))?;
    }
    match open {
        Some(_) => Err(Odd::Line(last + 1)),
        None => Ok(lock),
    }
}

fn take(lock: &mut Lock, open: &mut Option<(Arch, Locked)>, line: &str) -> Option<()> {
    if let Some((arch, locked)) = open.as_mut() {
        if line == "}" {
            if !locked.is_whole() {
                return None;
            }
            lock.images.insert(*arch, locked.clone());
            *open = None;
            return Some(());
        }
        return value(locked, &Line::read(line.strip_prefix("    ")?)?);
    }
    if let Some(line) = line.strip_suffix(" {") {
        let line = Line::read(line).filter(|line| line.word == "image")?;
        let [arch] = line.arguments()?;
        *open = Some((arch.parse().ok()?, Locked::empty()));
        return Some(());
    }
    let line = Line::read(line)?;
    let [name, digest] = line.arguments()?;
    let into = match line.word {
        "statement" => &mut lock.statements,
        "file" => &mut lock.files,
        _ => return None,
    };
    into.insert(name.to_owned(), digest.to_owned());
    Some(())
}

fn value(locked: &mut Locked, line: &Line<'_>) -> Option<()> {
    if line.word == "source" {
        let [name, digest] = line.arguments()?;
        locked.inputs.insert(name.to_owned(), digest.parse().ok()?);
        return Some(());
    }
    let [text] = line.arguments()?;
    match line.word {
        "compressor" => locked.compressor = text.to_owned(),
        "plan" => locked.plan = text.parse().ok()?,
        "sources" => locked.sources = text.parse().ok()?,
        "tree" => {
            locked.tree = text.parse().ok()?;
            locked.archive_size = line.number("size")?;
        }
        role => {
            let role: ArtifactRole = role.parse().ok()?;
            let file = (text.parse().ok()?, line.number("size")?);
            locked.artifacts.insert(role, file);
        }
    }
    Some(())
}
