//! One of the two things that are compared.

use std::path::{Path, PathBuf};

use super::error::DiffError;
use crate::dir;
use crate::realize::Image;

/// One of the two things that are compared: an image with its kernel and its `image.json`, or an archive alone.
#[derive(Debug, Clone)]
pub struct Side {
    name: String,
    archive: PathBuf,
    pub(super) image: Option<Image>,
    kernel: Option<PathBuf>,
    pub(super) plan: Option<String>,
}

impl Side {
    /// Returns the side of a path: an image directory where it is one, else an archive. It is called by the path.
    ///
    /// # Errors
    /// [`DiffError`] where the directory is no image.
    pub fn open(path: &Path) -> Result<Side, DiffError> {
        if !path.is_dir() {
            return Ok(Side {
                name: path.display().to_string(),
                archive: path.to_path_buf(),
                image: None,
                kernel: None,
                plan: None,
            });
        }
        let json = path.join(crate::realize::IMAGE_FILE);
        let text = dir::read(&json).map_err(|source| DiffError::io(&json, source))?;
        let image =
            Image::parse(&text).map_err(|source| DiffError::Image { path: json, source })?;
        Ok(Side {
            name: path.display().to_string(),
            archive: path.join(&image.initramfs.name),
            kernel: Some(path.join(&image.kernel.name)),
            image: Some(image),
            plan: None,
        })
    }

    /// Gives it another name to be called by: a recipe's, say.
    pub fn named(mut self, name: impl Into<String>) -> Side {
        self.name = name.into();
        self
    }

    /// Gives it the text of its plan, so that what differs in it can be told line by line.
    pub fn with_plan(mut self, plan: impl Into<String>) -> Side {
        self.plan = Some(plan.into());
        self
    }

    /// Returns what it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the archive's file.
    pub fn archive(&self) -> &Path {
        &self.archive
    }

    /// Returns the kernel's file.
    pub(super) fn kernel(&self) -> Option<&Path> {
        self.kernel.as_deref()
    }
}
