//! Blobs: files of the cache that are named by their sha256.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::{Scratch, Store, StoreError, remove};
use crate::digest::{self, Digest, Hasher};
use crate::dir;

const BUCKET: &str = "blobs-v1";

/// A file in the cache. Its bytes had the digest when it came to be; whoever depends on them checks again while reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The sha256 that names it.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl Blob {
    /// Opens the blob for reading; the reader gives an error at the end when the bytes are not the ones that its name says.
    ///
    /// # Errors
    /// [`StoreError::Io`] where it cannot be opened.
    pub fn open(&self) -> Result<BlobReader, StoreError> {
        let file =
            dir::open(&self.path).map_err(|error| StoreError::io("open", &self.path, error))?;
        Ok(BlobReader {
            file,
            hasher: Some(Hasher::new()),
            expected: self.digest,
            path: self.path.clone(),
        })
    }

    /// Reads the whole blob and compares it with its name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where they differ, [`StoreError::Io`] where it cannot be read.
    pub fn verify(&self) -> Result<(), StoreError> {
        let io = |error| StoreError::io("read", &self.path, error);
        let mut file = dir::open(&self.path).map_err(io)?;
        let (actual, _) = digest::of_reader(&mut file).map_err(io)?;
        if actual == self.digest {
            return Ok(());
        }
        Err(StoreError::Damaged {
            path: self.path.clone(),
            expected: self.digest,
            actual,
        })
    }
}

/// Reads a blob and compares it with its name: the read that would report the end fails instead where they differ.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    hasher: Option<Hasher>,
    expected: Digest,
    path: PathBuf,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        if count == 0
            && !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
        {
            let actual = hasher.finish();
            if actual != self.expected {
                let damaged = StoreError::Damaged {
                    path: self.path.clone(),
                    expected: self.expected,
                    actual,
                };
                return Err(io::Error::new(io::ErrorKind::InvalidData, damaged));
            }
        }
        Ok(count)
    }
}

/// Writes a new blob; hashes while writing.
#[derive(Debug)]
pub struct BlobWriter<'s> {
    store: &'s Store,
    file: BufWriter<Scratch>,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter<'_> {
    /// Brings what was written so far to the disk, so that [`BlobWriter::commit`] has less left to wait for.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync());
        synced.map_err(|error| StoreError::io("write", self.file.get_ref().path(), error))
    }

    /// Makes the blob appear in the cache under the digest of what was written.
    ///
    /// # Errors
    /// [`StoreError`]; the cache is unchanged then.
    pub fn commit(self) -> Result<Blob, StoreError> {
        let digest = self.hasher.finish();
        let path = self.store.blob_path(&digest);
        let size = self.size;
        let scratch = self
            .file
            .into_inner()
            .map_err(|error| StoreError::io("write", &path, error.into_error()))?;
        scratch.publish(&path)?;
        Ok(Blob { digest, size, path })
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Store {
    /// Returns where the blob of a digest is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.object_path(BUCKET, digest)
    }

    /// Returns the blob of a digest, where the cache has one. Does not read it.
    pub fn blob(&self, digest: &Digest) -> Option<Blob> {
        let path = self.blob_path(digest);
        let found = dir::metadata(&path).ok().filter(Metadata::is_file)?;
        Some(Blob {
            digest: *digest,
            size: found.len(),
            path,
        })
    }

    /// Begins a new blob.
    ///
    /// # Errors
    /// [`StoreError`] where the cache cannot be written.
    pub fn blob_writer(&self) -> Result<BlobWriter<'_>, StoreError> {
        Ok(BlobWriter {
            store: self,
            file: BufWriter::with_capacity(128 * 1024, self.scratch()?),
            hasher: Hasher::new(),
            size: 0,
        })
    }

    /// Copies everything that `from` gives into a new blob. `path` names the origin in an error.
    ///
    /// # Errors
    /// [`StoreError`] where reading or writing fails.
    pub fn blob_from(&self, from: &mut dyn Read, path: &Path) -> Result<Blob, StoreError> {
        let mut writer = self.blob_writer()?;
        let mut buffer = vec![0u8; 128 * 1024];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => return writer.commit(),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::io("read", path, error)),
            };
            writer
                .write_all(&buffer[..count])
                .map_err(|error| StoreError::io("write into the cache", &self.root, error))?;
        }
    }

    /// Removes a blob that turned out to be damaged.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be removed.
    pub fn remove_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        remove(&self.blob_path(digest))
    }
}
