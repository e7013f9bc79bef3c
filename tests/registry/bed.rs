//! A small registry that does all right, to be wrapped by what goes wrong; and a cache and a client with short pauses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mkimg::digest::Digest;
use mkimg::fault::Fault as _;
use mkimg::progress::{Event, Progress};
use mkimg::share::oci::{Descriptor, EMPTY, INDEX, Index, MANIFEST, Manifest, TITLE};
use mkimg::share::registry::{Registry, RegistryOptions};
use mkimg::share::{Reference, ShareError};
use mkimg::source::fetch::FetchOptions;
use mkimg::store::Store;

use crate::server::{Reply, Request, Server};

/// What a registry holds.
#[derive(Clone, Default)]
pub struct Fake {
    pub blobs: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// By tag and by digest.
    pub manifests: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Whether it has the referrers API.
    pub referrers: bool,
}

impl Fake {
    pub fn with_blob(self, bytes: &[u8]) -> Fake {
        self.blobs
            .lock()
            .unwrap()
            .insert(named(bytes), bytes.to_vec());
        self
    }

    pub fn with_manifest(self, tag: &str, bytes: &[u8]) -> Fake {
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(tag.to_owned(), bytes.to_vec());
        manifests.insert(named(bytes), bytes.to_vec());
        drop(manifests);
        self
    }

    /// Answers as the distribution specification asks.
    pub fn answer(&self, request: &Request) -> Reply {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let Some(rest) = path.strip_prefix("/v2/team/thing/") else {
            return missing();
        };
        let (kind, name) = rest.split_once('/').unwrap_or_default();
        match (request.method.as_str(), kind) {
            ("GET" | "HEAD", "blobs") => match self.blobs.lock().unwrap().get(name) {
                Some(bytes) => Reply::file(request, bytes),
                None => missing(),
            },
            ("POST", "blobs") => {
                Reply::new("202 Accepted", b"").header("Location", "upload?state=a%2Fb")
            }
            ("PUT", "blobs") => {
                assert!(query.starts_with("state=a%2Fb&digest=sha256"), "{query}");
                assert!(query.ends_with(&named(&request.body)[7..]), "{query}");
                let mut blobs = self.blobs.lock().unwrap();
                blobs.insert(named(&request.body), request.body.clone());
                Reply::new("201 Created", b"")
            }
            ("GET" | "HEAD", "manifests") => match self.manifests.lock().unwrap().get(name) {
                Some(bytes) => Reply::ok(bytes).header("Docker-Content-Digest", &named(bytes)),
                None => missing(),
            },
            ("PUT", "manifests") => {
                let mut manifests = self.manifests.lock().unwrap();
                manifests.insert(name.to_owned(), request.body.clone());
                manifests.insert(named(&request.body), request.body.clone());
                let reply = Reply::new("201 Created", b"")
                    .header("Docker-Content-Digest", &named(&request.body));
                match self.referrers {
                    true => reply.header("OCI-Subject", "sha256:.."),
                    false => reply,
                }
            }
            ("GET", "referrers") if self.referrers => self.list(name, query),
            _ => missing(),
        }
    }

    /// The referrers API, one entry in each answer.
    fn list(&self, subject: &str, query: &str) -> Reply {
        let mut found: BTreeMap<String, Descriptor> = BTreeMap::new();
        for bytes in self.manifests.lock().unwrap().values() {
            let Ok(manifest) = Manifest::parse(bytes, "it") else {
                continue;
            };
            let of = manifest.subject.as_ref();
            if of.is_some_and(|of| format!("sha256:{}", of.digest) == subject) {
                found.insert(named(bytes), manifest.descriptor());
            }
        }
        let at: usize = query.strip_prefix("at=").unwrap_or("0").parse().unwrap();
        let part = found.into_values().skip(at);
        let mut part: Vec<Descriptor> = part.take(2).collect();
        let more = part.len() == 2;
        part.truncate(1);
        let index = Index {
            artifact_type: None,
            manifests: part,
            annotations: BTreeMap::new(),
        };
        let reply = Reply::ok(&index.bytes()).header("Content-Type", INDEX);
        match more {
            true => reply.header("Link", &format!("<?at={}>; rel=\"next\"", at + 1)),
            false => reply,
        }
    }

    pub fn serve(&self) -> Server {
        let fake = self.clone();
        Server::start(move |request| fake.answer(request))
    }

    /// Serves, but first asks `odd` for another answer.
    pub fn serve_but(
        &self,
        odd: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Server {
        let fake = self.clone();
        Server::start(move |request| odd(request).unwrap_or_else(|| fake.answer(request)))
    }
}

pub fn missing() -> Reply {
    Reply::new(
        "404 Not Found",
        br#"{"errors":[{"code":"NAME_UNKNOWN","message":"nothing\u001b[31m here"}]}"#,
    )
}

pub fn named(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Progress for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    pub fn text(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }

    pub fn pauses(&self) -> Vec<Duration> {
        let pause = |event: &Event| match event {
            Event::DownloadRetried { pause, .. } => Some(*pause),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(pause).collect()
    }
}

pub struct Bed {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub seen: Recorder,
    pub options: RegistryOptions,
}

impl Bed {
    pub fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cache")).unwrap();
        Bed {
            dir,
            store,
            seen: Recorder::default(),
            options: RegistryOptions {
                fetch: FetchOptions {
                    pause: Duration::from_millis(1),
                    longest_pause: Duration::from_millis(5),
                    idle_timeout: Duration::from_millis(500),
                    ..FetchOptions::default()
                },
                credentials: Vec::new(),
                plain_http: false,
            },
        }
    }

    /// The repository `team/thing` of a server.
    pub fn registry(&self, server: &Server) -> Registry<'_> {
        self.registry_at(&server.address())
    }

    pub fn registry_at(&self, registry: &str) -> Registry<'_> {
        let reference: Reference = format!("{registry}/team/thing").parse().unwrap();
        Registry::new(&reference, self.options.clone(), &self.seen).unwrap()
    }

    /// Writes a file with credentials and has it looked at.
    pub fn credentials(&mut self, text: &str) -> PathBuf {
        let path = self
            .dir
            .path()
            .join(format!("auth-{}.json", self.options.credentials.len()));
        std::fs::write(&path, text).unwrap();
        self.options.credentials.push(path.clone());
        path
    }
}

/// Returns the text of an error, with its help, and the exit code that it leads to.
pub fn told(error: &ShareError) -> (String, u8) {
    let help = match error {
        ShareError::Registry(error) => error.help(),
        _ => None,
    };
    let code = match error.outcome() {
        mkimg::fault::Outcome::Failed => 1,
        mkimg::fault::Outcome::Wrong => 2,
        mkimg::fault::Outcome::Mismatch => 3,
        other => panic!("{other:?} is nothing that sharing ends with"),
    };
    (format!("{error}\n{}", help.unwrap_or_default()), code)
}

/// Asserts that an error has this code and these words, and moves no cursor.
pub fn assert_told(error: &ShareError, code: u8, words: &[&str]) {
    let (text, found) = told(error);
    assert_eq!(found, code, "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

/// A manifest with one layer.
pub fn manifest(layer: &[u8]) -> Manifest {
    Manifest {
        artifact_type: Some("application/vnd.mkimg.image.v1".to_owned()),
        config: Descriptor::of(EMPTY, b"{}"),
        layers: vec![layer_of(layer)],
        subject: None,
        annotations: BTreeMap::new(),
    }
}

pub fn layer_of(bytes: &[u8]) -> Descriptor {
    Descriptor::of("application/octet-stream", bytes).with(TITLE, "vmlinuz")
}

pub fn of_manifest(bytes: &[u8]) -> Descriptor {
    Descriptor::of(MANIFEST, bytes)
}

/// Bytes that are no text and repeat nowhere.
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}
