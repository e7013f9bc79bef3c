//! The files that a recipe includes, and how it is to be read.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::lock_file;
use super::open::Session;
use crate::lock;
use crate::recipe::{self, Documents, Files, Found, MAX_BYTES, Mode, Refusal};
use crate::source::local::{LocalError, Reach, Regular, reading_error};

/// Reads what a recipe includes: files of its project, and what the user allows.
pub(super) struct Included<'c> {
    session: &'c Session<'c>,
    base: PathBuf,
    /// Known once a file is read: recipes that include none ask for nobody's configuration.
    reach: Option<Reach>,
}

impl<'c> Included<'c> {
    /// Returns what reads the files of a recipe in `base`.
    pub(super) fn of(session: &'c Session<'_>, base: &Path) -> Included<'c> {
        Included {
            session,
            base: base.to_path_buf(),
            reach: None,
        }
    }

    fn reach(&mut self) -> Result<&Reach, Refusal> {
        let reach = match self.reach.take() {
            Some(reach) => reach,
            None => self.session.reach(&self.base).map_err(|error| Refusal {
                reason: format!("read: {}", error.first_line()),
                help: "correct that first".to_owned(),
            })?,
        };
        Ok(self.reach.insert(reach))
    }
}

impl Files for Included<'_> {
    fn read(&mut self, path: &str) -> Result<Found, Refusal> {
        let refused = |error: LocalError| {
            let verb = match error {
                LocalError::Outside { .. } | LocalError::Kernel { .. } => "included",
                _ => "read",
            };
            let help = match &error {
                LocalError::Outside { path, .. } => format!(
                    "copy it into the project; or, if you trust the recipe with it, allow it with `--allow-local {0}`, for good \
                     with `allow-local \"{0}\"` in `~/.config/mkimg/config.kdl`",
                    path.display()
                ),
                LocalError::Directory => "name a file in it".to_owned(),
                LocalError::Kernel { .. } => "include a file of the project".to_owned(),
                LocalError::Io(_) | LocalError::NoFile => {
                    "correct the path: it starts at the directory of the file that includes it"
                        .to_owned()
                }
                LocalError::Longer { .. } | LocalError::Changed => error.help(),
            };
            let reason = format!("{verb}: {error}");
            Refusal { reason, help }
        };
        let mut file = Regular::open(&self.base, Path::new(path)).map_err(refused)?;
        self.reach()?.check(&file).map_err(refused)?;
        let mut bytes = Vec::new();
        let limit = MAX_BYTES as u64 + 1;
        let read = match file.size() > MAX_BYTES as u64 {
            // What is too large is said of the text.
            true => file.by_ref().take(limit).read_to_end(&mut bytes),
            false => file.read_to_end(&mut bytes),
        };
        read.map_err(|error| refused(reading_error(error)))?;
        Ok(Found {
            at: file.path().to_path_buf(),
            bytes,
        })
    }
}

impl Session<'_> {
    /// Returns how a recipe is to be read. Parameters that nobody sets have the values that the lock beside it was made with.
    pub(super) fn reading(
        &self,
        path: &Path,
        documents: &Documents,
        mode: Mode,
    ) -> recipe::Options {
        let mut options = recipe::Options::from(mode);
        options.variant.clone_from(&self.options.variant);
        options.values.clone_from(&self.options.values);
        if documents.has_params() && options.values.is_empty() {
            let lock = lock::path_of(path);
            // Whether the lock can be used is said elsewhere.
            if let Some(values) = lock_file::values(&lock) {
                options.values = values;
            }
        }
        options
    }
}
