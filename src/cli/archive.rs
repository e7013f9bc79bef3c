//! The entries of an image, read out of its initramfs: what is really in it, not what the recipe meant.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Value, json};

use super::failure::{Code, Failure};
use crate::dir;
use crate::pack::read::{ReadError, Reader, Record};
use crate::tree::permissions;

/// One entry of an archive.
pub(super) struct Listed {
    /// Its header.
    pub(super) record: Record,
    /// The body of a symlink.
    pub(super) target: Option<Vec<u8>>,
}

/// The reader of an initramfs file.
pub(super) type Archive = Reader<BufReader<File>>;

/// Opens an initramfs.
pub(super) fn open(path: &Path) -> Result<Archive, Failure> {
    let file = dir::open(path).map_err(|error| Failure::io("open", path, error))?;
    Ok(Reader::new(BufReader::with_capacity(128 * 1024, file)))
}

/// Returns all entries of an initramfs, in its order.
pub(super) fn list(path: &Path) -> Result<Vec<Listed>, Failure> {
    let mut archive = open(path)?;
    let mut listed = Vec::new();
    while let Some(record) = archive
        .next_record()
        .map_err(|error| unreadable(path, error))?
    {
        let target = match record.is_symlink() {
            true => Some(archive.target().map_err(|error| unreadable(path, error))?),
            false => None,
        };
        listed.push(Listed { record, target });
    }
    Ok(listed)
}

/// Returns the failure of reading an initramfs.
pub(super) fn unreadable(path: &Path, error: ReadError) -> Failure {
    Failure::Plain {
        error: Box::new(error),
        help: Some(format!(
            "`{}` is damaged: `mkimg realize --verify` makes it again",
            path.display()
        )),
        code: Code::Failed,
    }
}

impl Listed {
    /// Returns the path with its leading `/`.
    pub(super) fn path(&self) -> String {
        format!("/{}", text(self.record.path()))
    }

    /// Says whether the entry is at `path` or below it.
    pub(super) fn is_below(&self, path: &str) -> bool {
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
    pub(super) fn is_device(&self) -> bool {
        matches!(self.kind().0, 'c' | 'b')
    }

    /// Returns a line as `ls -ln` would write it.
    pub(super) fn line(&self) -> String {
        let record = &self.record;
        let size = match self.is_device() {
            true => format!("{},{}", record.rdev.0, record.rdev.1),
            false => record.size.to_string(),
        };
        let target = self
            .target
            .as_ref()
            .map(|target| format!(" -> {}", text(target)));
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
    pub(super) fn json(&self) -> Value {
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
            value["target"] = json!(text(target));
        }
        if self.is_device() {
            value["major"] = json!(record.rdev.0);
            value["minor"] = json!(record.rdev.1);
        }
        value
    }
}

/// Says whether a path on the command line means an entry: by its bytes, or as a listing shows it.
pub(super) fn is_named(own: &[u8], path: &str) -> bool {
    let path = path.trim_matches('/');
    own == path.as_bytes() || text(own) == path
}

/// Returns bytes of an archive as text: what could not be seen escaped.
fn text(bytes: &[u8]) -> String {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(unseen) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}
