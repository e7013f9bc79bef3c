//! The entries of an image, read out of its initramfs: what is really in it, not what the recipe meant.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Value, json};

use super::error::Error;
use crate::dir;
use crate::fault::Outcome;
use crate::pack::read::{ReadError, Reader, Record, Root, Seen};
use crate::text::shown;
use crate::tree::permissions;

/// One entry of an archive.
pub(crate) struct Listed {
    /// Its header.
    pub(crate) record: Record,
    /// The body of a symlink.
    pub(crate) target: Option<Vec<u8>>,
}

/// The reader of an initramfs file.
pub(crate) type Archive = Reader<BufReader<File>>;

/// Opens an initramfs.
pub(crate) fn open(path: &Path) -> Result<Archive, Error> {
    let file = dir::open(path).map_err(|error| Error::io("open", path, error))?;
    Ok(Reader::new(BufReader::with_capacity(128 * 1024, file)))
}

/// What an initramfs has in it.
pub(crate) struct Contents {
    /// All entries, in its order.
    pub(crate) entries: Vec<Listed>,
    /// What the kernel makes of them.
    root: Root,
}

/// Reads an initramfs to its end, so that all sums in it were compared.
pub(crate) fn read(path: &Path) -> Result<Contents, Error> {
    let mut archive = open(path)?;
    let mut root = Root::default();
    let mut entries = Vec::new();
    while let Some(record) = archive
        .next_record()
        .map_err(|error| unreadable(path, error))?
    {
        let target = match record.is_symlink() {
            true => Some(archive.target().map_err(|error| unreadable(path, error))?),
            false => None,
        };
        let segment = archive.segments().len();
        root.unpack(entries.len(), segment, &record, target.as_deref());
        entries.push(Listed { record, target });
    }
    Ok(Contents { entries, root })
}

/// Returns the files that the kernel has once it has unpacked an initramfs.
pub(crate) fn list(path: &Path) -> Result<Vec<Listed>, Error> {
    Ok(read(path)?.files())
}

impl Contents {
    /// Returns the files that the kernel has in the end, in the order of their entries.
    pub(crate) fn files(&self) -> Vec<Listed> {
        let listed = |Seen { record, target, .. }| Listed { record, target };
        self.root.files().into_iter().map(listed).collect()
    }

    /// Returns the entries that the kernel has not in the end, each with what became of it.
    pub(crate) fn lost(&self) -> Vec<String> {
        let files = self.root.files();
        let kept: BTreeSet<usize> = files.iter().map(|seen| seen.entry).collect();
        let paths: BTreeSet<&[u8]> = files.iter().map(|seen| seen.record.path()).collect();
        let lost = |(number, entry): (usize, &Listed)| {
            let why = match paths.contains(entry.record.path()) {
                true => "a later entry takes its place",
                false => "the kernel has nothing there in the end",
            };
            let path = entry.path();
            (!kept.contains(&number)).then(|| {
                format!(
                    "entry {} of the archive, `{path}`, does not count: {why}",
                    number + 1
                )
            })
        };
        self.entries.iter().enumerate().filter_map(lost).collect()
    }

    /// Returns the file that a path of the command line leads to, symlinks followed within the image.
    pub(crate) fn find(&self, path: &str) -> Option<Seen> {
        self.root.find(path.as_bytes()).or_else(|| {
            let files = self.root.files();
            let named = files
                .iter()
                .find(|seen| is_named(seen.record.path(), path))?;
            self.root.find(named.record.path())
        })
    }
}

/// Returns the failure of reading an initramfs.
pub(crate) fn unreadable(path: &Path, error: ReadError) -> Error {
    let help = format!(
        "`{}` is damaged: `mkimg realize --verify` makes it again",
        path.display()
    );
    Error::new(Outcome::Failed, error, Some(help))
}

impl Listed {
    /// Returns the path with its leading `/`.
    pub(crate) fn path(&self) -> String {
        format!("/{}", shown(self.record.path()))
    }

    /// Says whether the entry is at `path` or below it.
    pub(crate) fn is_below(&self, path: &str) -> bool {
        let own = self.record.path();
        let ends = own.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = ends.map(|(end, _)| &own[..end]).chain([own]);
        path.trim_matches('/').is_empty() || above.any(|above| is_named(above, path))
    }

    fn kind(&self) -> (char, &'static str) {
        match self.record.mode & 0o170000 {
            0o040000 => ('d', "directory"),
            0o100000 => ('-', "file"),
            0o120000 => ('l', "symlink"),
            0o020000 => ('c', "char"),
            0o060000 => ('b', "block"),
            0o010000 => ('p', "fifo"),
            0o140000 => ('s', "socket"),
            _ => ('?', "unknown"),
        }
    }

    /// Says whether this is a device node.
    pub(crate) fn is_device(&self) -> bool {
        matches!(self.kind().0, 'c' | 'b')
    }

    /// Returns a line as `ls -ln` would write it.
    pub(crate) fn line(&self) -> String {
        let record = &self.record;
        let size = match self.is_device() {
            true => format!("{},{}", record.rdev.0, record.rdev.1),
            false => record.size.to_string(),
        };
        let target = self
            .target
            .as_ref()
            .map(|target| format!(" -> {}", shown(target)));
        let owner = format!("{}:{}", record.uid, record.gid);
        let letter = self.kind().0;
        let mode = permissions(record.mode);
        format!(
            "{letter}{mode} {owner:>5} {size:>9} {}{}",
            self.path(),
            target.unwrap_or_default()
        )
    }

    /// Returns the entry as JSON.
    pub(crate) fn json(&self) -> Value {
        let record = &self.record;
        let mut value = json!({
            "gid": record.gid,
            "mode": format!("{:04o}", record.mode & 0o7777),
            "mtime": record.mtime,
            "path": self.path(),
            "size": record.size,
            "type": self.kind().1,
            "uid": record.uid,
        });
        if let Some(target) = &self.target {
            value["target"] = json!(shown(target));
        }
        if self.is_device() {
            value["major"] = json!(record.rdev.0);
            value["minor"] = json!(record.rdev.1);
        }
        value
    }
}

/// Says whether a path on the command line means an entry: by its bytes, or as a listing shows it.
pub(crate) fn is_named(own: &[u8], path: &str) -> bool {
    let path = path.trim_matches('/');
    own == path.as_bytes() || shown(own) == path
}
