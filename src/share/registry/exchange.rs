//! One question to a registry and its answer: who asks, how often, how long, and how much is read of what comes back.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::header::{self, HeaderName};
use reqwest::{Method, Url, blocking::Body};
use serde_json::Value;

use super::{CONTENT_DIGEST, Registry, RegistryError};
use crate::digest::Digest;
use crate::progress::Event;
use crate::share::ShareError;
use crate::share::text::fit;
use crate::source::fetch::redirect::{self, target};
use crate::source::fetch::{Answer, Authorization, Reason, Request};
use crate::store::{Blob, BlobReader};

/// The most bytes that are read of what a registry says to a refusal.
const MAX_SAID: u64 = 64 << 10;
/// How often a registry may be silent.
const SILENCES: u32 = 2;
/// Bytes in a second that a document comes with at least, or it is given up.
const SLOWEST_DOCUMENT: u64 = 4 << 10;
/// Bytes in a second that sending is taken to reach at least: slower is silence.
const SLOWEST: u64 = 32 << 10;

/// What is asked of a server.
pub(super) struct Question<'q> {
    /// What it is for, in words that complete "could not ..".
    pub(super) what: &'q str,
    pub(super) method: Method,
    pub(super) url: &'q Url,
    pub(super) headers: &'q [(HeaderName, String)],
    pub(super) body: Outgoing<'q>,
    /// The most bytes that a good answer has.
    pub(super) limit: u64,
    /// How often it may be asked.
    pub(super) tries: u32,
}

/// What is sent.
pub(super) enum Outgoing<'q> {
    Nothing,
    Bytes(&'q [u8]),
    /// A form with a secret in it: it goes nowhere but where it was addressed to.
    Form(&'q [u8]),
    /// A blob; how much of it went out is counted.
    Blob(&'q Blob, Arc<AtomicU64>),
}

/// Reads a blob and counts.
struct Counted {
    reader: BlobReader,
    sent: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// An answer with its body, as far as that is of use.
#[derive(Debug)]
pub(super) struct Reply {
    answer: Answer,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn status(&self) -> u16 {
        self.answer.status()
    }

    pub(super) fn url(&self) -> &Url {
        self.answer.url()
    }

    pub(super) fn location(&self) -> String {
        self.answer.location()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    /// Returns the length that the server announces, also in an answer to HEAD.
    pub(super) fn announced_length(&self) -> Option<u64> {
        self.answer.header(header::CONTENT_LENGTH)?.parse().ok()
    }

    pub(super) fn challenges(&self) -> Vec<&str> {
        self.answer.headers(header::WWW_AUTHENTICATE)
    }

    /// Returns the status in words.
    pub(super) fn status_text(&self) -> String {
        self.answer.refusal().to_string()
    }

    /// Says whether one of the errors that the server names has this code of the distribution specification.
    pub(super) fn has_code(&self, code: &str) -> bool {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let mut errors = value["errors"].as_array().into_iter().flatten();
        errors.any(|error| error["code"] == code)
    }

    /// Returns the URL of the next part of a list, where there is one: `Link: <URL>; rel="next"` (RFC 8288). Only the same server has
    /// it.
    pub(super) fn next_part(&self) -> Option<Url> {
        next_of(self.url(), self.answer.headers(header::LINK))
    }

    /// Returns what the server says, in the form that the distribution specification gives to errors or the one that token
    /// servers use; bounded, and fit for a terminal.
    pub(super) fn said(&self) -> Option<String> {
        said_in(&self.body)
    }
}

/// Returns the URL of the next part of a list, by the `Link` headers that `url` gave.
pub(super) fn next_of<'l>(url: &Url, links: impl IntoIterator<Item = &'l str>) -> Option<Url> {
    let mut targets = links
        .into_iter()
        .flat_map(|link| link.split(','))
        .filter_map(|link| {
            let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_next = parameters.split(';').any(|parameter| {
                parameter.split_once('=').is_some_and(|(name, value)| {
                    name.trim().eq_ignore_ascii_case("rel")
                        && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
                })
            });
            is_next.then_some(target)
        });
    let next = url.join(targets.next()?).ok()?;
    (next.origin() == url.origin()).then_some(next)
}

/// Returns the message of an error's body.
pub(super) fn said_in(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |value: &Value| {
        let code = value["code"].as_str().unwrap_or_default();
        let message = value["message"].as_str().unwrap_or_default();
        match (code.is_empty(), message.is_empty()) {
            (true, true) => None,
            (_, true) => Some(code.to_owned()),
            _ => Some(message.to_owned()),
        }
    };
    let listed = value["errors"].as_array().map(|errors| {
        let texts: Vec<String> = errors.iter().filter_map(text).collect();
        texts.join("; ")
    });
    let said = listed
        .or_else(|| value["details"].as_str().map(str::to_owned))
        .or_else(|| value["error"].as_str().map(str::to_owned))
        .filter(|said| !said.is_empty())?;
    Some(fit(&said))
}

impl Outgoing<'_> {
    /// Returns what is sent, from its beginning, and how long that may take beyond the usual patience.
    fn to_send(&self) -> Result<Option<(Body, Duration)>, ShareError> {
        let longer = |size: u64| Duration::from_secs(size / SLOWEST);
        Ok(match self {
            Outgoing::Nothing => None,
            Outgoing::Bytes(bytes) | Outgoing::Form(bytes) => {
                Some((Body::from(bytes.to_vec()), longer(bytes.len() as u64)))
            }
            Outgoing::Blob(blob, sent) => {
                sent.store(0, Ordering::Relaxed);
                let counted = Counted {
                    reader: blob.open()?,
                    sent: sent.clone(),
                };
                Some((Body::sized(counted, blob.size), longer(blob.size)))
            }
        })
    }
}

impl Registry<'_> {
    /// Asks the registry, and proves who asks where it wants to know. An answer of 401 or 403 is an error; all others are
    /// returned.
    pub(super) fn exchange(&self, question: &Question<'_>) -> Result<Reply, ShareError> {
        let mut authorized = false;
        loop {
            let known = self.authorization();
            let reply = self.patiently(question, known.as_ref())?;
            match reply.status() {
                401 if !authorized => {
                    // The token may have run out, or be for less than this.
                    authorized = true;
                    if !self.authorize(&reply)? {
                        return Err(self.denied(question.what, &reply));
                    }
                }
                401 | 403 => return Err(self.denied(question.what, &reply)),
                _ => return Ok(reply),
            }
        }
    }

    /// Asks a server until it answers with more than a passing trouble.
    pub(super) fn patiently(
        &self,
        question: &Question<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Reply, ShareError> {
        let options = &self.options.fetch;
        let mut failures = 0;
        loop {
            let (reason, said) = match self.once(question, authorization)? {
                Ok(reply) => match reply.answer.refusal() {
                    reason if reason.passes() => (reason, reply.said()),
                    _ => return Ok(reply),
                },
                Err(reason) => (reason, None),
            };
            failures += 1;
            // Each silence is a long one.
            let silent = matches!(reason, Reason::Silent { .. }) && failures >= SILENCES;
            if !reason.passes() || silent || failures >= question.tries {
                return Err(self.unreachable(question.what, reason, said));
            }
            let pause = options.pause_after(failures, &reason);
            self.progress.event(Event::DownloadRetried {
                name: question.what.to_owned(),
                url: self.reference.name(),
                reason: reason.to_string(),
                pause,
            });
            thread::sleep(pause);
        }
    }

    fn once(
        &self,
        question: &Question<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Result<Reply, Reason>, ShareError> {
        let options = &self.options.fetch;
        if options.offline {
            return Ok(Err(Reason::Offline));
        }
        let mut asked = vec![question.url.clone()];
        loop {
            let Some(url) = asked.last() else {
                return Ok(Err(Reason::NoUrl));
            };
            let request = Request {
                method: question.method.clone(),
                url,
                headers: question.headers,
                authorization,
                body: question.body.to_send()?,
            };
            let contact = |url: &Url| {
                self.progress.event(Event::Detail(format!(
                    "contacting `{}` ({})",
                    target(url),
                    question.method
                )));
            };
            let answer = match self.http.send(request, options, &contact) {
                Ok(answer) => answer,
                Err(reason) => return Ok(Err(reason)),
            };
            // What is read was redirected already. These two statuses ask for the same again (RFC 9110, section 15.4.8).
            let sent = !matches!(question.method, Method::GET | Method::HEAD);
            let secret = matches!(question.body, Outgoing::Form(_));
            if !(sent && !secret && matches!(answer.status(), 307 | 308)) {
                return Ok(read(answer, question, options.idle_timeout));
            }
            match redirect::next(&asked, &answer.location(), options.plain_http) {
                Ok(url) => asked.push(url),
                Err(error) => return Ok(Err(error.into())),
            }
        }
    }

    /// Waits before the next try of what a registry refused in passing.
    pub(super) fn pause(&self, what: &str, reply: &Reply, failures: u32) {
        let reason = reply.answer.refusal();
        let pause = self.options.fetch.pause_after(failures, &reason);
        self.progress.event(Event::DownloadRetried {
            name: what.to_owned(),
            url: self.reference.name(),
            reason: reply.said().unwrap_or_else(|| reason.to_string()),
            pause,
        });
        thread::sleep(pause);
    }

    pub(super) fn unreachable(
        &self,
        what: &str,
        reason: Reason,
        said: Option<String>,
    ) -> ShareError {
        ShareError::from(RegistryError::Unreachable {
            what: what.to_owned(),
            place: self.reference.name(),
            reason: Box::new(reason),
            said,
        })
    }

    /// Returns the error of an answer that nothing can be made of.
    pub(super) fn odd(&self, what: &str, reply: &Reply) -> ShareError {
        ShareError::from(RegistryError::Answer {
            what: what.to_owned(),
            place: self.reference.name(),
            problem: format!("the answer is {}", reply.status_text()),
            said: reply.said(),
        })
    }

    fn denied(&self, what: &str, reply: &Reply) -> ShareError {
        ShareError::from(RegistryError::Denied {
            what: what.to_owned(),
            place: self.reference.name(),
            status: reply.status_text(),
            credentials: self.credentials_from(),
            looked: self.options.credentials.clone(),
            said: reply.said(),
        })
    }
}

/// Says whether a body is all of a document whose digest the question or the answer names: then it does not matter how it ended.
fn is_whole(answer: &Answer, body: &[u8]) -> bool {
    let asked = answer
        .url()
        .path_segments()
        .and_then(|mut parts| parts.next_back());
    let names = [answer.header(CONTENT_DIGEST), asked];
    let mut digests = names
        .into_iter()
        .flatten()
        .filter_map(|name| name.strip_prefix("sha256:")?.parse().ok());
    digests.next() == Some(Digest::of(body))
}

fn read(mut answer: Answer, question: &Question<'_>, idle: Duration) -> Result<Reply, Reason> {
    let start = Instant::now();
    let good = (200..300).contains(&answer.status());
    let mut body = Vec::new();
    if question.method == Method::HEAD {
        return Ok(Reply { answer, body });
    }
    let limit = if good { question.limit } else { MAX_SAID };
    let declared = answer.length();
    let too_long = |declared| Reason::TooLong {
        bound: limit,
        declared,
    };
    if good && declared.is_some_and(|length| length > limit) {
        return Err(too_long(declared));
    }
    let mut buffer = vec![0u8; 16 << 10];
    loop {
        let count = match answer.read(&mut buffer, body.len() as u64, declared) {
            Ok(count) => count,
            Err(_) if good && is_whole(&answer, &body) => return Ok(Reply { answer, body }),
            Err(reason) if good => return Err(reason),
            // The status is what counts.
            Err(_) => return Ok(Reply { answer, body }),
        };
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(Reply { answer, body });
        };
        body.extend_from_slice(bytes);
        // Each byte ends a silence: what drips would come for ever.
        let allowed = idle + Duration::from_secs(body.len() as u64 / SLOWEST_DOCUMENT);
        if start.elapsed() > allowed {
            return match good {
                true => Err(Reason::Slow { after: allowed }),
                false => Ok(Reply { answer, body }),
            };
        }
        if body.len() as u64 > limit {
            return match good {
                true => Err(too_long(None)),
                false => Ok(Reply { answer, body }),
            };
        }
    }
}
