//! Substitutes: an image that somebody else made, taken instead of making it, where a key that is trusted has signed it.
//!
//! ```text
//! plan id --place--> manifest --signature--> trusted --lock--> as expected --every byte--> image in the cache
//! ```
//!
//! Nothing here can break a build: a place that is away, slow, or lies, is named and passed over.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, Url};

use super::bundle::Bundle;
use super::registry::{Registry, RegistryOptions};
use super::sign::{AllowedSigners, Claim, vouched};
use super::{Origin, Place, ShareError, Shared, list, plan_tag, substitute};
use crate::digest::Digest;
use crate::dir;
use crate::lock::Locked;
use crate::plan::Plan;
use crate::progress::{Event, Progress};
use crate::realize::Realized;
use crate::source::fetch::redirect::target;
use crate::source::fetch::{Deadline, Http, Reason, Request};
use crate::store::{Scratch, Store, StoreError};

/// How long a connection to a place may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a place may be silent.
const IDLE: Duration = Duration::from_secs(5);
/// How long a place may take to say what it has, all its answers together.
const ASKING: Duration = Duration::from_secs(15);
/// How long it may take to send the image, beside the time for its bytes.
const SENDING: Duration = Duration::from_secs(10);
/// Bytes in a second that it must send on the whole: 1 MBit/s. Who is slower is no faster than building.
const SLOWEST: u64 = 128 << 10;
/// The longest that a bundle may take, whose size nobody signed.
const LONGEST: Duration = Duration::from_secs(120);
/// Bytes read at once.
const BUFFER: usize = 128 * 1024;

/// What is looked for, and what may be taken.
pub struct Search<'a> {
    /// The plan whose image is wanted.
    pub plan: &'a Plan,
    /// What the lock expects of it.
    pub expected: Option<&'a Locked>,
    /// Who is believed.
    pub trust: &'a AllowedSigners,
    /// The time, in seconds since 1970: keys may be trusted for a while.
    pub now: u64,
    /// The cache to fill.
    pub store: &'a Store,
    /// The most bytes that a file may claim to have.
    pub limit: u64,
    /// How places are reached; how patiently is decided here.
    pub options: &'a RegistryOptions,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// An image that was taken from a place.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The image in the cache.
    pub realized: Realized,
    /// The place.
    pub place: String,
    /// The digest of its manifest there.
    pub digest: Digest,
    /// The names of those who signed it.
    pub signers: Vec<String>,
}

/// Why a place was passed over.
#[derive(Debug, thiserror::Error)]
enum PassedOver {
    #[error(transparent)]
    Share(#[from] ShareError),
    // The reason says all of it, causes included.
    #[error("could not fetch the bundle: {0}")]
    Fetch(Box<Reason>),
    #[error("could not {what}")]
    Io {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("its image is one of the plan {0}")]
    OtherPlan(Digest),
    #[error("no key that you trust signed its image `sha256:{digest}`: {why}")]
    Untrusted { digest: Digest, why: String },
    #[error("its image is not the one that the lock expects: {0}")]
    NotLocked(String),
    #[error("its bundle has {0} bytes, more than the {1} of `--max-unpacked`")]
    TooLarge(u64, u64),
}

impl From<Reason> for PassedOver {
    fn from(reason: Reason) -> PassedOver {
        PassedOver::Fetch(Box::new(reason))
    }
}

impl Search<'_> {
    /// Asks places, in order, until one gives the image. `None` where none does: then it has to be made.
    pub fn ask(&self, places: &[Place]) -> Option<Taken> {
        places.iter().find_map(|place| {
            let detail = |text: String| self.progress.event(Event::Detail(text));
            if self.options.fetch.offline && !matches!(place, Place::Directory(_)) {
                detail(format!("`{place}` was not asked: `--offline`"));
                return None;
            }
            match self.ask_one(place) {
                Ok(Some(taken)) => Some(taken),
                Ok(None) => {
                    let plan = self.plan.id();
                    detail(format!("`{place}` has no image of the plan {plan}"));
                    None
                }
                Err(error) => {
                    let text = format!(
                        "the substitute `{place}` was passed over: {}",
                        whole(&error)
                    );
                    self.progress.event(Event::Warning(text));
                    None
                }
            }
        })
    }

    fn ask_one(&self, place: &Place) -> Result<Option<Taken>, PassedOver> {
        let deadline = Deadline::after(ASKING);
        let mut options = self.options.clone();
        options.fetch.deadline = Some(deadline.clone());
        options.fetch.connect_timeout = options.fetch.connect_timeout.min(CONNECT);
        options.fetch.idle_timeout = options.fetch.idle_timeout.min(IDLE);
        options.fetch.tries = 1;
        match place {
            Place::Registry(reference) => {
                let registry = Registry::new(reference, options, self.progress)?;
                self.take(place, &registry, &plan_tag(&self.plan.id()), &deadline)
            }
            Place::Directory(path) => {
                let file = path.join(self.bundle_name());
                match is_file(&file) {
                    Ok(true) => self.open(place, &file, &file.display().to_string(), &deadline),
                    Ok(false) => Ok(None),
                    Err(source) => Err(PassedOver::Io {
                        what: "look into it",
                        source,
                    }),
                }
            }
            Place::Web(url) => {
                let unusable = |_| Reason::NoUrl;
                let url = url.join(&self.bundle_name()).map_err(unusable)?;
                match self.download(&url, &options, &deadline)? {
                    Some(file) => self.open(place, file.path(), url.as_str(), &deadline),
                    None => Ok(None),
                }
            }
        }
    }

    fn bundle_name(&self) -> String {
        format!("{}.mkimg", plan_tag(&self.plan.id()))
    }

    fn open(
        &self,
        place: &Place,
        file: &Path,
        name: &str,
        deadline: &Deadline,
    ) -> Result<Option<Taken>, PassedOver> {
        let size = dir::metadata(file).map_or(0, |found| found.len());
        if size > self.limit {
            return Err(PassedOver::TooLarge(size, self.limit));
        }
        let bundle = Bundle::open_as(file, name)?;
        self.take(place, &bundle, &bundle.name, deadline)
    }

    /// Takes the image of the plan from an origin, where all is as it should be.
    fn take(
        &self,
        place: &Place,
        origin: &dyn Origin,
        tag: &str,
        deadline: &Deadline,
    ) -> Result<Option<Taken>, PassedOver> {
        let Some(root) = origin.resolve(tag)? else {
            return Ok(None);
        };
        let arch = self.plan.arch.facts().oci;
        let found = list(origin, root)?;
        let of_arch = found.images.iter().find(|image| {
            let named = image.architecture.as_deref();
            named.is_none_or(|named| named == arch)
        });
        let Some(descriptor) = of_arch else {
            return Ok(None);
        };
        let shared = Shared::read(origin, descriptor, self.store, self.limit)?;
        if !shared.image.is_of(self.plan) {
            return Err(PassedOver::OtherPlan(shared.image.plan));
        }
        let vouched = vouched(
            origin,
            descriptor,
            &shared.image,
            Claim::Signature,
            self.trust,
            self.now,
            self.store,
        )?;
        if vouched.by.is_empty() {
            return Err(PassedOver::Untrusted {
                digest: descriptor.digest,
                why: match vouched.ignored.is_empty() {
                    true => {
                        "nobody did; whoever publishes it signs it with `mkimg sign`".to_owned()
                    }
                    false => format!(
                        "{}; if you trust whoever did, add the key to the file that `--trust` names",
                        vouched.why_not()
                    ),
                },
            });
        }
        if let Some(expected) = self.expected {
            let changes = expected.image_changes(&Locked::of(&shared.image));
            if let Some(change) = changes.into_iter().next() {
                return Err(PassedOver::NotLocked(change.what));
            }
        }
        let image = &shared.image;
        deadline.restart(time_for(
            image.kernel.size.saturating_add(image.initramfs.size),
        ));
        let realized = substitute(origin, &shared, self.plan, self.store)?;
        Ok(Some(Taken {
            realized,
            place: place.to_string(),
            digest: descriptor.digest,
            signers: vouched.by.into_iter().map(|by| by.principals).collect(),
        }))
    }

    /// Fetches a bundle into a file of this process; `None` where there is none.
    fn download(
        &self,
        url: &Url,
        options: &RegistryOptions,
        deadline: &Deadline,
    ) -> Result<Option<Scratch>, PassedOver> {
        let contact = |url: &Url| {
            let text = format!("contacting `{}`", target(url));
            self.progress.event(Event::Detail(text));
        };
        let request = Request {
            method: Method::GET,
            url,
            headers: &[],
            authorization: None,
            body: None,
        };
        let mut answer = Http::default().send(request, &options.fetch, &contact)?;
        match answer.status() {
            200 => {}
            404 | 410 => return Ok(None),
            _ => return Err(answer.refusal().into()),
        }
        let declared = answer.length();
        if let Some(size) = declared.filter(|size| *size > self.limit) {
            return Err(PassedOver::TooLarge(size, self.limit));
        }
        deadline.restart(declared.map_or(LONGEST, |size| time_for(size).min(LONGEST)));
        let name = self.bundle_name();
        self.progress.event(Event::DownloadStarted {
            name: name.clone(),
            url: target(url),
            size: declared,
            have: 0,
        });
        let mut file = self.store.scratch().map_err(ShareError::from)?;
        let mut buffer = vec![0u8; BUFFER];
        let mut have = 0;
        loop {
            let count = answer.read(&mut buffer, have, declared)?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            have += count as u64;
            if have > self.limit {
                return Err(PassedOver::TooLarge(have, self.limit));
            }
            let path = file.path().to_path_buf();
            file.write_all(bytes)
                .map_err(|error| ShareError::from(StoreError::io("write", &path, error)))?;
            let name = name.clone();
            self.progress.event(Event::DownloadAdvanced { name, have });
        }
        self.progress
            .event(Event::DownloadFinished { name, size: have });
        Ok(Some(file))
    }
}

/// Returns how long so many bytes may take.
fn time_for(bytes: u64) -> Duration {
    SENDING + Duration::from_secs(bytes / SLOWEST)
}

/// Says whether there is such a file; a pipe or a device, which could keep us waiting, is none.
fn is_file(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(io::Error::other(format!("`{}` is no file", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A directory that is not there is away; one without the file has no such image.
            fs::metadata(path.parent().unwrap_or(path)).map(|_| false)
        }
        Err(error) => Err(error),
    }
}

/// Returns an error with its causes, on one line.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        // Many errors print their cause themselves.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text.replace('\n', " ")
}
