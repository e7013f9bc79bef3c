//! Where the bytes of a download go: a partial blob that is taken up again later, or, for a source whose digest nobody
//! knows yet, a new blob.

use std::io::Write as _;

use crate::digest::{Digest, Hasher};
use crate::store::{Blob, BlobWriter, Partial, Store, StoreError};

pub(super) trait Sink {
    /// Bytes so far.
    fn size(&self) -> u64;
    /// The digest of the bytes so far.
    fn digest(&self) -> Digest;
    /// Adds bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
    /// Forgets all bytes.
    fn restart(&mut self) -> Result<(), StoreError>;
    /// Says whether a later answer may go on where an earlier one stopped: only where a digest tells whether they fit.
    fn resumes(&self) -> bool;
}

impl Sink for Partial<'_> {
    fn size(&self) -> u64 {
        Partial::size(self)
    }

    fn digest(&self) -> Digest {
        Partial::digest(self)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        Partial::append(self, bytes)
    }

    fn restart(&mut self) -> Result<(), StoreError> {
        Partial::restart(self)
    }

    fn resumes(&self) -> bool {
        true
    }
}

/// A blob whose digest is not known before it is whole.
pub(super) struct Unpinned<'s> {
    store: &'s Store,
    writer: BlobWriter<'s>,
    hasher: Hasher,
    size: u64,
}

impl<'s> Unpinned<'s> {
    pub(super) fn new(store: &'s Store) -> Result<Unpinned<'s>, StoreError> {
        Ok(Unpinned {
            store,
            writer: store.blob_writer()?,
            hasher: Hasher::new(),
            size: 0,
        })
    }

    pub(super) fn commit(self) -> Result<Blob, StoreError> {
        self.writer.commit()
    }
}

impl Sink for Unpinned<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.writer
            .write_all(bytes)
            .map_err(|error| StoreError::io("write into", self.store.root(), error))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), StoreError> {
        if self.size > 0 {
            *self = Unpinned::new(self.store)?;
        }
        Ok(())
    }

    fn resumes(&self) -> bool {
        false
    }
}
