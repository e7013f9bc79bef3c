//! A lock's text: one thing a line, sorted, so that a change of one thing is a change of one line.

use std::fmt;

use super::line::Quoted;
use super::{Lock, VERSION};

impl fmt::Display for Lock {
    /// Writes the text of the file, whatever version it was read from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Quoted(&self.name);
        writeln!(
            f,
            "// The lock of the recipe {name}: what it gives, byte for byte. Written by `mkimg lock`, which also takes in a wanted"
        )?;
        writeln!(
            f,
            "// change; not to be edited. Commit it beside the recipe: realize, run and test hold the recipe to it."
        )?;
        writeln!(
            f,
            "lock {VERSION} recipe=\"sha256:{}\" name={name} format={}",
            self.recipe, self.format
        )?;
        for (arch, image) in &self.images {
            for (name, digest) in &image.inputs {
                writeln!(f, "source \"{arch}\" {} sha256=\"{digest}\"", Quoted(name))?;
            }
        }
        for (arch, image) in &self.images {
            writeln!(
                f,
                "image \"{arch}\" plan=\"{}\" sources=\"{}\" tree=\"{}\" size={} compressor={}",
                image.plan,
                image.sources,
                image.tree,
                image.archive_size,
                Quoted(&image.compressor)
            )?;
            for (role, (digest, size)) in &image.artifacts {
                writeln!(
                    f,
                    "artifact \"{arch}\" \"{role}\" sha256=\"{digest}\" size={size}"
                )?;
            }
        }
        for (name, digest) in &self.statements {
            writeln!(f, "statement {} \"{digest}\"", Quoted(name))?;
        }
        for (path, digest) in &self.files {
            writeln!(f, "file {} \"{digest}\"", Quoted(path))?;
        }
        Ok(())
    }
}
