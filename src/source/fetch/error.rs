//! What can go wrong while sources are fetched: for each location what it gave, for each source the list of its locations.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use super::redirect::RedirectError;
use crate::digest::Digest;
use crate::fault::{Fault, Outcome};
use crate::source::local::LocalError;
use crate::store::{StoreError, limit_help, limit_help_behind};

/// Why a fetch failed. The text says all of it, causes included, one line for each location: of several failures at several
/// locations none is the cause of the other, so [`Error::source`] has nothing to add.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No location gave the bytes of a source.
    #[error("{0}")]
    Source(Box<Failure>),
    /// Locations of a source give other bytes now than the recipe pins.
    #[error("source `{}` is not what the recipe pins{}", .0.name, .0.tried())]
    Changed(Box<Failure>),
    /// The bytes could not be kept.
    #[error("could not keep `{name}` in the cache{}: {}", needs(.size), whole(.error))]
    Store {
        /// The source.
        name: String,
        /// Its size in bytes, where it is known.
        size: Option<u64>,
        /// What the cache said.
        error: Box<StoreError>,
    },
    /// Several sources failed, in the order in which they were asked for.
    #[error("{}", joined(.0))]
    Several(Vec<FetchError>),
}

/// One source that no location gave.
#[derive(Debug)]
pub struct Failure {
    /// Its name in the recipe.
    pub name: String,
    /// The sha256 it should have; `None` while it is being pinned.
    pub digest: Option<Digest>,
    /// Its declared size in bytes.
    pub size: Option<u64>,
    /// Every location, in the order asked, with what it gave.
    pub attempts: Vec<Attempt>,
}

/// One location that did not give the source.
#[derive(Debug)]
pub struct Attempt {
    /// The URL, without a password, or the path.
    pub location: String,
    /// What it gave.
    pub reason: Reason,
}

/// What a location gave instead of the source.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Other bytes.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// More bytes than the source may have.
    #[error("too long: expected at most {bound} bytes, {}", announced(.declared))]
    TooLong {
        /// The declared size.
        bound: u64,
        /// The size that the location announced; `None` where it just kept sending.
        declared: Option<u64>,
    },
    /// More bytes than a source without a declared size may have.
    #[error("too large: without `size=` a source has at most {bound} bytes, {}", announced(.declared))]
    TooLarge {
        /// The bound.
        bound: u64,
        /// The size that the location announced; `None` where it just kept sending.
        declared: Option<u64>,
    },
    /// The connection ended before the bytes did.
    #[error("truncated: got {got} bytes{}", of(.declared))]
    Truncated {
        /// Bytes that came.
        got: u64,
        /// Bytes that should have come.
        declared: Option<u64>,
    },
    /// An HTTP status that is no file.
    #[error("{code} {text}")]
    Status {
        /// The status code.
        code: u16,
        /// Its usual name.
        text: &'static str,
        /// The pause that the server asked for.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// The server could not be reached, or the connection broke.
    #[error("{}", innermost(.0))]
    Network(#[source] reqwest::Error),
    /// The connection broke in the middle.
    #[error("the connection broke: {}", innermost(.0))]
    Broke(#[source] io::Error),
    /// Nothing came for too long.
    #[error("no answer for {} s", .after.as_secs_f32())]
    Silent {
        /// How long it was waited.
        after: Duration,
    },
    /// It took longer than it may.
    #[error("too slow: not done after {} s", .after.as_secs())]
    Slow {
        /// How long it could take.
        after: Duration,
    },
    /// The server did not prove who it is.
    #[error("no trusted connection: {}", innermost(.0))]
    Untrusted(#[source] reqwest::Error),
    /// This machine has no certificates to know servers by.
    #[error("this machine has no root certificates, so no https server can be trusted")]
    NoCertificates(#[source] reqwest::Error),
    /// The HTTP client could not be made.
    #[error("could not set up the HTTP client: {}", innermost(.0))]
    Client(#[source] reqwest::Error),
    /// A proxy variable that means nothing. Its value is not told: there may be a password in it.
    #[error("`{variable}` names no proxy that mkimg can use: expected `http://HOST:PORT`{}", instead(.scheme))]
    Proxy {
        /// The variable.
        variable: &'static str,
        /// The scheme of its value, where it has another one than http and https.
        scheme: Option<String>,
    },
    /// `--offline` forbids to ask.
    #[error("not asked: `--offline`")]
    Offline,
    /// A text that is no http or https URL.
    #[error("not an http or https URL")]
    NoUrl,
    /// A Debian path for which no root is known.
    #[error("no Debian mirror is known for it")]
    NoRoot,
    /// A mirror directory without the file.
    #[error("no such file in this mirror")]
    NotInMirror,
    /// A file of this machine that is not taken.
    #[error(transparent)]
    Local(LocalError),
}

/// Bytes that are not the declared ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The declared sha256.
    pub expected: Digest,
    /// The sha256 of what came.
    pub actual: Digest,
    /// Bytes that came.
    pub got: u64,
    /// The declared size in bytes.
    pub size: Option<u64>,
    /// The first line of what came, where it is text.
    pub begins: Option<String>,
    /// The `Content-Encoding` that was used although none was asked for.
    pub encoding: Option<String>,
}

/// What a failure means for whoever called: the exit code hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A location gave wrong, too many or too few bytes.
    Mismatch,
    /// The cache could not take the bytes.
    Store,
    /// The network, a server or `--offline` is in the way: the same command may work later or elsewhere.
    Unreachable,
    /// Every location refused for good: the recipe is what must change.
    Refused,
}

impl FetchError {
    /// Returns what the failure means. Of several the first of [`Kind`]'s order counts.
    pub fn kind(&self) -> Kind {
        match self {
            FetchError::Source(failure) | FetchError::Changed(failure) => failure.kind(),
            FetchError::Store { .. } => Kind::Store,
            FetchError::Several(errors) => errors
                .iter()
                .map(FetchError::kind)
                .min()
                .unwrap_or(Kind::Unreachable),
        }
    }

    /// Returns what the cache said, where that is why the fetch failed.
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            FetchError::Source(_) | FetchError::Changed(_) => None,
            FetchError::Store { error, .. } => Some(error),
            FetchError::Several(errors) => errors.iter().find_map(FetchError::store),
        }
    }

    /// Returns what to do, one line each.
    pub fn help(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for line in self.all_help() {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }

    fn all_help(&self) -> Vec<String> {
        match self {
            FetchError::Source(failure) | FetchError::Changed(failure) => failure.help(),
            FetchError::Store { error, .. } => {
                if let Some(limit) = limit_help_behind(&**error) {
                    return vec![limit.to_owned()];
                }
                vec![
                    match **error {
                        StoreError::NoSpace { .. } => {
                            "make room on that disk, or take a cache elsewhere with `--cache DIR`"
                        }
                        StoreError::NotWritable { .. } => {
                            "take a cache that you may write with `--cache DIR`"
                        }
                        _ => "check the disk of the cache, or take another with `--cache DIR`",
                    }
                    .to_owned(),
                ]
            }
            FetchError::Several(errors) => errors.iter().flat_map(FetchError::all_help).collect(),
        }
    }
}

impl Fault for FetchError {
    fn outcome(&self) -> Outcome {
        match FetchError::kind(self) {
            Kind::Mismatch => Outcome::Mismatch,
            Kind::Refused => Outcome::Wrong,
            Kind::Unreachable => Outcome::Failed,
            Kind::Store => self.store().map_or(Outcome::Failed, Fault::outcome),
        }
    }

    fn help(&self) -> Option<String> {
        Some(FetchError::help(self).join("\n")).filter(|help| !help.is_empty())
    }
}

impl Failure {
    /// Returns a line for each location, with a line break before it.
    fn tried(&self) -> String {
        let attempts = self.attempts.iter();
        attempts
            .map(|attempt| format!("\n  `{}`: {}", attempt.location, attempt.reason))
            .collect()
    }

    fn kind(&self) -> Kind {
        let kinds = || self.attempts.iter().filter_map(|tried| tried.reason.kind());
        if kinds().any(|kind| kind == Kind::Mismatch) {
            Kind::Mismatch
        } else if kinds().all(|kind| kind == Kind::Refused) {
            Kind::Refused
        } else {
            Kind::Unreachable
        }
    }

    fn help(&self) -> Vec<String> {
        let attempts = self.attempts.iter();
        attempts
            .filter_map(|attempt| attempt.reason.help(&self.name))
            .collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not fetch `{}`", self.name)?;
        match (&self.digest, self.size) {
            (Some(digest), Some(size)) => write!(f, " (sha256 {digest}, {size} bytes)")?,
            (Some(digest), None) => write!(f, " (sha256 {digest})")?,
            (None, Some(size)) => write!(f, " ({size} bytes)")?,
            (None, None) => {}
        }
        f.write_str(&self.tried())
    }
}

impl Error for Failure {}

impl Reason {
    /// Returns what the reason says about the source; nothing for a place that is merely offered.
    fn kind(&self) -> Option<Kind> {
        Some(match self {
            Reason::Mismatch(_) | Reason::TooLong { .. } | Reason::Truncated { .. } => {
                Kind::Mismatch
            }
            Reason::Status { code, .. } if passing(*code) || *code == 407 => Kind::Unreachable,
            Reason::Status { .. }
            | Reason::Redirect(_)
            | Reason::NoUrl
            | Reason::NoRoot
            | Reason::TooLarge { .. }
            | Reason::Local(_) => Kind::Refused,
            Reason::Network(_)
            | Reason::Broke(_)
            | Reason::Silent { .. }
            | Reason::Slow { .. }
            | Reason::Untrusted(_)
            | Reason::NoCertificates(_)
            | Reason::Client(_)
            | Reason::Proxy { .. }
            | Reason::Offline => Kind::Unreachable,
            Reason::NotInMirror => return None,
        })
    }

    /// Says whether the same request may well work in a moment.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Reason::Truncated { .. }
            | Reason::Network(_)
            | Reason::Broke(_)
            | Reason::Silent { .. } => true,
            Reason::Status { code, .. } => passing(*code),
            _ => false,
        }
    }

    /// Returns what to do where a limit of this process is the reason.
    pub(crate) fn limit(&self) -> Option<&'static str> {
        match self {
            Reason::Local(LocalError::Io(source)) | Reason::Broke(source) => limit_help(source),
            Reason::Network(error) | Reason::Client(error) => limit_help_behind(error),
            _ => None,
        }
    }

    /// Returns what to do about a source of this name.
    fn help(&self, name: &str) -> Option<String> {
        if let Some(limit) = self.limit() {
            return Some(limit.to_owned());
        }
        let fixed = match self {
            Reason::Mismatch(_) => {
                return Some(format!(
                    "if the file was meant to change, check it and pin it anew with `mkimg pin --refresh --source {name}`; \
                     if not, what came is not what the recipe's author saw: do not use it"
                ));
            }
            Reason::Local(error) => return Some(error.help()),
            Reason::TooLarge { .. } => {
                "give the source its `size=`, or raise the bound with `--max-download SIZE`"
            }
            Reason::TooLong { .. } => "correct `size` in the recipe, or leave it out",
            Reason::Status {
                code: 404 | 410, ..
            }
            | Reason::NoRoot => {
                "correct the location or add another one; a `debian` location with `snapshot=\"..\"` stays \
                 when mirrors drop the version, and `--debian-mirror URL` names a further mirror"
            }
            Reason::Status { code: 407, .. } | Reason::Proxy { .. } => {
                "check the proxy variables (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`)"
            }
            Reason::Status { code, .. } if !passing(*code) => {
                "correct the location, or add another one"
            }
            Reason::Redirect(_) | Reason::NoUrl => "correct the location, or add another one",
            Reason::Truncated { .. }
            | Reason::Status { .. }
            | Reason::Network(_)
            | Reason::Broke(_)
            | Reason::Silent { .. }
            | Reason::Slow { .. }
            | Reason::Client(_) => {
                "check the network and the proxy variables and try again; a file that was fetched by other means \
                 can be given with `mkimg add FILE`"
            }
            Reason::Untrusted(_) | Reason::NoCertificates(_) => {
                "install the system's root certificates (package `ca-certificates`) and check the clock; \
                 `SSL_CERT_FILE` can name a file of your own"
            }
            Reason::Offline => {
                "run once without `--offline`, or give the file with `mkimg add FILE` or `--mirror DIR`"
            }
            Reason::NotInMirror => return None,
        };
        Some(fixed.to_owned())
    }
}

/// Says whether a status tells of a passing trouble: time-out, too many requests, a fault of the server. What a server does not
/// know (501, 505) it does not know in a moment either.
pub(super) fn passing(code: u16) -> bool {
    matches!(code, 408 | 429 | 500..=599) && !matches!(code, 501 | 505)
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "wrong bytes: expected sha256 {}, got {} in {} bytes",
            self.expected, self.actual, self.got
        )?;
        if let Some(size) = self.size {
            write!(f, " of {size}")?;
        }
        if let Some(encoding) = &self.encoding {
            write!(f, "; the server encoded it with `{encoding}`, unasked")?;
        }
        if let Some(line) = &self.begins {
            write!(f, "; it is text that begins with `{line}`")?;
        }
        Ok(())
    }
}

fn needs(size: &Option<u64>) -> String {
    size.map(|size| format!(" ({size} bytes)"))
        .unwrap_or_default()
}

fn announced(declared: &Option<u64>) -> String {
    match declared {
        Some(size) => format!("it has {size}"),
        None => "more came".to_owned(),
    }
}

fn instead(scheme: &Option<String>) -> String {
    scheme
        .as_ref()
        .map(|scheme| format!(", and not `{scheme}`"))
        .unwrap_or_default()
}

fn of(declared: &Option<u64>) -> String {
    declared
        .map(|size| format!(" of {size}"))
        .unwrap_or_default()
}

fn joined(errors: &[FetchError]) -> String {
    let texts: Vec<String> = errors.iter().map(FetchError::to_string).collect();
    texts.join("\n")
}

/// Returns every error behind an error, itself first. An [`io::Error`] counts what it wraps, which its `source` skips.
pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), next_of)
}

fn next_of<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let error: &'a (dyn Error + 'static) = *error;
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// Returns the texts of an error and of all that is behind it.
fn whole(error: &StoreError) -> String {
    let mut texts: Vec<String> = chain(error).map(ToString::to_string).collect();
    // An `io::Error` around another error has the same text.
    texts.dedup();
    texts.join(": ")
}

/// Returns the text of the last error of the chain: what the system or the protocol said, without the layers around it.
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
