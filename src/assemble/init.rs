//! The `init` entry: `/init`, what it runs, and the BusyBox that it may need.

use super::builder::{Builder, content_of, entry_path};
use super::{AssembleError, InitError, container};
use crate::plan::{Planned, StatementId};
use crate::source::{Member, oci};
use crate::tree::{Content, Entry, Kind};

impl Builder<'_> {
    /// Puts in what runs a container image's program.
    pub(super) fn add_init(
        &mut self,
        index: usize,
        planned: &Planned,
        from: &str,
        busybox: bool,
        members: Vec<Member>,
    ) -> Result<(), AssembleError> {
        let missing = || AssembleError::Missing {
            name: from.to_owned(),
            at: StatementId::of_entry(Some(index)),
        };
        let source = self.plan.sources.get(from).ok_or_else(missing)?;
        let refused = |error: oci::ImageError| match error {
            oci::ImageError::Store(error) => AssembleError::Store(error),
            oci::ImageError::Document(error) => AssembleError::Init {
                error: InitError::Config(error.to_string()),
                entry: index,
            },
        };
        let found = oci::find(self.store, &source.digest, self.plan.arch).map_err(refused)?;
        let oci::Found::Whole(parts) = found else {
            return Err(missing());
        };
        let config = oci::config(self.store, &parts).map_err(refused)?;
        let root = container::Tree(&self.tree);
        let scripts = container::scripts(&config, &root, busybox);
        let scripts = scripts.map_err(|error| AssembleError::Init {
            error,
            entry: index,
        })?;
        let memory = |text: String| Content::memory(text.into_bytes());
        let mut files = vec![
            ("/init", memory(scripts.init), planned.replaces),
            (container::ENTRYPOINT, memory(scripts.entrypoint), false),
        ];
        let own = members.first().filter(|_| busybox);
        files.extend(own.map(|member| (container::BUSYBOX, content_of(member), false)));
        for (path, content, replaces) in files {
            let path = entry_path(path.as_bytes(), index)?;
            let entry = Entry {
                kind: Kind::File(content),
                mode: 0o755,
                uid: 0,
                gid: 0,
                origin: Some(index),
            };
            self.insert(index, path, entry, replaces)?;
        }
        Ok(())
    }
}
