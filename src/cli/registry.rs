//! What the verbs that talk to registries share: where credentials are kept, how patient to be, and files of pins.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::context::{Context, set};
use super::failure::{Code, Failure};
use super::values::parse_time;
use crate::digest::Digest;
use crate::share::registry::{Registry, RegistryOptions};
use crate::share::{MAX_PINS, Pins, Reference};
use crate::source::fetch::FetchOptions;
use crate::store::{There, replace};

/// How to reach a registry.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Reach {
    /// Speak plain http with a registry on another machine: everybody on the way can read along
    #[arg(long)]
    pub(super) plain_http: bool,
    /// How long a silent registry is waited for, such as 5s [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) timeout: Option<Duration>,
}

/// Returns the repository of a reference, to be talked to as the options and the environment say.
pub(super) fn repository<'c>(
    context: &'c Context<'_>,
    reference: &Reference,
    reach: &Reach,
) -> Result<Registry<'c>, Failure> {
    Ok(Registry::new(
        reference,
        options(context, reach)?,
        context.terminal,
    )?)
}

/// Returns how registries are talked to.
pub(super) fn options(context: &Context<'_>, reach: &Reach) -> Result<RegistryOptions, Failure> {
    Ok(options_with(context.fetch_options()?, reach))
}

/// Returns how registries are talked to, with what is known of fetching already.
pub(super) fn options_with(mut fetch: FetchOptions, reach: &Reach) -> RegistryOptions {
    if let Some(timeout) = reach.timeout {
        fetch.idle_timeout = timeout;
        fetch.connect_timeout = fetch.connect_timeout.min(timeout);
    }
    RegistryOptions {
        fetch,
        credentials: credential_files(),
        plain_http: reach.plain_http,
    }
}

/// Returns the files that may have credentials: what a variable names first, then Podman's and Docker's own.
fn credential_files() -> Vec<PathBuf> {
    let below = |name: &str, rest: &str| set(name).map(|path| path.join(rest));
    let absolute = |path: Option<PathBuf>| path.filter(|path| path.is_absolute());
    let uid = rustix::process::getuid().as_raw();
    let found = [
        set("REGISTRY_AUTH_FILE"),
        below("DOCKER_CONFIG", "config.json"),
        // What Podman takes without the variable: containers-auth.json(5).
        absolute(below("XDG_RUNTIME_DIR", "containers/auth.json"))
            .or_else(|| Some(PathBuf::from(format!("/run/containers/{uid}/auth.json")))),
        absolute(below("XDG_CONFIG_HOME", "containers/auth.json")),
        below("HOME", ".config/containers/auth.json"),
        below("HOME", ".docker/config.json"),
    ];
    let mut files: Vec<PathBuf> = Vec::new();
    for file in found.into_iter().flatten() {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// What a file of pins says about a reference, and what is to be written into it.
pub(super) struct PinFile {
    path: PathBuf,
    pins: Pins,
    /// What the file was.
    text: String,
}

impl PinFile {
    /// Reads the file, or begins one.
    pub(super) fn open(path: &Path) -> Result<PinFile, Failure> {
        let text = match File::open(path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(MAX_PINS + 1)
                    .read_to_string(&mut text)
                    .map_err(|error| Failure::io("read the pins in", path, error))?;
                text
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::io("read the pins in", path, error)),
        };
        let wrong = |problem: String| {
            Failure::usage(
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
    pub(super) fn check(&self, reference: &Reference, found: Digest) -> Result<(), Failure> {
        match self.pins.digest(reference) {
            Some(pinned) if pinned != found => Err(Failure::guest(
                &format!(
                    "the tag moved: `{reference}` is pinned to sha256:{pinned} in `{}`, and names sha256:{found} now",
                    self.path.display()
                ),
                Some(format!(
                    "pull the pinned image with `@sha256:{pinned}`; if the new one is meant, look at it and pin it with `--update-pin`"
                )),
                Code::Mismatch,
            )),
            _ => Ok(()),
        }
    }

    /// Writes the pin, at once; a file that says so already is left alone.
    pub(super) fn write(mut self, reference: &Reference, digest: Digest) -> Result<(), Failure> {
        self.pins.set(reference, digest);
        let text = self.pins.text();
        if text == self.text {
            return Ok(());
        }
        let path = &self.path;
        let io = |error| Failure::io("write the pin into", path, error);
        replace(path, There::Follow, io, |file| {
            file.write_all(text.as_bytes()).map_err(io)
        })
    }
}
