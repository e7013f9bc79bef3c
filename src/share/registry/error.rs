//! What can go wrong between mkimg and a registry.

use std::io;
use std::path::PathBuf;

use crate::fault::{Fault, Outcome};
use crate::source::fetch::Reason;

/// What can go wrong between mkimg and a registry. No text has a secret in it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry could not be asked, or gave no usable answer.
    #[error("could not {what} at `{place}`: {reason}{}", quoted(.said))]
    Unreachable {
        /// What was to be done.
        what: String,
        /// The repository.
        place: String,
        /// Why not.
        reason: Box<Reason>,
        /// What the registry says about it.
        said: Option<String>,
    },
    /// The registry wants to know who asks (401), or does not let them (403).
    #[error("may not {what} at `{place}`: {status}{}{}", who(.credentials), quoted(.said))]
    Denied {
        /// What was to be done.
        what: String,
        /// The repository.
        place: String,
        /// The status.
        status: String,
        /// Where the credentials came from that were sent; `None` where there are none.
        credentials: Option<String>,
        /// The files that were looked through for them.
        looked: Vec<PathBuf>,
        /// What the registry says about it.
        said: Option<String>,
    },
    /// The registry asks to be known in a way that nobody can follow.
    #[error("`{registry}` asks for credentials, but {problem}")]
    Challenge {
        /// The registry.
        registry: String,
        /// What is wrong.
        problem: String,
    },
    /// The server that gives tokens did not.
    #[error("`{server}` gave no token for `{registry}`: {problem}{}", quoted(.said))]
    Token {
        /// The server.
        server: String,
        /// The registry that sent us there.
        registry: String,
        /// Why not.
        problem: String,
        /// What the server says about it.
        said: Option<String>,
    },
    /// A file with credentials that cannot be used.
    #[error("`{path}` cannot be used for credentials: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A credential helper that could not be run, or failed.
    #[error("the credential helper `{program}`, named in `{path}`, failed: {problem}")]
    Helper {
        /// The program.
        program: String,
        /// The file that names it.
        path: PathBuf,
        /// What happened.
        problem: String,
    },
    /// An answer that no registry should give.
    #[error("could not {what} at `{place}`: {problem}{}", quoted(.said))]
    Answer {
        /// What was to be done.
        what: String,
        /// The repository.
        place: String,
        /// What is wrong with the answer.
        problem: String,
        /// What the registry says about it.
        said: Option<String>,
    },
}

fn quoted(said: &Option<String>) -> String {
    said.as_ref()
        .map(|said| format!("; it says: {said}"))
        .unwrap_or_default()
}

fn who(credentials: &Option<String>) -> String {
    match credentials {
        Some(origin) => format!(", with the credentials of {origin}"),
        None => ", without credentials".to_owned(),
    }
}

impl RegistryError {
    /// Returns the error of a file that could not be read.
    pub(super) fn unreadable(path: PathBuf, error: &io::Error) -> RegistryError {
        RegistryError::File {
            path,
            problem: error.to_string(),
        }
    }

    /// Returns the reason, where the same question may well be answered in a moment.
    pub(super) fn passing(&self) -> Option<&Reason> {
        match self {
            RegistryError::Unreachable { reason, .. } => Some(&**reason).filter(|it| it.passes()),
            _ => None,
        }
    }
}

impl Fault for RegistryError {
    fn outcome(&self) -> Outcome {
        match self {
            RegistryError::Unreachable { reason, .. } => match **reason {
                Reason::Mismatch(_) | Reason::TooLong { .. } => Outcome::Mismatch,
                _ => Outcome::Failed,
            },
            RegistryError::File { .. } => Outcome::Wrong,
            _ => Outcome::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            RegistryError::Unreachable { reason, .. } => return unreachable_help(reason),
            RegistryError::Denied {
                credentials: None,
                looked,
                place,
                ..
            } => {
                let registry = place.split('/').next().unwrap_or_default();
                let files = looked
                    .iter()
                    .map(|path| format!("`{}`", path.display()))
                    .collect::<Vec<String>>();
                return Some(format!(
                    "`docker login {registry}` or `podman login {registry}` writes credentials; looked for them in {}",
                    files.join(", ")
                ));
            }
            RegistryError::Denied { place, .. } => {
                let registry = place.split('/').next().unwrap_or_default();
                return Some(format!(
                    "check that this user may do it; `docker login {registry}` or `podman login {registry}` renews the credentials"
                ));
            }
            RegistryError::Challenge { .. } => {
                "check that the reference names a registry, and its configuration"
            }
            RegistryError::Token { .. } => {
                "check the credentials (`docker login` and `podman login` write them) and the name of the repository"
            }
            RegistryError::File { .. } => {
                "correct the file, or write it anew with `docker login` or `podman login`"
            }
            RegistryError::Helper { .. } => {
                "install the helper and check that it works by hand, or remove it from the file"
            }
            RegistryError::Answer { .. } => {
                "check that the reference names a registry: it should answer `/v2/`"
            }
        };
        Some(text.to_owned())
    }
}

fn unreachable_help(reason: &Reason) -> Option<String> {
    if let Some(limit) = reason.limit() {
        return Some(limit.to_owned());
    }
    let text = match reason {
        Reason::Offline => "run it without `--offline`",
        Reason::Untrusted(_) => {
            "a registry that speaks plain http needs `--plain-http`; for one with a certificate of its own name that in \
             SSL_CERT_FILE"
        }
        Reason::NoCertificates(_) => {
            "install the system's root certificates (package `ca-certificates`), or name them in SSL_CERT_FILE"
        }
        Reason::Network(_) => {
            "check the registry's name and port, the network and the proxy variables; a registry that speaks plain http \
             needs `--plain-http`"
        }
        Reason::Proxy { .. } => "check the proxy variables",
        Reason::Silent { .. } | Reason::Slow { .. } => {
            "try again later; `--timeout TIME` says how long a silent registry is waited for"
        }
        Reason::Redirect(_) => {
            "the registry leads somewhere that mkimg does not follow; `--plain-http` allows plain http"
        }
        Reason::Mismatch(_) | Reason::TooLong { .. } => {
            "the registry does not have what its manifest promises: push the image anew, or tell the registry's owner"
        }
        Reason::Truncated { .. } | Reason::Broke(_) | Reason::Status { .. } => {
            "try again later: what came is kept, and is not fetched again"
        }
        _ => return None,
    };
    Some(text.to_owned())
}
