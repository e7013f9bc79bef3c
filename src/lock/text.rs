//! A lock's text: one value a line, sorted, so that a change of one thing is a change of one line.

use std::fmt;

use serde_json::Value;

use super::Lock;

impl fmt::Display for Lock {
    /// Writes the text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| Value::from(text).to_string();
        writeln!(
            f,
            "// The lock of the recipe {}: what it gives, byte for byte. Written by `mkimg lock`, which also takes in a wanted",
            quoted(&self.name)
        )?;
        writeln!(
            f,
            "// change; not to be edited. Commit it beside the recipe: realize, run and test hold the recipe to it."
        )?;
        writeln!(
            f,
            "lock {} format={} recipe=\"{}\"",
            quoted(&self.name),
            self.format,
            self.recipe
        )?;
        for (arch, image) in &self.images {
            writeln!(f, "image \"{arch}\" {{")?;
            writeln!(f, "    compressor {}", quoted(&image.compressor))?;
            writeln!(
                f,
                "    initramfs \"{}\" size={}",
                image.initramfs.0, image.initramfs.1
            )?;
            writeln!(
                f,
                "    kernel \"{}\" size={}",
                image.kernel.0, image.kernel.1
            )?;
            writeln!(f, "    plan \"{}\"", image.plan)?;
            for (name, digest) in &image.inputs {
                writeln!(f, "    source {} \"{digest}\"", quoted(name))?;
            }
            writeln!(f, "    sources \"{}\"", image.sources)?;
            writeln!(f, "    tree \"{}\" size={}", image.tree, image.archive_size)?;
            writeln!(f, "}}")?;
        }
        for (name, digest) in &self.statements {
            writeln!(f, "statement {} \"{digest}\"", quoted(name))?;
        }
        for (path, digest) in &self.files {
            writeln!(f, "file {} \"{digest}\"", quoted(path))?;
        }
        Ok(())
    }
}
