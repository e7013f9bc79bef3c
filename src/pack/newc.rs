//! The canonical archive: newc, as GNU cpio writes it.
//!
//! ```text
//! "070701" + 13 fields of 8 upper-case hexadecimal digits, name, NUL, zeros to 4, data, zeros to 4
//! ```
//!
//! The layout is that of the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`; every choice which that
//! leaves open is made as GNU cpio makes it.

use crate::tree::{DeviceClass, Entry, EntryPath, Kind, PATH_MAX, Tree};

use super::PackError;
use super::blocks::Blocks;
use super::content::Contents;

/// Bytes of a header.
const HEADER: u64 = 110;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// GNU cpio fills its last record of this many bytes.
const RECORD: u64 = 512;

/// The fields that differ between entries, in the order of the header; those between and after them are always 0.
#[derive(Default)]
struct Fields {
    ino: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    mtime: u32,
    size: u32,
    rdev: (u32, u32),
}

/// Returns the size that the archive of a tree will have, in bytes.
///
/// # Errors
/// [`PackError`] where an entry cannot be put into an archive.
pub fn archive_size(tree: &Tree) -> Result<u64, PackError> {
    let mut size = 0u64;
    for (index, (path, entry)) in tree.iter().enumerate() {
        let fields = fields(tree, index, path, entry)?;
        size += (HEADER + path.as_bytes().len() as u64 + 1).next_multiple_of(4);
        size += u64::from(fields.size).next_multiple_of(4);
    }
    size += (HEADER + TRAILER.len() as u64 + 1).next_multiple_of(4);
    Ok(size.next_multiple_of(RECORD))
}

/// Writes the archive of a tree.
pub(super) fn write(tree: &Tree, blocks: &mut Blocks<'_>) -> Result<(), PackError> {
    let mut contents = Contents::default();
    for (index, (path, entry)) in tree.iter().enumerate() {
        let fields = fields(tree, index, path, entry)?;
        header(&fields, path.as_bytes(), blocks)?;
        match &entry.kind {
            Kind::File(content) => contents.copy(path, content, blocks)?,
            Kind::Symlink(target) => blocks.put(target)?,
            Kind::Directory | Kind::Device { .. } => {}
        }
        blocks.pad(4)?;
    }
    let end = Fields {
        nlink: 1,
        ..Fields::default()
    };
    header(&end, TRAILER, blocks)?;
    blocks.pad(RECORD)
}

/// Returns the fields of an entry, or why it has no place in an archive.
fn fields(tree: &Tree, index: usize, path: &EntryPath, entry: &Entry) -> Result<Fields, PackError> {
    if entry.mode > 0o7777 {
        return Err(PackError::Mode {
            path: path.clone(),
            mode: entry.mode,
        });
    }
    let mut fields = Fields {
        ino: u32::try_from(index).map_err(|_| PackError::Entries)?,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        nlink: 1,
        mtime: tree.epoch,
        ..Fields::default()
    };
    match &entry.kind {
        Kind::Directory => {
            fields.mode |= 0o040000;
            // What file systems count here differs (ext4: subdirectories, btrfs: 1); GNU cpio since 2.14 always writes 2.
            fields.nlink = 2;
        }
        Kind::File(content) => {
            fields.mode |= 0o100000;
            fields.size = u32::try_from(content.size).map_err(|_| PackError::TooLarge {
                path: path.clone(),
                size: content.size,
            })?;
        }
        Kind::Symlink(target) => {
            let what = match target.len() {
                0 => Some("empty"),
                PATH_MAX.. => Some("longer than 4095 bytes"),
                _ if target.contains(&0) => Some("not free of NUL bytes"),
                _ => None,
            };
            if let Some(what) = what {
                return Err(PackError::Target {
                    path: path.clone(),
                    what,
                });
            }
            // Linux knows no other mode of a symlink.
            fields.mode = 0o120777;
            fields.size = target.len() as u32;
        }
        Kind::Device {
            class,
            major,
            minor,
        } => {
            if *major >= 1 << 12 || *minor >= 1 << 20 {
                return Err(PackError::Device {
                    path: path.clone(),
                    major: *major,
                    minor: *minor,
                });
            }
            fields.mode |= match class {
                DeviceClass::Char => 0o020000,
                DeviceClass::Block => 0o060000,
            };
            fields.rdev = (*major, *minor);
        }
    }
    Ok(fields)
}

/// Writes a header and a name, which is shorter than [`PATH_MAX`].
fn header(fields: &Fields, name: &[u8], blocks: &mut Blocks<'_>) -> Result<(), PackError> {
    let values = [
        fields.ino,
        fields.mode,
        fields.uid,
        fields.gid,
        fields.nlink,
        fields.mtime,
        fields.size,
        0, // the number of the device that holds the file, major
        0, // and minor
        fields.rdev.0,
        fields.rdev.1,
        name.len() as u32 + 1,
        0, // the check sum, of the crc format alone
    ];
    let mut text = *b"070701________________________________________________________________________________________________________";
    for (digits, value) in text[6..].chunks_exact_mut(8).zip(values) {
        for (place, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789ABCDEF"[(value >> (28 - 4 * place) & 15) as usize];
        }
    }
    blocks.put(&text)?;
    blocks.put(name)?;
    blocks.put(&[0])?;
    blocks.pad(4)
}
