//! One pass over an archive: of each entry the header and the digests of its blocks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};

use super::error::DiffError;
use super::side::Side;
use crate::digest::Hasher;
use crate::dir;
use crate::pack::read::{ReadError, Reader, Record, Root, Segment};

/// Bytes of a content that get one digest: where two contents differ, no more than this is read to find the first byte.
pub(super) const CHUNK: usize = 64 * 1024;
/// Bytes that are read at once.
const BUFFER: usize = 128 * 1024;

/// The first half of a block's sha256: two of a billion archives' blocks would be taken for each other less often than a disk lies.
pub(super) type Mark = [u8; 16];

/// What is kept of an archive.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) entries: Vec<Scanned>,
    pub(super) segments: Vec<Segment>,
}

/// What is kept of an entry.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) record: Record,
    /// The archive that it is in.
    pub(super) segment: usize,
    /// The path, without what stands before it; of what the kernel has in the end, where it has it.
    pub(super) path: Vec<u8>,
    /// A later entry takes its place.
    pub(super) replaced: bool,
    /// Of those that are not replaced, how many others have the same path and count before it.
    pub(super) repeated: usize,
    /// The entry that has its data: itself, or another one of its hard links.
    pub(super) data: usize,
    /// How many names the file has in the archive.
    pub(super) links: usize,
    /// The body of a symlink.
    pub(super) target: Option<Vec<u8>>,
    pub(super) marks: Vec<Mark>,
}

pub(super) type Archive = Reader<BufReader<File>>;

/// Opens an archive's file.
pub(super) fn open(side: &Side) -> Result<Archive, DiffError> {
    let path = side.archive();
    let file = dir::open(path).map_err(|source| DiffError::io(path, source))?;
    Ok(Reader::new(BufReader::with_capacity(BUFFER, file)))
}

/// Returns the failure of reading an archive.
pub(super) fn damaged(side: &Side, source: ReadError) -> DiffError {
    let path = side.archive().to_path_buf();
    match source {
        // A directory, say, fails at the first byte: no matter of archives.
        ReadError::Io { offset: 0, source } if source.raw_os_error().is_some() => {
            DiffError::Io { path, source }
        }
        source => DiffError::Archive { path, source },
    }
}

/// Reads an archive from its beginning to its end.
pub(super) fn scan(side: &Side) -> Result<Scan, DiffError> {
    let mut archive = open(side)?;
    let mut entries: Vec<Scanned> = Vec::new();
    let mut root = Root::default();
    let mut buffer = vec![0u8; CHUNK];
    while let Some(record) = archive
        .next_record()
        .map_err(|error| damaged(side, error))?
    {
        let mut target = None;
        let mut marks = Vec::new();
        if record.is_symlink() {
            target = Some(archive.target().map_err(|error| damaged(side, error))?);
        } else {
            let mut body = archive.body();
            loop {
                let size = fill(&mut body, &mut buffer).map_err(|error| within(side, error))?;
                if size == 0 {
                    break;
                }
                marks.push(mark(&buffer[..size]));
            }
        }
        let index = entries.len();
        let segment = archive.segments().len().saturating_sub(1);
        let unpacked = root.unpack(index, segment, &record, target.as_deref());
        entries.push(Scanned {
            path: record.path().to_vec(),
            record,
            segment,
            replaced: unpacked,
            repeated: 0,
            data: index,
            links: 1,
            target,
            marks,
        });
    }
    link(&mut entries);
    settle(&mut entries, &root);
    Ok(Scan {
        entries,
        segments: archive.segments().to_vec(),
    })
}

/// Reads until the buffer is full or nothing is left.
pub(super) fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Returns the error of reading a body, which carries that of the archive.
pub(super) fn within(side: &Side, error: std::io::Error) -> DiffError {
    match error.downcast::<ReadError>() {
        Ok(error) => damaged(side, error),
        Err(error) => DiffError::io(side.archive(), error),
    }
}

fn mark(block: &[u8]) -> Mark {
    let mut hasher = Hasher::new();
    hasher.update(block);
    let digest = hasher.finish();
    let mut mark = Mark::default();
    mark.copy_from_slice(&digest.as_bytes()[..16]);
    mark
}

/// Finds the data of hard links: newc has it with one of the names alone, and the kernel gives it to all.
fn link(entries: &mut [Scanned]) {
    let mut groups: BTreeMap<(usize, u32, (u32, u32)), Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let record = &entry.record;
        if record.is_file() && record.nlink > 1 {
            let key = (entry.segment, record.ino, record.dev);
            groups.entry(key).or_default().push(index);
        }
    }
    for group in groups.values().filter(|group| group.len() > 1) {
        let with_data = group
            .iter()
            .rev()
            .find(|index| entries[**index].record.size > 0);
        let Some(data) = with_data.copied() else {
            continue;
        };
        for index in group {
            entries[*index].links = group.len();
            // What has data of its own keeps it.
            if entries[*index].record.size == 0 {
                entries[*index].data = data;
            }
        }
    }
}

/// Takes over what the kernel has in the end. What it never had, since no directory is there for it, is compared as it stands.
fn settle(entries: &mut [Scanned], root: &Root) {
    let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for file in root.files() {
        let Some(entry) = entries.get_mut(file.entry) else {
            continue;
        };
        entry.replaced = false;
        entry.path = file.record.name;
        let record = &mut entry.record;
        (record.mode, record.mtime) = (file.record.mode, file.record.mtime);
        (record.uid, record.gid, record.rdev) =
            (file.record.uid, file.record.gid, file.record.rdev);
        if record.is_file() {
            entry.data = file.data;
        }
        // The number of the path's own entry is 0, wherever it comes.
        seen.insert(entry.path.clone(), 1);
        entry.repeated = usize::MAX;
    }
    for entry in entries.iter_mut().filter(|entry| !entry.replaced) {
        if entry.repeated == usize::MAX {
            entry.repeated = 0;
            continue;
        }
        let count = seen.entry(entry.path.clone()).or_default();
        entry.repeated = *count;
        *count += 1;
    }
}

impl Scan {
    /// Returns the size of an entry's content, wherever it is.
    pub(super) fn size(&self, entry: &Scanned) -> u32 {
        self.entries[entry.data].record.size
    }

    /// Returns the digests of an entry's content, wherever it is.
    pub(super) fn marks(&self, entry: &Scanned) -> &[Mark] {
        &self.entries[entry.data].marks
    }

    /// Returns what a side is, in a few words.
    pub(super) fn nature(&self, side: &Side) -> String {
        let packed = match self.segments.as_slice() {
            [only] if only.compression == "none" => "not compressed".to_owned(),
            [only] => only.compression.to_owned(),
            several => format!("{} archives in one file", several.len()),
        };
        let what = match &side.image {
            Some(image) => format!("image {} {}", image.name, image.arch),
            None => "archive".to_owned(),
        };
        format!("{what}, {packed}, {} entries", self.entries.len())
    }
}
