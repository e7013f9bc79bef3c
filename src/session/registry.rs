//! How registries are talked to, and files of pins.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Error;
use super::open::Session;
use crate::digest::Digest;
use crate::fault::Outcome;
use crate::share::registry::{Registry, RegistryOptions};
use crate::share::{MAX_PINS, Pins, Reference};
use crate::store::{There, replace};

/// How to reach a registry.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Speak plain http with a registry on another machine: everybody on the way can read along.
    pub plain_http: bool,
    /// How long a silent registry is waited for.
    pub timeout: Option<Duration>,
}

impl Session<'_> {
    /// Returns the repository of a reference.
    pub(crate) fn repository(
        &self,
        reference: &Reference,
        connection: &Connection,
    ) -> Result<Registry<'_>, Error> {
        let options = self.registry_options(connection)?;
        Ok(Registry::new(reference, options, self.report)?)
    }

    /// Returns how registries are talked to.
    pub(super) fn registry_options(&self, to: &Connection) -> Result<RegistryOptions, Error> {
        let mut fetch = self.fetch_options()?;
        if let Some(timeout) = to.timeout {
            fetch.idle_timeout = timeout;
            fetch.connect_timeout = fetch.connect_timeout.min(timeout);
        }
        Ok(RegistryOptions {
            fetch,
            credentials: self.options.environment.credentials.clone(),
            plain_http: to.plain_http,
        })
    }
}

/// What a file of pins says about a reference, and what is to be written into it.
pub(crate) struct PinFile {
    path: PathBuf,
    pins: Pins,
    /// What the file was.
    text: String,
}

impl PinFile {
    /// Reads the file, or begins one.
    pub(crate) fn open(path: &Path) -> Result<PinFile, Error> {
        let text = match File::open(path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(MAX_PINS + 1)
                    .read_to_string(&mut text)
                    .map_err(|error| Error::io("read the pins in", path, error))?;
                text
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io("read the pins in", path, error)),
        };
        let wrong = |problem: String| {
            Error::usage(
                format!("`{}` is no file of pins: {problem}", path.display()),
                "each line is `REGISTRY/REPOSITORY:TAG@sha256:HEX`, or a comment with `#`; name another file with `--pin`",
            )
        };
        if text.len() as u64 > MAX_PINS {
            return Err(wrong(format!("it has more than {MAX_PINS} bytes")));
        }
        let pins = Pins::parse(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(PinFile {
            path: path.to_path_buf(),
            pins,
            text,
        })
    }

    /// Compares what a reference names now with what the file says that it named.
    pub(crate) fn check(&self, reference: &Reference, found: Digest) -> Result<(), Error> {
        match self.pins.digest(reference) {
            Some(pinned) if pinned != found => Err(Error::new(
                Outcome::Mismatch,
                format!(
                    "the tag moved: `{reference}` is pinned to sha256:{pinned} in `{}`, and names sha256:{found} now",
                    self.path.display()
                ),
                Some(format!(
                    "pull the pinned image with `@sha256:{pinned}`; if the new one is meant, look at it and pin it with `--update-pin`"
                )),
            )),
            _ => Ok(()),
        }
    }

    /// Writes the pin, at once; a file that says so already is left alone.
    pub(crate) fn write(mut self, reference: &Reference, digest: Digest) -> Result<(), Error> {
        self.pins.set(reference, digest);
        let text = self.pins.text();
        if text == self.text {
            return Ok(());
        }
        let path = &self.path;
        let io = |error| Error::io("write the pin into", path, error);
        replace(path, There::Follow, io, |file| {
            file.write_all(text.as_bytes()).map_err(io)
        })
    }
}
