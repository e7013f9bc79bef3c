//! The canonical text of a plan: UTF-8, one statement a line, LF, free text as JSON strings, numbers in decimal but modes in
//! octal. The same plan always gives the same text; two plans that differ never do.

use std::fmt;

use super::{FORMAT, LocalFile, Pinned, Plan, Planned};
use crate::digest::Digest;
use crate::recipe::{
    Compress, DeviceClass, EntryKind, KernelOrigin, Origin, Owner, Place, Spanned, TreeOrigin,
};

/// A text as a JSON string: quoted, escaped, on one line.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", serde_json::Value::from(self.0))
    }
}

impl fmt::Display for Plan {
    /// Writes the canonical text, whose sha256 is the plan id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "mkimg plan, format {FORMAT}")?;
        writeln!(
            f,
            "image {} arch={} epoch={}",
            Quoted(&self.name),
            self.arch,
            self.epoch
        )?;
        for (name, source) in &self.sources {
            self.write_source(f, name, source)?;
        }
        match &self.kernel.origin {
            KernelOrigin::Source { from, path } => {
                write!(f, "kernel from={}", Quoted(&from.value))?;
                write_path(f, path.as_ref())?;
            }
            KernelOrigin::Local(_) => {
                write!(f, "kernel")?;
                write_local(f, self.local_kernel.as_ref())?;
            }
        }
        match self.compress {
            Compress::None => writeln!(f, "\ninitramfs compress=none")?,
            Compress::Gzip { level } => writeln!(f, "\ninitramfs compress=gzip level={level}")?,
        }
        for entry in &self.entries {
            write_entry(f, entry, self)?;
        }
        let boot = &self.boot;
        let cmdline = Quoted(&boot.cmdline);
        writeln!(
            f,
            "boot memory={} cpus={} cmdline={cmdline}",
            boot.memory, boot.cpus
        )
    }
}

impl Plan {
    fn write_source(&self, f: &mut fmt::Formatter<'_>, name: &str, source: &Pinned) -> fmt::Result {
        writeln!(f, "source {} sha256={}", Quoted(name), source.digest)?;
        for place in &source.places {
            match place {
                Place::Url(url) => writeln!(f, "  url {}", Quoted(url))?,
                Place::Debian {
                    path,
                    snapshot,
                    archive,
                } => {
                    write!(f, "  debian {} archive={}", Quoted(path), Quoted(archive))?;
                    if let Some(snapshot) = snapshot {
                        write!(f, " snapshot={}", Quoted(snapshot))?;
                    }
                    writeln!(f)?;
                }
                Place::Local(path) => writeln!(f, "  local {}", Quoted(path))?,
                Place::Oci(reference) => writeln!(f, "  oci {}", Quoted(reference))?,
                Place::OciLocal(path) => writeln!(f, "  oci local={}", Quoted(path))?,
            }
        }
        Ok(())
    }
}

fn write_entry(f: &mut fmt::Formatter<'_>, planned: &Planned, plan: &Plan) -> fmt::Result {
    let entry = &planned.entry;
    let path = Quoted(&entry.path.value);
    match &entry.kind {
        EntryKind::File { origin, mode } => {
            write!(f, "file {path}")?;
            if let Some(mode) = mode {
                write!(f, " mode={mode:04o}")?;
            }
            match origin {
                Origin::Source { from, path } => {
                    write!(f, " from={}", Quoted(&from.value))?;
                    write_path(f, path.as_ref())?;
                }
                Origin::Text(text) => write!(f, " sha256={}", Digest::of(text.as_bytes()))?,
                Origin::Local(_) => write_local(f, planned.local.as_ref())?,
            }
        }
        EntryKind::Dir { mode } => write!(f, "dir {path} mode={mode:04o}")?,
        EntryKind::Symlink { target } => write!(f, "symlink {path} target={}", Quoted(target))?,
        EntryKind::Device {
            class,
            major,
            minor,
            mode,
        } => {
            let class = match class {
                DeviceClass::Char => "char",
                DeviceClass::Block => "block",
            };
            write!(
                f,
                "device {path} {class} major={major} minor={minor} mode={mode:04o}"
            )?;
        }
        EntryKind::Applets { of, except } => {
            write!(f, "applets {path} of={}", Quoted(&of.value))?;
            for name in except {
                write!(f, " except={}", Quoted(name))?;
            }
        }
        EntryKind::Init { from, busybox } => {
            write!(f, "init from={}", Quoted(&from.value))?;
            if let Some(busybox) = busybox {
                write!(f, " busybox={}", Quoted(&busybox.value))?;
            }
        }
        EntryKind::Tree {
            origin,
            strip,
            include,
            exclude,
            modes,
            owners,
        } => {
            write!(f, "tree {path}")?;
            match origin {
                TreeOrigin::Source(from) => write!(f, " from={}", Quoted(&from.value))?,
                // What is taken of it is in the digest.
                TreeOrigin::Local { .. } => write_local(f, planned.local.as_ref())?,
            }
            write!(f, " strip={strip}")?;
            if let TreeOrigin::Source(_) = origin {
                for (word, globs) in [("include", include), ("exclude", exclude)] {
                    for glob in globs {
                        write!(f, " {word}={}", Quoted(&glob.value))?;
                    }
                }
            }
            // Of an archive the owners are not taken, of a container image they are: nothing is said of that.
            let usual = plan.is_oci(origin.source());
            if let Some(owners) = owners.filter(|owners| *owners != usual) {
                write!(f, " owners={owners}")?;
            }
            for (glob, mode) in modes {
                write!(f, " mode={mode:04o}:{}", Quoted(&glob.value))?;
            }
        }
    }
    let Owner { uid, gid } = entry.owner;
    if (uid, gid) != (0, 0) {
        write!(f, " uid={uid} gid={gid}")?;
    }
    writeln!(f, "{}", if entry.replaces { " override" } else { "" })
}

fn write_local(f: &mut fmt::Formatter<'_>, local: Option<&LocalFile>) -> fmt::Result {
    match local {
        Some(local) => write!(f, " sha256={}", local.digest),
        None => write!(f, " sha256=unread"),
    }
}

fn write_path(f: &mut fmt::Formatter<'_>, path: Option<&Spanned<String>>) -> fmt::Result {
    match path {
        Some(path) => write!(f, " path={}", Quoted(&path.value)),
        None => Ok(()),
    }
}
