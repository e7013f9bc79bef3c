//! The canonical text of a plan: UTF-8, one statement a line, LF, free text as JSON strings, numbers in decimal but modes in
//! octal. The same plan always gives the same text; two plans that differ never do.

use std::fmt;

use super::quoted::Quoted;
use super::{FORMAT, FileOrigin, Pinned, Plan, Planned, PlannedKind, TreeOrigin};
use crate::digest::Digest;
use crate::pack::Compression;
use crate::place::Place;
use crate::tree::DeviceClass;

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
        write!(f, "kernel")?;
        write_origin(f, &self.kernel)?;
        match self.compress {
            Compression::None => writeln!(f, "\ninitramfs compress=none")?,
            Compression::Gzip { level } => writeln!(f, "\ninitramfs compress=gzip level={level}")?,
        }
        for entry in &self.entries {
            write_entry(f, entry, self)?;
        }
        writeln!(
            f,
            "boot memory={} cpus={} cmdline={}",
            self.memory,
            self.cpus,
            Quoted(&self.cmdline)
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
    let path = Quoted(&planned.path);
    match &planned.kind {
        PlannedKind::File { origin, mode } => {
            write!(f, "file {path}")?;
            if let Some(mode) = mode {
                write!(f, " mode={mode:04o}")?;
            }
            write_origin(f, origin)?;
        }
        PlannedKind::Dir { mode } => write!(f, "dir {path} mode={mode:04o}")?,
        PlannedKind::Symlink { target } => write!(f, "symlink {path} target={}", Quoted(target))?,
        PlannedKind::Device {
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
        PlannedKind::Applets { of, except } => {
            write!(f, "applets {path} of={}", Quoted(of))?;
            for name in except {
                write!(f, " except={}", Quoted(name))?;
            }
        }
        PlannedKind::Init { from, busybox } => {
            write!(f, "init from={}", Quoted(from))?;
            if let Some(busybox) = busybox {
                write!(f, " busybox={}", Quoted(busybox))?;
            }
        }
        PlannedKind::Tree {
            origin,
            strip,
            modes,
            owners,
        } => {
            match origin {
                TreeOrigin::Source {
                    from,
                    include,
                    exclude,
                } => {
                    write!(f, "tree {path} from={} strip={strip}", Quoted(from))?;
                    for (word, globs) in [("include", include), ("exclude", exclude)] {
                        for glob in globs {
                            write!(f, " {word}={}", Quoted(glob))?;
                        }
                    }
                }
                // What is taken of it is in the digest.
                TreeOrigin::Local { file, .. } => {
                    write!(f, "tree {path} sha256={} strip={strip}", file.digest)?;
                }
            }
            // Of an archive the owners are not taken, of a container image they are: nothing is said of that.
            if *owners != plan.is_oci(origin.source()) {
                write!(f, " owners={owners}")?;
            }
            for (glob, mode) in modes {
                write!(f, " mode={mode:04o}:{}", Quoted(glob))?;
            }
        }
    }
    let Planned { uid, gid, .. } = planned;
    if (*uid, *gid) != (0, 0) {
        write!(f, " uid={uid} gid={gid}")?;
    }
    writeln!(f, "{}", if planned.replaces { " override" } else { "" })
}

fn write_origin(f: &mut fmt::Formatter<'_>, origin: &FileOrigin) -> fmt::Result {
    match origin {
        FileOrigin::Source { from, path } => {
            write!(f, " from={}", Quoted(from))?;
            match path {
                Some(path) => write!(f, " path={}", Quoted(path)),
                None => Ok(()),
            }
        }
        FileOrigin::Text(text) => write!(f, " sha256={}", Digest::of(text.as_bytes())),
        FileOrigin::Local { file, .. } => write!(f, " sha256={}", file.digest),
    }
}
