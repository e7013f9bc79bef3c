//! A repository of an OCI registry (the OCI distribution specification), over the client that sources are fetched with.
//!
//! What a registry says is believed only where a digest proves it. Credentials are sent when they are asked for, to the
//! registry and the token server that it names; no redirect takes them elsewhere.

mod access;
mod challenge;
mod credentials;
mod error;
mod exchange;
mod referrers;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header;
use reqwest::{Method, Url};
use serde_json::Value;

pub use error::RegistryError;

/// What `fuzz/` runs on the private parts.
#[cfg(fuzzing)]
#[path = "../../../fuzz/fuzz_targets/registry.rs"]
pub(crate) mod fuzzing;

use super::oci::{Descriptor, INDEX, MANIFEST, MAX_MANIFEST, TITLE};
use super::text::fit;
use super::{Destination, Origin, Reference, ShareError};
use crate::digest::Digest;
use crate::place::Place;
use crate::progress::{Event, Progress};
use crate::source::fetch::redirect::is_loopback;
use crate::source::fetch::{
    Authorization, Deadline, FetchError, FetchOptions, Fetcher, Http, Reason, Wanted,
};
use crate::source::oci::ACCEPTED;
use crate::store::{Blob, Store, StoreError};
use credentials::Credentials;
use exchange::{Outgoing, Question, Reply};

/// The header with the digest of a manifest.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// The header that says that a referrer was listed under its subject.
const SUBJECT: &str = "oci-subject";

/// The most manifests that are remembered: a registry could name any number.
const MAX_KNOWN: usize = 64;

/// How a registry is talked to.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// Proxies, time-outs, tries, `--offline`; of where sources are nothing counts.
    pub fetch: FetchOptions,
    /// Files with credentials, in the order to look.
    pub credentials: Vec<PathBuf>,
    /// Whether to speak plain http with a registry on another machine.
    pub plain_http: bool,
}

/// One repository of a registry.
pub struct Registry<'a> {
    reference: Reference,
    /// `http(s)://REGISTRY/v2/`.
    base: Url,
    options: RegistryOptions,
    progress: &'a dyn Progress,
    http: Arc<Http>,
    /// What the registry knows us by: a token, or name and password.
    authorization: Mutex<Option<Authorization>>,
    /// Whether anything is to be written: tokens are then asked to allow it.
    writes: AtomicBool,
    /// The credentials, once they were looked for.
    credentials: Mutex<Option<Option<Credentials>>>,
    /// Manifests that were read, so that none is fetched twice, nor changes between two looks.
    manifests: Mutex<BTreeMap<Digest, Vec<u8>>>,
}

impl fmt::Debug for Registry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("reference", &self.reference)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What became of a manifest that was sent.
struct Put {
    /// The registry listed it under its subject.
    indexed: bool,
}

impl<'a> Registry<'a> {
    /// Returns the repository that a reference names. Nothing is asked before it must be.
    ///
    /// # Errors
    /// [`ShareError::Invalid`] for a reference that was not made by parsing and has no URL.
    pub fn new(
        reference: &Reference,
        options: RegistryOptions,
        progress: &'a dyn Progress,
    ) -> Result<Registry<'a>, ShareError> {
        let no_url =
            |_| ShareError::invalid(format!("`{reference}`"), "it is no reference to a registry");
        let mut base = Url::parse(&format!("http://{}/v2/", reference.registry)).map_err(no_url)?;
        if !(options.plain_http || is_loopback(&base)) {
            base = Url::parse(&format!("https://{}/v2/", reference.registry)).map_err(no_url)?;
        }
        let mut options = options;
        options.fetch.plain_http = options.plain_http;
        options.fetch.mirrors.clear();
        // What is for this machine alone is not told to a proxy, credentials least of all.
        let direct = "localhost,127.0.0.0/8,::1".to_owned();
        options.fetch.proxies.no = Some(match options.fetch.proxies.no.take() {
            Some(no) => format!("{no},{direct}"),
            None => direct,
        });
        Ok(Registry {
            reference: reference.clone(),
            base,
            options,
            progress,
            http: Arc::default(),
            authorization: Mutex::default(),
            writes: AtomicBool::new(false),
            credentials: Mutex::default(),
            manifests: Mutex::default(),
        })
    }

    /// Returns the URL of something in the repository.
    fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Fails only for URLs without a host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(self.reference.repository.split('/'))
                .extend(parts);
        }
        url
    }

    /// Returns the manifest or index that a tag or a digest names, Docker's own among them.
    ///
    /// # Errors
    /// [`ShareError`].
    pub fn document(&self, wanted: &str) -> Result<Option<Vec<u8>>, ShareError> {
        Ok(self.read_as(wanted, ACCEPTED)?.map(|(_, bytes)| bytes))
    }

    /// Reads the manifest or index that a tag or a digest names.
    fn read(&self, wanted: &str) -> Result<Option<(Descriptor, Vec<u8>)>, ShareError> {
        self.read_as(wanted, &format!("{INDEX}, {MANIFEST}"))
    }

    fn read_as(
        &self,
        wanted: &str,
        accepted: &str,
    ) -> Result<Option<(Descriptor, Vec<u8>)>, ShareError> {
        let object = object(wanted);
        let what = format!("read {object}");
        let reply = self.exchange(&Question {
            what: &what,
            method: Method::GET,
            url: &self.url(&["manifests", wanted]),
            headers: &[(header::ACCEPT, accepted.to_owned())],
            body: Outgoing::Nothing,
            limit: MAX_MANIFEST,
            tries: self.options.fetch.tries,
        })?;
        match reply.status() {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.odd(&what, &reply)),
        }
        let digest = Digest::of(&reply.body);
        let named = wanted.strip_prefix("sha256:").map(str::to_owned);
        for expected in [named, announced(&reply)].into_iter().flatten() {
            if expected != digest.to_string() {
                return Err(ShareError::Mismatch {
                    object: format!("{object} of `{}`", self.name()),
                    expected: format!("sha256:{expected}"),
                    found: format!("sha256:{digest} in {} bytes", reply.body.len()),
                });
            }
        }
        let descriptor = Descriptor::new(&media_type(&reply), digest, reply.body.len() as u64);
        let mut manifests = self.manifests();
        if manifests.len() >= MAX_KNOWN {
            manifests.clear();
        }
        manifests.insert(digest, reply.body.clone());
        Ok(Some((descriptor, reply.body)))
    }

    /// Says whether a tag or a digest names this manifest already.
    fn has_manifest(&self, descriptor: &Descriptor, at: &str) -> Result<bool, ShareError> {
        let what = format!("look for {}", object(at));
        let reply = self.exchange(&Question {
            what: &what,
            method: Method::HEAD,
            url: &self.url(&["manifests", at]),
            headers: &[(header::ACCEPT, format!("{INDEX}, {MANIFEST}"))],
            body: Outgoing::Nothing,
            limit: 0,
            tries: self.options.fetch.tries,
        })?;
        Ok(reply.status() == 200 && announced(&reply) == Some(descriptor.digest.to_string()))
    }

    /// Sends a manifest or an index to a tag or a digest.
    fn send_manifest(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        to: &str,
    ) -> Result<Put, ShareError> {
        let what = format!("send {}", object(to));
        let tries = self.options.fetch.tries;
        let mut failures = 0;
        let reply = loop {
            let reply = self.exchange(&Question {
                what: &what,
                method: Method::PUT,
                url: &self.url(&["manifests", to]),
                headers: &[(header::CONTENT_TYPE, descriptor.media_type.clone())],
                body: Outgoing::Bytes(bytes),
                limit: MAX_MANIFEST,
                tries,
            })?;
            failures += 1;
            // All that the manifest names was there a moment ago. While another client sends the same, Debian's registry does
            // not find it for some milliseconds.
            if failures >= tries || !reply.has_code("MANIFEST_BLOB_UNKNOWN") {
                break reply;
            }
            self.pause(&what, &reply, failures);
        };
        if !matches!(reply.status(), 200..=204) {
            return Err(self.odd(&what, &reply));
        }
        let own = descriptor.digest.to_string();
        if let Some(found) = announced(&reply).filter(|found| *found != own) {
            return Err(ShareError::Mismatch {
                object: format!("{}, as `{}` took it", object(to), self.name()),
                expected: format!("sha256:{own}"),
                found: format!("sha256:{found}"),
            });
        }
        Ok(Put {
            indexed: reply.header(SUBJECT).is_some(),
        })
    }

    fn manifests(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Vec<u8>>> {
        self.manifests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches a blob; the bytes of an interrupted download are kept and taken up again.
    fn download(&self, wanted: &Descriptor, store: &Store) -> Result<Blob, ShareError> {
        let url = self.url(&["blobs", &format!("sha256:{}", wanted.digest)]);
        let name = blob_name(wanted);
        let source = Wanted {
            name: label(wanted),
            digest: wanted.digest,
            size: Some(wanted.size),
            places: vec![Place::Url(url.clone().into())],
            base: Path::new("/").to_path_buf(),
        };
        let mut authorized = false;
        loop {
            let fetcher = Fetcher::new(store, self.progress, self.patience(wanted.size))
                .with(self.http.clone(), self.authorization());
            let error = match fetcher.fetch_all(std::slice::from_ref(&source)) {
                Ok(mut blobs) => match blobs.pop() {
                    Some(blob) => return Ok(blob),
                    None => return Err(self.missing(wanted)),
                },
                Err(error) => error,
            };
            let reason = match error {
                FetchError::Source(mut failure) => match failure.attempts.pop() {
                    Some(attempt) => attempt.reason,
                    None => return Err(self.missing(wanted)),
                },
                FetchError::Store { error, .. } => return Err(ShareError::Store(*error)),
                error => return Err(ShareError::Realize(error.into())),
            };
            match reason {
                // Whoever asks has to say who it is, or the token ran out: asking for less finds out, and then knows.
                Reason::Status { code: 401, .. } if !authorized => {
                    authorized = true;
                    self.has_blob(wanted)?;
                }
                Reason::Status { code: 404, .. } => return Err(self.missing(wanted)),
                Reason::Mismatch(mismatch) => {
                    return Err(ShareError::Mismatch {
                        object: format!("{name} of `{}`", self.name()),
                        expected: format!("sha256:{} in {} bytes", wanted.digest, wanted.size),
                        found: format!("sha256:{} in {} bytes", mismatch.actual, mismatch.got),
                    });
                }
                reason => {
                    let what = format!("fetch {name}");
                    return Err(self.unreachable(&what, reason, None));
                }
            }
        }
    }

    /// Returns how a blob is fetched: one as small as a document is given up where it drips.
    fn patience(&self, size: u64) -> FetchOptions {
        let mut options = self.options.fetch.clone();
        if size <= MAX_MANIFEST && options.deadline.is_none() {
            let one = options.idle_timeout.saturating_add(options.longest_pause);
            options.deadline = Some(Deadline::after(one.saturating_mul(options.tries)));
        }
        options
    }

    fn missing(&self, wanted: &Descriptor) -> ShareError {
        ShareError::Missing {
            object: blob_name(wanted),
            place: format!("`{}`", self.name()),
        }
    }
}

impl Origin for Registry<'_> {
    fn name(&self) -> String {
        self.reference.name()
    }

    fn resolve(&self, tag: &str) -> Result<Option<Descriptor>, ShareError> {
        Ok(self.read(tag)?.map(|(descriptor, _)| descriptor))
    }

    fn manifest(&self, wanted: &Descriptor) -> Result<Vec<u8>, ShareError> {
        let known = self.manifests().get(&wanted.digest).cloned();
        let digest = format!("sha256:{}", wanted.digest);
        let bytes = match known {
            Some(bytes) => bytes,
            None => match self.read(&digest)? {
                Some((_, bytes)) => bytes,
                None => {
                    return Err(ShareError::Missing {
                        object: object(&digest),
                        place: format!("`{}`", self.name()),
                    });
                }
            },
        };
        wanted.check(&format!("{} of `{}`", object(&digest), self.name()), &bytes)?;
        Ok(bytes)
    }

    fn blob(&self, wanted: &Descriptor, store: &Store) -> Result<Blob, ShareError> {
        if let Some(Err(error @ StoreError::Damaged { .. })) =
            store.blob(&wanted.digest).map(|blob| blob.verify())
        {
            self.progress
                .event(Event::Warning(format!("{error}: fetching it again")));
            store.remove_blob(&wanted.digest)?;
        }
        let blob = self.download(wanted, store)?;
        if blob.size == wanted.size {
            return Ok(blob);
        }
        Err(ShareError::Mismatch {
            object: format!("{} of `{}`", blob_name(wanted), self.name()),
            expected: format!("{} bytes", wanted.size),
            found: format!("{} bytes", blob.size),
        })
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ShareError> {
        self.list_referrers(subject)
    }
}

impl Destination for Registry<'_> {
    fn put_blob(&self, descriptor: &Descriptor, blob: &Blob) -> Result<bool, ShareError> {
        self.begin_writing();
        if self.has_blob(descriptor)? {
            return Ok(false);
        }
        self.send_blob(descriptor, blob)?;
        Ok(true)
    }

    fn put_manifest(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        tag: Option<&str>,
    ) -> Result<(), ShareError> {
        self.begin_writing();
        let digest = format!("sha256:{}", descriptor.digest);
        let to = tag.unwrap_or(&digest);
        // Nothing is written where nothing changes: a tag may be one that nobody may move.
        if !self.has_manifest(descriptor, to)? {
            self.send_manifest(descriptor, bytes, to)?;
        }
        Ok(())
    }

    fn put_referrer(
        &self,
        subject: &Digest,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), ShareError> {
        self.begin_writing();
        self.send_referrer(subject, descriptor, bytes)
    }
}

fn object(wanted: &str) -> String {
    match wanted.starts_with("sha256:") {
        true => format!("the manifest `{wanted}`"),
        false => format!("the tag `{wanted}`"),
    }
}

/// Returns the sha256 that an answer announces for its manifest, in hexadecimal.
fn announced(reply: &Reply) -> Option<String> {
    let text = reply.header(CONTENT_DIGEST)?;
    let hex = text.strip_prefix("sha256:")?;
    // What is no digest is shown as little as it is believed.
    Some(
        hex.parse::<Digest>()
            .map_or_else(|_| fit(hex), |digest| digest.to_string()),
    )
}

/// Returns the media type of a manifest: what it says itself, else what the registry says.
fn media_type(reply: &Reply) -> String {
    let value: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let own = value.and_then(|value| value["mediaType"].as_str().map(str::to_owned));
    let said = || {
        let header = reply.header(header::CONTENT_TYPE.as_str())?;
        Some(header.split(';').next()?.trim().to_owned())
    };
    own.or_else(said).unwrap_or_default()
}

/// Returns a blob's name for people: its digest, and its file name where it has a plain one.
fn blob_name(descriptor: &Descriptor) -> String {
    match title(descriptor) {
        Some(title) => format!("the blob `sha256:{}` ({title})", descriptor.digest),
        None => format!("the blob `sha256:{}`", descriptor.digest),
    }
}

/// Returns a blob's name for a line about its progress.
fn label(descriptor: &Descriptor) -> String {
    let short = || format!("sha256:{}", descriptor.digest.short());
    title(descriptor).map_or_else(short, str::to_owned)
}

fn title(descriptor: &Descriptor) -> Option<&str> {
    let is_plain = |title: &&str| {
        (1..=100).contains(&title.len()) && title.chars().all(|c| c.is_ascii_graphic())
    };
    let title = descriptor.annotations.get(TITLE)?;
    Some(title.as_str()).filter(is_plain)
}
