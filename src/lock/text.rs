//! A lock's text: one thing a line, sorted, so that a change of one thing is a change of one line.

use std::fmt;

use super::line::Quoted;
use super::{Key, Lock, VERSION};

/// The variant that a line is about, where there is one.
struct Of<'k>(&'k Key);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.variant {
            Some(variant) => write!(f, " variant={}", Quoted(variant)),
            None => Ok(()),
        }
    }
}

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
        for (name, value) in &self.values {
            writeln!(f, "set {} {}", Quoted(name), Quoted(value))?;
        }
        for (key, image) in &self.images {
            let (arch, of) = (key.arch, Of(key));
            for (name, digest) in &image.inputs {
                let name = Quoted(name);
                writeln!(f, "source \"{arch}\" {name}{of} sha256=\"{digest}\"")?;
            }
        }
        for (key, image) in &self.images {
            let (arch, of) = (key.arch, Of(key));
            writeln!(
                f,
                "image \"{arch}\"{of} plan=\"{}\" sources=\"{}\" tree=\"{}\" size={} compressor={}",
                image.plan,
                image.sources,
                image.tree,
                image.archive_size,
                Quoted(&image.compressor)
            )?;
            for (role, (digest, size)) in &image.artifacts {
                writeln!(
                    f,
                    "artifact \"{arch}\" \"{role}\"{of} sha256=\"{digest}\" size={size}"
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
